"""Schedule: at which steps of an episode a threat may act."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
_TRIGGER = re.compile(r"^(\w+)\[(\d+)\](<=|>=|<|>)(-?[0-9.]+(?:e-?\d+)?)$")
FORMS = (
    "always, every:K, burst:LENGTH/PERIOD, window:FIRST-LAST, at-most:M, share:P, shared:H, "
    "when:SLICE[I]<NUMBER, joined by +"
)


@dataclass(frozen=True)
class Trigger:
    """Holds where entry `index` of observation slice `name` is below or above `threshold`."""

    name: str
    index: int
    sign: str
    threshold: float

    def holds(self, value: Array) -> Array:
        """(n,) for values (n,) of that entry."""
        compare = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        return np.asarray(compare[self.sign](value, self.threshold))


@dataclass(frozen=True)
class Schedule:
    """When a threat acts; conditions that are given hold together.

    Attributes:
        every: steps 0, k, 2k, ... burst, period: the first `burst` of every `period` steps, at a phase
            drawn per episode. first, last: only steps first..last. at_most: at most so many steps of
            an episode are changed. share: each step with this probability. shared: the budgets of so
            many steps are one, to be spent among them at will. trigger: only where it holds in what
            the controller would have seen.
    """

    every: int = 1
    burst: int = 1
    period: int = 1
    first: int = 0
    last: int | None = None
    at_most: int | None = None
    share: float = 1.0
    shared: int = 1
    trigger: Trigger | None = None

    def __post_init__(self) -> None:
        last = self.first if self.last is None else self.last
        fine = self.every >= 1 and 1 <= self.burst <= self.period and 0 <= self.first <= last
        fine = fine and self.shared >= 1 and (self.at_most is None or self.at_most >= 0)
        fine = fine and 0.0 <= self.share <= 1.0
        if not fine:
            raise RoboAdvError(
                f"schedule {self} makes no sense: every, burst, period, shared >= 1, burst <= period, "
                "first <= last, at_most >= 0 and share in 0..1 are expected"
            )

    def __str__(self) -> str:
        plain = Schedule()
        changed = {f.name for f in fields(self) if getattr(self, f.name) != getattr(plain, f.name)}
        parts = []
        if "every" in changed:
            parts.append(f"every:{self.every}")
        if changed & {"burst", "period"}:
            parts.append(f"burst:{self.burst}/{self.period}")
        if changed & {"first", "last"}:
            parts.append(f"window:{self.first}-{'' if self.last is None else self.last}")
        if "at_most" in changed:
            parts.append(f"at-most:{self.at_most}")
        if "share" in changed:
            parts.append(f"share:{self.share:g}")
        if "shared" in changed:
            parts.append(f"shared:{self.shared}")
        if self.trigger is not None:
            t = self.trigger
            parts.append(f"when:{t.name}[{t.index}]{t.sign}{t.threshold:g}")
        return "+".join(parts) or "always"

    @staticmethod
    def parse(text: str) -> Schedule:
        """Read for example `burst:5/25+at-most:20`.

        Raises:
            RoboAdvError: another form; the text lists the forms.
        """
        values: dict[str, Any] = {}
        for part in text.split("+"):
            name, _, rest = part.strip().partition(":")
            try:
                values.update(_PARTS[name](rest))
            except (KeyError, ValueError, AttributeError, TypeError) as error:
                raise RoboAdvError(f"schedule {part!r} is not one of: {FORMS}") from error
        return Schedule(**values)

    def active(self, step: Array, used: Array, seeds: seeding.Seeds, seen: Array | None) -> Array:
        """Whether the threat acts (n,).

        Args:
            step: steps of the episode so far (n,). used: steps that it changed so far (n,).
            seen: values (n,) of the trigger's entry, if there is a trigger.
        """
        now = step.astype(np.int64)
        on = now % self.every == 0
        if self.period > 1:
            phase = seeding.uniform(seeds, seeding.SCHEDULE, 1)[:, 0] * self.period
            on &= (now + phase.astype(np.int64)) % self.period < self.burst
        on &= now >= self.first
        if self.last is not None:
            on &= now <= self.last
        if self.at_most is not None:
            on &= used < self.at_most
        if self.share < 1.0:
            on &= (
                seeding.uniform(seeds, seeding.SCHEDULE, 1, step + np.uint64(1))[:, 0] < self.share
            )
        if self.trigger is not None:
            assert seen is not None
            on &= self.trigger.holds(seen)
        return np.asarray(on, dtype=np.bool_)

    @property
    def limits(self) -> int:
        """How many of its limits an attack has to husband."""
        return (self.at_most is not None) + (self.shared > 1)

    def left(self, step: Array, used: Array, spent: Array) -> Array:
        """Shares that are left (n, limits): of the steps it may change, then of the shared budget."""
        out = []
        if self.at_most is not None:
            out.append(1.0 - used / max(self.at_most, 1))
        if self.shared > 1:
            begins = step.astype(np.int64) % self.shared == 0
            out.append(np.where(begins, 1.0, np.maximum(1.0 - spent / self.shared, 0.0)))
        return np.array(out).T if out else np.zeros((len(step), 0))

    def spent(self, step: Array, spent: Array, size: Array) -> Array:
        """What the steps since the shared budget was last renewed have spent (n,), in budgets of one
        step, when a change of `size` (n,) came after `spent` (n,)."""
        return np.where(step.astype(np.int64) % self.shared == 0, 0.0, spent) + size


def _window(text: str) -> dict[str, Any]:
    first, _, last = text.partition("-")
    return {"first": int(first), "last": int(last) if last else None}


def _burst(text: str) -> dict[str, Any]:
    length, _, period = text.partition("/")
    return {"burst": int(length), "period": int(period)}


def _trigger(text: str) -> dict[str, Any]:
    name, index, sign, threshold = _TRIGGER.match(text.replace(" ", "")).groups()  # type: ignore[union-attr]
    return {"trigger": Trigger(name, int(index), sign, float(threshold))}


def _nothing(text: str) -> dict[str, Any]:
    if text:
        raise ValueError(text)
    return {}


_PARTS = {
    "always": _nothing,
    "every": lambda text: {"every": int(text)},
    "burst": _burst,
    "window": _window,
    "at-most": lambda text: {"at_most": int(text)},
    "share": lambda text: {"share": float(text)},
    "shared": lambda text: {"shared": int(text)},
    "when": _trigger,
}
