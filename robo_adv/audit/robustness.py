"""Robustness cards: what a suite left of a controller, as a small JSON file with a strict schema."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from robo_adv.audit.ladder import Raises
from robo_adv.audit.sanity import Kind
from robo_adv.cards import Strict, read_json
from robo_adv.errors import RoboAdvError
from robo_adv.runs import write_text
from robo_adv.threats.learned import Aim
from robo_adv.threats.threat import UNITS

CARD = "robustness.json"  # in a run's folder
SLACK = 1e-6  # by which rounded numbers may differ
Measure = Literal["return", "safe_success"]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Budget = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class Interval(Strict):
    """A value with its 95 % interval."""

    value: Finite
    low: Finite
    high: Finite

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low - SLACK <= self.value <= self.high + SLACK:
            raise ValueError(f"{self.value} lies outside of its interval {self.low}..{self.high}")
        return self


class Share(Strict):
    """A share of episodes with its exact 95 % interval."""

    rate: Annotated[float, Field(ge=0.0, le=1.0)]
    low: Annotated[float, Field(ge=0.0, le=1.0)]
    high: Annotated[float, Field(ge=0.0, le=1.0)]
    count: Count
    episodes: Count


class Numbers(Strict):
    """What is left of a controller in the scenarios.

    Attributes:
        returns, median, iqm: mean, median and interquartile mean of the return.
        share: of the mean return without attack; None where that is not above 0.
    """

    returns: Interval
    median: Interval
    iqm: Interval
    share: Interval | None = None
    success: Share
    safe_success: Share
    unsafe: Share


class RungCard(Strict):
    """One attack at one budget.

    Attributes:
        costs: of an episode by name, mean and largest. told: what its search or training found.
        env_steps, queries: of the world and of the controller, its search or training included.
    """

    name: str
    attack: str
    kind: Kind
    raises: Raises = "action"
    aim: Aim = "return"
    parameters: dict[str, Any] = Field(default_factory=dict)
    numbers: Numbers
    costs: dict[str, tuple[Finite, Finite]] = Field(default_factory=dict)
    told: str = ""
    env_steps: Count
    queries: Count
    seconds: Finite = 0.0


class CheckCard(Strict):
    """A sanity rule; `passed` is None where nothing could be compared."""

    name: str
    passed: bool | None
    told: str


class CertificateCard(Strict):
    """What no attack within the budget can do.

    Attributes:
        told: in words. vacuous: share of states and actions of which it says nothing; None without a
            certificate. change, found: certified and found mean change of an action, of its range.
    """

    told: str
    vacuous: Finite | None = None
    change: Finite | None = None
    found: Finite | None = None


class BudgetCard(Strict):
    """A ladder at one budget.

    Attributes:
        best: name of the single rung that leaves least, by the card's measure. unsafest: of the one
            with most unsafe episodes.
        suite: the worst of all rungs in each scenario: a bound on an attacker who knows which rung to
            choose.
        env_steps, queries: of all rungs and of what the sanity rules play besides.
    """

    budget: Budget
    rungs: Annotated[tuple[RungCard, ...], Field(min_length=1)]
    skipped: dict[str, str] = Field(default_factory=dict)
    best: str
    unsafest: str
    suite: Numbers
    env_steps: Count
    queries: Count
    sanity: tuple[CheckCard, ...] = ()
    certificate: CertificateCard | None = None

    @model_validator(mode="after")
    def _fits(self) -> BudgetCard:
        names = [rung.name for rung in self.rungs]
        for name in (self.best, self.unsafest):
            if name not in names:
                raise ValueError(f"there is no rung {name!r}; rungs: {', '.join(names)}")
        for rung in self.rungs:
            low, high = self.suite, rung.numbers
            worse = high.safe_success.rate < low.safe_success.rate - SLACK
            if rung.aim == "return":
                slack = SLACK * max(1.0, abs(low.returns.value))
                worse |= high.returns.value < low.returns.value - slack
            if worse:
                raise ValueError(f"the suite leaves more than its rung {rung.name!r} alone")
        return self

    def rung(self, name: str) -> RungCard:
        """A rung by name."""
        return next(rung for rung in self.rungs if rung.name == name)


class RobustnessCard(Strict):
    """robustness.json.

    Attributes:
        suite, suite_sha256: which ladder, and the digest of its definition. partial: whether some of
            its rungs were left out on request; such a card is compared with no other.
        controller, controller_sha256: who was attacked. world, options, player, opponent: where.
        port, unit, unit_meaning: what the budgets are. reference: whose nominal episodes one sigma is.
        measure: by which attacks are ranked. criterion: what success and harm are, in words.
        seed: first scenario. episodes: scenarios per rung. clean: without attack.
        notices: what a reader must know. warnings: why the numbers may flatter the controller.
        command: that repeats it.
    """

    format: Literal["robo_adv.robustness/1"] = "robo_adv.robustness/1"
    suite: str
    suite_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    partial: bool = False
    controller: str
    controller_sha256: str = Field(pattern=r"^([0-9a-f]{64})?$")
    world: str
    options: dict[str, Any] = Field(default_factory=dict)
    player: str
    opponent: str = ""
    port: str
    unit: str
    unit_meaning: str = ""
    reference: str = ""
    measure: Measure
    criterion: dict[str, str] = Field(default_factory=dict)
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    episodes: Annotated[int, Field(ge=2)]
    clean: RungCard
    budgets: Annotated[tuple[BudgetCard, ...], Field(min_length=1)]
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=dict)
    command: str = ""

    @model_validator(mode="after")
    def _fits(self) -> RobustnessCard:
        if not all(a.budget < b.budget for a, b in pairwise(self.budgets)):
            raise ValueError("budgets must rise")
        known = [units for (port, _), units in UNITS.items() if port == self.port]
        if not any(self.unit in units for units in known):
            raise ValueError(f"port {self.port!r} has no unit {self.unit!r}")
        return self

    @staticmethod
    def load(path: Path) -> RobustnessCard:
        """Read and check a card.

        Raises:
            RoboAdvError: missing, or not a robustness card.
        """
        return read_json(path, RobustnessCard, "a robustness card")

    def save(self, path: Path) -> None:
        """Write it as JSON, in one step."""
        write_text(path, json.dumps(self.model_dump(mode="json"), indent=1) + "\n")

    def at(self, budget: float) -> BudgetCard:
        """The ladder at a budget.

        Raises:
            RoboAdvError: it was not played there.
        """
        for one in self.budgets:
            if one.budget == budget:
                return one
        played = ", ".join(f"{one.budget:g}" for one in self.budgets)
        raise RoboAdvError(f"the card has no budget {budget:g} (it has: {played})")


def card_name(port: str) -> str:
    """Name of the file that a bundle's card of a port has."""
    return f"robustness-{port}.json"
