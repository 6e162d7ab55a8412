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
from robo_adv.agents.ladder_cards import robustness_of
from robo_adv.agents.named import find_card, zoo_names
from robo_adv.agents.published import SUFFIX
from robo_adv.agents.worlds import make_world
from robo_adv.bundle import CARD as POLICY
from robo_adv.cli.ladder_print import print_card
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import FAILS, Outcome
from robo_adv.errors import BundleError, RoboAdvError


@dataclass(frozen=True)
class Zoo:
    """List and show policies; verify their cards; add a trained bundle; import a foreign policy."""

    action: Annotated[
        Literal["list", "show", "verify", "add", "measure", "import"], tyro.conf.Positional
    ] = "list"
    """list; show NAME (or a bundle's folder); verify [NAME]: load and re-measure; add FOLDER NAME;
    measure NAME: write the card's metrics; import FILE FOLDER --trust: an SB3 zip of PPO or A2C, or a
    published FILE.model of SA-PPO's code, becomes a bundle."""
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """What the action takes."""
    episodes: int | None = None
    """Episodes per measurement; by default 400, and 50 in Gymnasium's environments."""
    trust: bool = False
    """For import: you know where the file comes from. Only its weights are read, never its code."""
    game: str = "KickAndDefend-v0"
    """For import: the game."""
    env: str = ""
    """For import: an environment of Gymnasium's, e.g. HalfCheetah-v5, in place of a game."""
    statistics: Path | None = None
    """For import: VecNormalize's file. Its numbers are read, what is pickled in it is not run."""
    player: str | None = None
    """For import: the player; the game's first one by default."""
    set: tuple[str, ...] = ()
    """For import: options of the game or keywords of the environment, e.g. arms=4."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        return getattr(self, f"_{self.action}")(console)  # type: ignore[no-any-return]

    def _need(self, count: int, what: str) -> tuple[str, ...]:
        if len(self.names) != count:
            raise RoboAdvError(f"`robo-adv zoo {self.action}` takes {what}, got {self.names}")
        return self.names

    def _list(self, console: Console) -> Outcome:
        table = Table("name", "plays", "options", "wins against normal, return, or success [95 %]",
                      "recipe, seed", box=None)  # fmt: skip
        data: dict[str, Any] = {}
        for name in zoo_names():
            card = find_card(f"zoo:{name}")
            data[name] = card.model_dump(mode="json")
            text = _result(card.metrics)
            options = " ".join(f"{k}={v}" for k, v in card.options.items())
            made = f"{card.provenance.get('recipe')}, {card.provenance.get('seed')}"
            table.add_row(name, f"{card.player}, {card.game}", options, text, made)
        console.print(table)
        return Outcome({"zoo": data}, next="robo-adv zoo show NAME")

    def _show(self, console: Console) -> Outcome:
        (given,) = self._need(1, "one NAME")
        own = given not in zoo_names() and (Path(given) / POLICY).is_file()
        name = given if own or given.startswith("zoo:") else f"zoo:{given}"
        card = find_card(name)
        data = card.model_dump(mode="json")
        console.print_json(data=data)
        measured = robustness_of(name)
        for found in measured.values():
            print_card(console, found)
        if measured:
            data["robustness"] = {p: c.model_dump(mode="json") for p, c in measured.items()}
        return Outcome(data, next=f"robo-adv evaluate {name}")

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
        source, name = self._need(2, "FILE.zip or FILE.model, and the folder to write")
        if not self.trust:
            raise BundleError(
                f"{source}: a foreign file is imported only with --trust (its weights are read, its "
                "pickled code is not; the policy's behaviour is still the author's)"
            )
        if not self.env and Path(source).suffix.lower() == SUFFIX:
            raise RoboAdvError(f"{source} does not say where it plays; name it: --env Hopper-v5")
        world = World(self.game, parse_options(self.set))
        if self.env:
            found = make_world(self.env, 1, options=world.options)
            world = World(found.id, world.options)
        replaced = (Path(name) / POLICY).is_file()
        player = self.player or world.make(1, threads=1).players[0]
        if Path(source).suffix.lower() == SUFFIX:
            if self.statistics is not None:
                raise RoboAdvError(f"{source} holds its own statistics; leave out --statistics")
            zoo.import_published(Path(source), world, player, Path(name))
        else:
            zoo.import_zip(Path(source), world, player, Path(name), self.statistics)
        console.print(f"imported into {name}{', in place of the bundle there' if replaced else ''}")
        return Outcome({"folder": name}, next=f"robo-adv evaluate {name}")


def _result(metrics: dict[str, Any]) -> str:
    """A card's main number with its interval."""
    rate = metrics.get("success_rate") or metrics.get("win_rate_normal")
    if isinstance(rate, dict):
        return f"{100 * rate['rate']:.1f} [{100 * rate['low']:.1f}, {100 * rate['high']:.1f}] %"
    ends = metrics.get("return_interval")
    if isinstance(ends, list):
        return f"return {metrics['return_mean']:.0f} [{ends[0]:.0f}, {ends[1]:.0f}]"
    return "not measured"
