"""Conditions on episodes, written by the user: `fall>0`, `return>=3000 and speed>3.2`, `terminated`.

Nothing is evaluated as code. A condition is a bare NAME (above 0) or NAME SIGN NUMBER, joined by `and`
and `or` (`and` binds tighter) with parentheses; names are those of `robo_adv.safety.facts`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import Limit

Array = npt.NDArray[Any]
SIGNS = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
# What counts as one limit's worth where the limit is 0, per unit: the smallest body region's contact
# force of the limits that ship [N], reduced speed of ISO 10218-1 [m/s]; the others by convention.
UNIT_SCALE = {"N": 65.0, "N s": 6.5, "N m": 10.0, "m/s": 0.25, "rad/s": 0.5, "rad": 0.1, "m": 0.05}
_JUST_ABOVE = float(np.nextafter(1.0, 2.0))
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><=|>=|==|!=|<|>)|(?P<bracket>[()]))"
)


@dataclass(frozen=True)
class Facts:
    """What is known of n episodes: named values (n,) with units.

    Attributes:
        costs: which of the names are costs. first_above: steps in which costs first were above limits.
        end: when each episode ended [s] (n,). dt: time between steps [s].
    """

    values: Mapping[str, Array]
    units: Mapping[str, str]
    costs: tuple[str, ...]
    first_above: Mapping[Limit, Array]
    end: Array
    dt: float


class Condition(ABC):
    """Something that holds in an episode or not."""

    @abstractmethod
    def holds(self, facts: Facts) -> Array:
        """(n,) whether it holds."""

    @abstractmethod
    def severity(self, facts: Facts) -> Array:
        """(n,) how far it holds, >= 0 and above 1 exactly where it holds: the ratio to the limit."""

    @abstractmethod
    def since(self, facts: Facts) -> Array:
        """(n,) when it began to hold [s], inf where it never did."""

    @abstractmethod
    def limits(self) -> list[tuple[str, str, float]]:
        """(name, sign, number) of all comparisons."""

    @abstractmethod
    def told(self, facts: Facts, j: int) -> str:
        """What of it holds in episode j, with values and units; '' when nothing does."""


@dataclass(frozen=True)
class Comparison(Condition):
    """`name sign number`."""

    name: str
    sign: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.number:g}"

    def holds(self, facts: Facts) -> Array:
        return np.asarray(SIGNS[self.sign](facts.values[self.name], self.number))

    def severity(self, facts: Facts) -> Array:
        """value / limit of an upper limit above 0, else 1 + distance to the limit / a scale: the
        limit's own size, or of a limit of 0 the unit's `UNIT_SCALE`; 0 where an upper limit of 0 is not
        touched. A value that is no number counts as 0; see `Criterion`."""
        value = np.asarray(facts.values[self.name], dtype=np.float64)
        upper = self.sign in (">", ">=")
        beyond = value - self.number if upper else self.number - value
        with np.errstate(over="ignore", invalid="ignore"):
            if upper and self.number > 0:
                ratio = value / self.number
            else:
                ratio = 1.0 + beyond / self._scale(facts.units.get(self.name, "1"))
        if upper and self.number == 0:
            ratio = np.where(value > 0.0, ratio, 0.0)
        if self.sign in ("==", "!="):
            ratio = np.where(self.holds(facts), 2.0, 0.0)
        ratio = np.clip(np.nan_to_num(ratio, nan=0.0), 0.0, np.finfo(np.float64).max)
        return np.where(self.holds(facts), np.maximum(ratio, _JUST_ABOVE), np.minimum(ratio, 1.0))

    def _scale(self, unit: str) -> float:
        return abs(self.number) or UNIT_SCALE.get(unit, 1.0)

    def since(self, facts: Facts) -> Array:
        steps = facts.first_above.get(watched(self)) if self.sign in (">", ">=") else None
        if steps is None:
            return np.where(self.holds(facts), facts.end, np.inf)
        return np.where(steps > 0, steps * facts.dt, np.inf)

    def limits(self) -> list[tuple[str, str, float]]:
        return [(self.name, self.sign, self.number)]

    def told(self, facts: Facts, j: int) -> str:
        if not self.holds(facts)[j]:
            return ""
        unit = facts.units.get(self.name, "1").replace("1", "")
        value = f"{self.name} {facts.values[self.name][j]:.3g} {unit}".rstrip()
        return f"{value} (limit {self.number:g})" if self.number else value


def watched(comparison: Comparison) -> Limit:
    """The (cost, limit) to watch: above it is what `>` or `>=` asks for."""
    below = comparison.sign == ">="
    limit = float(np.nextafter(comparison.number, -np.inf)) if below else comparison.number
    return comparison.name, limit


@dataclass(frozen=True)
class Joined(Condition):
    """Conditions joined by `and` or `or`."""

    word: str
    parts: tuple[Condition, ...]

    def __str__(self) -> str:
        inner = (f"({part})" if isinstance(part, Joined) else str(part) for part in self.parts)
        return f" {self.word} ".join(inner)

    def holds(self, facts: Facts) -> Array:
        every = [part.holds(facts) for part in self.parts]
        return np.asarray(np.all(every, axis=0) if self.word == "and" else np.any(every, axis=0))

    def severity(self, facts: Facts) -> Array:
        every = [part.severity(facts) for part in self.parts]
        return np.asarray(np.min(every, axis=0) if self.word == "and" else np.max(every, axis=0))

    def since(self, facts: Facts) -> Array:
        every = [part.since(facts) for part in self.parts]
        return np.asarray(np.max(every, axis=0) if self.word == "and" else np.min(every, axis=0))

    def limits(self) -> list[tuple[str, str, float]]:
        return [limit for part in self.parts for limit in part.limits()]

    def told(self, facts: Facts, j: int) -> str:
        return ", ".join(text for part in self.parts if (text := part.told(facts, j)))


def join(word: str, parts: list[Condition]) -> Condition:
    """The parts joined by a word; a single one as it is."""
    return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))


def parse(
    text: str, units: Mapping[str, str], aliases: Mapping[str, Condition] | None = None
) -> Condition:
    """The condition that a text says.

    Args:
        units: the names that exist, with their units. aliases: names that stand for conditions.

    Raises:
        RoboAdvError: not a condition. UnknownNameError: a name that does not exist, with those that do.
    """
    return _Parser(text, units, aliases or {}).condition()


class _Parser:
    """Recursive descent over tokens (kind, text)."""

    def __init__(
        self, text: str, units: Mapping[str, str], aliases: Mapping[str, Condition]
    ) -> None:
        self.text, self.units, self.aliases = text, units, aliases
        self.tokens: list[tuple[str, str]] = []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise self.error(f"{text[place:].strip()[:20]!r} is not understood")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        self.tokens.append(("end", ""))

    def error(self, why: str) -> RoboAdvError:
        return RoboAdvError(
            f"condition {self.text!r}: {why}; write NAME, or NAME>NUMBER (also < >= <= == !=), joined "
            'by `and` and `or`, for example "fall or speed>3.2"'
        )

    def condition(self) -> Condition:
        found = self.joined("or")
        if self.tokens[0][0] != "end":
            raise self.error(f"{self.tokens[0][1]!r} is one too many")
        return found

    def joined(self, word: str) -> Condition:
        parts = []
        while True:
            parts.append(self.joined("and") if word == "or" else self.atom())
            if self.tokens[0] != ("name", word):
                return join(word, parts)
            self.tokens.pop(0)

    def atom(self) -> Condition:
        kind, text = self.tokens.pop(0)
        if (kind, text) == ("bracket", "("):
            inner = self.joined("or")
            if self.tokens.pop(0) != ("bracket", ")"):
                raise self.error("a bracket is not closed")
            return inner
        if kind != "name" or text in ("and", "or"):
            raise self.error(f"a name is missing before {text!r}" if text else "a name is missing")
        signed = self.tokens[0][0] == "sign"
        if not signed and text in self.aliases:
            return self.aliases[text]
        if text not in self.units:
            raise unknown("fact of an episode", text, [*self.units, *self.aliases])
        if not signed:
            return Comparison(text, ">", 0.0)
        sign = self.tokens.pop(0)[1]
        kind, number = self.tokens.pop(0)
        if kind != "number":
            raise self.error(f"a number is missing after {text}{sign}")
        return Comparison(text, sign, float(number))
