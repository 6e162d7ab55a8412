"""Plane-v0: a GoalGame with a known answer: a puck on a plane moves to a mark."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from robo_adv.envs.episode import DRAW, ONGOING, Array, Bools, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.goal import GoalGame
from robo_adv.envs.layout import Layout, Slice
from robo_adv.levels import DesignSpace, Parameter

GAME = "Plane-v0"
SCENE = """<mujoco>
  <option timestep="0.02"/>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="top" pos="0 0 3"/> <camera name="side" pos="0 -3 2" xyaxes="1 0 0 0 0.5 0.87"/>
    <geom type="plane" size="2 2 0.1" pos="0 0 -0.1"/>
    <body name="mark" mocap="true">
      <geom type="sphere" size="0.1" contype="0" conaffinity="0" rgba="0 1 0 0.5"/>
    </body>
    <body name="puck">
      <joint name="x" type="slide" axis="1 0 0" damping="20"/>
      <joint name="y" type="slide" axis="0 1 0" damping="20"/>
      <geom type="sphere" size="0.1" mass="1" rgba="1 0 0 1"/>
    </body>
  </worldbody>
  <actuator> <motor joint="x" gear="40"/> <motor joint="y" gear="40"/> </actuator>
</mujoco>"""


class Plane(GoalGame):
    """The puck wins when it is within 0.15 m of the mark after 8 steps of 0.1 s; else: draw.

    It moves at up to 2 m/s, so the mark, within 0.7 m on either axis, takes at most 4 steps.
    """

    id = GAME
    players = ("puck",)
    camera = "side"
    substeps = 5
    clock_steps = 8
    start_numbers = 4
    reward_weights = {
        "sparse": {"puck": {"goal": 1.0}},
        "dense": {"puck": {"goal": 0.5, "distance": 1.0}},
        "lazy": {"puck": {"goal": 1.0, "effort": 0.1}},
    }
    costs = {"speed": Cost("m/s", "speed")}
    design_space = DesignSpace((Parameter("puck_mass", 0.5, 3.0, 1.0, "kg", "log"),))

    def __init__(self, num_envs: int = 1, **keywords: Any) -> None:
        super().__init__(num_envs, **keywords)
        self.memory["goal"] = np.zeros((num_envs, 2))

    def build(self) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(SCENE)

    def layout(self, player: str) -> Layout:
        return Layout.of([Slice("achieved_goal", 2, "m"), Slice("desired_goal", 2, "m"),
                          Slice("velocity", 2, "m/s"), Slice("clock", 1, "fraction left")])  # fmt: skip

    def action_size(self, player: str) -> int:
        return 2

    def apply_levels(self, ids: Ints) -> None:
        mass = self.batch.expand("body_mass")
        mass[ids, self.model.body("puck").id] = self.level(ids, "puck_mass")
        self.batch.set_const(ids)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        return 0.4 * u[:, :2] - 0.2, np.zeros((len(ids), 2))

    def begin(self, ids: Ints, u: Array) -> None:
        self.memory["goal"][ids] = 1.4 * u[:, 2:] - 0.7
        self.batch.bind("mocap_pos")[ids, 0, :2] = self.memory["goal"][ids]

    def goals(self) -> tuple[Array, Array]:
        """Achieved and desired goals (N, 2), as precise as observations are."""
        both = (self.qpos, self.memory["goal"])
        achieved, desired = (x.astype(np.float32).astype(np.float64) for x in both)
        return achieved, desired

    def observe(self, player: str, ids: Ints | slice) -> Observation:
        clock = 1.0 - self.length[ids] / self.clock_steps
        parts = [self.qpos[ids], self.memory["goal"][ids], self.qvel[ids], clock[:, None]]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def success(self, achieved: Array, desired: Array) -> Bools:
        return self.goal_distance(achieved, desired) < 0.15

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        return np.asarray(np.linalg.norm(achieved - desired, axis=1))

    def verdict(self) -> Ints:
        reached = np.where(self.success(*self.goals()), 0, DRAW)
        return np.where(self.length >= self.clock_steps, reached, ONGOING)

    def reward_terms(self, player: str) -> Terms:
        return self.goal_terms(*self.goals()) | {"effort": -np.abs(self.ctrl).sum(axis=1)}

    def cost_terms(self, player: str) -> Terms:
        return {"speed": np.linalg.norm(self.qvel, axis=1)}


def add_plane(patch: pytest.MonkeyPatch) -> None:
    """Register the game until the patch is undone."""
    assert len(GAMES)  # loads the registry first
    patch.setitem(GAMES._entries, GAME, Plane)
