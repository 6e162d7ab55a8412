"""Three questions about failure, answered apart: falsified? most likely failure? how probable?

The split is that of Corso et al. 2021, "A survey of algorithms for black-box safety validation" (JAIR
72, arXiv 2005.02979): a controller can be falsified at once by a scenario that never happens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.bootstrap import Estimate
from robo_adv.safety.failure_space import Failure, Margin, Nominal, Probability, Simulator
from robo_adv.safety.importance import cross_entropy
from robo_adv.safety.splitting import splitting
from robo_adv.safety.statistics import CONFIDENCE, Rate

Method = Literal["monte_carlo", "cross_entropy", "splitting"]


@dataclass(frozen=True)
class Answers:
    """What a failure search found.

    Attributes:
        falsified: failures among scenarios drawn as in service, with the exact interval.
        most_likely: the failure with the least -log density, None if none was met.
        probability: of failure in service. simulations: all that were played.
    """

    falsified: Rate
    most_likely: Failure | None
    probability: Probability
    simulations: int

    def to_json(self) -> dict[str, Any]:
        return {
            "falsified": self.falsified.to_json() | {"found": self.most_likely is not None},
            "most_likely": self.most_likely.to_json() if self.most_likely else None,
            "probability": self.probability.to_json(),
            "simulations": self.simulations,
        }


def falsify(
    margin: Margin,
    nominal: Nominal,
    rng: np.random.Generator,
    count: int,
    *,
    confidence: float = CONFIDENCE,
    simulator: Simulator | None = None,
) -> Rate:
    """Failures among `count` scenarios drawn as in service."""
    play = simulator or Simulator(margin, nominal)
    failed = play(rng.standard_normal((count, nominal.size))) <= 0.0
    return Rate(int(failed.sum()), count, confidence)


def monte_carlo(rate: Rate) -> Probability:
    """The plain estimate from `falsify`: exact interval, (1 - p) / (0.01 p) runs for 10 %."""
    estimate = Estimate(float(rate), rate.low, rate.high, rate.confidence)
    return Probability("monte_carlo", estimate, rate.total, float(rate.count))


def most_likely_failure(
    margin: Margin,
    nominal: Nominal,
    rng: np.random.Generator,
    *,
    rounds: int = 30,
    batch: int = 100,
    simulator: Simulator,
) -> Failure | None:
    """Move the best failure that `simulator` met towards the nominal centre while it still fails.

    Random local search with falling step; the distance of the result is the first-order reliability
    index (Hasofer and Lind 1974). A uniform density ranks no failure above another, so there the one
    with the smallest margin is returned without a search.
    """
    if nominal.density == "uniform" or simulator.best_point is None:
        return simulator.best
    for k in range(rounds):
        centre = simulator.best_point
        shrink = 1.0 - rng.random((batch, 1)) ** 2 * max(0.3 * 0.85**k, 0.01)
        step = 0.5 * 0.85**k / math.sqrt(nominal.size)
        simulator(centre * shrink + step * rng.standard_normal((batch, nominal.size)))
    return simulator.best


def search(
    margin: Margin,
    nominal: Nominal,
    rng: np.random.Generator,
    *,
    count: int = 1000,
    method: Method = "cross_entropy",
    confidence: float = CONFIDENCE,
    **options: Any,
) -> Answers:
    """Answer all three questions.

    Args:
        margin: maps scenarios (n, d) to margins (n,); <= 0 fails.
        count: scenarios drawn as in service. options: of `cross_entropy` or `splitting`.

    Raises:
        RoboAdvError: an unknown method, no scenarios, a margin function that returns NaN.
    """
    if method not in get_args(Method):
        raise unknown("method", method, get_args(Method))
    if count < 1:
        raise RoboAdvError(f"a failure search needs at least one scenario, got {count}")
    play = Simulator(margin, nominal)
    rate = falsify(margin, nominal, rng, count, confidence=confidence, simulator=play)
    probability = monte_carlo(rate)
    if method != "monte_carlo":
        estimate = cross_entropy if method == "cross_entropy" else splitting
        probability = estimate(
            margin, nominal, rng, confidence=confidence, simulator=play, **options
        )  # fmt: skip
    best = most_likely_failure(margin, nominal, rng, simulator=play)
    return Answers(rate, best, probability, play.simulations)
