"""`robo-adv zoo`: the policies that ship."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents import zoo
from robo_adv.agents.evaluation import World
from robo_adv.agents.named import find_card, zoo_names
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import FAILS, Outcome
from robo_adv.errors import BundleError, RoboAdvError


@dataclass(frozen=True)
class Zoo:
    """List and show policies; verify their cards; add a trained bundle; import an SB3 zip."""

    action: Annotated[
        Literal["list", "show", "verify", "add", "measure", "import"], tyro.conf.Positional
    ] = "list"
    """list; show NAME; verify [NAME]: load and re-measure; add FOLDER NAME; measure NAME: write the
    card's metrics; import FILE.zip NAME --trust: an SB3 zip becomes the bundle folder NAME."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """What the action takes."""
    episodes: int = zoo.MEASURED_EPISODES
    """Episodes per measurement."""
    trust: bool = False
    """For import: you know where the file comes from. Only its weights are read, never its code."""
    game: str = "KickAndDefend-v0"
    """For import: the game."""
    player: str | None = None
    """For import: the player; the game's first one by default."""
    set: tuple[str, ...] = ()
    """For import: game options, e.g. arms=4."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        return getattr(self, f"_{self.action}")(console)  # type: ignore[no-any-return]

    def _need(self, count: int, what: str) -> tuple[str, ...]:
        if len(self.names) != count:
            raise RoboAdvError(f"`robo-adv zoo {self.action}` takes {what}, got {self.names}")
        return self.names

    def _list(self, console: Console) -> Outcome:
        table = Table("name", "plays", "options", "wins against normal, or success [95 %]",
                      "recipe, seed", box=None)  # fmt: skip
        data: dict[str, Any] = {}
        for name in zoo_names():
            card = find_card(f"zoo:{name}")
            data[name] = card.model_dump(mode="json")
            rate = card.metrics.get("success_rate") or card.metrics.get("win_rate_normal")
            text = "not measured"
            if isinstance(rate, dict):
                text = f"{100 * rate['rate']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}] %"
            options = " ".join(f"{k}={v}" for k, v in card.options.items())
            made = f"{card.provenance.get('recipe')}, {card.provenance.get('seed')}"
            table.add_row(name, f"{card.player}, {card.game}", options, text, made)
        console.print(table)
        return Outcome({"zoo": data}, next="robo-adv zoo show NAME")

    def _show(self, console: Console) -> Outcome:
        (name,) = self._need(1, "one NAME")
        card = find_card(f"zoo:{name.removeprefix('zoo:')}")
        data = card.model_dump(mode="json")
        console.print_json(data=data)
        return Outcome(data, next=f"robo-adv evaluate zoo:{name.removeprefix('zoo:')}")

    def _verify(self, console: Console) -> Outcome:
        differences = []
        for name in self.names or zoo_names():
            with console.status(f"measuring {name}"):
                found = zoo.compare(name.removeprefix("zoo:"), self.episodes)
            differences += found
            console.print(f"{name}: {'differs' if found else 'as its card says'}")
        for line in differences:
            console.print(line)
        return Outcome({"differences": differences}, code=FAILS if differences else 0)

    def _add(self, console: Console) -> Outcome:
        source, name = self._need(2, "FOLDER NAME")
        folder = zoo.add(source, name)
        console.print(f"added {folder}")
        return Outcome({"name": name}, next=f"robo-adv zoo measure {name}")

    def _measure(self, console: Console) -> Outcome:
        data = {}
        for name in self.names or zoo_names():
            with console.status(f"measuring {name}"):
                data[name] = zoo.measure(name, self.episodes)
            zoo.write_metrics(name, data[name])
            console.print(f"measured {name}")
        return Outcome(data, next="robo-adv zoo")

    def _import(self, console: Console) -> Outcome:
        source, name = self._need(2, "FILE.zip and the folder to write")
        if not self.trust:
            raise BundleError(
                f"{source}: a foreign zip is imported only with --trust (its weights are read, its "
                "pickled code is not; the policy's behaviour is still the author's)"
            )
        world = World(self.game, parse_options(self.set))
        player = self.player or world.make(1, threads=1).players[0]
        zoo.import_zip(Path(source), world, player, Path(name))
        console.print(f"imported into {name}")
        return Outcome({"folder": name}, next=f"robo-adv evaluate {name}")
