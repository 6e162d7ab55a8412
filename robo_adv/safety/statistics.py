"""Intervals and decisions for rates: exact, two-sided, 95 % unless told otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from robo_adv.errors import RoboAdvError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """`count` of `total` episodes, with the Clopper-Pearson interval (Biometrika 1934).

    `float(rate)` is the point estimate; str() prints it with the interval in percent.
    """

    count: int
    total: int
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.total or self.total < 1:
            raise RoboAdvError(f"a rate needs 0 <= count <= total, total >= 1; got {self.count} of {self.total}")  # fmt: skip  # noqa: E501

    def __float__(self) -> float:
        return self.count / self.total

    @property
    def low(self) -> float:
        alpha = 1.0 - self.confidence
        if self.count == 0:
            return 0.0
        return float(stats.beta.ppf(alpha / 2, self.count, self.total - self.count + 1))

    @property
    def high(self) -> float:
        alpha = 1.0 - self.confidence
        if self.count == self.total:
            return 1.0
        return float(stats.beta.ppf(1 - alpha / 2, self.count + 1, self.total - self.count))

    def __str__(self) -> str:
        return f"{100 * float(self):.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}] %"

    def to_json(self) -> dict[str, float | int]:
        return {
            "rate": round(float(self), 6),
            "low": round(self.low, 6),
            "high": round(self.high, 6),
            "count": self.count,
            "episodes": self.total,
        }


def mcnemar(first: int, second: int) -> float:
    """Exact two-sided McNemar p-value from the discordant counts of paired episodes."""
    if first + second == 0:
        return 1.0
    return float(stats.binomtest(first, first + second, 0.5).pvalue)


Verdict = Literal["holds", "fails", "inconclusive"]
_CONDITION = re.compile(r"^\s*(\w+)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*$")


@dataclass(frozen=True)
class FailIf:
    """A condition such as `win_rate<0.8` under which a check fails, judged by the interval."""

    name: str
    sign: str
    threshold: float

    @staticmethod
    def parse(text: str) -> FailIf:
        """Read `NAME<NUMBER` (or <=, >, >=).

        Raises:
            RoboAdvError: another form, or a threshold outside 0..1.
        """
        match = _CONDITION.match(text)
        try:
            threshold = float(match[3]) if match else float("nan")
        except ValueError:
            threshold = float("nan")
        if match is None or not 0.0 <= threshold <= 1.0:
            raise RoboAdvError(
                f"--fail-if {text!r} is not NAME<NUMBER with a number in 0..1, "
                'for example "win_rate<0.8"'
            )
        return FailIf(match[1], match[2], threshold)

    def judge(self, rate: Rate) -> Verdict:
        """`fails` when the whole interval meets the condition, `holds` when none of it does."""
        below = self.sign in ("<", "<=")
        if rate.high < self.threshold or (rate.high <= self.threshold and self.sign in ("<=", ">")):
            return "fails" if below else "holds"
        if rate.low > self.threshold or (rate.low >= self.threshold and self.sign in ("<", ">=")):
            return "holds" if below else "fails"
        return "inconclusive"

    def more_episodes(self, rate: Rate, most: int = 1_000_000) -> int | None:
        """How many more episodes would decide if the rate stays as it is; None: more than `most`."""
        total, share = rate.total, float(rate)
        while total <= most:
            if self.judge(Rate(round(share * total), total, rate.confidence)) != "inconclusive":
                break
            total = round(total * 1.1) + 1
        return None if total > most else total - rate.total
