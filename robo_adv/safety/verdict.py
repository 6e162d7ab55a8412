"""The pre-registered verdict on a robust controller: is it worth having?

Thresholds are fixed before the episodes are played; every condition is judged by a whole interval.
In this order, the first that holds:

NET GAIN: no relevant loss without attack, no relevant harm, a larger area, no bad context.
NET LOSS: proven harm without attack, or a proven tax that attacks do not pay back.
FAIR TRADE: a larger area, and attacks are more frequent than the break-even prevalence.
INCONCLUSIVE: none of these is shown; with the number of episodes that would show one.

NET LOSS comes before FAIR TRADE: proven harm is no fair price. NET GAIN comes before NET LOSS: a harm
below the declared tolerance was declared irrelevant beforehand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Estimate
from robo_adv.safety.trade import PREVALENCE, Trade

Name = Literal["NET GAIN", "FAIR TRADE", "NET LOSS", "INCONCLUSIVE"]


@dataclass(frozen=True)
class Thresholds:
    """Declared beforehand; shares of episodes.

    Attributes:
        tax: loss of safe success without attack that does not matter.
        harm: rise of the unsafe share without attack that does not matter.
        context: rise of it in any context that does not matter.
        prevalence: share of episodes that is attacked in service.
    """

    tax: float = 0.02
    harm: float = 0.01
    context: float = 0.05
    prevalence: float = PREVALENCE

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value <= 1.0:
                raise RoboAdvError(f"threshold {name} is a share in 0..1, got {value}")


@dataclass(frozen=True)
class Condition:
    """An interval that must lie above (or below) a threshold, as a sentence."""

    sentence: str
    estimate: Estimate
    above: bool
    threshold: float
    percent: bool = True
    inclusive: bool = False

    @property
    def holds(self) -> bool:
        """The whole interval lies on its side."""
        end = self.estimate.low if self.above else self.estimate.high
        beyond = end > self.threshold if self.above else end < self.threshold
        return beyond or (self.inclusive and end == self.threshold)

    def factor(self) -> float:
        """How many times the episodes would show it if the estimate stays; inf: never.

        Half-widths shrink as 1 / sqrt(n); where no pair differs as 1 / n, so fewer may do.
        """
        if self.holds:
            return 1.0
        sign = 1.0 if self.above else -1.0
        distance = sign * (self.estimate.value - self.threshold)
        end = self.estimate.low if self.above else self.estimate.high
        half = sign * (self.estimate.value - end)
        if not distance > 0.0 or not math.isfinite(half):
            return math.inf
        return max(1.0, (half / distance) ** 2)

    def __str__(self) -> str:
        scale, unit = (100.0, " points") if self.percent else (1.0, "")
        e, word = self.estimate, "above" if self.above else "below"
        word = f"{word} or at" if self.inclusive else word
        said = (
            f"{self.sentence} is {scale * e.value:.3g} [{scale * e.low:.3g}, {scale * e.high:.3g}]"
        )
        verb = "is" if self.holds else "is not shown to be"
        return f"{said}{unit}, which {verb} {word} {scale * self.threshold:.3g}{unit}"


@dataclass(frozen=True)
class Verdict:
    """A name, the sentences that carry it, and what more episodes would give.

    Attributes:
        more_scenarios: that would decide if all estimates stay; 0 when decided, None when none
            would or over a million.
        towards: the verdict that they would give.
    """

    name: Name
    reasons: tuple[str, ...]
    thresholds: Thresholds
    about: str
    more_scenarios: int | None = 0
    towards: Name | None = None
    conditions: dict[str, bool] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.name,
            "reasons": list(self.reasons),
            "thresholds": vars(self.thresholds).copy(),
            "about": self.about,
            "more_scenarios": self.more_scenarios,
            "towards": self.towards,
            "conditions": self.conditions,
        }


MOST = 1_000_000


def judge(
    trade: Trade, worst_context: Estimate | None = None, thresholds: Thresholds | None = None
) -> Verdict:
    """The verdict from the trade and the worst-context degradation (None: no contexts declared).

    Raises:
        RoboAdvError: the trade was computed for another prevalence than the declared one.
    """
    limits = thresholds or Thresholds()
    if trade.prevalence != limits.prevalence:
        raise RoboAdvError(
            f"the trade assumes that {trade.prevalence:g} of episodes are attacked, the thresholds "
            f"declare {limits.prevalence:g}; compute the trade with the declared one"
        )
    ways = _ways(trade, worst_context, limits)
    shown = {str(c): c.holds for _, conditions in ways for c in conditions}
    for name, conditions in ways:
        if all(condition.holds for condition in conditions):
            reasons = tuple(str(condition) for condition in conditions)
            return Verdict(name, reasons, limits, trade.about, conditions=shown)
    return _undecided(ways, trade, limits, shown)


def _ways(
    trade: Trade, context: Estimate | None, limits: Thresholds
) -> list[tuple[Name, list[Condition]]]:
    """Each way to a verdict, in the order of precedence."""
    loss, harm = "the change of clean safe success", "the rise of the unsafe share without attack"
    area = Condition("the gain in area", trade.area_difference, True, 0.0, percent=False)
    gain = [
        Condition(loss, -trade.tax, True, -limits.tax),
        Condition(harm, trade.harm, False, limits.harm),
        area,
    ]
    if context is not None:
        rise = "the rise of the unsafe share in the worst context"
        gain.append(Condition(rise, context, False, limits.context))
    taxed = Condition("the tax", trade.tax, True, 0.0)
    never = Condition("the gain under attack", trade.gain, False, 0.0, inclusive=True)
    even, share = "the break-even share of attacked episodes", limits.prevalence
    return [
        ("NET GAIN", gain),
        ("NET LOSS", [Condition(harm, trade.harm, True, 0.0)]),
        ("NET LOSS", [taxed, never]),
        ("NET LOSS", [taxed, Condition(even, trade.break_even, True, share)]),
        ("FAIR TRADE", [area, Condition(even, trade.break_even, False, share)]),
    ]


def _undecided(
    ways: list[tuple[Name, list[Condition]]],
    trade: Trade,
    limits: Thresholds,
    shown: dict[str, bool],
) -> Verdict:
    needed = [max(condition.factor() for condition in conditions) for _, conditions in ways]
    best = min(range(len(ways)), key=lambda i: needed[i])
    name, conditions = ways[best]
    total = needed[best] * trade.scenarios
    open_ones = tuple(str(condition) for condition in conditions if not condition.holds)
    if not total <= MOST:
        why = f"no verdict comes within {MOST} scenarios if the estimates stay as they are"
        reasons = (why, *dict.fromkeys(str(c) for _, cs in ways for c in cs if not c.holds))
        return Verdict("INCONCLUSIVE", reasons, limits, trade.about, None, None, shown)
    more = math.ceil(total) - trade.scenarios
    reasons = (f"about {more} more scenarios would give {name} if the estimates stay", *open_ones)
    return Verdict("INCONCLUSIVE", reasons, limits, trade.about, more, name, shown)
