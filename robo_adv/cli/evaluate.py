"""`robo-adv evaluate`: win rates and costs with intervals, on paired scenarios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from robo_adv.agents.evaluation import (
    NORMAL,
    Row,
    evaluate,
    normal_opponents,
    opponent_policy,
    other_player,
    world_of,
)
from robo_adv.agents.named import bundle_folder, find_card, named_policy
from robo_adv.cli.options import parse_options
from robo_adv.cli.train import check_seed
from robo_adv.cli.verb import FAILS, HOLDS, INCONCLUSIVE, Outcome
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run
from robo_adv.safety.statistics import FailIf, Rate, mcnemar


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy against opponents, and with its view of the opponent masked."""

    policy: Annotated[str, tyro.conf.Positional]
    """zoo:<name>, a bundle's or run's folder, a scripted policy, or module:callable."""
    opponents: tuple[str, ...] = ()
    """Opponents: names as above, or `normal` (the zoo's self-play opponents, one drawn per
    scenario). Default: normal zero random where the zoo has normal ones, else zero random."""
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
    fail_if: str | None = None
    """Condition such as "win_rate<0.8", judged by the 95 % interval of every row: exit 0 none
    meets it, 1 one does, 3 undecided (says how many more episodes would decide)."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        check_seed(self.seed, 2**63)
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise RoboAdvError(f"sigma must be a finite number of at least 0, got {self.sigma}")
        condition = None if self.fail_if is None else FailIf.parse(self.fail_if)
        if condition is not None and condition.name not in _RATES:
            raise unknown("measure of --fail-if", condition.name, _RATES)
        world = world_of([self.policy, *self.opponents], self.game, parse_options(self.set))
        game = world.make(1, threads=1)
        player = self._player(game.players[0])
        other = other_player(game, player)
        policy = named_policy(self.policy, game, player)
        names = self.opponents or (
            *([NORMAL] if normal_opponents(game, other) else []), "zero", "random",
        )  # fmt: skip
        opponents = {name: opponent_policy(name, game, other) for name in names}
        run = None
        with console.status("evaluating") as status:
            rows = evaluate(
                world, player, policy, opponents, masks=self.masks, episodes=self.episodes,
                seed=self.seed, sigma=self.sigma, deterministic=not self.stochastic,
                progress=lambda label: status.update(f"evaluating: {label}"),
            )  # fmt: skip
        run = Run.create(world.game, "evaluate", self, self.seed, self.runs)
        data = {"policy": self.policy, "player": player, "rows": [row.to_json() for row in rows]}
        run.finish(data)
        print_rows(console, f"{self.policy} as {player}", rows)
        code = HOLDS if condition is None else judge(console, condition, rows)
        return Outcome(data, run.folder, self._next(other), code)

    def _player(self, first: str) -> str:
        if bundle_folder(self.policy) is None:
            return self.player or first
        player = find_card(self.policy).player
        if self.player not in (None, player):
            raise RoboAdvError(f"{self.policy} plays {player!r}, --player says {self.player!r}")
        return player

    def _next(self, other: str) -> str:
        if bundle_folder(self.policy) is not None and len(self.opponents) < 2:
            return f"robo-adv attack {self.policy} --port opponent"
        return "robo-adv matrix"


_RATES = ("win_rate", "loss_rate", "draw_rate")


def print_rows(console: Console, title: str, rows: Sequence[Row]) -> None:
    """A table of win rates; changes are against the first row, paired by scenario."""
    table = Table("opponent", "mask", "win rate [95 %]", "change, p", "collision N (mean, max)",
                  title=title, title_justify="left", box=None)  # fmt: skip
    first = rows[0].episodes.won(rows[0].player)
    for row in rows:
        won = row.episodes.won(row.player)
        change = ""
        if row is not rows[0]:
            gained, lost = int((won & ~first).sum()), int((first & ~won).sum())
            delta = 100 * (gained - lost) / len(won)
            change = f"{delta:+.1f}, p {mcnemar(gained, lost):.2g}"
        force = row.episodes.costs[row.player].get("collision_force")
        cost = "" if force is None else f"{force.mean():.1f}, {force.max():.0f}"
        table.add_row(row.opponent, row.mask, str(row.episodes.win_rate(row.player)), change, cost)
    console.print(table)


def judge(console: Console, condition: FailIf, rows: Sequence[Row]) -> int:
    """The exit code of --fail-if over all rows, with a line for each that is not fine."""
    code = HOLDS
    for row in rows:
        summary: dict[str, Any] = row.episodes.summary(row.player)[condition.name]
        rate = Rate(summary["count"], summary["episodes"])
        verdict = condition.judge(rate)
        where = f"{row.opponent}, mask {row.mask}: {condition.name} {rate}"
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
