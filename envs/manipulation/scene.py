"""The scene around an arm: table, cameras, objects. World coordinates: the table top is z = 0, the
arm stands at the origin and looks along x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import mujoco
import numpy as np

TABLE = "table"
FRICTION = 0.6  # of objects, with everything they touch
GOAL_COLOUR = (0.20, 0.72, 0.38, 0.55)
_GEOM = mujoco.mjtGeom
_SHAPES = {
    "box": _GEOM.mjGEOM_BOX,
    "cylinder": _GEOM.mjGEOM_CYLINDER,
    "sphere": _GEOM.mjGEOM_SPHERE,
}


@dataclass(frozen=True)
class Thing:
    """A free object.

    Attributes:
        size: half sizes as MuJoCo's geoms take them [m]. mass [kg].
    """

    name: str
    shape: Literal["box", "cylinder", "sphere"]
    size: tuple[float, ...]
    mass: float
    colour: tuple[float, float, float, float] = (0.91, 0.55, 0.16, 1.0)


def table_scene(timestep: float) -> mujoco.MjSpec:
    """Table, floor, lights and the cameras `scene`, `side` and `top`; `timestep` [s]."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    option = spec.option
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0  # grasps must not creep
    option.iterations, option.ls_iterations = 20, 20
    spec.visual.global_.offwidth, spec.visual.global_.offheight = 1920, 1080
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.45, 0.45, 0.45]
    spec.visual.headlight.specular = [0.1, 0.1, 0.1]
    spec.visual.quality.shadowsize = 4096
    spec.add_texture(
        name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.80, 0.84, 0.88], rgb2=[0.46, 0.53, 0.61], width=64, height=384,
    )  # fmt: skip
    world = spec.worldbody
    world.add_light(pos=[0.2, -0.8, 2.2], dir=[0.2, 0.35, -1.0], diffuse=[0.5, 0.5, 0.5])
    world.add_geom(
        name=TABLE, type=_GEOM.mjGEOM_BOX, size=[0.65, 0.6, 0.02], pos=[0.45, 0.0, -0.02],
        rgba=[0.70, 0.63, 0.55, 1.0], friction=[0.6, 0.005, 0.0001],
    )  # fmt: skip
    world.add_geom(
        name="floor", type=_GEOM.mjGEOM_PLANE, size=[8, 8, 0.1], pos=[0, 0, -0.75],
        rgba=[0.50, 0.54, 0.59, 1.0],
    )  # fmt: skip
    _look(world, "side", (1.55, -1.05, 0.80), (0.38, 0.02, 0.22), 42.0)
    _look(world, "scene", (1.20, 0.0, 0.75), (0.46, 0.0, 0.08), 48.0)
    _look(world, "top", (0.5, 0.0, 1.65), (0.5001, 0.0, 0.0), 45.0)
    return spec


def _look(
    body: mujoco.MjsBody, name: str, position: Sequence[float], target: Sequence[float], fovy: float
) -> None:
    """A camera at `position` that looks at `target`, upright."""
    forward = np.subtract(target, position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right)
    up = np.cross(right, forward)
    body.add_camera(name=name, pos=list(position), xyaxes=[*right, *up], fovy=fovy)


def add_wrist_camera(hand: mujoco.MjsBody, tcp: Sequence[float]) -> None:
    """A camera beside the hand that looks along the tool at the tool centre point."""
    position = np.array([0.12, 0.0, 0.03])
    forward = np.asarray(tcp) + np.array([0.0, 0.0, 0.02]) - position
    forward = forward / np.linalg.norm(forward)
    right = np.array([0.0, 1.0, 0.0])
    up = np.cross(right, forward)
    hand.add_camera(name="wrist", pos=list(position), xyaxes=[*right, *up], fovy=70.0)


def add_thing(spec: mujoco.MjSpec, thing: Thing) -> None:
    """A free object; where it starts is the task's business."""
    body = spec.worldbody.add_body(name=thing.name, pos=[0.5, 0.0, 0.1])
    body.add_freejoint(name=thing.name)
    body.add_geom(
        name=thing.name, type=_SHAPES[thing.shape], size=[*thing.size, 0, 0, 0][:3],
        mass=thing.mass, rgba=list(thing.colour), friction=[FRICTION, 0.01, 0.0001], condim=4,
        solref=[0.01, 1.0], priority=1,  # its friction counts, not the larger of the two
    )  # fmt: skip


def add_marker(
    spec: mujoco.MjSpec, name: str, radius: float, colour: Sequence[float] = GOAL_COLOUR
) -> None:
    """A see-through sphere without physics, moved through `mocap_pos`: shows a goal."""
    body = spec.worldbody.add_body(name=name, mocap=True)
    body.add_geom(
        name=name, type=_GEOM.mjGEOM_SPHERE, size=[radius, 0, 0], contype=0, conaffinity=0,
        rgba=list(colour), group=1,
    )  # fmt: skip


def contact_sensor(
    spec: mujoco.MjSpec,
    name: str,
    first: tuple[str, str],
    second: tuple[str, str],
    net: bool = False,
) -> None:
    """Force [N] (3,) between two things, each ("subtree" | "body" | "geom", its name): the largest
    contact's, or the sum of all with `net`. A sum hides a pinch; the largest does not."""
    kinds = {
        "subtree": mujoco.mjtObj.mjOBJ_XBODY,
        "body": mujoco.mjtObj.mjOBJ_BODY,
        "geom": mujoco.mjtObj.mjOBJ_GEOM,
    }
    spec.add_sensor(
        name=name, type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=kinds[first[0]], objname=first[1], reftype=kinds[second[0]], refname=second[1],
        intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 3 if net else 2, 1],
    )  # fmt: skip
