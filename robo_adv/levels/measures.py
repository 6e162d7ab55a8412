"""Measures of success over levels, each with a 95 % interval.

`success` is (L, K): level, episode; or (S, L, K) for S controllers that were trained from different
seeds and met the same levels and scenarios.

Tails are ranked on one half of each level's episodes and measured on the other, then the other way
round: ranked and measured on the same episodes, the worst levels are those with bad luck, and even
equal levels look unequal. What is measured so is the success on the levels that K / 2 episodes show to
be the worst, an upper bound of the success on the truly worst ones; more episodes per level bring it
down to that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit.ladder_numbers import interquartile_mean
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.bootstrap import Estimate, bootstrap, interval
from robo_adv.safety.statistics import Rate

Array = npt.NDArray[Any]
SOLVED = 0.5  # success from which on a level counts as solved
REPS = 2_000
IN_TAIL = 20  # levels that an estimate of a tail should rest on


def split_tail(success: Array, alpha: float) -> Array:
    """Success on the worst share `alpha` of levels, ranked on one half of the episodes and measured on
    the other, both ways: (..., L, K) -> (...).

    Levels that tie at the edge of the tail share the places left in it.

    Raises:
        RoboAdvError: fewer than two episodes per level, or alpha outside 0..1.
    """
    if success.shape[-1] < 2:
        raise RoboAdvError(
            "the worst levels are found on one half of each level's episodes and measured on the "
            f"other, so two episodes per level are the least, got {success.shape[-1]}"
        )
    if not 0.0 < alpha <= 1.0:
        raise RoboAdvError(f"a tail is a share of the levels in (0, 1], got {alpha:g}")
    even, odd = success[..., 0::2].mean(axis=-1), success[..., 1::2].mean(axis=-1)
    return 0.5 * (_tail(even, odd, alpha) + _tail(odd, even, alpha))


def _tail(rank: Array, value: Array, alpha: float) -> Array:
    """Mean of `value` (..., L) over the share `alpha` of the smallest `rank` (..., L)."""
    size = max(alpha * rank.shape[-1], 1.0)
    edge = np.sort(rank, axis=-1)[..., int(np.ceil(round(size, 9))) - 1, None]
    below, tied = rank < edge, rank == edge
    share = (size - below.sum(axis=-1)) / tied.sum(axis=-1)
    inside, at = (np.where(chosen, value, 0.0).sum(axis=-1) for chosen in (below, tied))
    return np.asarray((inside + share * at) / size)


def _mean(success: Array) -> Array:
    return np.asarray(success.mean(axis=(-2, -1)))


def _solved(success: Array) -> Array:
    return np.asarray((success.mean(axis=-1) >= SOLVED).mean(axis=-1))


def _iqm(success: Array) -> Array:
    return interquartile_mean(success.mean(axis=-1).reshape(-1, success.shape[-2])).reshape(
        success.shape[:-2]
    )


Statistic = Callable[[Array], Array]  # (..., L, K) -> (...)
STATISTICS: Mapping[str, Statistic] = {
    "mean": _mean,
    "cvar10": partial(split_tail, alpha=0.1),
    "cvar1": partial(split_tail, alpha=0.01),
    "iqm": _iqm,
    "solved": _solved,
}
TAILS = {"cvar10": 0.1, "cvar1": 0.01}
MEANINGS = {
    "mean": "mean success", "cvar10": "success on the worst 10 % of levels",
    "cvar1": "success on the worst 1 % of levels",
    "iqm": "interquartile mean of the levels' success",
    "solved": f"share of levels with success of at least {SOLVED:g}",
}  # fmt: skip


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
    rng = np.random.default_rng(0)
    value = float(_method(statistic, name, success))
    draws = np.empty(reps)
    for r in range(reps):
        rows, columns = rng.integers(seeds, size=seeds), rng.integers(n, size=n)
        draws[r] = _method(statistic, name, success[rows][:, columns])
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
    statistic, n, rng = _statistic(name), first.shape[1], np.random.default_rng(0)
    value = float(_method(statistic, name, first) - _method(statistic, name, second))
    draws = np.empty(reps)
    for r in range(reps):
        columns = rng.integers(n, size=n)
        parts = [s[rng.integers(len(s), size=len(s))][:, columns] for s in (first, second)]
        draws[r] = _method(statistic, name, parts[0]) - _method(statistic, name, parts[1])
    fewest = min(len(first), len(second))
    return interval(value, draws, fewest if fewest > 1 else n)


def _method(statistic: Statistic, name: str, success: Array) -> Any:
    """The measure of a method from (S, L, K)."""
    if name == "iqm":
        return statistic(success.reshape(-1, success.shape[-1]))
    return statistic(success).mean()


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
