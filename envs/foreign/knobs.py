"""Physical knobs of a MuJoCo environment: masses, friction, damping, strength, gravity.

Each knob is a ratio to the model's own value, and each is tried before it is offered: one that does
not change what the simulation does is left out. Friction is scaled for all geoms, since a contact
takes the larger of two coefficients and the floor's alone is often a dead knob.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.levels import DesignSpace, Level, Parameter

Array = npt.NDArray[Any]
TORSO = "torso"
# Ends of the ratios: about the published uncertainty sets of Hopper and Walker2d (RRLS, 2024).
_FACTORS = {
    "torso_mass": 3.0,
    "mass": 2.0,
    "friction": 3.0,
    "damping": 3.0,
    "strength": 2.0,
    "gravity": 1.5,
    "medium": 3.0,
}
_FIELDS = ("body_mass", "body_inertia", "geom_friction", "pair_friction", "dof_damping",
           "actuator_gainprm", "actuator_biasprm", "actuator_gear")  # fmt: skip
_OPTIONS = ("gravity", "density", "viscosity")
_STEPS, _HOLD = 240, 8  # physics steps of a trial, and how long a random control is held


class Knobs:
    """One model's nominal values, and how a level changes them."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._nominal = {name: getattr(model, name).copy() for name in _FIELDS}
        self._options = {name: np.copy(getattr(model.opt, name)) for name in _OPTIONS}
        self._scratch = mujoco.MjData(model)
        self._edited = False

    def apply(self, level: Level) -> None:
        """Write a level into the model; the nominal one leaves an unedited model as it is."""
        ratios = {name: float(value) for name, value in level.values.items() if value != 1.0}
        if not ratios and not self._edited:
            return
        for name, value in self._nominal.items():
            getattr(self.model, name)[...] = value
        for name, value in self._options.items():
            setattr(self.model.opt, name, value)
        scale(self.model, ratios)
        mujoco.mj_setConst(self.model, self._scratch)
        self._edited = bool(ratios)


def scale(model: Any, ratios: Mapping[str, float]) -> None:
    """Multiply what the named knobs stand for; derived constants need `mj_setConst` after it."""
    for name, ratio in ratios.items():
        if name == "torso_mass":
            model.body_mass[model.body(TORSO).id] *= ratio
            model.body_inertia[model.body(TORSO).id] *= ratio
        elif name == "mass":
            model.body_mass[:] *= ratio
            model.body_inertia[:] *= ratio
        elif name == "friction":
            model.geom_friction[:] *= ratio
            model.pair_friction[:] *= ratio
        elif name == "damping":
            model.dof_damping[:] *= ratio
        elif name == "strength":
            _strengthen(model, ratio)
        elif name == "gravity":
            model.opt.gravity = model.opt.gravity * ratio
        else:
            model.opt.density *= ratio
            model.opt.viscosity *= ratio


def _strengthen(model: Any, ratio: float) -> None:
    """Force of each actuator at the same control: gain and bias, or gear where these are curves."""
    curves = (int(mujoco.mjtGain.mjGAIN_MUSCLE), int(mujoco.mjtGain.mjGAIN_USER))
    plain = np.flatnonzero(~np.isin(model.actuator_gaintype, curves))
    model.actuator_gainprm[plain, :3] *= ratio
    model.actuator_biasprm[plain, :3] *= ratio
    curved = np.setdiff1d(np.arange(model.nu), plain)
    model.actuator_gear[curved] *= ratio


def live_knobs(model: Any, qpos: Array, qvel: Array) -> DesignSpace:
    """The knobs that change the motion from (qpos, qvel) under random controls, at both ends."""
    bodies = [model.body(i).name for i in range(model.nbody)]
    nominal = _motion(model, qpos, qvel, {}, None)
    found = []
    for name, most in _FACTORS.items():
        if name == "torso_mass" and TORSO not in bodies:
            continue
        if all(_motion(model, qpos, qvel, {name: r}, nominal) is None for r in (1 / most, most)):
            found.append(Parameter(name, 1.0 / most, most, 1.0, "x nominal", "log"))
    return DesignSpace(tuple(found))


def _motion(
    model: Any, qpos: Array, qvel: Array, ratios: Mapping[str, float], expected: Array | None
) -> Array | None:
    """Positions (T, nq) under seeded random controls; None as soon as they leave the expected ones."""
    edited = copy.copy(model)
    scale(edited, ratios)
    data = mujoco.MjData(edited)
    mujoco.mj_setConst(edited, data)
    mujoco.mj_resetData(edited, data)
    data.qpos[:], data.qvel[:] = qpos, qvel
    rng = np.random.default_rng(0)
    limited = edited.actuator_ctrllimited.astype(bool)
    low = np.where(limited, edited.actuator_ctrlrange[:, 0], -1.0)
    high = np.where(limited, edited.actuator_ctrlrange[:, 1], 1.0)
    places = []
    for step in range(_STEPS // _HOLD):
        data.ctrl[:] = rng.uniform(low, high)
        mujoco.mj_step(edited, data, nstep=_HOLD)
        places.append(data.qpos.copy())
        if expected is not None and not np.array_equal(places[-1], expected[step]):
            return None
    return np.array(places)
