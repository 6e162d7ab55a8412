"""`robo-adv leaderboard`: the zoo's robustness cards in tables, one per suite and budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from robo_adv.agents.ladder_cards import cards_of_zoo, read_cards
from robo_adv.audit.leaderboard import HEAD, PARTIAL, all_terms, markdown, places, terms_of, values
from robo_adv.audit.robustness import RobustnessCard
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError


@dataclass(frozen=True)
class Leaderboard:
    """Robustness cards side by side, those of one suite, port, unit and budget in one table."""

    suite: str = ""
    """Of which suite, e.g. standard-v0; by default of every one."""
    port: str = ""
    """At which port."""
    unit: str = ""
    """In which unit."""
    budget: float | None = None
    """At which budget."""
    world: str = ""
    """Only controllers of this world, e.g. HalfCheetah-v5."""
    cards: tuple[Path, ...] = ()
    """More cards: run folders of `robo-adv ladder`, bundles with cards beside them, or files."""
    format: Literal["table", "markdown"] = "table"
    """How it is printed."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        every, stale = cards_of_zoo()
        every |= read_cards(self.cards)
        if self.world:
            every = {n: c for n, c in every.items() if c.world == self.world}
        if not every:
            raise RoboAdvError(
                "there are no robustness cards to compare; make some with `robo-adv ladder zoo:NAME "
                "--save-card`, or name run folders by --cards"
            )
        chosen, tables = self._chosen(every), []
        apart = {name: PARTIAL for name, card in every.items() if card.partial} | stale
        for terms in all_terms(chosen):
            found = places(chosen, terms)[0]
            tables.append({"terms": asdict(terms), "places": values(found)})
            console.print(f"\n{terms}, sorted by what the best single attack leaves")
            if self.format == "markdown":
                console.print(markdown(found), markup=False)
                continue
            table = Table(*HEAD, box=None)
            for place in found:
                table.add_row(*place.cells())
            console.print(table)
        for name, why in apart.items():
            console.print(f"[dim]apart: {name}: {why}[/dim]")
        return Outcome({"tables": tables, "apart": apart}, next="robo-adv zoo show NAME")

    def _chosen(self, every: dict[str, RobustnessCard]) -> dict[str, RobustnessCard]:
        """Cards that have what was asked for, cut to the budget that was.

        Raises:
            RoboAdvError: there is none.
        """
        asked = {"suite": self.suite, "port": self.port, "unit": self.unit, "budget": self.budget}
        out = {}
        for name, card in every.items():
            mine = [
                t.budget for t in terms_of(card)
                if all(not v or getattr(t, k) == v for k, v in asked.items()) and not card.partial
            ]  # fmt: skip
            kept = tuple(one for one in card.budgets if one.budget in mine)
            if kept:
                out[name] = card.model_copy(update={"budgets": kept})
        if not out:
            told = "; ".join(str(t) for card in every.values() for t in terms_of(card))
            wanted = ", ".join(f"{k} {v}" for k, v in asked.items() if v)
            raise RoboAdvError(f"no whole card with {wanted or 'these terms'}; there are: {told}")
        return out
