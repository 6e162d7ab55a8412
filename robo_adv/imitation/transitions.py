"""Transitions: what an expert or a learner did, one row per step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Transitions:
    """Steps in any order; `terminated` is False where a time limit only cut an episode off.

    Raises RoboAdvError when the arrays differ in their number of rows or two observations of a
    step differ in shape.
    """

    # (N, d), images (N, C, H, W) uint8, or SightedRows, which `take` turns into an array.
    observation: Array
    action: Array  # (N, a), on the environment's own scale, as played (clipped)
    next_observation: Array  # as observation; at an episode's end its last one, not the next start
    terminated: Array  # (N,) bool

    def __post_init__(self) -> None:
        rows = {f.name: np.shape(getattr(self, f.name))[:1] for f in fields(self)}
        if len(set(rows.values())) != 1 or () in rows.values():
            got = ", ".join(f"{name} {np.shape(getattr(self, name))}" for name in rows)
            raise RoboAdvError(f"transitions need one row per step in every array, got {got}")
        if self.observation.shape != self.next_observation.shape:
            got = f"{self.observation.shape} and {self.next_observation.shape}"
            raise RoboAdvError(f"observation and next_observation must agree in shape, got {got}")

    def __len__(self) -> int:
        return len(self.observation)

    def take(self, indices: Array | slice) -> Transitions:
        """The rows at `indices` (integers, a mask or a slice)."""
        return Transitions(*(getattr(self, f.name)[indices] for f in fields(self)))

    @staticmethod
    def concatenate(parts: Sequence[Transitions]) -> Transitions:
        """All rows of all parts, in order; raises RoboAdvError when there is none."""
        if not parts:
            raise RoboAdvError("got no transitions to concatenate; give at least one part")
        names = [f.name for f in fields(Transitions)]
        return Transitions(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))
