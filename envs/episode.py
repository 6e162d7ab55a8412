"""What a Game hands out: costs, steps, ended episodes, and where the next ones come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.levels import Level

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
    """A cost term: its unit, what it is, and how an episode sums it up."""

    unit: str
    meaning: str
    aggregate: Literal["max", "sum"] = "max"


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
