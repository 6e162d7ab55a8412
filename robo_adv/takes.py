"""Which episodes a video shows, and what it needs to know of them: line-ups, takes and picks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import unknown
from robo_adv.levels import Level
from robo_adv.policy import Driver, Policy
from robo_adv.rollout import Episodes
from robo_adv.sight import shown

if TYPE_CHECKING:
    from robo_adv.envs.game import Game

Array = npt.NDArray[Any]
How = Literal["worst", "median", "random", "all"]


@dataclass(frozen=True)
class LineUp:
    """Who plays: a title and a note for the picture, and per player a policy and its name."""

    title: str
    policies: Mapping[str, Policy]
    names: Mapping[str, str]
    note: str = ""


@dataclass(frozen=True)
class Take:
    """One played episode, ready to be drawn.

    Attributes:
        states: physics states (T + 1, n), from the start to the end. dt: time between them [s].
        winner: player's name, or "" when nobody won. ending: how it ended, in words; a lone player
            has success or not.
    """

    seed: int
    states: Array
    dt: float
    winner: str
    ending: str


def pick(episodes: Episodes, player: str, how: str, count: int, seed: int = 0) -> Array:
    """Which `count` rows (n,) of an evaluation to show.

    - `worst`: by what happened to `player`: lost ones first, the shortest (fastest) loss first; then
      undecided ones, the shortest first; then won ones, the longest (hardest) win first;
    - `median`: the middle of that order; - `random`: drawn without looking, from `seed`;
    - `all`: every row in the order it was played; `count` plays no role.

    Raises:
        UnknownNameError: no such way of picking, or no such player.
    """
    if how not in get_args(How):
        raise unknown("way of picking", how, get_args(How))
    if player not in episodes.players:
        raise unknown("player", player, episodes.players)
    total = len(episodes)
    count = min(max(count, 1), total)
    if how == "all":
        return np.arange(total)
    if how == "random":
        luck = seeding.uniform(seeding.as_seeds(seed), seeding.MEMBER, total)[0]
        return np.argsort(luck, kind="stable")[:count]
    won = episodes.won(player)
    group = np.where(won, 2, np.where(episodes.winner >= 0, 0, 1))
    order = np.lexsort((np.where(won, -episodes.length, episodes.length), group))
    first = 0 if how == "worst" else (total - count) // 2
    return order[first : first + count]


def play_take(game: Game, policies: Mapping[str, Policy], seed: int, level: Level | None) -> Take:
    """Play a scenario in simulation 0 of a game of one, deterministically, and keep its states."""
    states: list[Array] = []
    endings: list[str] = []
    seeds, levels = seeding.as_seeds(seed), None if level is None else [level]

    def restart(ids: Array) -> tuple[seeding.Seeds, list[Level] | None]:
        # Autoreset asks here for the next scenario while the last state is still there.
        states.append(game.batch.state[0].copy())
        endings.append(_ending(game))
        return seeds, levels

    game.scenarios = restart
    obs = game.reset(seeds, levels=levels)
    drivers = {p: Driver(policies[p], 1, lane=i) for i, p in enumerate(game.players)}
    for p, driver in drivers.items():
        driver.begin(np.zeros(1, dtype=np.int64), seeds, obs[p])
    final = None
    with shown(game, policies) as seen:
        while final is None:
            states.append(game.batch.state[0].copy())
            result = game.step({p: driver.act(seen(p, obs[p])) for p, driver in drivers.items()})
            obs, final = result.obs, result.final
    index = int(final.winner[0])
    winner = game.players[index] if index >= 0 else ""
    reason = endings[0]
    if final.diverged[0]:
        reason = "simulation diverged"
    if final.forfeit[0]:
        reason = "invalid action"
    if len(game.players) == 1:
        told = _success(bool(winner), reason)
    else:
        told = _result(winner, reason, drawn=index == -1)
    return Take(seed, np.array(states), game.control_dt, winner, told)


def _result(winner: str, reason: str, drawn: bool) -> str:
    """How an episode of several players ended."""
    if winner:
        return f"{reason}: {winner} wins" if reason else f"{winner} wins"
    return reason or ("draw" if drawn else "stopped at a limit")


def _success(won: bool, reason: str) -> str:
    """How a lone player's episode ended; a reason that only repeats the outcome is left out."""
    outcome = "success" if won else "no success"
    return outcome if reason in ("", "success", "no success") else f"{outcome}: {reason}"


def _ending(game: Game) -> str:
    """How simulation 0 just ended, from games that can say it (`ending(i) -> str`)."""
    describe = getattr(game, "ending", None)
    return str(describe(0)) if callable(describe) else ""
