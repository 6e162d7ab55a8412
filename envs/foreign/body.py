"""What is measured of a walking robot: how fast it goes, how it leans, whether it fell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import Cost
from robo_adv.envs.foreign.knobs import TORSO

Array = npt.NDArray[Any]
# Where speed has two components; elsewhere it is forward speed (Safety-Gymnasium, safe_velocity).
PLANAR_SPEED = ("Ant", "Humanoid")
ON_ITS_BACK = np.pi / 2  # [rad] a torso that leans further lies on its back
COSTS = {
    "terminated": Cost("1", "the environment ended the episode"),
    "speed": Cost("m/s", "speed of the robot: forward, or in the plane where it walks in two axes"),
    "tilt": Cost("rad", "angle between the torso's up axis and the vertical"),
    "height_loss": Cost("m", "how far the torso is below where it started"),
    "fall": Cost("1", "the robot has fallen"),
}


@dataclass(frozen=True)
class Torso:
    """The torso of a model, if it has one that can lean or fall.

    Attributes:
        body: its index, or -1. up: which of its directions points up in the model's own pose (3,).
        leans, sinks: whether its joints let it.
    """

    body: int
    up: Array
    leans: bool
    sinks: bool

    @staticmethod
    def none() -> Torso:
        return Torso(-1, np.array([0.0, 0.0, 1.0]), False, False)

    @staticmethod
    def of(model: Any) -> Torso:
        names = [model.body(i).name for i in range(model.nbody)]
        if TORSO not in names:
            return Torso.none()
        body = names.index(TORSO)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        first = int(model.body_jntadr[body])
        joints = range(first, first + int(model.body_jntnum[body]))
        kinds = [int(model.jnt_type[j]) for j in joints]
        upright = [abs(model.jnt_axis[j][2]) > 0.9 for j in joints]
        free, slide = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_SLIDE)
        pairs = list(zip(kinds, upright, strict=True))
        leans = any(kind == free or (kind != slide and not up) for kind, up in pairs)
        sinks = any(kind == free or (kind == slide and up) for kind, up in pairs)
        return Torso(body, data.xmat[body, 6:9].copy(), leans, sinks)

    def tilt(self, up: Array) -> Array:
        """Angles [rad] (n,) from the third rows (n, 3) of the torso's rotation matrices."""
        return np.asarray(np.arccos(np.clip((up * self.up).sum(axis=1), -1.0, 1.0)))


def fall_rule(base: Any, family: str, torso: Torso) -> str:
    """How a fall is told: `terminated`, `unhealthy` (the episode goes on), `tilt`, or '' if never."""
    if hasattr(type(base), "is_healthy"):
        return "terminated" if getattr(base, "_terminate_when_unhealthy", True) else "unhealthy"
    if family.startswith("Inverted"):
        return "terminated"
    return "tilt" if torso.leans and family == "HalfCheetah" else ""


def body_costs(torso: Torso, rule: str, info: Mapping[str, Any]) -> dict[str, Cost]:
    """The costs that such an environment has, in a fixed order."""
    there = {
        "terminated": True,
        "speed": "x_velocity" in info,
        "tilt": torso.leans,
        "height_loss": torso.sinks,
        "fall": bool(rule),
    }
    return {name: cost for name, cost in COSTS.items() if there[name]}
