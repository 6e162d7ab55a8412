"""`robo-adv data ACTION ...`: demonstrations recorded, listed, shown, imported, exported, changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents.demonstration_import import Scale, imported
from robo_adv.agents.demonstration_pictures import pictures
from robo_adv.agents.worlds import make_world
from robo_adv.cli.data_print import brief, print_set, result_of
from robo_adv.cli.data_record import Record
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome, Verb
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.imitation.array_files import write_arrays
from robo_adv.imitation.corruption import How, mixed_episodes, noisy_actions, wrong_actions
from robo_adv.imitation.demonstrations import Demonstrations, load_demonstrations
from robo_adv.imitation.demonstrations_file import CARD, check_target, read_card
from robo_adv.imitation.minari import write_minari
from robo_adv.runs import Run


@dataclass(frozen=True)
class ListSets:
    """List the sets of demonstrations below a folder."""

    folder: Annotated[Path, tyro.conf.Positional] = Path(".")
    """Where to look."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        if not self.folder.is_dir():
            raise RoboAdvError(f"there is no folder {self.folder}")
        table = Table("folder", "world", "demonstrator", "episodes", "steps", "return", "success",
                      "notes", box=None)  # fmt: skip
        data: dict[str, Any] = {}
        for folder in _sets(self.folder):
            try:
                card = read_card(folder)
            except RoboAdvError as problem:
                data[str(folder)] = {"error": str(problem)}
                table.add_row(str(folder), f"refused: {problem}")
                continue
            data[str(folder)] = brief(card)
            changed = ", ".join(c.kind for c in card.corruption)
            table.add_row(
                str(folder), card.game, card.demonstrator.name, str(card.episodes),
                f"{card.steps:,}", *result_of(card.statistics), changed,
            )  # fmt: skip
        if not data:
            console.print(f"no demonstrations below {self.folder}")
            return Outcome({"sets": {}}, next="robo-adv data record CONTROLLER --out FOLDER")
        console.print(table)
        return Outcome({"sets": data}, next=f"robo-adv data show {next(iter(data))}")


@dataclass(frozen=True)
class Show:
    """Show a set of demonstrations: numbers, and pictures of returns, actions, observations, states."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The set's folder."""
    pictures: bool = True
    """Draw pictures."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        found = load_demonstrations(self.folder)
        data = {**brief(found.file_card()), "sha256": found.digest}
        print_set(console, found, str(self.folder))
        again = f"robo-adv imitate {self.folder}"
        if not self.pictures:
            return Outcome(data, next=again)
        run = Run.create(found.card.game, "data", self, found.card.recording.first_seed, self.runs)
        title = f"{found.card.game}, {found.card.demonstrator.name}"
        data["pictures"] = pictures(found, title, run.folder / "pictures")
        run.finish(data)
        console.print(f"pictures: {run.folder / 'pictures'}")
        return Outcome(data, run.folder, again)


@dataclass(frozen=True)
class Import:
    """Import demonstrations: a .npz file of arrays (obs, acts, dones ...), or a Minari data set."""

    source: Annotated[str, tyro.conf.Positional]
    """FILE.npz, a Minari data set's folder, or minari:ID of a local one."""
    out: Path
    """Folder to write."""
    env: Annotated[str, tyro.conf.arg(aliases=["--game"])]
    """The game or environment it is of."""
    player: str = ""
    """Who demonstrated in a game; its first player by default."""
    set: tuple[str, ...] = ()
    """Options of the game, or keywords of the environment."""
    scale: Scale = "environment"
    """Scale of the file's actions: the environment's own, or unit: [-1, 1] stands for its bounds."""
    clip: bool = False
    """Clip actions that lie beyond the bounds, as the environment does."""
    expert: str = ""
    """Who demonstrated, in words."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import")] = ()
    """Modules to import first, those that register your environment."""
    overwrite: bool = False
    """Replace demonstrations that are in the folder."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        check_target(self.out, self.overwrite)
        world = make_world(self.env, 1, options=parse_options(self.set), imports=self.imports)
        try:
            player = self.player or world.players[0]
            if player not in world.players:
                raise unknown(f"player of {world.id}", player, world.players)
            found = imported(
                self.source, world, player, scale=self.scale, clip=self.clip, expert=self.expert
            )
        finally:
            world.close()
        return _saved(console, found, self.out)


@dataclass(frozen=True)
class Export:
    """Export demonstrations to a Minari data set or a .npz file of plain arrays."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The set's folder."""
    to: Literal["minari", "npz"]
    """minari: a data set (needs the extra `minari`). npz: arrays obs, acts, rews, next_obs, dones."""
    out: Path
    """FILE.npz, or the new folder that becomes Minari's root (MINARI_DATASETS_PATH)."""
    name: str = "robo_adv/demonstrations-v0"
    """Of a Minari data set."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        found = load_demonstrations(self.folder)
        if found.pictures is not None:
            console.print("note: the pictures are left out")
        if self.to == "minari":
            write_minari(found, self.out, self.name)
            console.print(f"written: {self.out}")
            load = f"python -c \"import minari; print(minari.load_dataset('{self.name}'))\""
            return Outcome(
                {"out": str(self.out), "id": self.name},
                next=f"MINARI_DATASETS_PATH={self.out} {load}",
            )
        if self.out.suffix != ".npz":
            raise RoboAdvError(f"--out {self.out}: expected the name of a .npz file")
        if self.out.exists():
            raise RoboAdvError(f"{self.out} exists; name a new file")
        write_arrays(found, self.out)
        console.print(f"written: {self.out}")
        return Outcome({"out": str(self.out)})


@dataclass(frozen=True)
class Subset:
    """Write a part of a set of demonstrations as a set of its own."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The set's folder."""
    out: Path
    """Folder to write."""
    successful: bool = False
    """Only episodes that succeeded."""
    first: int = 0
    """The first so many (of the successful ones), 0 for all."""
    overwrite: bool = False
    """Replace demonstrations that are in the folder."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        check_target(self.out, self.overwrite)
        found = load_demonstrations(self.folder)
        if self.successful:
            found = found.successful()
        if self.first:
            found = found.first(self.first)
        return _saved(console, found, self.out)


@dataclass(frozen=True)
class Corrupt:
    """Make demonstrations worse on purpose, for studies of robustness; the card says how much."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The set's folder."""
    out: Path
    """Folder to write."""
    share: float = 1.0
    """Share of the steps, or of the episodes with --mix."""
    noise: float | None = None
    """Noise on actions: its standard deviation, in halves of the action range."""
    wrong: How | None = None
    """Other actions: permuted among the steps, or random."""
    mix: Path | None = None
    """Replace episodes by those of another set, an adversary's."""
    seed: int = 0
    """Decides which steps or episodes."""
    overwrite: bool = False
    """Replace demonstrations that are in the folder."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        check_target(self.out, self.overwrite)
        given = {"--noise": self.noise, "--wrong": self.wrong, "--mix": self.mix}
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise RoboAdvError(
                "name exactly one of --noise SIGMA, --wrong permuted|random, --mix FOLDER; got "
                f"{' and '.join(named) or 'none'}"
            )
        if not 0 <= self.seed < 2**63:
            raise RoboAdvError(f"seed must be at least 0 and below 2^63, got {self.seed}")
        found = load_demonstrations(self.folder)
        if self.noise is not None:
            found = noisy_actions(found, self.noise, self.share, self.seed)
        elif self.wrong is not None:
            found = wrong_actions(found, self.share, self.wrong, self.seed)
        elif self.mix is not None:
            found = mixed_episodes(found, load_demonstrations(self.mix), self.share, self.seed)
        return _saved(console, found, self.out)


ACTIONS: dict[str, tuple[Any, str]] = {
    "record": (Record, "record episodes of any controller"),
    "list": (ListSets, "the sets below a folder"),
    "show": (Show, "numbers and pictures of a set"),
    "import": (Import, "from a .npz file or Minari"),
    "export": (Export, "to a .npz file or Minari"),
    "subset": (Subset, "a part of a set"),
    "corrupt": (Corrupt, "noisy or wrong actions, or episodes of somebody else"),
}


class Data:
    """Demonstrations for imitation learning."""

    @staticmethod
    def parse(arguments: list[str]) -> Verb:
        """The action's arguments as an instance of its dataclass."""
        if not arguments or arguments[0] in ("-h", "--help"):
            lines = [f"  {name:<9}{text}" for name, (_, text) in ACTIONS.items()]
            print(
                "\n".join(["usage: robo-adv data ACTION [OPTIONS]   (demonstrations)", "", *lines])
            )
            raise SystemExit(0)
        name, *rest = arguments
        if name not in ACTIONS:
            raise unknown("action of data", name, ACTIONS)
        return cast(Verb, tyro.cli(ACTIONS[name][0], args=rest, prog=f"robo-adv data {name}"))


def _sets(root: Path) -> Iterator[Path]:
    """Folders below `root` that hold a card, hidden ones left out, sorted."""
    for folder, inner, files in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if CARD in files:
            yield Path(folder)


def _saved(console: Console, found: Demonstrations, out: Path) -> Outcome:
    found.save(out)
    print_set(console, found, str(out))
    return Outcome(
        {**brief(found.file_card()), "sha256": found.digest, "out": str(out)},
        next=f"robo-adv data show {out}",
    )
