"""The pitch: half of a RoboCup small-size division B field, scaled to the players' body.

Division B: goal 1 m wide, 0.16 m high and 0.18 m deep; defence area 2 m wide and 1 m deep
(https://robocup-ssl.github.io/ssl-rules/). Goal posts and lines are seen and judged, not collided with.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco

from robo_adv.envs.soccer.bodies.body import Scale

# Collision bits. Player i has bit i; players never collide with themselves.
FLOOR_BIT = 1 << 8


@dataclass(frozen=True)
class Pitch:
    """Lengths in [m]; the goal to attack is at x = +goal_x, the middle of the pitch at x = 0."""

    goal_x: float = 2.0
    goal_half_width: float = 0.5
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
    spec.option.timestep = scale.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.visual.headlight.ambient = (0.35, 0.35, 0.35)
    spec.visual.headlight.diffuse = (0.45, 0.45, 0.45)
    spec.visual.global_.offwidth = 1920
    spec.visual.global_.offheight = 1080
    spec.visual.quality.shadowsize = 2048
    spec.stat.extent = 2.0 * pitch.goal_x
    spec.stat.center = (0.0, 0.0, 0.0)
    world = spec.worldbody
    world.add_light(
        pos=(0, -pitch.side_y, 2.5 * pitch.goal_x),
        dir=(0.1, 0.4, -1),
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        diffuse=(0.5, 0.5, 0.5),
    )
    world.add_geom(
        name="floor",
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=(1.25 * pitch.goal_x, 1.25 * pitch.side_y, 0.1),
        rgba=(0.20, 0.42, 0.22, 1),
        contype=FLOOR_BIT,
        conaffinity=0,
        friction=(1.0, 0.5, 0.5),
    )
    _add_lines(world, pitch)
    _add_goal(world, pitch)
    _add_cameras(world, pitch)
    return spec


def _decoration(
    world: mujoco.MjsBody,
    size: tuple[float, float, float],
    pos: tuple[float, float, float],
    rgba: tuple[float, float, float, float],
    name: str = "",
) -> None:
    world.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=size,
        pos=pos,
        rgba=rgba,
        contype=0,
        conaffinity=0,
    )


def _add_lines(world: mujoco.MjsBody, p: Pitch) -> None:
    white = (0.92, 0.94, 0.92, 1.0)
    w = 0.004 * p.goal_x
    mid = 0.5 * (p.goal_x + p.back_x)
    half = 0.5 * (p.goal_x - p.back_x)
    area_x = p.goal_x - p.area_depth
    for size, pos in (
        ((w, p.side_y, w / 4), (p.goal_x, 0.0, 0.0)),
        ((w, p.side_y, w / 4), (p.back_x, 0.0, 0.0)),
        ((half, w, w / 4), (mid, p.side_y, 0.0)),
        ((half, w, w / 4), (mid, -p.side_y, 0.0)),
        ((w, p.area_half_width, w / 4), (area_x, 0.0, 0.0)),
        ((p.area_depth / 2, w, w / 4), (p.goal_x - p.area_depth / 2, p.area_half_width, 0.0)),
        ((p.area_depth / 2, w, w / 4), (p.goal_x - p.area_depth / 2, -p.area_half_width, 0.0)),
    ):
        _decoration(world, size, pos, white)


def _add_goal(world: mujoco.MjsBody, p: Pitch) -> None:
    gold, w, h = (0.95, 0.75, 0.2, 1.0), 0.01 * p.goal_x, p.goal_height / 2
    for side, name in ((1, "left"), (-1, "right")):
        y = side * (p.goal_half_width + w)
        size = (p.goal_depth / 2, w, h)
        _decoration(world, size, (p.goal_x + p.goal_depth / 2, y, h), gold, f"post_{name}")
    back = (w / 2, p.goal_half_width, h)
    _decoration(world, back, (p.goal_x + p.goal_depth, 0.0, h), (0.8, 0.8, 0.8, 0.35), "net")


def _add_cameras(world: mujoco.MjsBody, p: Pitch) -> None:
    s = p.goal_x
    world.add_camera(name="side", pos=(0.2 * s, -1.75 * s, 1.35 * s), xyaxes=(1, 0, 0, 0, 0.61, 0.79))
    world.add_camera(name="top", pos=(0.0, 0.0, 2.6 * s), xyaxes=(1, 0, 0, 0, 1, 0))
    world.add_camera(name="behind", pos=(-1.9 * s, 0, 0.95 * s), xyaxes=(0, -1, 0, 0.42, 0, 0.91))


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
        rgba=(0.98, 0.45, 0.08, 1),
        contype=0,
        conaffinity=FLOOR_BIT | player_bits,
        condim=6,
        priority=1,
        friction=(0.3, 0.005 * scale.ball_radius, 0.04 * scale.ball_radius),
    )
