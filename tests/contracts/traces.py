"""Playing a game with policies that are pure functions of scenario seed, step and observation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.episode import Step
from robo_adv.envs.game import Game
from robo_adv.levels import Level

Array = npt.NDArray[Any]
Act = Callable[[Game, Mapping[str, Array]], dict[str, Array]]
_STREAM = 100  # streams of the tests' random actions: one per player, apart from the library's


def random_actions(game: Game, obs: Mapping[str, Array]) -> dict[str, Array]:
    """Uniform actions (N, a) that depend on the episode's seed and step alone."""
    return {
        p: 2 * seeding.uniform(game.seeds, _STREAM + i, game.action_size(p), game.length) - 1
        for i, p in enumerate(game.players)
    }


def mixed_actions(scripted: Mapping[str, str]) -> Act:
    """Scripted players in episodes with even seeds, random ones in the others."""

    def act(game: Game, obs: Mapping[str, Array]) -> dict[str, Array]:
        actions = random_actions(game, obs)
        even = (game.seeds % np.uint64(2) == 0)[:, None]
        for player, name in scripted.items():
            wanted = SCRIPTED[name](game, player).act(obs[player])
            actions[player] = np.where(even, wanted, actions[player])
        return actions

    return act


@dataclass(frozen=True)
class Trace:
    """Everything a game gave over T steps of N simulations.

    Attributes:
        columns: named arrays (T, N, ...): observations, rewards, terms, costs, ends, final reports.
        start: first observations (N, d) per player.
        seeds: (T, N) scenario played during each step.
    """

    columns: dict[str, Array]
    start: dict[str, Array]
    steps: list[Step]
    seeds: Array

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]


def play(
    game: Game,
    seeds: Sequence[int] | Array,
    steps: int,
    act: Act = random_actions,
    levels: Sequence[Level] | None = None,
    stir: Callable[[Game], None] | None = None,
) -> Trace:
    """Reset to the scenarios and play on for `steps` control steps, through autoresets."""
    obs: Mapping[str, Array] = game.reset(np.asarray(seeds, dtype=np.uint64), levels=levels)
    if stir:
        stir(game)
    return play_on(game, obs, steps, act)


def play_on(game: Game, obs: Mapping[str, Array], steps: int, act: Act = random_actions) -> Trace:
    """Continue from where the game is."""
    start = {p: obs[p].copy() for p in game.players}
    rows: list[dict[str, Array]] = []
    results: list[Step] = []
    played: list[Array] = []
    for _ in range(steps):
        played.append(game.seeds.copy())
        result = game.step(act(game, obs))
        obs = result.obs
        results.append(result)
        rows.append(_row(game, result))
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return Trace(columns, start, results, np.stack(played))


def _row(game: Game, result: Step) -> dict[str, Array]:
    n = game.num_envs
    row: dict[str, Array] = {
        "terminated": result.terminated.copy(),
        "truncated": result.truncated.copy(),
        "winner": result.winner.copy(),
    }
    final = result.final
    for p in game.players:
        row[f"obs.{p}"] = result.obs[p].copy()
        row[f"reward.{p}"] = result.rewards[p].copy()
        row |= {f"term.{p}.{k}": v.copy() for k, v in result.reward_terms[p].items()}
        row |= {f"cost.{p}.{k}": v.copy() for k, v in result.costs[p].items()}
        row[f"final.obs.{p}"] = np.zeros_like(result.obs[p])
        row[f"final.return.{p}"] = np.zeros(n)
        row |= {f"final.cost.{p}.{k}": np.zeros(n) for k in game.costs}
        if final is not None:
            row[f"final.obs.{p}"][final.ids] = final.obs[p]
            row[f"final.return.{p}"][final.ids] = final.returns[p]
            for k, v in final.costs[p].items():
                row[f"final.cost.{p}.{k}"][final.ids] = v
    row["final.length"] = np.zeros(n, dtype=np.int64)
    if final is not None:
        row["final.length"][final.ids] = final.length
    return row


def assert_same(
    a: Trace, b: Trace, what: str, rows_a: Any = slice(None), rows_b: Any = slice(None)
) -> None:
    """Simulations `rows_a` of one trace equal simulations `rows_b` of the other to the bit."""
    for p in a.start:
        assert _same_bits(a.start[p][rows_a], b.start[p][rows_b]), f"{what}: obs of {p} differ"
    assert a.columns.keys() == b.columns.keys()
    for name in a.columns:
        mine, other = a[name][:, rows_a], b[name][:, rows_b]
        assert _same_bits(mine, other), f"{what}: {name} differs{_where(mine, other)}"


def same_observations(a: Trace, b: Trace, row_a: int, row_b: int) -> bool:
    """Whether two simulations showed the same observations throughout."""
    return all(
        _same_bits(a.start[p][row_a], b.start[p][row_b])
        and _same_bits(a[f"obs.{p}"][:, row_a], b[f"obs.{p}"][:, row_b])
        for p in a.start
    )


def _same_bits(a: Array, b: Array) -> bool:
    return (
        a.shape == b.shape
        and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
    )


def _where(a: Array, b: Array) -> str:
    if a.shape != b.shape:
        return f" in shape, {a.shape} and {b.shape}"
    step = int(np.flatnonzero([not _same_bits(x, y) for x, y in zip(a, b, strict=True)])[0])
    return f" from step {step} on"
