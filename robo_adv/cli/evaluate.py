"""`robo-adv evaluate`: win or success rates and costs with intervals, on paired scenarios."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from robo_adv.agents.evaluation import (
    NORMAL,
    Row,
    World,
    evaluate,
    normal_opponents,
    opponent_policy,
    other_player,
    refuse_opponents,
    world_of,
)
from robo_adv.agents.named import bundle_folder, find_card, named_policy
from robo_adv.cli import half_timestep
from robo_adv.cli.evaluate_levels import evaluate_levels
from robo_adv.cli.options import parse_options
from robo_adv.cli.tables import print_rows
from robo_adv.cli.train import check_seed
from robo_adv.cli.verb import FAILS, HOLDS, INCONCLUSIVE, Outcome
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.suites import GRID
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run
from robo_adv.safety.statistics import FailIf, Rate

_RATES = ("win_rate", "loss_rate", "draw_rate")


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy: alone, or against opponents and with its view of the opponent masked."""

    policy: Annotated[str, tyro.conf.Positional]
    """zoo:<name>, a bundle's or run's folder, a scripted policy, or module:callable."""
    opponents: tuple[str, ...] = ()
    """Opponents: names as above, or `normal` (the zoo's self-play opponents, one drawn per
    scenario). Default: normal zero random where the zoo has normal ones, else zero random; a game
    of one player has none."""
    masks: tuple[str, ...] = ("none",)
    """Masks of the policy's view of the opponent: none initial zeros noise."""
    sigma: float = 1.0
    """Standard deviation of the noise mask, in the observation's units."""
    player: str | None = None
    """Who the policy plays; a bundle's card says it."""
    game: str | None = None
    """Game, when no policy is a bundle."""
    set: tuple[str, ...] = ()
    """Game options, e.g. arms=4."""
    episodes: int = 500
    """Scenarios per row."""
    seed: int = REPORTED
    """First scenario seed."""
    stochastic: bool = False
    """Sample the actions of stochastic policies instead of taking their mode."""
    half_timestep: bool = False
    """Also play the same scenarios with half the physics timestep and print what that changes, for
    games with the option `refine`."""
    fail_if: str | None = None
    """Condition such as "win_rate<0.8", or "success_rate<0.9" where one player plays alone, judged
    by the 95 % interval of every row: exit 0 none meets it, 1 one does, 3 undecided (says how many
    more episodes would decide)."""
    levels: tuple[str, ...] = ()
    """Suites of levels to play instead: nominal presets iid-a iid-b shell sweeps corners, `all`, or a
    JSON file; see `robo-adv levels`. Measures every level, and the worst share of them."""
    episodes_per_level: int | None = None
    """With --levels: episodes of every level; by default each suite's own number."""
    map: tuple[str, ...] = ()
    """Pairs of level parameters: a map of success over each pair, the others nominal."""
    grid: int = GRID
    """Points of a map, each way."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        if self.levels or self.map:
            return evaluate_levels(self, console)
        check_seed(self.seed, 2**63)
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise RoboAdvError(f"sigma must be a finite number of at least 0, got {self.sigma}")
        condition = None if self.fail_if is None else FailIf.parse(self.fail_if)
        world = world_of([self.policy, *self.opponents], self.game, parse_options(self.set))
        finer = half_timestep.halved(world) if self.half_timestep else None
        game = world.make(1, threads=1)
        player = self._player(game.players[0])
        self._check(game, player, condition)
        with console.status("evaluating") as status:

            def tell(row: str) -> None:
                status.update(f"evaluating {row}")

            rows = self._rows(world, player, tell)
            again = self._rows(finer, player, tell) if finer else []
        run = Run.create(world.game, "evaluate", self, self.seed, self.runs)
        data = {"policy": self.policy, "player": player, "rows": [row.to_json() for row in rows]}
        print_rows(console, f"{self.policy} as {player}", rows)
        if game.notice:
            console.print(game.notice)
            data["notice"] = game.notice
        if again:
            timestep = float(game.model.opt.timestep)
            pairs = zip(rows, again, strict=True)
            data["half_timestep"] = [half_timestep.compare(*pair) for pair in pairs]
            half_timestep.print_comparison(console, timestep, rows, again)
        run.finish(data)
        code = HOLDS if condition is None else judge(console, condition, rows)
        return Outcome(data, run.folder, self._next(game, player, rows[0]), code)

    def _check(self, game: Game, player: str, condition: FailIf | None) -> None:
        """Raises RoboAdvError for a player, opponents or a condition that the game does not have."""
        if player not in game.players:
            raise unknown(f"player of {game.id}", player, game.players)
        known = ("success_rate", *_RATES) if len(game.players) == 1 else _RATES
        if condition is not None and condition.name not in known:
            raise unknown("measure of --fail-if", condition.name, known)
        refuse_opponents(game, player, self.opponents)

    def _rows(self, world: World, player: str, progress: Callable[[str], None]) -> list[Row]:
        game = world.make(1, threads=1)
        return evaluate(
            world, player, named_policy(self.policy, game, player), self._opponents(game, player),
            masks=self.masks, episodes=self.episodes, seed=self.seed, sigma=self.sigma,
            deterministic=not self.stochastic, progress=progress,
        )  # fmt: skip

    def _opponents(self, game: Game, player: str) -> dict[str, Policy]:
        """Label -> policy of the other player; none in a game of one player."""
        if len(game.players) == 1:
            return {}
        other = other_player(game, player)
        normal = [NORMAL] if not self.opponents and normal_opponents(game, other) else []
        names = self.opponents or (*normal, "zero", "random")
        return {name: opponent_policy(name, game, other) for name in names}

    def _player(self, first: str) -> str:
        if bundle_folder(self.policy) is None:
            return self.player or first
        player = find_card(self.policy).player
        if self.player not in (None, player):
            raise RoboAdvError(f"{self.policy} plays {player!r}, --player says {self.player!r}")
        return player

    def _next(self, game: Game, player: str, row: Row) -> str:
        if row.episodes.alone:
            if game.model is None:
                return f"robo-adv audit {self.policy} --env {game.id}"
            return f"robo-adv video {game.id} --policies {player}={self.policy} --pick worst"
        if bundle_folder(self.policy) is not None and len(self.opponents) < 2:
            return f"robo-adv attack {self.policy} --port opponent"
        return "robo-adv matrix"


def judge(console: Console, condition: FailIf, rows: Sequence[Row]) -> int:
    """The exit code of --fail-if over all rows, with a line for each that is not fine."""
    code = HOLDS
    for row in rows:
        summary: dict[str, Any] = row.episodes.summary(row.player)[condition.name]
        rate = Rate(summary["count"], summary["episodes"])
        verdict = condition.judge(rate)
        where = ": ".join(part for part in (row.label, f"{condition.name} {rate}") if part)
        if verdict == "fails":
            console.print(f"FAILS  {where} meets {condition.name}{condition.sign}{condition.threshold:g}")  # fmt: skip  # noqa: E501
            code = FAILS
        elif verdict == "inconclusive":
            more = condition.more_episodes(rate)
            need = "over a million" if more is None else f"about {more}"
            console.print(f"OPEN   {where}; {need} more episodes would decide")
            code = INCONCLUSIVE if code == HOLDS else code
        else:
            console.print(f"HOLDS  {where}")
    return code
