"""Error profiles with intervals, over block lengths, and against a baseline.

The parts are those of `error_parts`; intervals rest on episodes and, where several controllers of one
training method (5 or more) saw the same states, on training seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import ENOUGH_SEEDS, REPS, Array, Estimate, Floats, interval, number
from robo_adv.safety.error_parts import PARTS, Sums, sums_of, weighted_parts
from robo_adv.safety.statistics import CONFIDENCE


@dataclass(frozen=True)
class Profile:
    """Parts of the mean squared error, each with an interval.

    Attributes:
        parts: plug-in values, which sum to `total` exactly, with bootstrap intervals over episodes.
        corrected: parts without the plug-in's upward bias (jackknife over episodes); about the
            same sum, may be below 0 where nothing is there.
        block: L [steps].
    """

    parts: Mapping[str, Estimate]
    corrected: Mapping[str, float]
    total: float
    block: int

    def share(self, part: str) -> float:
        """The part's share of the total; 0 without error."""
        return self.parts[part].value / self.total if self.total > 0.0 else 0.0

    def to_json(self) -> dict[str, Any]:
        parts = {
            name: {
                **part.to_json(),
                "corrected": number(self.corrected[name]),
                "share": number(self.share(name)),
            }
            for name, part in self.parts.items()
        }
        return {"parts": parts, "total": number(self.total), "block_steps": self.block}


def profile(
    errors: Array,
    episodes: Array,
    contexts: Array,
    block: int,
    rng: np.random.Generator,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
) -> Profile:
    """The error profile with its intervals.

    The plug-in |mean|^2 is too large by the mean's variance, and a resample of it by twice that, so
    resamples are moved down by twice the jackknife's bias (Efron and Tibshirani 1993, chapters 10-11)
    and cut at 0; their interval is about the true part, not about the plug-in value. Simulated with 30
    episodes it covers 93-100 % (systematic), 89-91 % (drift) and 95 % (transient) instead of 95 %.

    Args:
        errors: (T, a) signed errors, or (K, T, a) of K training seeds at the same states, whose
            profiles are averaged; otherwise as for `error_parts.parts_of`.

    Raises:
        RoboAdvError: shapes that do not fit, values that are not finite, fewer than two episodes.
    """
    draws = _resample(_per_seed(errors, None, episodes, contexts, block), rng, reps)
    corrected = dict(zip(PARTS, (draws.plug - draws.bias).tolist(), strict=True))
    parts = _estimates(draws.plug, draws, confidence, floor=0.0)
    return Profile(parts, corrected, float(draws.plug.sum()), int(block))


def profile_over_blocks(
    errors: Array,
    episodes: Array,
    contexts: Array,
    block: int,
    rng: np.random.Generator,
    reps: int = REPS,
) -> dict[int, Profile]:
    """Profiles for blocks of L / 2, L and 2 L steps: a conclusion should not hang on L."""
    sizes = sorted({max(1, block // 2), block, 2 * block})
    return {size: profile(errors, episodes, contexts, size, rng, reps) for size in sizes}


def profile_difference(
    candidate: Array,
    baseline: Array,
    episodes: Array,
    contexts: Array,
    block: int,
    rng: np.random.Generator,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """Parts of the candidate minus those of the baseline, from errors at the same states.

    Both are resampled together; the values are bias-corrected, so they sum to the difference of the
    totals only about. Shapes as for `profile`.
    """
    draws = _resample(_per_seed(candidate, baseline, episodes, contexts, block), rng, reps)
    return _estimates(draws.plug - draws.bias, draws, confidence, floor=-np.inf)


@dataclass(frozen=True)
class _Draws:
    """Plug-in parts (4,), their bias (4,), resamples (R, 4), and independent units."""

    plug: Floats
    bias: Floats
    parts: Floats
    units: int


def _per_seed(
    errors: Array, baseline: Array | None, episodes: Array, contexts: Array, block: int
) -> list[tuple[Sums, ...]]:
    """Sums of every training seed, with those of its baseline where there is one."""
    several = [errors] if baseline is None else [errors, baseline]
    stacked = [np.asarray(e)[None] if np.ndim(e) < 3 else np.asarray(e) for e in several]
    if len({len(e) for e in stacked}) != 1:
        raise RoboAdvError(
            f"candidate and baseline need as many training seeds, got {[len(e) for e in stacked]}"
        )
    return [
        tuple(sums_of(e, episodes, contexts, block) for e in pair)
        for pair in zip(*stacked, strict=True)
    ]


def _resample(seeds: list[tuple[Sums, ...]], rng: np.random.Generator, reps: int) -> _Draws:
    count = len(seeds[0][0].square)
    if count < 2:
        raise RoboAdvError(f"an error profile needs at least 2 episodes, got {count}")

    def of(weight: Floats) -> Floats:
        """(R, K, 4) parts, minus those of the baseline."""
        found = [[weighted_parts(sums, weight) for sums in pair] for pair in seeds]
        return np.stack([pair[0] - sum(pair[1:], np.float64(0.0)) for pair in found], axis=1)

    plug = of(np.ones((1, count))).mean(axis=1)[0]
    bias = (count - 1) * (of(1.0 - np.eye(count)).mean(axis=(0, 1)) - plug)
    weight = rng.multinomial(count, np.full(count, 1.0 / count), size=reps).astype(np.float64)
    parts, units = of(weight), count
    if len(seeds) >= ENOUGH_SEEDS:
        drawn = rng.integers(len(seeds), size=(reps, len(seeds), 1))
        parts, units = np.take_along_axis(parts, drawn, axis=1), min(len(seeds), count)
    return _Draws(plug, bias, parts.mean(axis=1), units)


def _estimates(
    values: Floats, draws: _Draws, confidence: float, floor: float
) -> dict[str, Estimate]:
    found = {}
    for i, name in enumerate(PARTS):
        moved = draws.parts[:, i] - 2.0 * draws.bias[i]
        ends = interval(float("nan"), moved, draws.units, confidence)
        low, high = max(ends.low, floor), max(ends.high, floor)
        found[name] = Estimate(float(values[i]), low, high, confidence)
    return found
