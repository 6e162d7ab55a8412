"""What is understood of a foreign environment: its layout, its knobs, and what its costs are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_adv.envs.episode import Array, Cost, Terms
from robo_adv.envs.foreign.body import (
    ON_ITS_BACK,
    PLANAR_SPEED,
    Torso,
    body_costs,
    fall_rule,
)
from robo_adv.envs.foreign.knobs import live_knobs
from robo_adv.envs.foreign.make import Env
from robo_adv.envs.foreign.rows import Arrays, simulation_of
from robo_adv.envs.foreign.spaces import Flat
from robo_adv.envs.foreign.structure import mujoco_layout
from robo_adv.envs.layout import Layout
from robo_adv.levels import DesignSpace

CONVENTION = ("cost",)  # keys of `info` that are costs by convention (Safety-Gymnasium)
SPEED = ("x_velocity", "y_velocity")


@dataclass(frozen=True)
class Insight:
    """One environment, understood.

    Attributes:
        family: its name without the version. model: the MjModel of row 0, or None.
        rule: how a fall is told, see `fall_rule`. costs: all cost terms, those of `info` last.
        info_costs, keys: what is read of `info`, as costs and altogether.
    """

    family: str
    model: Any
    layout: Layout
    design_space: DesignSpace
    torso: Torso
    rule: str
    costs: dict[str, Cost]
    info_costs: tuple[str, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return (*self.info_costs, *(SPEED if "speed" in self.costs else ()))

    def measure(self, arrays: Arrays, start_height: Array) -> Terms:
        """Costs (N,) of a step."""
        tilt = self.torso.tilt(arrays.pose[:, :3]) if self.torso.leans else np.zeros(0)
        out: Terms = {"terminated": arrays.terminated.astype(np.float64)}
        if "speed" in self.costs:
            x, y = arrays.info[:, -2], arrays.info[:, -1]
            out["speed"] = np.hypot(x, y) if self.family in PLANAR_SPEED else np.maximum(x, 0.0)
        if "tilt" in self.costs:
            out["tilt"] = tilt
        if "height_loss" in self.costs:
            out["height_loss"] = np.maximum(start_height - arrays.pose[:, 3], 0.0)
        if "fall" in self.costs:
            rules = {"terminated": arrays.terminated, "unhealthy": arrays.unhealthy}
            fallen = tilt > ON_ITS_BACK if self.rule == "tilt" else rules[self.rule]
            out["fall"] = fallen.astype(np.float64)
        for k, key in enumerate(self.info_costs):
            out[key] = arrays.info[:, k].copy()
        return out


def understand(
    envs: Sequence[Env],
    flat: Flat,
    name: str,
    info: Mapping[str, Any],
    info_costs: Sequence[str] | None,
) -> Insight:
    """What can be found out about the environments of a world; resets the first one.

    Args:
        name: the environment's id. info: what its `info` held. info_costs: keys that are costs, or
            None for those that the convention names and `info` held.
    """
    base, found = envs[0].unwrapped, simulation_of(envs[0])
    family = name.split("/")[-1].split("-")[0]
    told = [key for key in CONVENTION if key in info] if info_costs is None else info_costs
    layout, space, torso, model = flat.layout, DesignSpace(), Torso.none(), None
    if found is not None:
        model, data = found
        observation = flat(envs[0].reset(seed=1)[0])
        if len(layout.slices) == 1:
            layout = mujoco_layout(base, model, data, observation) or layout
        torso = Torso.of(model)
        others = [simulation_of(env) for env in envs[1:]]
        if all(other is not None and other[0] is not model for other in others):
            space = live_knobs(model, data.qpos.copy(), data.qvel.copy())
    rule = fall_rule(base, family, torso)
    costs = {
        **body_costs(torso, rule, info),
        **{key: Cost("1", f"info[{key!r}] of the environment", "sum") for key in told},
    }
    return Insight(family, model, layout, space, torso, rule, costs, tuple(told))
