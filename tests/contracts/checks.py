"""What every Game must keep, as plain functions of a factory, so that mutants can be fed to them.

Each check raises AssertionError with a sentence that says what was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from contracts.cases import MakeGame
from contracts.traces import (
    Act,
    Trace,
    assert_same,
    play,
    play_on,
    random_actions,
    same_observations,
)
from robo_adv import seeding
from robo_adv.envs.episode import DRAW, ONGOING
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level
from robo_adv.levels.space import Value
from robo_adv.policy import Driver, Policy

Array = npt.NDArray[Any]
Stir = Callable[[Game], None] | None


def seeds_decide(make: MakeGame) -> None:
    """Same seed, same trajectory; another seed, another one."""
    first, again = play(make(2), [3, 4], 12), play(make(2), [3, 4], 12)
    assert_same(first, again, "same seeds in two games")
    assert not same_observations(first, first, 0, 1), "two seeds gave the same trajectory"
    for p in first.start:
        assert not np.array_equal(first.start[p][0], first.start[p][1]), "two seeds start alike"


def batch_does_not_matter(make: MakeGame, act: Act, steps: int = 34) -> None:
    """An episode is the same alone, among 256, in another order, at 1 and 2 threads."""
    n = 256
    seeds = np.arange(1000, 1000 + n, dtype=np.uint64)
    order = np.random.default_rng(0).permutation(n)
    whole = play(make(n, threads=2), seeds, steps, act)
    assert whole["terminated"].any(), "no episode ended, so the check would say little"
    shuffled = play(make(n, threads=1), seeds[order], steps, act)
    assert_same(whole, shuffled, "shuffled, 1 thread against 2", rows_a=order)
    for i in (0, 101, n - 1):
        alone = play(make(1), seeds[i : i + 1], steps, act)
        assert_same(whole, alone, f"episode {i} alone", rows_a=[i])


def episodes_do_not_remember(make: MakeGame, steps: int = 35) -> None:
    """Whatever was played before, by reset or autoreset, an episode starts from nothing."""
    game = make(3)
    play(game, [1, 2, 3], 7)
    assert_same(play(make(3), [7, 8, 9], 9), play(game, [7, 8, 9], 9), "after another episode")
    trace = play(game, [1, 2, 3], 1)
    while not trace.steps[-1].terminated.any():
        trace = play_on(game, trace.steps[-1].obs, 1)
        steps -= 1
        assert steps > 0, "no episode ended, so the check would say little"
    row = np.flatnonzero(trace.steps[-1].terminated)[:1]
    restarted = play_on(game, trace.steps[-1].obs, 9)
    fresh = play(make(1), restarted.seeds[0, row], 9)
    assert_same(restarted, fresh, "after autoreset", rows_a=row)


def observations_are_fresh(make: MakeGame) -> None:
    """What a game returned never changes later, and writing into it changes nothing."""
    game, undisturbed = make(2), make(2)
    expected = play(undisturbed, [1, 2], 34)
    obs = game.reset([1, 2])
    kept: list[tuple[Array, Array]] = [(obs[p], obs[p].copy()) for p in game.players]
    for step in range(34):
        result = game.step(random_actions(game, obs))
        obs = result.obs
        returned = [obs[p] for p in game.players]
        returned += [] if result.final is None else [result.final.obs[p] for p in game.players]
        for array in returned:
            assert not np.shares_memory(array, game.qpos), "an observation is a view of the state"
            for old, _ in kept:
                assert not np.shares_memory(array, old), "a view of an earlier one"
        kept += [(array, array.copy()) for array in returned]
        for p in game.players:
            assert np.array_equal(obs[p], expected[f"obs.{p}"][step]), "the copies disagree"
    for array, copy in kept:
        assert np.array_equal(array, copy), "an observation changed after it was returned"
    obs = game.reset([1, 2])
    for step in range(10):
        actions = random_actions(game, obs)
        result = game.step(actions)
        obs = result.obs
        for p in game.players:
            assert np.array_equal(obs[p], expected[f"obs.{p}"][step]), "a caller's write leaked in"
            outputs: list[Array] = [obs[p], result.rewards[p], actions[p]]
            outputs += [*result.reward_terms[p].values(), *result.costs[p].values()]
            for output in outputs:
                output[:] = 7.0


def spaces_and_layouts_fit(make: MakeGame) -> None:
    """Observations have the layout's size, the space's type, units everywhere, finite values."""
    game = make(3)
    trace = play(game, [1, 2, 3], 5)
    for p in game.players:
        layout, space = game.layouts[p], game.observation_space(p)
        assert space.shape == (layout.size,), f"space {space.shape}, layout {layout.size}"
        assert len(set(layout.names)) == len(layout.names), "two slices share a name"
        assert all(s.unit and s.size > 0 for s in layout), "a slice without unit or size"
        for obs in (trace.start[p], trace[f"obs.{p}"][-1]):
            assert obs.shape == (3, layout.size), f"{p}: {obs.shape}, layout {layout.size}"
            assert obs.dtype == space.dtype, f"{p}: dtype {obs.dtype}, space {space.dtype}"
            assert np.isfinite(obs).all(), f"{p}: an observation is not finite"
        assert game.action_space(p).shape == (game.action_size(p),)


def reward_terms_sum(make: MakeGame) -> None:
    """A reward is the sum of its named terms, a return the sum of an episode's rewards."""
    game = make(4)
    trace = play(game, [1, 2, 3, 4], 40)
    for p in game.players:
        terms = {k: v for k, v in trace.columns.items() if k.startswith(f"term.{p}.")}
        assert terms.keys() == {f"term.{p}.{name}" for name in game.weights[p]}, "terms and weights"
        total = sum(terms.values())
        assert np.allclose(total, trace[f"reward.{p}"], rtol=0, atol=1e-12), (
            f"{p}: reward is not the sum of its terms"
        )
        ended = trace["final.length"][:, 0].nonzero()[0]
        assert len(ended), "no episode ended, so the check would say little"
        got = trace[f"final.return.{p}"][ended[0], 0]
        expected = trace[f"reward.{p}"][: ended[0] + 1, 0].sum()
        assert np.isclose(got, expected, rtol=0, atol=1e-9), f"{p}: return {got}, sum {expected}"


def costs_are_apart(make: MakeGame) -> None:
    """Costs are those of `Game.costs`, finite, >= 0, summed up as stated, never rewarded."""
    game = make(4)
    trace = play(game, [1, 2, 3, 4], 40)
    for p in game.players:
        names = {k.removeprefix(f"cost.{p}.") for k in trace.columns if k.startswith(f"cost.{p}.")}
        assert names == set(game.costs), f"{p}: {names}, named in Game.costs {set(game.costs)}"
        assert not names & set(game.weights[p]), "a cost is also a reward term"
        for name, cost in game.costs.items():
            values = trace[f"cost.{p}.{name}"]
            assert np.isfinite(values).all(), f"cost {name} is not finite"
            assert (values >= 0).all(), f"cost {name} is negative"
            assert cost.unit, f"cost {name} has no unit"
            end = int(trace["final.length"][:, 0].nonzero()[0][0])
            summed = np.max if cost.aggregate == "max" else np.sum
            got = trace[f"final.cost.{p}.{name}"][end, 0]
            assert np.isclose(got, summed(values[: end + 1, 0]), rtol=1e-12), f"cost {name}: {got}"
    inflated = make(4)
    original = inflated.cost_terms
    inflated.cost_terms = lambda player: {k: 9 * v + 5 for k, v in original(player).items()}  # type: ignore[method-assign]
    other = play(inflated, [1, 2, 3, 4], 40)
    for p in game.players:
        same = np.array_equal(trace[f"reward.{p}"], other[f"reward.{p}"])
        assert same, f"{p}: the reward changes with the costs"


def same_step_autoreset(make: MakeGame) -> None:
    """The step that ends an episode reports its end and already shows the next one's start."""
    game, twin = make(4), make(4)
    twin._start = lambda *args: None  # type: ignore[method-assign]  # the twin never restarts
    obs = game.reset([1, 2, 3, 4])
    Game._start(twin, np.arange(4), np.arange(1, 5, dtype=np.uint64), None)
    before = game.seeds.copy()
    for _ in range(60):
        actions = random_actions(game, obs)
        result, unrestarted = game.step(actions), twin.step(actions)
        obs = result.obs
        if result.final is not None:
            break
    assert result.final is not None, "no episode ended, so the check would say little"
    final, ids = result.final, result.final.ids
    ended = result.terminated | result.truncated
    assert np.array_equal(np.flatnonzero(ended), ids), "Final.ids are not the ended simulations"
    assert not (result.terminated & result.truncated).any(), "both terminated and truncated"
    assert np.array_equal(final.seeds, before[ids]), "Final.seeds are not the ended episodes'"
    assert np.array_equal(final.winner, result.winner[ids])
    assert np.array_equal(final.winner != ONGOING, result.terminated[ids]), "no verdict at the end"
    assert (final.length > 0).all()
    assert (game.length[ids] == 0).all(), "the step counter did not restart"
    following = make(len(ids)).reset(seeding.derive(before[ids], seeding.NEXT))
    for p in game.players:
        last = unrestarted.obs[p][ids]
        assert np.array_equal(final.obs[p], last), "Final.obs is not the ended episode's last one"
        assert np.array_equal(obs[p][ids], following[p]), "the next episode did not start"
        assert not np.array_equal(final.obs[p], obs[p][ids])
        going = ~ended
        assert np.array_equal(obs[p][going], unrestarted.obs[p][going]), "others were disturbed"


def nominal_level_is_no_level(make: MakeGame) -> None:
    """The nominal level changes no bit, whatever the neighbours' or the previous level was."""
    space, seeds = make(1).design_space, [11, 12, 13, 14]
    plain = play(make(4), seeds, 12)
    nominal = play(make(4), seeds, 12, levels=[space.nominal] * 4)
    assert_same(plain, nominal, "nominal level against none")
    edited = some_levels(make, 2)
    game = make(4)
    mixed = play(game, seeds, 12, levels=[edited[0], space.nominal, edited[1], space.nominal])
    assert_same(plain, mixed, "nominal beside edited levels", [1, 3], [1, 3])
    assert_same(plain, play(game, seeds, 12), "back from edited levels")


def no_dead_knob(make: MakeGame, act: Act, stir: Stir, steps: int = 25) -> None:
    """Both ends of every level parameter change at least one episode, in which the things of every
    slot (obstacles) are there."""
    space = make(1).design_space
    base = {f"{p.slot}_count": space[f"{p.slot}_count"].high for p in space if p.slot}
    levels, names = [space.level(base)], ["nominal"]
    for p in space:
        ends: list[tuple[str, Value]] = [("low", p.low), ("high", p.high)]
        if p.kind == "choice":
            ends = [(option, option) for option in p.options]
        for end, value in ends:
            if value != levels[0][p.name]:
                names.append(f"{p.name} at its {end} end")
                levels.append(space.level({**base, p.name: value}))
    width, seeds = len(levels), range(20, 24)
    trace = play(
        make(width * len(seeds), threads=2), np.repeat(seeds, width), steps, act,
        levels=levels * len(seeds), stir=stir,
    )  # fmt: skip
    starts = [k * width for k in range(len(seeds))]
    for j, name in enumerate(names[1:], 1):
        alive = any(not same_observations(trace, trace, s, s + j) for s in starts)
        assert alive, f"dead knob: {name} changes nothing"


def levels_are_plain_data(make: MakeGame) -> None:
    """Levels survive JSON with value and hash; the hash tells them apart; bounds are kept."""
    space = make(1).design_space
    size = len(space)
    corners = [np.zeros(size), np.ones(size), np.full(size, 0.5)]
    points = [*corners, *seeding.uniform(np.arange(20), 7, size)]
    levels = [space.nominal, *(space.decode(point) for point in points)]
    for level in levels:
        again = space.from_json(level.to_json())
        assert again == level and again.hash == level.hash, f"{level} came back as {again}"
        assert hash(again) == hash(level)
    assert len({level.hash for level in levels}) == len(levels), "two levels share a hash"
    for point in points:
        assert np.allclose(space.encode(space.decode(point)), point, atol=1e-9) or any(
            p.kind in ("int", "choice") for p in space
        ), "encode does not undo decode"
    bad: list[dict[str, Any]] = [{"no_such_parameter": 1.0}]
    for p in space:
        if p.kind == "choice":
            bad += [{p.name: "no such option"}]
        else:
            span = p.high - p.low
            bad += [{p.name: v} for v in (p.low - span, p.high + span, np.nan, np.inf, "1")]
    for values in bad:
        with pytest.raises(RoboAdvError):
            space.level(values)


def snapshot_continues(make: MakeGame, act: Act) -> None:
    """A fresh game that restores a snapshot goes on to the bit, through autoresets."""
    levels = some_levels(make, 3)
    game = make(3)
    first = play(game, [5, 6, 7], 9, act, levels=levels)
    saved, held = game.snapshot(), list(game.levels)
    expected = play_on(game, first.steps[-1].obs, 30, act)
    fresh = make(3)
    fresh.restore(saved, held)
    obs = fresh._observe_all()
    for p in game.players:
        assert np.array_equal(obs[p], first.steps[-1].obs[p]), "restored observations differ"
    assert_same(expected, play_on(fresh, obs, 30, act), "after restore")
    with pytest.raises(RoboAdvError):
        make(2).restore(saved, held[:2])


def bad_actions_forfeit(make: MakeGame) -> None:
    """A non-finite action loses its player the episode and touches no other simulation."""
    players = make(1).players
    for index, player in enumerate(players):
        for value in (np.nan, np.inf):
            game, calm = make(4), make(4)
            obs = game.reset([1, 2, 3, 4])
            calm.reset([1, 2, 3, 4])
            actions = random_actions(game, obs)
            expected = calm.step({p: a.copy() for p, a in actions.items()})
            actions[player][2, -1] = value
            result = game.step(actions)
            assert result.final is not None and result.final.ids.tolist() == [2], "no forfeit"
            winner = 1 - index if len(players) == 2 else DRAW
            assert result.final.winner.tolist() == [winner], "the other player did not win"
            assert result.final.forfeit.all() and not result.final.diverged.any()
            assert result.terminated[2] and not result.truncated[2]
            for p in players:
                assert np.isfinite(result.obs[p]).all()
                assert np.isfinite(result.final.obs[p]).all()
                assert np.isfinite(result.rewards[p]).all()
                others = [0, 1, 3]
                same = np.array_equal(result.obs[p][others], expected.obs[p][others])
                assert same, "a neighbour was touched"


Breakage = Callable[[Game, int], None]


def push_to_infinity(game: Game, row: int) -> None:
    """A force so large that the accelerations of simulation `row` are bad."""
    body = int(game.model.dof_bodyid[-1])  # the last one that can move
    game.batch.bind("xfrc_applied")[row, body, 0] = 1e14


def write(field: str, value: float, index: int = -1) -> Breakage:
    """Writes `value` into a state field of one simulation."""

    def breakage(game: Game, row: int) -> None:
        game.batch.bind(field)[row, index] = value

    return breakage


def diverge(make: MakeGame, break_it: Breakage) -> tuple[Game, Trace, Trace, Trace]:
    """Plays 4 steps, breaks simulation 2 of 4 and plays 12 more, beside an undisturbed twin."""
    game, calm = make(4), make(4)
    before, untouched = play(game, [1, 2, 3, 4], 4), play(calm, [1, 2, 3, 4], 4)
    break_it(game, 2)
    after = play_on(game, before.steps[-1].obs, 12)
    return game, before, after, play_on(calm, untouched.steps[-1].obs, 12)


def divergence_is_contained(make: MakeGame, break_it: Breakage = push_to_infinity) -> None:
    """A simulation that diverges ends truncated, without reward or cost; no other one notices."""
    game, before, after, calm = diverge(make, break_it)
    result = after.steps[0]
    assert result.truncated.tolist() == [False, False, True, False], "not truncated"
    assert not result.terminated[2], "divergence must not count as the episode's natural end"
    assert result.final is not None and result.final.diverged.tolist() == [True]
    assert result.final.winner.tolist() == [ONGOING], "a diverged episode has no winner"
    for p in game.players:
        assert result.rewards[p][2] == 0.0, f"{p}: reward {result.rewards[p][2]}"
        for terms in (result.reward_terms[p], result.costs[p]):
            assert all(v[2] == 0.0 for v in terms.values()), f"{p}: {terms}"
        returned = before[f"reward.{p}"][:, 2].sum()
        assert np.isclose(result.final.returns[p][0], returned, rtol=0, atol=1e-9)
        for name, cost in game.costs.items():
            summed = np.max if cost.aggregate == "max" else np.sum
            earlier = summed(before[f"cost.{p}.{name}"][:, 2])
            assert np.isclose(result.final.costs[p][name][0], earlier), f"cost {name} counted"
        assert np.isfinite(after[f"obs.{p}"]).all(), "the next episode is not finite"
    fresh = play_on(g := make(1), g.reset(seeding.derive([3], seeding.NEXT)), 11)
    going_on = Trace(
        {k: v[1:] for k, v in after.columns.items()},
        {p: after[f"obs.{p}"][0] for p in game.players}, after.steps[1:], after.seeds[1:],
    )  # fmt: skip
    assert_same(going_on, fresh, "the episode after a divergence", rows_a=[2])
    assert_same(after, calm, "neighbours of a diverged simulation", [0, 1, 3], [0, 1, 3])


def divergence_ends_with_the_last_valid_observation(
    make: MakeGame, break_it: Breakage = push_to_infinity
) -> None:
    """`Final.obs` of a diverged episode is the last observation that the players were given."""
    game, before, after, _ = diverge(make, break_it)
    final = after.steps[0].final
    assert final is not None
    for p in game.players:
        last = before[f"obs.{p}"][-1, 2]
        assert np.isfinite(final.obs[p]).all(), "the final observation is not finite"
        assert np.array_equal(final.obs[p][0], last), "not the last valid observation"


def some_levels(make: MakeGame, count: int) -> list[Level]:
    """Levels at random points of the design space, and nominal where there is nothing to set."""
    space = make(1).design_space
    return [space.decode(u) for u in 0.05 + 0.9 * seeding.uniform(np.arange(count), 8, len(space))]


def policy_rows_are_independent(make_policy: Callable[[], Policy], size: int) -> None:
    """A policy's actions in an episode do not depend on which others run beside it.

    Bit-equal with 1, 5 and 256 rows, in another order, through a Driver as the library calls it.
    """
    n, steps = 256, 2
    seeds = np.arange(500, 500 + n, dtype=np.uint64)
    obs = seeding.normal(seeds, 9, size * steps).astype(np.float32).reshape(n, steps, size)
    for deterministic in (True, False):

        def act(rows: Array, deterministic: bool = deterministic) -> Array:
            driver = Driver(make_policy(), len(rows), deterministic)
            driver.begin(np.arange(len(rows)), seeds[rows], obs[rows, 0])
            return np.stack([driver.act(obs[rows, t]) for t in range(steps)], axis=1)

        whole = act(np.arange(n))
        assert np.isfinite(whole).all() and np.abs(whole).max() <= 1.0
        order = np.random.default_rng(0).permutation(n)
        for rows in (np.array([77]), np.arange(5), np.arange(200, 233), order):
            same = np.array_equal(act(rows), whole[rows])
            assert same, f"actions differ in a batch of {len(rows)}, deterministic={deterministic}"
