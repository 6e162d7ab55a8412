"""Lift-v0: a game of one step whose strain is known in closed form, for probabilities of failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import pytest
from scipy import special, stats

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.episode import Array, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GAMES, Game, GameOptions
from robo_adv.envs.layout import Layout, Slice
from robo_adv.levels import DesignSpace, Parameter

SCENE = """<mujoco><option timestep="0.05" gravity="0 0 0"/><worldbody>
  <light pos="0 0 3"/> <camera name="side" pos="0 -4 1" xyaxes="1 0 0 0 0.24 0.97"/>
  <body name="box">
    <joint name="rail" type="slide" axis="1 0 0"/> <geom type="box" size="0.1 0.1 0.1"/>
  </body>
</worldbody><actuator><motor joint="rail"/></actuator></mujoco>"""


@dataclass(frozen=True)
class LiftOptions(GameOptions):
    """wobble: standard deviations of the load [kg] that the scenario's start adds to the strain."""

    wobble: float = 0.0


class Lift(Game):
    """The arm always wins, after one step. The strain is the load above 1 kg, which is 1 kg per
    standard deviation in service, and what the start adds; wind, delay and colour do nothing."""

    id = "Lift-v0"
    players = ("arm",)
    Options = LiftOptions
    camera = "side"
    start_numbers, substeps = 1, 1
    reward_weights = {"dense": {"arm": {"ease": 1.0}}}
    costs = {"strain": Cost("kg", "load above 1 kg")}
    design_space = DesignSpace((
        Parameter("wind", -3.0, 3.0, 0.0, "m/s"), Parameter("load", 0.0, 4.0, 1.0, "kg"),
        Parameter("delay", 0, 4, 0, "steps", "int"),
        Parameter("colour", 0.0, 0.0, "red", "", "choice", options=("red", "blue")),
        Parameter("damping", 0.25, 4.0, 1.0, "x nominal", "log"),
    ))  # fmt: skip

    def build(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(SCENE)

    def layout(self, player: str) -> Layout:
        return Layout.of([Slice("load", 1, "kg")])

    def action_size(self, player: str) -> int:
        return 1

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        return self.options.wobble * special.ndtri(u), np.zeros_like(u)  # type: ignore[attr-defined]

    def observe(self, player: str, ids: Ints | slice) -> Observation:
        return self._strain()[ids, None].astype(np.float32)

    def _strain(self) -> Array:
        return np.maximum(self.params["load"] - 1.0 + self.qpos[:, 0], 0.0)

    def verdict(self) -> Ints:
        return np.zeros(self.num_envs, dtype=np.int64)

    def reward_terms(self, player: str) -> Terms:
        return {"ease": 4.0 - self._strain()}

    def cost_terms(self, player: str) -> Terms:
        return {"strain": self._strain()}


def probability(limit: float, wobble: float = 0.0) -> float:
    """Of a strain above `limit` in service: integrated over the load, cut at its range."""
    if wobble == 0.0:
        return float(stats.norm.sf(limit)) if limit < 3.0 else 0.0
    z = np.linspace(-9.0, 9.0, 200_001)
    load = np.where(z > 0.0, np.minimum(z, 3.0), np.maximum(z, -3.0) / 3.0)
    failing = stats.norm.sf((limit - load) / wobble)
    return float((failing * stats.norm.pdf(z)).sum() * (z[1] - z[0]))


def add_lift(patch: pytest.MonkeyPatch) -> None:
    """Register the game until the patch is undone."""
    assert len(GAMES) and len(SCRIPTED)  # loads both registries first
    patch.setitem(GAMES._entries, Lift.id, Lift)


def make_lift(num_envs: int = 32, **options: Any) -> Lift:
    return Lift(num_envs, threads=1, **options)
