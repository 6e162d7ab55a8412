"""Measures of success over levels, each with a 95 % interval.

`success` is (L, K): level, episode; or (S, L, K) for S controllers that were trained from different
seeds and met the same levels and scenarios.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.statistics import STATISTICS, TAILS, Statistic
from robo_adv.safety.bootstrap import Estimate, bootstrap, interval
from robo_adv.safety.statistics import Rate

Array = npt.NDArray[Any]
REPS = 2_000
IN_TAIL = 20  # levels that an estimate of a tail should rest on
_ENTRIES = 200_000  # numbers that are resampled at once: a few MB, which stay in the cache


def estimate(success: Array, name: str, *, drawn: bool = True, reps: int = REPS) -> Estimate:
    """A measure of one controller's success (L, K) with its interval.

    Args:
        name: of STATISTICS. drawn: whether the levels are a sample, which is then resampled; else the
            episodes are, the levels staying what they are.

    Where all that is resampled agrees, a bootstrap is blind; then the interval is the exact one of as
    many successes in as many trials.

    Raises:
        UnknownNameError: no such measure. RoboAdvError: no array (L, K), or too few episodes.
    """
    success = _checked(success, 2)
    statistic = _statistic(name)
    units = success if drawn else success.T  # what is resampled comes first
    n = len(units)
    value = float(statistic(success))
    if len(success) == 1 or n < 2 or (units == units[0]).all():
        return _exact(value, n if len(success) > 1 else success.size)
    rng = np.random.default_rng(0)

    def of(sample: Array) -> Array:  # (reps, n, ...)
        return statistic(sample if drawn else np.swapaxes(sample, 1, 2))

    in_tail = max(2.0, TAILS.get(name, 1.0) * n) if drawn else None
    return _kept(bootstrap(of, [units], rng, reps=reps, units=in_tail), value, n)


def over_seeds(success: Array, name: str, *, reps: int = REPS) -> Estimate:
    """A measure of a training method: its mean over S controllers (S, L, K), with an interval over
    training seeds and levels, which are drawn apart.

    The interquartile mean is that of all S x L levels' success together (Agarwal et al. 2021, "Deep
    reinforcement learning at the edge of the statistical precipice", with levels for tasks; but there
    every task had runs of its own, here a controller plays all levels, so that runs are resampled
    whole). For S = 1 it is `estimate`.

    Raises:
        UnknownNameError, RoboAdvError: as `estimate`.
    """
    success = _checked(success, 3)
    statistic, (seeds, n) = _statistic(name), success.shape[:2]
    if seeds == 1:
        return estimate(success[0], name, reps=reps)
    rows, columns = _drawn((seeds, n), reps)
    value, draws = _resampled(statistic, name, success, rows, columns)
    return interval(value, draws, seeds)


def gain(first: Array, second: Array, name: str, *, reps: int = REPS) -> Estimate:
    """`over_seeds` of the first method less that of the second; (S, L, K) and (T, L, K) on the same
    levels and scenarios. Levels are paired; training seeds are not.

    Raises:
        RoboAdvError: they were not measured on the same number of levels, or as `estimate`.
    """
    first, second = _checked(first, 3), _checked(second, 3)
    if first.shape[1:] != second.shape[1:]:
        raise RoboAdvError(
            f"methods are compared on the same levels and episodes, got {first.shape[1:]} and "
            f"{second.shape[1:]}"
        )
    statistic, n = _statistic(name), first.shape[1]
    columns, *rows = _drawn((n, len(first), len(second)), reps)
    value, draws = _resampled(statistic, name, first, rows[0], columns)
    less, fewer = _resampled(statistic, name, second, rows[1], columns)
    fewest = min(len(first), len(second))
    return interval(value - less, draws - fewer, fewest if fewest > 1 else n)


@lru_cache(maxsize=8)  # a table draws the same for each of its measures and methods
def _drawn(sizes: tuple[int, ...], reps: int) -> tuple[Array, ...]:
    """For every size n, which of n things `reps` resamples hold, (reps, n)."""
    rng = np.random.default_rng(0)
    drawn = tuple(np.empty((reps, n), dtype=np.int64) for n in sizes)
    for r in range(reps):
        for index in drawn:
            index[r] = rng.integers(index.shape[1], size=index.shape[1])
    return drawn


def _resampled(
    statistic: Statistic, name: str, success: Array, rows: Array, columns: Array
) -> tuple[float, Array]:
    """The measure of a method from (S, L, K), and of its resamples (reps,) with training seeds `rows`
    (reps, S) and levels `columns` (reps, L).

    Levels differ in few ways (with K episodes a success rate has K + 1 values), so that it takes only
    how often each kind of level was drawn.
    """
    seeds, n = success.shape[:2]
    levels = statistic.of_levels(success)  # (S, L, C)
    kinds, kind = np.unique(levels.reshape(seeds * n, -1), axis=0, return_inverse=True)
    is_kind = kind.reshape(seeds, n, 1) == np.arange(len(kinds))  # (S, L, M)
    at_once = max(1, _ENTRIES // max(n, seeds * len(kinds)))
    parts = [
        _method(statistic, name, kinds, _times(is_kind, rows[part], columns[part]))
        for part in (slice(k, k + at_once) for k in range(0, len(rows), at_once))
    ]
    itself = _method(statistic, name, kinds, is_kind.sum(axis=1)[None].astype(np.float64))
    return float(itself[0]), np.concatenate(parts)


def _times(is_kind: Array, rows: Array, columns: Array) -> Array:
    """How often each kind of level is in resamples, (reps, S, M) from (S, L, M)."""
    (reps, n), (seeds, _, kinds) = columns.shape, is_kind.shape
    flat = (columns + n * np.arange(reps)[:, None]).ravel()
    weights = np.bincount(flat, minlength=reps * n).reshape(reps, n).astype(np.float64)
    of_all = weights @ is_kind.transpose(1, 0, 2).reshape(n, seeds * kinds)
    return np.asarray(of_all.reshape(reps, seeds, kinds)[np.arange(reps)[:, None], rows])


def _method(statistic: Statistic, name: str, kinds: Array, times: Array) -> Array:
    """The measure of methods from kinds of levels (M, C) and how often each controller has them,
    (reps, S, M) -> (reps,)."""
    if name == "iqm":  # of all controllers' levels together
        return statistic.over(kinds, times.sum(axis=1))
    return np.asarray(statistic.over(kinds, times).mean(axis=1))


@dataclass(frozen=True)
class Worst:
    """The worst of several levels: which it seems to be, and its success, measured on other episodes
    than it was chosen by."""

    index: int
    rate: Rate


def worst(success: Array) -> Worst:
    """The worst of levels (L, K), for example the points of a sweep.

    Each half of the episodes is measured on the level that the other half shows to be the worst (the
    first of several). The interval is Clopper and Pearson's, conservative where these are two levels
    (Hoeffding 1956, Annals of Mathematical Statistics 27(3)).

    Raises:
        RoboAdvError: fewer than two episodes per level.
    """
    success = _checked(success, 2)
    if success.shape[1] < 2:
        raise RoboAdvError(f"the worst level takes two episodes per level, got {success.shape[1]}")
    even, odd = success[:, 0::2], success[:, 1::2]
    count = even[np.argmin(odd.mean(axis=1))].sum() + odd[np.argmin(even.mean(axis=1))].sum()
    return Worst(int(np.argmin(success.mean(axis=1))), Rate(int(count), success.shape[1]))


def measures(success: Array, *, drawn: bool = True, reps: int = REPS) -> dict[str, Estimate]:
    """All measures that make sense for one controller's success (L, K); tails need two episodes per
    level, and enough levels for one in the tail."""
    levels, episodes = success.shape
    names = [
        name
        for name in STATISTICS
        if levels > 1
        and (name not in TAILS or (drawn and episodes > 1 and TAILS[name] * levels >= 1))
    ]
    return {name: estimate(success, name, drawn=drawn, reps=reps) for name in names or ["mean"]}


def enough(name: str, levels: int) -> bool:
    """Whether a tail holds 20 levels, so that its interval deserves trust."""
    return TAILS.get(name, 1.0) * levels >= IN_TAIL


def _checked(success: Array, dimensions: int) -> Array:
    shape = "(levels, episodes)" if dimensions == 2 else "(training seeds, levels, episodes)"
    if success.ndim != dimensions or not success.size:
        raise RoboAdvError(f"success must have the shape {shape}, got {success.shape}")
    return np.asarray(success, dtype=np.float64)


def _statistic(name: str) -> Statistic:
    if name not in STATISTICS:
        raise unknown("measure", name, STATISTICS)
    return STATISTICS[name]


def _exact(value: float, trials: int) -> Estimate:
    rate = Rate(round(value * trials), trials)
    return Estimate(value, min(rate.low, value), max(rate.high, value))


def _kept(found: Estimate, value: float, n: int) -> Estimate:
    """The bootstrap's interval, or the exact one where that has no width."""
    return found if found.high > found.low else _exact(value, n)
