"""Rollouts: play given scenarios with given policies; paired comparisons rest on this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import Level
from robo_adv.policy import Driver, Policy
from robo_adv.safety.statistics import Rate
from robo_adv.sight import shown

if TYPE_CHECKING:
    from robo_adv.envs.episode import Step, World

Array = npt.NDArray[Any]
Limit = tuple[str, float]  # a cost's name and its limit, in the cost's unit

# Scenario seeds. Training draws its own from the run's seed; what a checkpoint is chosen by and what
# is reported never share a scenario.
REPORTED = 1_000_000
SELECTION = 2_000_000


def scenarios(first: int, episodes: int) -> seeding.Seeds:
    """`episodes` consecutive scenario seeds from `first`.

    Raises:
        RoboAdvError: fewer than one episode.
    """
    if episodes < 1:
        raise RoboAdvError(f"episodes must be at least 1, got {episodes}")
    return np.arange(first, first + episodes, dtype=np.uint64)


def even_width(episodes: int, most: int = 256) -> int:
    """How many simulations play `episodes` in equal rounds, so that few idle at the end."""
    return -(-episodes // -(-episodes // most))


@dataclass(frozen=True)
class Episodes:
    """What happened in n scenarios, in the order they were asked for; arrays are (n,).

    Attributes:
        winner: player index, -1 draw, -2 truncated. costs: per player and term, in the game's units.
        units: per cost term. notes: what else the game tells of its episodes (`Game.notes`).
        first_above: per player and (cost, limit) that `play` was asked to watch, the step (1, 2, ...)
            in which the cost first was above the limit, 0 if never.
        control_dt: time between steps [s].
    """

    players: tuple[str, ...]
    seeds: seeding.Seeds
    winner: Array
    length: Array
    diverged: Array
    forfeit: Array
    returns: dict[str, Array]
    costs: dict[str, dict[str, Array]]
    notes: dict[str, Array] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    first_above: dict[str, dict[Limit, Array]] = field(default_factory=dict)
    control_dt: float = 0.0

    def __len__(self) -> int:
        return len(self.seeds)

    def won(self, player: str) -> Array:
        """(n,) whether the player won."""
        return np.asarray(self.winner == self.players.index(player))

    def win_rate(self, player: str) -> Rate:
        """Wins of all episodes; diverged ones count as not won."""
        return Rate(int(self.won(player).sum()), len(self))

    @property
    def alone(self) -> bool:
        """Whether the game has one player, whose win is called success."""
        return len(self.players) == 1

    def outcome(self, j: int) -> str:
        """How episode j ended: the winner, `draw` or `stopped`; of a lone player `success` or not."""
        winner = int(self.winner[j])
        if self.alone:
            return "success" if winner == 0 else "no success"
        return self.players[winner] if winner >= 0 else {-1: "draw"}.get(winner, "stopped")

    def tally(self, player: str) -> str:
        """The player's wins in words, for example `arm: success in 3 of 5`."""
        rate = self.win_rate(player)
        verb = ": success in" if self.alone else " won"
        return f"{player}{verb} {rate.count} of {rate.total}"

    def violation_rate(self, player: str, cost: str) -> Rate:
        """Episodes in which the cost is above 0."""
        return Rate(int((self.costs[player][cost] > 0).sum()), len(self))

    def summary(self, player: str) -> dict[str, Any]:
        """Rates with intervals, and costs of one player, as JSON values.

        A lone player's win rates are repeated as success rates.
        """
        n, valid = len(self), ~self.diverged
        lost = (self.winner >= 0) & ~self.won(player)
        out: dict[str, Any] = {
            "episodes": n,
            "win_rate": self.win_rate(player).to_json(),
            "loss_rate": Rate(int(lost.sum()), n).to_json(),
            "draw_rate": Rate(int((self.winner == -1).sum()), n).to_json(),
            "diverged": int(self.diverged.sum()),
            "forfeited": int(self.forfeit.sum()),
            "length_mean": float(self.length.mean()),
            "costs": {name: self._cost(player, name) for name in self.costs[player]},
        }
        if self.notes:
            out["notes"] = {
                name: {"mean": float(value.mean()), "max": float(value.max())}
                for name, value in self.notes.items()
            }
        if self.diverged.any() and valid.any():
            out["win_rate_without_diverged"] = Rate(
                int(self.won(player)[valid].sum()), int(valid.sum())
            ).to_json()
        rates = [name for name in out if name.startswith("win_rate")] if self.alone else []
        return out | {name.replace("win", "success", 1): out[name] for name in rates}

    def _cost(self, player: str, name: str) -> dict[str, Any]:
        value = self.costs[player][name]
        return {
            "mean": float(value.mean()),
            "max": float(value.max()),
            "unit": self.units.get(name, ""),
            "violation_rate": self.violation_rate(player, name).to_json(),
        }


def play(
    game: World,
    policies: Mapping[str, Policy],
    seeds: seeding.Seeds,
    levels: Sequence[Level] | None = None,
    *,
    deterministic: bool = True,
    watch: Callable[[Step | None], None] | None = None,
    progress: Callable[[int], None] | None = None,
    disturb: Callable[[Array, Mapping[str, Array]], None] | None = None,
    limits: Mapping[str, Sequence[Limit]] | None = None,
) -> Episodes:
    """Play every scenario (seeds[j], levels[j]) once, `game.num_envs` at a time.

    Args:
        policies: one per player; one with a `sight` is given sighted rows. levels: one per scenario,
            or None for nominal.
        watch: called with None after the start and with each step's result.
        progress: called with the number of finished episodes after each step.
        disturb: called before each step with which scenario each simulation plays (num_envs,), -1 for
            those that play on unrecorded, and with the players' observations; force threats push
            from here.
        limits: per player, the costs whose first exceedance to note (`Episodes.first_above`).
    """
    total, width = len(seeds), game.num_envs
    queue = _Queue(seeds, levels, width)
    game.scenarios = queue
    rows = np.arange(width)
    first_seeds, first_levels = queue(rows)
    obs = game.reset(first_seeds, levels=first_levels)
    drivers = {
        p: Driver(policies[p], width, deterministic, lane) for lane, p in enumerate(game.players)
    }
    for p, driver in drivers.items():
        driver.begin(rows, first_seeds, obs[p])
    exceeded = _Exceeded(game, limits or {})
    columns: dict[str, Array] = {}
    done = 0
    if watch:
        watch(None)
    with shown(game, {p: policies[p] for p in drivers}) as seen:
        while done < total:
            playing = queue.assigned.copy()
            if disturb:
                disturb(playing, obs)
            result = game.step({p: driver.act(seen(p, obs[p])) for p, driver in drivers.items()})
            obs = result.obs
            if watch:
                watch(result)
            exceeded.look(result)
            if result.final is None:
                continue
            final = result.final
            episode = playing[final.ids]
            real = episode >= 0
            for name, value in {**_columns(final), **exceeded.take(final.ids)}.items():
                if name not in columns:
                    columns[name] = np.zeros(total, value.dtype)
                columns[name][episode[real]] = value[real]
            done += int(real.sum())
            if progress:
                progress(done)
            for p, driver in drivers.items():
                driver.begin(final.ids, game.seeds[final.ids], obs[p])
    return _episodes(game, seeds, columns, limits or {})


class _Exceeded:
    """Notes per row in which step each watched cost, summed up as it is, first was above its limit."""

    def __init__(self, game: World, limits: Mapping[str, Sequence[Limit]]) -> None:
        self.watched = [(p, name, limit) for p, found in limits.items() for name, limit in found]
        for player, name, _ in self.watched:
            if player not in game.players:
                raise unknown("player", player, game.players)
            if name not in game.costs:
                raise unknown(f"cost of {game.id}", name, game.costs)
        self.summed = [game.costs[name].aggregate == "sum" for _, name, _ in self.watched]
        self.total = np.zeros((len(self.watched), game.num_envs))
        self.first = np.zeros((len(self.watched), game.num_envs), dtype=np.int64)
        self.steps = np.zeros(game.num_envs, dtype=np.int64)

    def look(self, result: Step) -> None:
        self.steps += 1
        for k, (player, name, limit) in enumerate(self.watched):
            value = result.costs[player][name]
            if self.summed[k]:
                self.total[k] += value
                value = self.total[k]
            fresh = (value > limit) & (self.first[k] == 0)
            if fresh.any():
                self.first[k, fresh] = self.steps[fresh]

    def take(self, ids: Array) -> dict[str, Array]:
        """Columns (n,) of the episodes that ended in rows `ids`, which begin anew."""
        out = {
            _limit_column(player, name, limit): self.first[k, ids]
            for k, (player, name, limit) in enumerate(self.watched)
        }
        self.total[:, ids], self.first[:, ids], self.steps[ids] = 0.0, 0, 0
        return out


def _limit_column(player: str, name: str, limit: float) -> str:
    return f"above {player} {name} {limit!r}"


class _Queue:
    """Hands out scenarios in order; rows that find none left play on, unrecorded."""

    def __init__(
        self, seeds: seeding.Seeds, levels: Sequence[Level] | None, width: int
    ) -> None:  # fmt: skip
        self.seeds, self.levels, self.next = seeds, levels, 0
        self.assigned = np.full(width, -1, dtype=np.int64)

    def __call__(self, ids: Array) -> tuple[seeding.Seeds, list[Level] | None]:
        index = np.arange(self.next, self.next + len(ids))
        self.next += len(ids)
        self.assigned[ids] = np.where(index < len(self.seeds), index, -1)
        wrapped = index % len(self.seeds)
        levels = None if self.levels is None else [self.levels[int(i)] for i in wrapped]
        return self.seeds[wrapped], levels


def _columns(final: Any) -> dict[str, Array]:
    out: dict[str, Array] = {
        name: getattr(final, name) for name in ("winner", "length", "diverged", "forfeit")
    }
    for p, value in final.returns.items():
        out[f"return {p}"] = value
        out.update({f"cost {p} {name}": cost for name, cost in final.costs[p].items()})
    out.update({f"note {name}": value for name, value in final.notes.items()})
    return out


def _episodes(
    game: World,
    seeds: seeding.Seeds,
    columns: Mapping[str, Array],
    limits: Mapping[str, Sequence[Limit]],
) -> Episodes:
    return Episodes(
        players=tuple(game.players),
        seeds=seeds,
        winner=columns["winner"],
        length=columns["length"],
        diverged=columns["diverged"],
        forfeit=columns["forfeit"],
        returns={p: columns[f"return {p}"] for p in game.players},
        costs={p: {c: columns[f"cost {p} {c}"] for c in game.costs} for p in game.players},
        notes={n.removeprefix("note "): v for n, v in columns.items() if n.startswith("note ")},
        units={name: cost.unit for name, cost in game.costs.items()},
        first_above={
            p: {(name, limit): columns[_limit_column(p, name, limit)] for name, limit in found}
            for p, found in limits.items()
        },
        control_dt=game.control_dt,
    )
