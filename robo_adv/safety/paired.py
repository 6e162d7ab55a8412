"""Paired differences of rates, and families of tests."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import REPS, Array, Estimate, bootstrap, design_for, mean_difference
from robo_adv.safety.statistics import CONFIDENCE, mcnemar

_EDGE = 1.0 - 1e-12


def discordant(first: Array, second: Array) -> tuple[int, int]:
    """How many of the paired episodes (n,) hold in `first` only and in `second` only."""
    return int((first & ~second).sum()), int((~first & second).sum())


def tango(first: float, second: float, total: int, confidence: float = CONFIDENCE) -> Estimate:
    """(first - second) / total with Tango's score interval for paired proportions.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, equations 6-8. It inverts the score test that at
    a difference of 0 is McNemar's, and keeps a width without discordant pairs:
    +- z^2 / (total + z^2).

    Args:
        first, second: discordant pairs that hold in the first (second) sample only.

    Raises:
        RoboAdvError: more discordant pairs than pairs.
    """
    if min(first, second) < 0 or total < 1 or first + second > total:
        raise RoboAdvError(
            f"paired counts need 0 <= first + second <= total, got {first}, {second} of {total}"
        )
    z = float(stats.norm.ppf(0.5 + confidence / 2))
    value = (first - second) / total
    ends = [
        _edge_or_root(first, second, total, sign * z, -sign * _EDGE, value) for sign in (1.0, -1.0)
    ]
    return Estimate(value, ends[0], ends[1], confidence)


def _edge_or_root(
    first: float, second: float, total: int, z: float, edge: float, value: float
) -> float:
    """Where the score equals z, between the estimate (score 0) and the edge -1 or 1."""

    def excess(difference: float) -> float:
        return _score(first, second, total, difference) - z

    if abs(value) > _EDGE and (value > 0) == (edge > 0):
        return value
    inside = max(-_EDGE, min(_EDGE, value))
    return float(optimize.brentq(excess, inside, edge, xtol=1e-12))


def _score(first: float, second: float, total: int, difference: float) -> float:
    """Tango's T at a difference d, with the restricted estimate of the second share."""
    spread = difference * (1.0 - difference)
    b = (2.0 * total - first + second) * difference - first - second
    c = -second * spread
    share = (math.sqrt(max(b * b - 8.0 * total * c, 0.0)) - b) / (4.0 * total)
    variance = total * max(2.0 * share + spread, 1e-300)
    return (first - second - total * difference) / math.sqrt(variance)


def rate_difference(
    first: Array,
    second: Array,
    rng: np.random.Generator,
    confidence: float = CONFIDENCE,
    reps: int = REPS,
) -> Estimate:
    """Share of `first` minus share of `second`, paired.

    (n,) of one controller each: Tango's interval. (K, n) of K training seeds that met the same
    scenarios: bootstrap over both (fewer than 5 seeds: over scenarios), or, when all pairs differ
    alike or not at all, Tango's over the n scenarios (episodes of one scenario are not independent
    evidence, and a bootstrap of equal differences has no width).

    Raises:
        RoboAdvError: other shapes.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.shape != second.shape or first.ndim not in (1, 2) or not first.size:
        raise RoboAdvError(
            "paired episodes need equal shapes (n,) or (training seeds, n), got "
            f"{first.shape} and {second.shape}"
        )
    if first.ndim == 1 or len(first) == 1 or np.ptp(first.astype(int) - second) == 0:
        scenarios = first.shape[-1]
        counts = discordant(np.atleast_2d(first)[0], np.atleast_2d(second)[0])
        return tango(*counts, scenarios, confidence)
    samples = [first.astype(np.float64), second.astype(np.float64)]
    return bootstrap(
        mean_difference,
        samples,
        rng,
        design=design_for(len(first)),
        confidence=confidence,
        reps=reps,
    )


def paired_test(first: Array, second: Array) -> float:
    """Exact two-sided McNemar p-value of paired episodes (n,)."""
    return mcnemar(*discordant(np.asarray(first, bool), np.asarray(second, bool)))


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Adjusted p-values (m,) of a family of m tests, in the given order.

    Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6(2): rejecting where the adjusted value is <= alpha keeps the chance of any false
    rejection below alpha whatever the dependence.

    Raises:
        RoboAdvError: values outside 0..1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0.0) & (p <= 1.0)).all():
        raise RoboAdvError(f"p-values must be (m,) in 0..1, got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
