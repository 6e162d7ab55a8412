"""A leaderboard: robustness cards of one suite, port, unit and budget in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robo_adv.audit.report_ladder import interval, share
from robo_adv.audit.robustness import BudgetCard, RobustnessCard

HEAD = (
    "controller", "world", "without attack [95 %]", "best single attack", "leaves [95 %]",
    "share", "best of suite [95 %]", "warnings",
)  # fmt: skip


PARTIAL = "only a part of its suite was played"


@dataclass(frozen=True)
class Terms:
    """What cards must share to be compared: the suite with its digest, and the threat."""

    suite: str
    suite_sha256: str
    port: str
    unit: str
    budget: float

    def __str__(self) -> str:
        return f"{self.suite}, {self.port}, {self.budget:g} {self.unit}"


@dataclass(frozen=True)
class Place:
    """A card on the table, at its budget."""

    name: str
    card: RobustnessCard
    at: BudgetCard

    @property
    def kept(self) -> float:
        """Share of what the card measures that the best single attack leaves, by which places are
        sorted."""
        left, clean = self.at.rung(self.at.best).numbers, self.card.clean.numbers
        if self.card.measure == "return" and left.share is not None:
            return left.share.value
        return left.safe_success.rate / max(clean.safe_success.rate, 1e-9)

    def cells(self) -> tuple[str, ...]:
        """Its row; see HEAD."""
        card, best = self.card, self.at.rung(self.at.best)
        returns = card.measure == "return"
        before, left, suite = (
            interval(n.returns) if returns else share(n.safe_success)
            for n in (card.clean.numbers, best.numbers, self.at.suite)
        )
        return (
            self.name, card.world, before, best.name, left, f"{100 * self.kept:.0f} %", suite,
            str(len(card.warnings)) if card.warnings else "",
        )  # fmt: skip


def terms_of(card: RobustnessCard) -> list[Terms]:
    """What a card can be compared on, one per budget."""
    return [
        Terms(card.suite, card.suite_sha256, card.port, card.unit, one.budget)
        for one in card.budgets
    ]


def places(cards: Mapping[str, RobustnessCard], terms: Terms) -> tuple[list[Place], dict[str, str]]:
    """Those that can be compared, worlds together and the most robust first; and per other one why
    it cannot be."""
    found, apart = [], {}
    for name, card in cards.items():
        if card.partial:
            apart[name] = PARTIAL
        elif terms in terms_of(card):
            found.append(Place(name, card, card.at(terms.budget)))
        else:
            apart[name] = "; ".join(_differs(one, terms) for one in terms_of(card))
    return sorted(found, key=lambda place: (place.card.world, -place.kept, place.name)), apart


def _differs(mine: Terms, terms: Terms) -> str:
    told = str(mine)
    same = (mine.suite, mine.suite_sha256) != (terms.suite, terms.suite_sha256)
    return f"{told} (another definition)" if same and mine.suite == terms.suite else told


def all_terms(cards: Mapping[str, RobustnessCard]) -> list[Terms]:
    """Those of whole suites, first what most cards share."""
    every = [t for card in cards.values() for t in terms_of(card) if not card.partial]
    return sorted(set(every), key=lambda t: (-every.count(t), str(t)))


def markdown(found: list[Place]) -> str:
    """The table in Markdown."""
    lines = [HEAD, tuple("---" for _ in HEAD), *(place.cells() for place in found)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def values(found: list[Place]) -> list[dict[str, Any]]:
    """The places as JSON values."""
    out = []
    for place in found:
        best = place.at.rung(place.at.best)
        out.append({
            "name": place.name, "world": place.card.world, "measure": place.card.measure,
            "clean": place.card.clean.numbers.model_dump(mode="json"), "best": best.name,
            "left": best.numbers.model_dump(mode="json"), "kept": round(place.kept, 6),
            "suite": place.at.suite.model_dump(mode="json"), "warnings": list(place.card.warnings),
        })  # fmt: skip
    return out
