"""`robo-adv play`: a few episodes, told and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents.evaluation import NORMAL, world_of
from robo_adv.cli.options import parse_options
from robo_adv.cli.tables import number
from robo_adv.cli.verb import Outcome
from robo_adv.cli.video import line_up, pairs, parse_size, record_with_progress, summary
from robo_adv.envs.game import Game
from robo_adv.rollout import REPORTED, Episodes, play, scenarios
from robo_adv.runs import Run
from robo_adv.video import check_look


@dataclass(frozen=True)
class Play:
    """Play a few episodes, print how each ended, and write a video of them.

    There is no live viewer yet: the video stands in for it (--no-video leaves it out).
    """

    game: Annotated[str, tyro.conf.Positional] = "KickAndDefend-v0"
    """Game; a bundle's card decides where one plays."""
    policies: tuple[str, ...] = ()
    """Who plays, PLAYER=POLICY each: zoo:<name>, normal, a bundle's or run's folder, a scripted
    policy, or module:callable. Players left out get a scripted policy."""
    episodes: int = 5
    """How many episodes."""
    seed: int = REPORTED
    """First scenario seed."""
    video: bool = True
    """Write a video of the episodes."""
    size: str = "640x480"
    """Size of the video, even numbers."""
    camera: str | None = None
    """A camera of the game; a name that it does not have is answered with those it has."""
    set: tuple[str, ...] = ()
    """Game options, e.g. arms=4."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        width, height = parse_size(self.size)
        given = pairs(self.policies)
        names = [name for name in given.values() if name != NORMAL]
        world = world_of(names, self.game, parse_options(self.set))
        game = world.make(1, threads=1)
        lineup = line_up(game, given)
        if self.video:
            check_look(game, width, height, self.camera)
        seeds = scenarios(self.seed, self.episodes)
        result = play(game, lineup.policies, seeds)
        console.print(_table(game, result, ", ".join(f"{p} {n}" for p, n in lineup.names.items())))
        if game.notice:
            console.print(game.notice)
        data: dict[str, Any] = {"policies": dict(lineup.names), "episodes": _rows(game, result)}
        if not self.video:
            return Outcome(data, next=_evaluate_next(game, lineup.names))
        run = Run.create(world.game, "play", self, self.seed, self.runs)
        path = run.folder / "videos" / "episodes.mp4"
        shown = [int(s) for s in seeds]
        recording = record_with_progress(
            console, path, world, [lineup], shown, width=width, height=height, camera=self.camera
        )
        data["recording"] = summary(recording, [lineup])
        run.finish(data)
        given_again = " ".join(f"{p}={name}" for p, name in lineup.names.items())
        console.print(f"video: {path}")
        again = f"robo-adv video {world.game} --pick worst --policies {given_again}"
        return Outcome(data, run.folder, again)


def _evaluate_next(game: Game, names: Mapping[str, str]) -> str:
    policy = names[game.players[0]] if len(names) == 1 else "POLICY --player PLAYER"
    return f"robo-adv evaluate {policy} --game {game.id}"


def _ended(result: Episodes, j: int) -> dict[str, Any]:
    if result.alone:
        return {"success": bool(result.winner[j] == 0)}
    return {"winner": result.outcome(j)}


def _rows(game: Game, result: Episodes) -> list[dict[str, Any]]:
    return [
        {
            "seed": int(result.seeds[j]),
            **_ended(result, j),
            "seconds": round(float(result.length[j]) * game.control_dt, 3),
            "diverged": bool(result.diverged[j]),
            "forfeit": bool(result.forfeit[j]),
            "costs": {
                p: {name: round(float(value[j]), 6) for name, value in result.costs[p].items()}
                for p in result.players
            },
        }
        for j in range(len(result))
    ]


def _table(game: Game, result: Episodes, title: str) -> Table:
    ended = "outcome" if result.alone else "winner"
    table = Table("scenario", ended, "seconds", title=title, title_justify="left", box=None)
    costs = result.costs[result.players[0]]
    shown = [
        name for name in costs if name == "collision_force" or (result.alone and costs[name].any())
    ]
    for name in shown:
        table.add_column(f"{name} [{result.units[name]}]".replace("[", r"\["))
    for j in range(len(result)):
        seconds = f"{result.length[j] * game.control_dt:.2f}"
        forces = [number(costs[name][j]) for name in shown]
        table.add_row(str(result.seeds[j]), result.outcome(j), seconds, *forces)
    table.caption = "; ".join(result.tally(p) for p in result.players)
    table.caption_justify = "left"
    return table
