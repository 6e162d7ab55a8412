"""`robo-adv data record`: episodes of any controller as demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from robo_adv.agents.recording import RecordConfig, record
from robo_adv.cli.data_print import brief, print_set
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import FAILS, HOLDS, Outcome
from robo_adv.imitation.demonstrations import DEMONSTRATED, Demonstrations
from robo_adv.imitation.demonstrations_file import check_target


@dataclass(frozen=True)
class Record:
    """Record demonstrations: episodes of any controller, in any game or Gymnasium environment."""

    controller: Annotated[str, tyro.conf.Positional]
    """zoo:<name>, a bundle's or run's folder, FILE.onnx, FILE.model as SA-PPO's code publishes them,
    module:callable, a scripted policy, or
    FILE.zip of stable-baselines3 with --trust."""
    out: Path
    """Folder to write."""
    env: Annotated[str, tyro.conf.arg(aliases=["--game"])] = ""
    """A game (`robo-adv list`), or any Gymnasium environment with Box actions, e.g. Hopper-v5; by
    default what the controller's card says."""
    set: tuple[str, ...] = ()
    """Options of the game, or keywords of the environment, e.g. arms=4."""
    player: str = ""
    """Who the controller plays; a bundle's card says it."""
    opponent: str = ""
    """Who plays the other player: a policy, or `normal` (the zoo's, where it has some, by default)."""
    episodes: int = 25
    """How many episodes."""
    only_successful: bool = False
    """Keep successful episodes only: goes on until there are enough, and says what was thrown away."""
    success: str = ""
    """What success is, e.g. "return>=3000"; by default what the world tells."""
    attempts: int = 0
    """Play at most so many scenarios; 20 per episode by default."""
    stochastic: bool = False
    """Sample the actions of stochastic policies instead of taking their mode."""
    seed: int = DEMONSTRATED
    """First scenario seed."""
    width: int = 32
    """Episodes side by side; does not change them."""
    trust: bool = False
    """Open a stable-baselines3 zip, which can run code."""
    statistics: Path | None = None
    """VecNormalize's statistics of the zip; needs --trust."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import")] = ()
    """Modules to import first, those that register your environment."""
    threads: int = 0
    """Physics threads; 0 takes every CPU."""
    cameras: tuple[str, ...] = ()
    """Record pictures of these cameras of the game too (scene side top wrist of the arm's)."""
    camera_size: int = 64
    """Their width and height [pixels]."""
    overwrite: bool = False
    """Replace demonstrations that are in the folder."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        check_target(self.out, self.overwrite)
        found = self._record(console)
        found.save(self.out)
        print_set(console, found, str(self.out))
        if missing := self.episodes - len(found):
            console.print(
                f"{missing} of {self.episodes} episodes are missing: "
                f"{found.card.recording.played} scenarios gave no more; --attempts allows more"
            )
        return Outcome(
            {**brief(found.file_card()), "sha256": found.digest, "out": str(self.out)},
            next=f"robo-adv data show {self.out}", code=FAILS if missing else HOLDS,
        )  # fmt: skip

    def _record(self, console: Console) -> Demonstrations:
        config = RecordConfig(
            self.controller, self.env, parse_options(self.set), self.player, self.opponent,
            self.episodes, self.only_successful, self.success, self.attempts, self.stochastic,
            self.seed, self.width, self.trust, self.statistics, self.imports, self.threads,
            self.cameras, self.camera_size,
        )  # fmt: skip
        quiet = not console.is_terminal  # else it leaves an empty line in logs
        columns = (TextColumn("recording"), BarColumn(), TextColumn("{task.description}"),
                   TimeElapsedColumn())  # fmt: skip
        with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
            task = bar.add_task("", total=self.episodes)

            def tell(kept: int, played: int) -> None:
                text = f"{kept} of {self.episodes} kept, {played} played"
                done = kept if self.only_successful else min(max(kept, played), self.episodes)
                bar.update(task, completed=done, description=text)

            return record(config, tell)
