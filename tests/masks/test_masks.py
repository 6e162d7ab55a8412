"""Masks: each does what its name says, to the masked slices only, in every episode anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from robo_adv import rollout, seeding
from robo_adv.agents.evaluation import MASKED_SLICES, masked
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.masks import MASKS, Masked
from robo_adv.policy import Driver, EpisodicPolicy, Policy, Pool, State
from robo_adv.training.network import NetworkPolicy, build_network

Array = npt.NDArray[Any]
INDEX = np.array([1, 3])
SIZE = 5
MakeMask = Callable[..., Policy]


class Spy:
    """Acts by its first two entries and keeps what it saw."""

    def __init__(self, actions: int = 2) -> None:
        self.seen: list[Array] = []
        self.actions = actions

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen.append(observation.copy())
        return np.zeros((len(observation), self.actions)), state


class Lazy(Masked):
    """The bug of Gleave's repository: whatever the kind, the initial value is shown."""

    def _masked(self, observation: Array, initial: Array, seeds: Array, step: Array) -> Array:
        seen = observation.copy()
        seen[:, self.index] = initial
        return seen


def _observations(n: int, steps: int) -> Array:
    seeds = seeding.derive(np.arange(steps, dtype=np.uint64), 9)
    rows = [seeding.normal(seeding.derive([s], 9, np.arange(n)), 9, SIZE) for s in seeds]
    return np.stack(rows).astype(np.float32)


def _seen(make: MakeMask, kind: str, x: Array, seeds: Array, sigma: float = 1.0) -> Array:
    """What a policy under the mask sees (steps, N, d) of observations x (steps, N, d)."""
    spy = Spy()
    driver = Driver(make(spy, INDEX, kind, sigma), x.shape[1])
    driver.begin(np.arange(x.shape[1]), seeds, x[0])
    for observation in x:
        driver.act(observation)
    return np.stack([seen[: x.shape[1]] for seen in spy.seen])


def _kinds_do_what_they_say(make: MakeMask) -> None:
    x, seeds = _observations(6, 4), np.arange(40, 46, dtype=np.uint64)
    rest = np.setdiff1d(np.arange(SIZE), INDEX)
    seen = {kind: _seen(make, kind, x, seeds, sigma=0.5) for kind in MASKS}
    for kind in MASKS:
        assert np.array_equal(seen[kind][..., rest], x[..., rest]), f"{kind} touches other slices"
    assert np.array_equal(seen["initial"][..., INDEX], np.broadcast_to(x[0][:, INDEX], (4, 6, 2)))
    assert (seen["zeros"][..., INDEX] == 0.0).all()
    own = seeding.derive(seeds, seeding.PLAYER, 0)  # what Driver gives the first player's policy
    for step in range(4):
        noise = 0.5 * seeding.normal(own, seeding.MASK, 2, np.full(6, step, np.uint64))
        expected = x[step][:, INDEX] + noise.astype(np.float32)
        assert np.array_equal(seen["noise"][step][:, INDEX], expected)
    for first, second in (("initial", "zeros"), ("initial", "noise"), ("zeros", "noise")):
        assert not np.isclose(seen[first][1:, :, INDEX], seen[second][1:, :, INDEX]).any()


def test_the_three_masks_are_distinct_and_do_what_they_say() -> None:
    _kinds_do_what_they_say(Masked)


def test_a_mask_that_silently_falls_back_to_initial_is_caught() -> None:
    with pytest.raises(AssertionError):
        _kinds_do_what_they_say(Lazy)


def test_unknown_masks_answer_with_the_closest_name() -> None:
    with pytest.raises(RoboAdvError, match=r"unknown mask 'initail'; did you mean 'initial'\?"):
        Masked(Spy(), INDEX, "initail")
    game = make_game("KickAndDefend-v0", 1, threads=1, arms=0)
    with pytest.raises(RoboAdvError, match=r"unknown mask 'zero'; did you mean 'zeros'"):
        masked(Spy(), game, "kicker", "zero")
    spy = Spy()
    assert masked(spy, game, "kicker", "none") is spy


def test_the_initial_mask_freezes_again_at_every_episode_start() -> None:
    x, spy = _observations(5, 6), Spy()
    driver = Driver(Masked(spy, INDEX, "initial"), 5)
    driver.begin(np.arange(5), np.arange(5, dtype=np.uint64), x[0])
    frozen = x[0].copy()
    for step in range(6):
        if step in (2, 5):  # rows 1 and 4 begin new episodes with the current observation
            driver.begin(np.array([1, 4]), np.array([9, 9 + step], dtype=np.uint64), x[step])
            frozen[[1, 4]] = x[step][[1, 4]]
        driver.act(x[step])
        assert np.array_equal(spy.seen[-1][:5, INDEX], frozen[:, INDEX])


def test_noise_has_the_given_deviation_and_belongs_to_the_episode_not_to_the_batch() -> None:
    n, steps = 64, 50
    x, seeds = np.zeros((steps, n, SIZE), np.float32), np.arange(7, 7 + n, dtype=np.uint64)
    whole = _seen(Masked, "noise", x, seeds, sigma=3.0)[..., INDEX]
    assert abs(whole.std() / 3.0 - 1.0) < 0.03 and abs(whole.mean()) < 0.15
    flat = whole.reshape(-1, 2)
    assert len(np.unique(flat)) == flat.size  # never the same number twice
    assert abs(np.corrcoef(flat.T)[0, 1]) < 0.06
    assert np.array_equal(_seen(Masked, "noise", x, seeds, sigma=3.0)[..., INDEX], whole)
    for i in (0, 40, 63):
        alone = _seen(Masked, "noise", x[:, :1], seeds[i : i + 1], sigma=3.0)[..., INDEX]
        assert np.array_equal(alone[:, 0], whole[:, i])
    reverse = _seen(Masked, "noise", x[:, ::-1], seeds[::-1], sigma=3.0)[..., INDEX]
    assert np.array_equal(reverse[:, ::-1], whole)


def test_the_observation_that_the_game_gave_is_not_written_to() -> None:
    for kind in MASKS:
        x = np.ones((3, SIZE), np.float32)
        driver = Driver(Masked(Spy(), INDEX, kind), 3)
        driver.begin(np.arange(3), np.arange(3, dtype=np.uint64), x)
        driver.act(x)
        assert (x == 1.0).all()


def _game(n: int = 6) -> Game:
    game = make_game("KickAndDefend-v0", n, threads=1, arms=0)
    game.clock_steps = 12  # type: ignore[attr-defined]
    return game


def _network(game: Game, player: str, seed: int = 0) -> NetworkPolicy:
    torch.manual_seed(seed)
    network = build_network(game.layouts[player].size, game.action_size(player), (16,), "tanh")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return NetworkPolicy(network)


@pytest.mark.parametrize("kind", MASKS)
def test_a_player_bound_inside_a_seat_can_be_masked(kind: str) -> None:
    game, spy = _game(), Spy(actions=3)
    index = game.layouts["keeper"].index(MASKED_SLICES)
    assert [game.layouts["keeper"][name] for name in game.layouts["keeper"].names
            if name.startswith("opponent_")], "there is nothing to mask"  # fmt: skip
    seat = Seat(game, "kicker", {"keeper": masked(spy, game, "keeper", kind)})
    seat.reset(seed=3)
    assert seat._obs is not None
    true = [seat._obs["keeper"].copy()]
    first, ended = true[0].copy(), np.zeros(6, dtype=bool)
    autoresets = 0
    for _ in range(30):
        _, _, terminated, truncated, _ = seat.step(np.ones((6, 3)))
        seen, before = spy.seen[-1][:6], true[-1]
        rest = np.setdiff1d(np.arange(before.shape[1]), index)
        assert np.array_equal(seen[:, rest], before[:, rest])
        if kind == "initial":
            assert np.array_equal(seen[:, index], first[:, index])
        elif kind == "zeros":
            assert (seen[:, index] == 0.0).all()
        else:
            assert not np.isclose(seen[:, index], before[:, index]).any(axis=1).all()
        true.append(seat._obs["keeper"].copy())
        ended = terminated | truncated
        first[ended] = true[-1][ended]
        autoresets += int(ended.sum())
    assert autoresets >= 12


@pytest.mark.parametrize("kind", MASKS)
def test_masked_episodes_are_the_same_in_any_batch_and_differ_from_unmasked_ones(kind: str) -> None:
    seeds = np.arange(50, 60, dtype=np.uint64)

    def returns(width: int, mask: str) -> Array:
        game = _game(width)
        kicker = masked(_network(game, "kicker"), game, "kicker", mask)
        policies = {"kicker": kicker, "keeper": SCRIPTED["random"](game, "keeper")}
        return rollout.play(game, policies, seeds).returns["kicker"]

    assert np.array_equal(returns(10, kind), returns(3, kind))
    assert (returns(10, kind) != returns(10, "none")).all()


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("deterministic", [True, False])
def test_pools_and_stochastic_policies_can_be_masked(kind: str, deterministic: bool) -> None:
    """A masked Pool acts as its members would on the masked view, member by member."""
    game = _game(8)
    members = [_network(game, "kicker", seed) for seed in (1, 2)]
    pool, index = Pool([*members, SCRIPTED["random"](game, "kicker")]), np.arange(3)
    x = seeding.normal(np.arange(40), 9, game.layouts["kicker"].size).astype(np.float32)
    seeds = np.arange(40, dtype=np.uint64)

    def actions(policy: Policy) -> Array:
        driver = Driver(policy, 40, deterministic)
        driver.begin(np.arange(40), seeds, x)
        return np.stack([driver.act(x + 0.1 * k) for k in range(3)])

    got = actions(Masked(pool, index, kind))
    assigned = pool.start(seeding.derive(seeds, seeding.PLAYER, 0), x)[0]
    assert len(np.unique(assigned)) == 3
    for member, policy in enumerate(pool.members):
        rows = assigned == member
        assert np.array_equal(got[:, rows], actions(Masked(policy, index, kind))[:, rows])


class Remembers:
    """Keeps state as stable-baselines3's recurrent policies do: no `start`."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        step = np.zeros(len(observation)) if state is None else state[0]
        assert episode_start is not None
        step = np.where(episode_start, 0.0, step)
        return np.column_stack([step, step]), (step + 1,)


def test_a_recurrent_policy_keeps_its_state_under_a_mask_or_is_refused() -> None:
    x = _observations(3, 1)[0]
    try:
        driver = Driver(Masked(Remembers(), INDEX, "zeros"), 3)
        driver.begin(np.arange(3), np.arange(3, dtype=np.uint64), x)
        steps = [float(driver.act(x)[0, 0]) for _ in range(3)]
    except RoboAdvError:
        return
    assert steps == [0.0, 1.0, 2.0]


def test_episode_start_alone_freezes_the_initial_value_again() -> None:
    spy, x = Spy(), _observations(2, 2)
    policy = Masked(spy, INDEX, "initial")
    _, state = policy.predict(x[0], None, np.ones(2, dtype=bool), True)
    policy.predict(x[1], state, np.array([True, False]), True)
    assert np.array_equal(spy.seen[-1][0, INDEX], x[1][0, INDEX])
    assert np.array_equal(spy.seen[-1][1, INDEX], x[0][1, INDEX])


def test_masks_start_like_any_policy_with_state_per_episode() -> None:
    assert isinstance(Masked(Spy(), INDEX, "zeros"), EpisodicPolicy)
