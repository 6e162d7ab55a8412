"""`robo-adv video`: record episodes, alone or two line-ups side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import Progress

from robo_adv.agents.evaluation import NORMAL, World, opponent_policy, world_of
from robo_adv.agents.named import bundle_folder, find_card
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import GAMES, Game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import REPORTED, Episodes, play, scenarios
from robo_adv.runs import Run
from robo_adv.video import How, LineUp, Recording, check_look, pick, record

FAVOURITES = ("chase-ball", "track-ball")  # who plays a soccer game where nobody was named


@dataclass(frozen=True)
class Video:
    """Record episodes as mp4 or gif, with players, score, outcome and scenario on the picture.

    With --versus the same scenarios are played twice and shown side by side, for example a
    controller against a normal opponent and against an adversary:

      robo-adv video --policies kicker=zoo:A keeper=normal --versus keeper=zoo:B --pick worst

    A controller alone is enough: robo-adv video zoo:A
    """

    game: Annotated[str, tyro.conf.Positional] = "KickAndDefend-v0"
    """Game, or zoo:<name>, a bundle's or a run's folder, which plays where its card says."""
    policies: tuple[str, ...] = ()
    """Who plays, PLAYER=POLICY each: zoo:<name>, normal, a bundle's or run's folder, a scripted
    policy, or module:callable. Players left out get a scripted policy."""
    versus: tuple[str, ...] = ()
    """What a second line-up, shown beside the first, changes: PLAYER=POLICY each."""
    titles: tuple[str, ...] = ()
    """A title per line-up."""
    pick: How = "all"
    """Which scenarios: all (the first ones, unseen), random, or, after playing --among of them,
    worst (fastest losses of the watched player first) or median. With --versus the second line-up
    decides."""
    player: str | None = None
    """Whom `worst` and `median` watch; the game's first player by default. A lone player's worst
    episodes are those without success."""
    episodes: int = 3
    """Episodes in a row."""
    among: int = 100
    """How many scenarios worst, median and random choose from."""
    size: str = "640x480"
    """Size of each line-up's picture, even numbers; side by side is twice as wide."""
    fps: float | None = None
    """Pictures per second; the control rate by default, less is slow motion."""
    camera: str | None = None
    """A camera of the game; a name that it does not have is answered with those it has."""
    shadows: bool = True
    """Cast shadows; twice as slow on a software renderer."""
    out: Path | None = None
    """File to write, .mp4 or .gif; a run folder by default."""
    seed: int = REPORTED
    """First scenario seed."""
    set: tuple[str, ...] = ()
    """Game options, e.g. arms=4."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        width, height = parse_size(self.size)
        first, second = pairs(self.policies), pairs(self.versus)
        if self.game not in GAMES and bundle_folder(self.game) is not None:
            first = {find_card(self.game).player: self.game, **first}
        names = [*first.values(), *second.values()]
        world = world_of([n for n in names if n != NORMAL], self.game, parse_options(self.set))
        game = world.make(1, threads=1)
        check_look(game, width, height, self.camera, self.fps)
        lineups = [line_up(game, first, self._title(0))]
        if second:
            lineups.append(line_up(game, {**first, **second}, self._title(1)))
        seeds, lineups = self._choose(world, game, lineups, console)
        run = None if self.out else Run.create(world.game, "video", self, self.seed, self.runs)
        path = self.out or run.folder / "videos" / "episodes.mp4"  # type: ignore[union-attr]
        recording = record_with_progress(
            console, path, world, lineups, seeds, width=width, height=height, fps=self.fps,
            shadows=self.shadows, camera=self.camera,
        )  # fmt: skip
        data = summary(recording, lineups)
        if run:
            run.finish(data)
        where = (
            f"{recording.path} ({recording.width}x{recording.height}, {recording.frames} frames)"
        )
        console.print(f"video: {where}")
        return Outcome(data, run.folder if run else None)

    def _title(self, index: int) -> str:
        return self.titles[index] if index < len(self.titles) else ""

    def _choose(
        self, world: World, game: Game, lineups: list[LineUp], console: Console
    ) -> tuple[list[int], list[LineUp]]:
        """The scenarios to show, and the line-ups with a note of what they were chosen from."""
        if self.pick == "all":
            return [int(s) for s in scenarios(self.seed, self.episodes)], lineups
        player = self.player or game.players[0]
        seeds = scenarios(self.seed, max(self.among, self.episodes))
        crowd = world.make(min(len(seeds), 256))
        results = []
        with console.status(f"playing {len(seeds)} scenarios"):
            for lineup in lineups:
                results.append(play(crowd, lineup.policies, seeds))
        rows = pick(results[-1], player, self.pick, self.episodes, self.seed)
        noted = [
            LineUp(one.title, one.policies, one.names, _note(result, player, self.pick))
            for one, result in zip(lineups, results, strict=True)
        ]
        return [int(s) for s in seeds[rows]], noted


def _note(episodes: Episodes, player: str, how: str) -> str:
    """What the shown episodes are a choice of, so that a worst case is not taken for the rule."""
    return f"{episodes.tally(player)} (shown: {how})"


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`PLAYER=POLICY` texts as a mapping.

    Raises:
        RoboAdvError: a text of another form, or a player named twice.
    """
    out: dict[str, str] = {}
    for text in texts:
        player, sign, policy = text.partition("=")
        if not (player and sign and policy):
            raise RoboAdvError(f"{text!r} is not PLAYER=POLICY, for example kicker=chase-ball")
        if player in out:
            raise RoboAdvError(f"{player!r} is named twice: {out[player]!r} and {policy!r}")
        out[player] = policy
    return out


def parse_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as numbers; raises RoboAdvError for anything else."""
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if match is None:
        raise RoboAdvError(f"size {text!r} is not WIDTHxHEIGHT, for example 640x480")
    return int(match[1]), int(match[2])


def line_up(game: Game, given: Mapping[str, str], title: str = "") -> LineUp:
    """Policies of the given names; players without one get a scripted policy.

    Raises:
        RoboAdvError: no such player or policy, or one that does not fit the game.
    """
    for player in given:
        if player not in game.players:
            raise unknown(f"player of {game.id}", player, game.players)
    names = {p: given.get(p) or favourite(game, p) for p in game.players}
    policies = {p: opponent_policy(name, game, p) for p, name in names.items()}
    return LineUp(title, policies, names)


def favourite(game: Game, player: str) -> str:
    """Who plays `player` when nobody is named: a scripted policy made for this game, or `zero`."""
    made = [name for name in SCRIPTED if game.id in getattr(SCRIPTED[name], "games", ())]
    index = game.players.index(player)
    usual = [FAVOURITES[index]] if index < len(FAVOURITES) else []
    usual = [name for name in usual if getattr(game.options, "body", "") in SCRIPTED[name].bodies]
    return next((name for name in [*made, *usual] if _plays(name, game, player)), "zero")


def _plays(name: str, game: Game, player: str) -> bool:
    try:
        SCRIPTED[name](game, player)
    except RoboAdvError:
        return False
    return True


def record_with_progress(
    console: Console, path: Path, world: World, lineups: Sequence[LineUp], seeds: Sequence[int],
    **look: Any,
) -> Recording:  # fmt: skip
    """`record` with a progress bar."""
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("drawing", total=None)
        return record(
            path, lambda n: world.make(n, threads=1), lineups, seeds,
            progress=lambda done, total: bar.update(task, completed=done, total=total), **look,
        )  # fmt: skip


def summary(recording: Recording, lineups: Sequence[LineUp]) -> dict[str, Any]:
    """What a video shows, as JSON values."""
    return {
        "video": str(recording.path),
        "size": [recording.width, recording.height],
        "frames": recording.frames,
        "fps": recording.fps,
        "line_ups": [
            {
                "title": lineup.title,
                "policies": dict(lineup.names),
                "episodes": [
                    {"seed": t.seed, "winner": t.winner, "ending": t.ending} for t in takes
                ],
            }
            for lineup, takes in zip(lineups, recording.takes, strict=True)
        ],
    }
