"""Statistics of success over levels: what counts of each level, and what of all of them.

Success is (..., L, K): level, episode. Tails are ranked on one half of each level's episodes and
measured on the other, then the other way round: ranked and measured on the same episodes, the worst
levels are those with bad luck, and even equal levels look unequal. What is measured so is the success
on the levels that K / 2 episodes show to be the worst, an upper bound of the success on the truly
worst ones; more episodes per level bring it down to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
SOLVED = 0.5  # success from which on a level counts as solved


def split_tail(success: Array, alpha: float) -> Array:
    """Success on the worst share `alpha` of levels, ranked on one half of the episodes and measured on
    the other, both ways: (..., L, K) -> (...).

    Levels that tie at the edge of the tail share the places left in it.

    Raises:
        RoboAdvError: fewer than two episodes per level, or alpha outside 0..1.
    """
    if not 0.0 < alpha <= 1.0:
        raise RoboAdvError(f"a tail is a share of the levels in (0, 1], got {alpha:g}")
    halves = _halves(success)
    return _split_tail(halves, np.ones(halves.shape[:-1]), alpha)


def _halves(success: Array) -> Array:
    """(..., L, 2) success on the even and on the odd episodes."""
    if success.shape[-1] < 2:
        raise RoboAdvError(
            "the worst levels are found on one half of each level's episodes and measured on the "
            f"other, so two episodes per level are the least, got {success.shape[-1]}"
        )
    return np.stack([success[..., half::2].mean(axis=-1) for half in (0, 1)], axis=-1)


def _split_tail(halves: Array, times: Array, alpha: float) -> Array:
    even, odd = halves[..., 0], halves[..., 1]
    return 0.5 * (_tail(even, odd, times, alpha) + _tail(odd, even, times, alpha))


def _tail(rank: Array, value: Array, times: Array, alpha: float) -> Array:
    """Mean of `value` (..., L) over the share `alpha` of the smallest `rank` (..., L)."""
    size = np.maximum(alpha * times.sum(axis=-1, keepdims=True), 1.0)
    ranks, upto = _ascending(rank, times)
    full = np.argmax(upto > size - 1e-9, axis=-1)[..., None]  # where the tail is
    edge = np.take_along_axis(ranks, full, axis=-1)
    below, tied = times * (rank < edge), times * (rank == edge)
    share = (size - below.sum(axis=-1, keepdims=True)) / tied.sum(axis=-1, keepdims=True)
    return np.asarray(((below + share * tied) * value).sum(axis=-1) / size[..., 0])


def _ascending(values: Array, times: Array) -> tuple[Array, Array]:
    """Values (..., L) in order, and how many there are up to each of them."""
    values = np.broadcast_to(values, times.shape)
    order = np.argsort(values, axis=-1)
    ordered, often = (np.take_along_axis(x, order, axis=-1) for x in (values, times))
    return ordered, np.cumsum(often, axis=-1)


def _rate(success: Array) -> Array:
    """(..., L, 1) success on each level."""
    return np.asarray(success.mean(axis=-1, keepdims=True))


def _is_solved(success: Array) -> Array:
    return (_rate(success) >= SOLVED).astype(np.float64)


def _mean(levels: Array, times: Array) -> Array:
    return np.asarray((levels[..., 0] * times).sum(axis=-1) / times.sum(axis=-1))


def _iqm(levels: Array, times: Array) -> Array:
    """Mean of the middle half (Agarwal et al. 2021), as `interquartile_mean` has it of resamples."""
    values, upto = _ascending(levels[..., 0], times)
    quarter = upto[..., -1:] / 4.0
    weight = np.diff(np.clip(upto, quarter, 3.0 * quarter), axis=-1, prepend=quarter)
    return np.asarray((values * weight).sum(axis=-1) / (2.0 * quarter[..., 0]))


@dataclass(frozen=True)
class Statistic:
    """A measure in two steps, so that a bootstrap over levels takes the first one once.

    Attributes:
        of_levels: what counts of each level, (..., L, K) -> (..., L, C).
        over: from that, and how often each level was drawn (..., L), to the measure (...).
    """

    of_levels: Callable[[Array], Array]
    over: Callable[[Array, Array], Array]

    def __call__(self, success: Array) -> Array:
        levels = self.of_levels(success)
        return self.over(levels, np.ones(levels.shape[:-1]))


STATISTICS: Mapping[str, Statistic] = {
    "mean": Statistic(_rate, _mean),
    "cvar10": Statistic(_halves, partial(_split_tail, alpha=0.1)),
    "cvar1": Statistic(_halves, partial(_split_tail, alpha=0.01)),
    "iqm": Statistic(_rate, _iqm),
    "solved": Statistic(_is_solved, _mean),
}
TAILS = {"cvar10": 0.1, "cvar1": 0.01}
MEANINGS = {
    "mean": "mean success", "cvar10": "success on the worst 10 % of levels",
    "cvar1": "success on the worst 1 % of levels",
    "iqm": "interquartile mean of the levels' success",
    "solved": f"share of levels with success of at least {SOLVED:g}",
}  # fmt: skip
