"""`robo-adv matrix`: the cross-play table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.agents.evaluation import evaluate, world_of
from robo_adv.agents.named import find_card, named_policy, zoo_names
from robo_adv.cli.options import need_two_players, parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run
from robo_adv.safety.statistics import Rate


@dataclass(frozen=True)
class Matrix:
    """Play every policy of one player against every policy of the other on the same scenarios.

    Each cell is the first player's win rate with its exact 95 % interval."""

    kickers: tuple[str, ...] = ()
    """Policies of the first player; default: the zoo's, and chase-ball."""
    keepers: tuple[str, ...] = ()
    """Policies of the second player; default: the zoo's, and track-ball, zero, random."""
    game: str = "KickAndDefend-v0"
    """Game."""
    set: tuple[str, ...] = ()
    """Game options when no policy is a bundle, e.g. arms=4."""
    episodes: int = 300
    """Scenarios per cell."""
    seed: int = REPORTED
    """First scenario seed."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        world = world_of([*self.kickers, *self.keepers], self.game, parse_options(self.set))
        evaluate_it = f"`robo-adv evaluate POLICY --game {world.game}`"
        hint = f"compare policies with {evaluate_it}, which plays the same scenarios every time"
        need_two_players(world.game, "a matrix", hint)
        game = world.make(1, threads=1)
        first, second = game.players
        kickers = self.kickers or (*_zoo(world.game, first), "chase-ball")
        keepers = self.keepers or (*_zoo(world.game, second), "track-ball", "zero", "random")
        opponents = {name: named_policy(name, game, second) for name in keepers}
        cells: dict[str, dict[str, Any]] = {}
        title = f"{first}'s win rate in % [95 %], {self.episodes} paired scenarios"
        table = Table(first, *(_short(name) for name in keepers), title=title, box=None)
        with console.status("playing") as status:
            for name in kickers:
                status.update(f"playing {name}")
                policy = named_policy(name, game, first)
                rows = evaluate(
                    world, first, policy, opponents, episodes=self.episodes, seed=self.seed
                )
                cells[name] = {row.opponent: row.to_json()["win_rate"] for row in rows}
                table.add_row(_short(name), *(_cell(row.episodes.win_rate(first)) for row in rows))
        console.print(table)
        run = Run.create(world.game, "matrix", self, self.seed, self.runs)
        data = {"player": first, "win_rate": cells}
        run.finish(data)
        return Outcome(data, run.folder, "robo-adv video --pick worst")


def _short(name: str) -> str:
    return name.removeprefix("zoo:").replace("-", "-\n", 1)


def _cell(rate: Rate) -> str:
    return f"{100 * float(rate):.1f}\n[{100 * rate.low:.0f}, {100 * rate.high:.0f}]"


def _zoo(game: str, player: str) -> list[str]:
    """Zoo policies of the player that share the first one's options."""
    cards = {f"zoo:{name}": find_card(f"zoo:{name}") for name in zoo_names()}
    mine = {n: c for n, c in cards.items() if c.game == game and c.player == player}
    options = next((c.options for c in mine.values()), None)
    return [name for name, card in mine.items() if card.options == options]
