"""`robo-adv levels`: a game's level parameters, constraints and suites; writes suites as JSON, which
`evaluate` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace
from robo_adv.levels.suite_files import KINDS, about, changed, has_presets, make_suite, save_suite
from robo_adv.runs import plain


@dataclass(frozen=True)
class Levels:
    """Show a game's level parameters, constraints and suites of levels, and write suites as JSON."""

    game: Annotated[str, tyro.conf.Positional] = "Reach-v0"
    suites: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Names or JSON files; default: all that the game has."""
    set: tuple[str, ...] = ()
    """Game options, e.g. obstacles=2."""
    out: Path | None = None
    """Folder to write <suite>.json into, every value of every level."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        game = make_game(self.game, 1, threads=1, **parse_options(self.set))
        space, options = game.design_space, plain(game.options)
        if not len(space):
            raise RoboAdvError(f"{game.id} has no level parameters, so it has no suites")
        names = self.suites or [n for n in KINDS if n != "presets" or has_presets(game.id)]
        print_space(console, space, f"{game.id}: level parameters")
        table = Table("suite", "levels", "episodes each", "digest", box=None)
        data: dict[str, Any] = {
            "game": game.id, "options": options, "space": space.digest,
            "parameters": [plain(parameter) for parameter in space],
            "constraints": [constraint.name for constraint in space.constraints],
        }  # fmt: skip
        found: dict[str, Any] = {}
        suites = [make_suite(name, game.id, space) for name in names]
        for suite in suites:
            table.add_row(suite.name, about(suite), str(suite.episodes), suite.digest)
            found[suite.name] = {
                "levels": len(suite), "episodes": suite.episodes, "digest": suite.digest,
                "repaired": suite.repaired, "left_out": suite.left_out,
            }  # fmt: skip
            if self.out is not None:
                save_suite(suite, self.out / f"{suite.name}.json", game.id, space, options)
        console.print(table)
        for suite in suites:
            if note := changed(suite, space):
                console.print(note)
        if self.out is not None:
            console.print(f"written: {self.out}")
        return Outcome({**data, "suites": found}, next="robo-adv evaluate CONTROLLER --levels all")


def print_space(console: Console, space: DesignSpace, title: str) -> None:
    """The parameters and constraints of a design space."""
    table = Table("parameter", "kind", "from", "nominal", "to", "unit", "role", "observed",
                  title=title, title_justify="left", box=None)  # fmt: skip
    for p in space:
        low, high = (f"{x:.4g}" for x in (p.low, p.high))
        if p.kind == "choice":
            low, high = ", ".join(p.options), ""
        nominal = p.nominal if isinstance(p.nominal, str) else f"{p.nominal:.4g}"
        seen = "yes" if p.observed else "no"
        table.add_row(p.name, p.kind, low, nominal, high, p.unit, p.role, seen)
    console.print(table)
    for constraint in space.constraints:
        console.print(f" kept by repair: {constraint.name}")
    console.print()
