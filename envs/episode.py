"""What a Game hands out: costs, steps, ended episodes, and where the next ones come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.envs.layout import Layout
from robo_adv.levels import DesignSpace, Level

Array = npt.NDArray[np.float64]
Observation = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Terms = dict[str, Array]

ONGOING = -2  # winner of an episode that is not decided
DRAW = -1  # winner of a drawn episode; a player's index otherwise


class Scenarios(Protocol):
    """Where autoreset takes the next episodes from."""

    def __call__(self, ids: Ints) -> tuple[seeding.Seeds, Sequence[Level] | None]:
        """Seeds (n,) and levels (n, or None for nominal) for the simulations `ids` (n,)."""


@dataclass(frozen=True)
class Cost:
    """A cost term: its unit, what it is, how an episode sums it up, and above what it is unsafe.

    Attributes:
        limit: in the unit; inf for what is measured and not judged.
    """

    unit: str
    meaning: str
    aggregate: Literal["max", "sum"] = "max"
    limit: float = 0.0


@dataclass(frozen=True)
class Final:
    """The episodes that ended in a step; arrays have one row per ended episode (n,).

    Attributes:
        ids: the simulations they ran in.
        obs: last observation per player (n, d); the last valid one if the episode diverged.
        seeds, levels: the scenarios.
        winner: player index, DRAW, or ONGOING when truncated.
        length: control steps. returns, costs: per player, costs summed up as `Cost.aggregate` says.
        notes: what else the game tells of an episode, by name (`Game.notes`).
    """

    ids: Ints
    obs: dict[str, Observation]
    seeds: seeding.Seeds
    levels: list[Level]
    winner: Ints
    diverged: Bools
    forfeit: Bools
    length: Ints
    returns: dict[str, Array]
    costs: dict[str, Terms]
    notes: Terms = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """What one `Game.step` gives; arrays have one row per simulation (N,).

    Attributes:
        obs: per player (N, d), fresh arrays, after autoreset.
        rewards: per player, the sum of `reward_terms` (already weighted).
        costs: per player, named, in the units of `Game.costs`.
        final: the episodes that ended, or None.
    """

    obs: dict[str, Observation]
    rewards: dict[str, Array]
    reward_terms: dict[str, Terms]
    costs: dict[str, Terms]
    terminated: Bools
    truncated: Bools
    winner: Ints
    final: Final | None


class World(Protocol):
    """What `robo_adv.rollout.play` plays: a Game, or a foreign environment (`robo_adv.envs.foreign`).

    Rows are episodes (N of them); an episode that ends restarts in the same step with the next one of
    `scenarios`. Episode j depends on (world, level_j, seed_j, policies) alone.
    """

    scenarios: Scenarios
    num_envs: int
    layouts: dict[str, Layout]
    seeds: seeding.Seeds
    length: Ints
    levels: list[Level]
    design_space: DesignSpace

    @property
    def id(self) -> str: ...
    @property
    def players(self) -> tuple[str, ...]: ...
    @property
    def costs(self) -> dict[str, Cost]: ...
    @property
    def control_dt(self) -> float:
        """Time between control steps [s]."""

    def reset(
        self,
        seeds: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        levels: Sequence[Level] | None = None,
    ) -> dict[str, npt.NDArray[Any]]:
        """Start scenarios in rows `ids`; observations (N, d) per player."""

    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        """One control step with actions (N, a) per player."""

    def action_size(self, player: str) -> int: ...
    def action_space(self, player: str) -> gymnasium.spaces.Box: ...
    def observation_space(self, player: str) -> gymnasium.spaces.Box: ...
    def close(self) -> None: ...
