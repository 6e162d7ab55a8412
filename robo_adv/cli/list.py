"""`robo-adv list`: what exists."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents.named import find_card, zoo_names
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import GAMES
from robo_adv.envs.soccer.bodies.body import BODIES
from robo_adv.levels.generator import GENERATORS
from robo_adv.masks import MASKS


@dataclass(frozen=True)
class List:
    """List games, bodies, arms, scripted policies, masks, generators of levels and zoo policies."""

    keyword: Annotated[str, tyro.conf.Positional] = ""
    """Show only names or descriptions that contain this."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        found: dict[str, dict[str, str]] = {}
        for kind, entries in _everything().items():
            hits = {
                name: text
                for name, text in entries.items()
                if self.keyword.lower() in f"{kind} {name} {text}".lower()
            }
            if hits:
                found[kind] = hits
        table = Table("kind", "name", "what it is", box=None)
        for kind, entries in found.items():
            for name, text in entries.items():
                table.add_row(kind, name, text)
        if not found:
            console.print(f"nothing contains {self.keyword!r}; `robo-adv list` shows all there is")
            return Outcome(found)
        console.print(table)
        return Outcome(found, next="robo-adv evaluate zoo:<name>")


def _everything() -> dict[str, dict[str, str]]:
    zoo = {}
    for name in zoo_names():
        card = find_card(f"zoo:{name}")
        zoo[f"zoo:{name}"] = f"{card.player} of {card.game}, {card.provenance.get('recipe', '')}"
    return {
        "game": {name: _first_line(GAMES[name]) for name in GAMES},
        "body": {name: _first_line(BODIES[name]) for name in BODIES},
        "arm": {name: _first_line(entry) for name, entry in _arms().items()},
        "scripted policy": {name: _first_line(SCRIPTED[name]) for name in SCRIPTED},
        "mask": {
            name: text
            for name, text in zip(
                MASKS,
                (
                    "opponent frozen where it started",
                    "opponent set to zero",
                    "Gaussian noise on the opponent",
                ),
                strict=True,
            )
        },
        "generator": {name: _first_line(GENERATORS[name]) for name in GENERATORS},
        "zoo policy": zoo,
    }


def _arms() -> dict[str, Any]:
    """The registered robot arms."""
    module = "robo_adv.envs.manipulation.arms"
    try:
        arms = importlib.import_module(module).ARMS
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        return {}  # an installation without manipulation games
    return {name: arms[name] for name in arms}


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
