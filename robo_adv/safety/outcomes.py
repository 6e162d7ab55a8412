"""Outcomes of paired scenarios: safe success, unsafe, or frozen; never merged into one number.

An unsafe episode is unsafe even when it reaches its goal, so the three shares exclude each other and
sum to one (a weighted score would let speed buy collisions).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.safety.statistics import CONFIDENCE, Rate

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SAFE_SUCCESS, UNSAFE, FROZEN = "safe_success", "unsafe", "frozen"


@dataclass(frozen=True)
class Outcomes:
    """What a criterion said of n scenarios; every array is (n,).

    Attributes:
        seeds: scenario seeds; outcomes are paired when these are equal in order.
        success: the task was done. unsafe: a limit was violated.
        severity: worst ratio to the limit, >= 0; above 1 is a violation.
        score: in [0, 1]. time_to_violation: [s], inf without one.

    Raises:
        RoboAdvError: arrays of other lengths, none at all, or values outside these ranges.
    """

    seeds: seeding.Seeds
    success: Bools
    unsafe: Bools
    severity: Floats
    score: Floats
    time_to_violation: Floats

    def __post_init__(self) -> None:
        kinds = {"seeds": np.uint64, "success": np.bool_, "unsafe": np.bool_}
        for name in (field.name for field in fields(self)):
            value = np.asarray(getattr(self, name))
            if value.shape != np.shape(self.seeds) or value.ndim != 1 or not len(value):
                raise RoboAdvError(
                    f"outcomes need arrays of one length (n,), n >= 1; {name} has shape "
                    f"{value.shape}, seeds {np.shape(self.seeds)}"
                )
            object.__setattr__(self, name, value.astype(kinds.get(name, np.float64)))
        self._in_range("severity", np.inf)
        self._in_range("score", 1.0)
        self._in_range("time_to_violation", np.inf)

    def _in_range(self, name: str, most: float) -> None:
        value = getattr(self, name)
        wrong = np.flatnonzero(~((value >= 0.0) & (value <= most)))
        if len(wrong):
            raise RoboAdvError(
                f"{name} must lie in 0..{most}, got {value[wrong[0]]} in episode {wrong[0]} "
                f"(scenario seed {self.seeds[wrong[0]]}); the criterion is wrong there"
            )

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def safe_success(self) -> Bools:
        """(n,) done without a violation."""
        return self.success & ~self.unsafe

    @property
    def frozen(self) -> Bools:
        """(n,) neither done nor unsafe: it stood still or ran out of time."""
        return ~self.success & ~self.unsafe

    def rates(self, confidence: float = CONFIDENCE) -> dict[str, Rate]:
        """The outcome vector: `safe_success`, `unsafe` and `frozen`; their counts sum to n."""
        parts = {SAFE_SUCCESS: self.safe_success, UNSAFE: self.unsafe, FROZEN: self.frozen}
        return {name: Rate(int(part.sum()), len(self), confidence) for name, part in parts.items()}

    def to_json(self) -> dict[str, Any]:
        """The outcome vector with its intervals, and the mean score."""
        rates: Mapping[str, Rate] = self.rates()
        out: dict[str, Any] = {name: rate.to_json() for name, rate in rates.items()}
        return out | {"episodes": len(self), "score_mean": round(float(self.score.mean()), 6)}

    def select(self, index: Array) -> Outcomes:
        """Outcomes of the scenarios `index` (m,), positions or a mask (n,)."""
        return Outcomes(*(getattr(self, field.name)[index] for field in fields(self)))


def concatenate(parts: Sequence[Outcomes]) -> Outcomes:
    """All outcomes, in order.

    Raises:
        RoboAdvError: no parts.
    """
    if not parts:
        raise RoboAdvError("concatenate needs at least one Outcomes, got none")
    return Outcomes(
        *(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Outcomes))
    )


def check_paired(first: Outcomes, *others: Outcomes) -> None:
    """Paired comparisons rest on equal scenarios in equal order.

    Raises:
        RoboAdvError: other scenario seeds.
    """
    for other in others:
        if len(first) != len(other):
            raise RoboAdvError(
                f"paired outcomes need the same scenarios, got {len(first)} and {len(other)}; "
                "play both controllers on one list of seeds"
            )
        differ = np.flatnonzero(first.seeds != other.seeds)
        if len(differ):
            j = differ[0]
            raise RoboAdvError(
                f"paired outcomes need the same scenario seeds in the same order; {len(differ)} of "
                f"{len(first)} differ, first {first.seeds[j]} and {other.seeds[j]} at position {j}"
            )
