"""The pitch: a small-size training half, scaled to the players' body.

From the RoboCup Small Size League rules (https://robocup-ssl.github.io/ssl-rules/): the goal of
division A (1.8 m wide, 0.16 m high, 0.18 m deep) and the defence area of division B (2 m wide, 1 m
deep). The pitch is 4.25 m x 3 m, shorter than either division's half, so that an episode takes
seconds. Goal posts and lines are seen and judged, not collided with.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from robo_adv.envs.soccer.bodies.body import Scale

# Collision bits. Player i has bit i; players never collide with themselves.
FLOOR_BIT = 1 << 8

_LAWN = 8.0  # half size of the lawn that is drawn, in goal_x; stripes are goal_x / 4 wide
_HORIZON = (0.80, 0.88, 0.95, 1.0)


@dataclass(frozen=True)
class Pitch:
    """Lengths in [m]; the goal to attack is at x = +goal_x, the middle of the pitch at x = 0."""

    goal_x: float = 2.0
    goal_half_width: float = 0.9
    goal_height: float = 0.16
    goal_depth: float = 0.18
    back_x: float = -2.25
    side_y: float = 1.5
    area_depth: float = 1.0
    area_half_width: float = 1.0

    @staticmethod
    def scaled(length: float) -> Pitch:
        base = Pitch()
        return Pitch(**{name: length * value for name, value in vars(base).items()})


def base_spec(pitch: Pitch, scale: Scale) -> mujoco.MjSpec:
    """Floor, lines, goal, light, cameras and solver options, without ball or players."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = scale.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC  # friction as it is, not a pyramid
    _set_looks(spec, pitch)
    world, lawn = spec.worldbody, _LAWN * pitch.goal_x
    world.add_light(
        pos=(-0.9 * pitch.goal_x, 1.2 * pitch.goal_x, 2.5 * pitch.goal_x),
        dir=(0.36, -0.48, -1),  # through the middle, so that the shadow map covers the pitch
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=(0.55, 0.55, 0.52),
        specular=(0.15, 0.15, 0.15),
    )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(lawn, lawn, 0.1),  # as drawn; a plane collides everywhere
        material="lawn",
        contype=FLOOR_BIT,
        conaffinity=0,
        friction=(1.0, 0.5, 0.5),
    )
    _add_lines(world, pitch)
    _add_goal(world, pitch)
    _add_cameras(world, pitch)
    return spec


def _set_looks(spec: mujoco.MjSpec, pitch: Pitch) -> None:
    """Light, sky, mown lawn and the ball's paint; none of it touches the physics."""
    visual = spec.visual
    visual.headlight.ambient = (0.38, 0.38, 0.40)
    visual.headlight.diffuse = (0.32, 0.32, 0.32)
    visual.headlight.specular = (0.05, 0.05, 0.05)
    visual.rgba.haze = _HORIZON
    visual.global_.offwidth = 1920
    visual.global_.offheight = 1080
    visual.quality.shadowsize = 1024
    visual.map.shadowclip = 1.5
    spec.stat.extent = 2.0 * pitch.goal_x
    spec.stat.center = (0.0, 0.0, 0.0)
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=(0.36, 0.56, 0.80),
        rgb2=_HORIZON[:3],
        width=64,
        height=384,
    )
    _add_stripes(spec, "lawn", (70, 128, 66), (62, 117, 60), repeat=_LAWN * 2)
    spec.add_material(name="ball", emission=0.35, specular=0.6, shininess=0.6)


def _add_stripes(
    spec: mujoco.MjSpec,
    name: str,
    light: tuple[int, int, int],
    dark: tuple[int, int, int],
    repeat: float,
) -> None:
    """A texture and material of `repeat` pairs of stripes across x."""
    row = np.repeat(np.array([light, dark], np.uint8), 16, axis=0)
    spec.add_texture(
        name=name,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=len(row),
        height=4,
        nchannel=3,
        data=np.tile(row, (4, 1)).ravel().tolist(),
    )
    material = spec.add_material(name=name, texrepeat=(repeat, 1), specular=0.0, shininess=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _decoration(
    world: mujoco.MjsBody,
    size: tuple[float, float, float],
    pos: tuple[float, float, float],
    rgba: tuple[float, float, float, float],
    name: str = "",
    kind: mujoco.mjtGeom = mujoco.mjtGeom.mjGEOM_BOX,
) -> None:
    world.add_geom(
        name=name,
        type=kind,
        size=size,
        pos=pos,
        rgba=rgba,
        contype=0,
        conaffinity=0,
    )


def _add_lines(world: mujoco.MjsBody, p: Pitch) -> None:
    white = (0.93, 0.95, 0.93, 1.0)
    w = 0.004 * p.goal_x
    mid = 0.5 * (p.goal_x + p.back_x)
    half = 0.5 * (p.goal_x - p.back_x)
    area_x = p.goal_x - p.area_depth
    for size, pos in (
        ((w, p.side_y + w, w / 4), (p.goal_x, 0.0, 0.0)),
        ((w, p.side_y + w, w / 4), (p.back_x, 0.0, 0.0)),
        ((half, w, w / 4), (mid, p.side_y, 0.0)),
        ((half, w, w / 4), (mid, -p.side_y, 0.0)),
        ((w, p.area_half_width + w, w / 4), (area_x, 0.0, 0.0)),
        ((p.area_depth / 2, w, w / 4), (p.goal_x - p.area_depth / 2, p.area_half_width, 0.0)),
        ((p.area_depth / 2, w, w / 4), (p.goal_x - p.area_depth / 2, -p.area_half_width, 0.0)),
    ):
        _decoration(world, size, pos, white)


def _add_goal(world: mujoco.MjsBody, p: Pitch) -> None:
    """Posts (which a level's goal width moves), crossbar and a transparent net of nominal width."""
    paint, net = (0.97, 0.97, 0.95, 1.0), (0.92, 0.95, 1.0, 0.30)
    w, d, h = 0.0075 * p.goal_x, p.goal_depth / 2, p.goal_height / 2
    half = p.goal_half_width + w
    for side, name in ((1, "left"), (-1, "right")):
        _decoration(world, (w, w, h), (p.goal_x + w, side * half, h), paint, f"post_{name}")
        _decoration(world, (d, w / 4, h), (p.goal_x + d, side * half, h), net)
    top = 2 * h + w
    _decoration(world, (w, half + w, w), (p.goal_x + w, 0.0, top), paint, "crossbar")
    _decoration(world, (w / 4, half, h), (p.goal_x + 2 * d, 0.0, h), net, "net")
    _decoration(world, (d, half, w / 4), (p.goal_x + d, 0.0, 2 * h), net)


def _add_cameras(world: mujoco.MjsBody, p: Pitch) -> None:
    """Each shows the whole pitch from 4:3 to wider pictures."""
    s, mid = p.goal_x, 0.5 * (p.goal_x + p.goal_depth + p.back_x)
    _camera(world, "side", (mid, -3.4 * s, 4.3 * s), (mid, -0.06 * s, 0.0), fovy=20)
    _camera(world, "top", (mid, -1e-3 * s, 4.9 * s), (mid, 0.0, 0.0), fovy=26)
    _camera(world, "behind", (-3.9 * s, 0.0, 1.7 * s), (0.0, 0.0, 0.0), fovy=27)


def _camera(
    world: mujoco.MjsBody,
    name: str,
    pos: tuple[float, float, float],
    target: tuple[float, float, float],
    fovy: float,
) -> None:
    """A camera at `pos` that looks at `target`, both in [m], with its x axis level."""
    forward = np.subtract(target, pos)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    up = np.cross(right, forward)
    axes = np.concatenate([right / np.linalg.norm(right), up / np.linalg.norm(up)])
    world.add_camera(name=name, pos=pos, xyaxes=axes, fovy=fovy)


def add_ball(spec: mujoco.MjSpec, scale: Scale, player_bits: int) -> None:
    """The ball first, so that its joint comes first in qpos. Its friction rules every contact it has
    (priority 1), so that the level's friction is not a dead knob."""
    ball = spec.worldbody.add_body(name="ball", pos=(0, 0, scale.ball_radius))
    ball.add_freejoint(name="ball")
    ball.add_geom(
        name="ball",
        type=mujoco.mjtGeom.mjGEOM_SPHERE,
        size=(scale.ball_radius, 0, 0),
        mass=scale.ball_mass,
        material="ball",
        rgba=(1.0, 0.50, 0.05, 1),
        contype=0,
        conaffinity=FLOOR_BIT | player_bits,
        condim=6,
        priority=1,
        solimp=(0.995, 0.999, 0.001, 0.5, 2),  # a resting ball sinks 0.02 mm (omni)
        friction=(0.3, 0.005 * scale.ball_radius, 0.04 * scale.ball_radius),
    )
