"""Layouts of MuJoCo environments: which numbers of an observation are positions, speeds, forces.

Gymnasium's v5 environments say it (`observation_structure`); of others the observation right after a
reset is compared with the simulator's qpos and qvel, so a user's own environment is understood too.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.foreign.spaces import OWN_UNIT
from robo_adv.envs.layout import Layout, Slice

Array = npt.NDArray[Any]
_FREE, _BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
_SLIDE = int(mujoco.mjtJoint.mjJNT_SLIDE)
_POSITION = {"m": "qpos_position", "rad": "qpos_angle", "quaternion": "qpos_quaternion"}
_VELOCITY = {"m/s": "qvel_linear", "rad/s": "qvel_angular"}
_OTHER_UNITS = {
    "cinert": "kg m^2, kg m, kg",
    "cvel": "rad/s, m/s",
    "qfrc_actuator": "N m",
    "cfrc_ext": "N m, N",
    "ten_length": "m",
    "ten_velocity": "m/s",
}
# Written out, because these environments have no `observation_structure` (Gymnasium 1.4).
_KNOWN: dict[str, tuple[tuple[str, int, str], ...]] = {
    "ReacherEnv": (
        ("cos_angle", 2, "1"), ("sin_angle", 2, "1"), ("target_position", 2, "m"),
        ("qvel_angular", 2, "rad/s"), ("fingertip_to_target", 2, "m"),
    ),
    "PusherEnv": (
        ("qpos_angle", 7, "rad"), ("qvel_angular", 7, "rad/s"), ("fingertip_position", 3, "m"),
        ("object_position", 3, "m"), ("goal_position", 3, "m"),
    ),
    "InvertedDoublePendulumEnv": (
        ("cart_position", 1, "m"), ("sin_angle", 2, "1"), ("cos_angle", 2, "1"),
        ("qvel_linear", 1, "m/s"), ("qvel_angular", 2, "rad/s"), ("rail_force", 1, "N"),
    ),
}  # fmt: skip


def mujoco_layout(base: Any, model: Any, data: Any, observation: Array) -> Layout | None:
    """The layout of a MuJoCo environment's flat observation (d,) taken right after a reset, or None
    when its structure is not understood.

    Args:
        base: the unwrapped environment. model, data: its simulation.
    """
    known = _KNOWN.get(type(base).__name__)
    if known and sum(size for _, size, _ in known) == len(observation):
        return Layout.of(Slice(*part) for part in known)
    skipped = _skipped(data, observation)
    if skipped is None:
        return None
    slices = [
        *_runs(_position_units(model)[skipped:], _POSITION),
        *_runs(_velocity_units(model), _VELOCITY),
    ]
    left = len(observation) - sum(s.size for s in slices)
    told = {
        name: int(size)
        for name, size in getattr(base, "observation_structure", {}).items()
        if name not in ("skipped_qpos", "qpos", "qvel") and size
    }
    if sum(told.values()) == left:
        slices += [Slice(name, n, _OTHER_UNITS.get(name, OWN_UNIT)) for name, n in told.items()]
    else:
        slices.append(Slice("other", left, OWN_UNIT))
    return Layout.of(slices)


def _skipped(data: Any, observation: Array) -> int | None:
    """How many first entries of qpos the observation leaves out before it gives qpos and qvel."""
    for skipped in range(4):
        state = np.concatenate([data.qpos[skipped:], data.qvel])
        if len(state) <= len(observation) and np.allclose(
            observation[: len(state)], state, rtol=1e-5, atol=1e-6
        ):
            return skipped
    return None


def _position_units(model: Any) -> list[str]:
    units = {_FREE: ["m"] * 3 + ["quaternion"] * 4, _BALL: ["quaternion"] * 4, _SLIDE: ["m"]}
    return [unit for kind in model.jnt_type for unit in units.get(int(kind), ["rad"])]


def _velocity_units(model: Any) -> list[str]:
    units = {_FREE: ["m/s"] * 3 + ["rad/s"] * 3, _BALL: ["rad/s"] * 3, _SLIDE: ["m/s"]}
    return [unit for kind in model.jnt_type for unit in units.get(int(kind), ["rad/s"])]


def _runs(units: list[str], names: dict[str, str]) -> list[Slice]:
    """One slice per run of equal units; a name that comes again gets a number."""
    out: list[Slice] = []
    for unit, run in groupby(units):
        name = names[unit]
        again = sum(s.name == name or s.name.startswith(f"{name}_") for s in out)
        out.append(Slice(f"{name}_{again + 1}" if again else name, len(list(run)), unit))
    return out
