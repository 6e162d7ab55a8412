"""Point-v0: a game of one player for tests: a cart that may hit a wall on its way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch

from robo_adv.agents import player
from robo_adv.agents.scripted import SCRIPTED, Scripted
from robo_adv.bundle import save_bundle
from robo_adv.envs.episode import DRAW, ONGOING, Array, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GAMES, Game, GameOptions, make_game
from robo_adv.envs.layout import Layout, Slice
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.training.network import NetworkPolicy, build_network

GAME = "Point-v0"
SCENE = """<mujoco>
  <option timestep="0.01"/>
  <worldbody>
    <light pos="0 0 3"/> <camera name="table" pos="0 -4 1" xyaxes="1 0 0 0 0.24 0.97"/>
    <geom name="wall" type="box" size="0.1 1 1" pos="1.3 0 0"/>
    <body name="cart"> <site name="skin" type="box" size="0.11 0.11 0.11"/>
      <joint name="rail" type="slide" axis="1 0 0"/> <geom type="box" size="0.1 0.1 0.1" mass="1"/>
    </body>
  </worldbody>
  <actuator> <motor joint="rail" gear="5"/> </actuator>
  <sensor> <touch site="skin"/> </sensor>
</mujoco>"""


@dataclass(frozen=True)
class PointOptions(GameOptions):
    """refine divides the physics timestep."""

    refine: int = 1


class Point(Game):
    """The arm wins when it is within 0.2 m of x = 0 at 0.1 m/s or less; after 1 s: draw."""

    id = GAME
    players = ("arm",)
    Options = PointOptions
    camera = "table"
    start_numbers = 1
    reward_weights = {
        "sparse": {"arm": {"win": 1.0}},
        "dense": {"arm": {"win": 5.0, "approach": 1.0}},
    }
    costs = {
        "wall_force": Cost("N", "force of the wall"),
        "speed": Cost("m/s", "speed above 1 m/s"),
    }
    design_space = DesignSpace((Parameter("cart_mass", 0.5, 3.0, 1.0, "kg", "log"),))

    def __init__(self, num_envs: int = 1, **keywords: Any) -> None:
        self.clock_steps = 10
        self.substeps = 10 * int(keywords.get("refine", 1))
        super().__init__(num_envs, **keywords)

    def build(self) -> mujoco.MjSpec:
        spec = mujoco.MjSpec.from_string(SCENE)
        spec.option.timestep /= self.options.refine  # type: ignore[attr-defined]
        return spec

    def layout(self, player: str) -> Layout:
        return Layout.of([Slice("position", 1, "m"), Slice("velocity", 1, "m/s")])

    def action_size(self, player: str) -> int:
        return 1

    def apply_levels(self, ids: Ints) -> None:
        mass = self.batch.expand("body_mass")
        mass[ids, self.model.body("cart").id] = self.level(ids, "cart_mass")
        self.batch.set_const(ids)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        return 1.8 * u - 0.9, np.full_like(u, 0.3)

    def observe(self, player: str, ids: Ints | slice) -> Observation:
        return np.concatenate([self.qpos[ids], self.qvel[ids]], axis=1, dtype=np.float32)

    def verdict(self) -> Ints:
        there = (np.abs(self.qpos[:, 0]) < 0.2) & (np.abs(self.qvel[:, 0]) < 0.1)
        return np.where(there, 0, np.where(self.length >= self.clock_steps, DRAW, ONGOING))

    def reward_terms(self, player: str) -> Terms:
        nearer = np.abs(self.qpos_before[:, 0]) - np.abs(self.qpos[:, 0])
        return {"win": (self.winner == 0).astype(np.float64), "approach": nearer}

    def cost_terms(self, player: str) -> Terms:
        speed = np.maximum(np.abs(self.qvel[:, 0]) - 1.0, 0.0)
        return {"wall_force": self.sensors[:, :, 0].max(axis=1), "speed": speed}


class Brake(Scripted):
    """Drives the cart to x = 0 and stops there."""

    games = (GAME,)

    def act(self, observation: Array) -> Array:
        return np.clip(-1.5 * observation[:, :1] - 1.2 * observation[:, 1:], -1.0, 1.0)


def add_point(patch: pytest.MonkeyPatch) -> None:
    """Register the game and its scripted policy `brake` until the patch is undone."""
    assert len(GAMES) and len(SCRIPTED)  # loads both registries first
    patch.setitem(GAMES._entries, GAME, Point)
    patch.setitem(SCRIPTED._entries, "brake", Brake)
    patch.setattr(player, "SELECTION_EPISODES", 8)


def point_bundle(folder: Path) -> Path:
    """A bundle of an untrained network; returns its folder."""
    world = make_game(GAME, 1, threads=1)
    layout = world.layouts["arm"]
    torch.manual_seed(0)
    network = build_network(layout.size, 1, (16,), "tanh")
    save_bundle(
        folder, NetworkPolicy(network), game=GAME, options={"refine": 1}, player="arm",
        layout=layout.to_json(), net_arch=(16,), activation="tanh",
        provenance={"recipe": "test", "seed": 0},
    )  # fmt: skip
    return folder
