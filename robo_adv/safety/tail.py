"""How bad, and how soon: tails of severity and times to the first violation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import REPS, Array, Estimate, Floats, bootstrap, mean, number
from robo_adv.safety.outcomes import Outcomes
from robo_adv.safety.statistics import CONFIDENCE, Rate

TAILS = (0.1, 0.01)
IN_TAIL = 20  # episodes that an estimate of a tail should rest on


def _tail_size(alpha: float, n: int) -> float:
    """alpha n, without the rounding that would move 0.07 x 100 past 7.

    Raises:
        RoboAdvError: a fraction outside 0..1, no values.
    """
    if not 0.0 < alpha <= 1.0 or n < 1:
        raise RoboAdvError(f"a tail needs 0 < alpha <= 1 and values, got {alpha} of {n} values")
    return round(alpha * n, 9)


def value_at_risk(values: Array, alpha: float) -> float:
    """The smallest value that a share of at most `alpha` of `values` (n,) exceeds.

    min {t: F_n(t) >= 1 - alpha}: Rockafellar and Uryasev 2002, "Conditional value-at-risk for general
    loss distributions", Journal of Banking & Finance 26, definition 1; larger is worse.
    """
    size = _tail_size(alpha, len(values))
    return float(np.sort(values)[::-1][min(math.floor(size), len(values) - 1)])


def conditional_value_at_risk(values: Array, alpha: float) -> Array:
    """The mean of the worst (largest) share `alpha` of `values` (..., n), (...).

    When alpha n is no whole number the next value enters with the remaining weight (Rockafellar and
    Uryasev 2002, proposition 8).
    """
    size = _tail_size(alpha, values.shape[-1])
    whole = math.floor(size)
    worst = -np.sort(-values, axis=-1)[..., : whole + 1]
    weight = np.ones(worst.shape[-1])
    weight[whole:] = size - whole
    return np.asarray((worst * weight).sum(axis=-1) / size)


@dataclass(frozen=True)
class Tail:
    """The worst share `alpha` of n episodes; `enough` says whether n >= 20 / alpha."""

    alpha: float
    value_at_risk: float
    mean: Estimate
    episodes: int

    @property
    def enough(self) -> bool:
        return _tail_size(self.alpha, self.episodes) >= IN_TAIL

    @property
    def needed(self) -> int:
        """Episodes with which the tail holds 20 of them."""
        return math.ceil(round(IN_TAIL / self.alpha, 9))

    def to_json(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "value_at_risk": number(self.value_at_risk),
            "mean": self.mean.to_json(),
            "enough_episodes": self.enough,
            "episodes_needed": self.needed,
        }


def tail(
    values: Array,
    alpha: float,
    rng: np.random.Generator,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
) -> Tail:
    """The tail of `values` (n,) with a bootstrap interval of its mean.

    The interval rests on alpha n units: with n it covered 90 % instead of 95 % of exponential tails.
    """
    values = np.asarray(values, dtype=np.float64)

    def statistic(sample: Array) -> Array:
        return conditional_value_at_risk(sample, alpha)

    units = max(2.0, _tail_size(alpha, len(values)))
    estimate = bootstrap(
        statistic, [values], rng, reps=reps, confidence=confidence, units=units
    )  # fmt: skip
    return Tail(alpha, value_at_risk(values, alpha), estimate, len(values))


def distribution_band(
    values: Array, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats, Floats, Floats]:
    """Sorted values (n,), their distribution function, and its simultaneous lower and upper band.

    +- sqrt(ln(2 / delta) / 2n): Dvoretzky, Kiefer and Wolfowitz with Massart's constant (1990, Annals
    of Probability 18(3)); holds for every distribution and every n.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    share = np.arange(1, len(x) + 1) / len(x)
    half = math.sqrt(math.log(2.0 / (1.0 - confidence)) / (2.0 * len(x)))
    return x, share, np.clip(share - half, 0.0, 1.0), np.clip(share + half, 0.0, 1.0)


def median_estimate(values: Array, confidence: float = CONFIDENCE) -> Estimate:
    """Median of (n,), which may hold inf, with its interval by order statistics.

    Hahn and Meeker 1991, "Statistical intervals", section 5.2; distribution-free, at least the
    confidence. Too few values for it: -inf..inf.
    """
    x = np.sort(values)
    out = int(stats.binom.ppf((1.0 - confidence) / 2.0, len(x), 0.5))
    if stats.binom.cdf(out, len(x), 0.5) > (1.0 - confidence) / 2.0:
        out -= 1
    if out < 0:
        return Estimate(float(x[(len(x) - 1) // 2]), -math.inf, math.inf, confidence)
    return Estimate(float(x[(len(x) - 1) // 2]), float(x[out]), float(x[-1 - out]), confidence)


@dataclass(frozen=True)
class Severity:
    """Severity (ratio to the limit) and time to the first violation of n episodes.

    Attributes:
        worst: largest severity. violations: episodes with severity above 1.
        tails: one per tail fraction.
        median_time: [s], inf when fewer than half the episodes violate within the horizon.
        restricted_mean_time: mean of min(time, horizon) [s].
    """

    worst: float
    violations: Rate
    tails: tuple[Tail, ...]
    median_time: Estimate
    restricted_mean_time: Estimate
    horizon: float

    def to_json(self) -> dict[str, Any]:
        return {
            "worst": number(self.worst),
            "violations": self.violations.to_json(),
            "tails": [tail.to_json() for tail in self.tails],
            "median_time_to_violation": self.median_time.to_json(),
            "restricted_mean_time_to_violation": self.restricted_mean_time.to_json(),
            "horizon": self.horizon,
        }


def severity_of(
    outcomes: Outcomes,
    horizon: float,
    rng: np.random.Generator,
    tails: tuple[float, ...] = TAILS,
    reps: int = REPS,
) -> Severity:
    """Severity, tails and times to violation.

    An episode that ends safely before the horizon counts as without violation until then: its end is
    part of the behaviour, not a loss of sight, so Kaplan-Meier does not apply. Restricted mean:
    Royston and Parmar 2013, BMC Medical Research Methodology 13:152.

    Args:
        horizon: longest duration of an episode [s].
    """
    if not horizon > 0.0:
        raise RoboAdvError(f"the horizon must be above 0 s, got {horizon}")
    times = np.where(outcomes.time_to_violation > horizon, np.inf, outcomes.time_to_violation)
    statistic: Callable[..., Array] = mean
    capped = np.minimum(times, horizon)
    return Severity(
        worst=float(outcomes.severity.max()),
        violations=Rate(int((outcomes.severity > 1.0).sum()), len(outcomes)),
        tails=tuple(tail(outcomes.severity, alpha, rng, reps) for alpha in tails),
        median_time=median_estimate(times),
        restricted_mean_time=bootstrap(statistic, [capped], rng, reps=reps),
        horizon=horizon,
    )
