"""Driver and Pool: an episode's actions depend on its own observations, state and seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from contracts import checks
from contracts.cases import SMALL
from robo_adv import rollout, seeding
from robo_adv.agents.scripted import SCRIPTED, Random
from robo_adv.envs.episode import Step
from robo_adv.envs.game import Game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver, EpisodicPolicy, Policy, Pool, State
from robo_adv.takes import play_take
from robo_adv.training.network import NetworkPolicy, build_network

Array = npt.NDArray[Any]
SIZE, ACTIONS = 25, 7


def _network(
    seed: int = 0, width: int = 64, size: int = SIZE, actions: int = ACTIONS
) -> NetworkPolicy:
    torch.manual_seed(seed)
    network = build_network(size, actions, (width, width), "tanh")
    for layer in network.modules():  # orthogonal 0.01 actions would hide differences
        if isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.3)
    return NetworkPolicy(network)


@pytest.fixture(params=[1, 2], ids="torch threads {}".format)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def _own(seeds: Array, lane: int = 0) -> Array:
    """What a policy gets for a seed: every player of an episode its own."""
    return seeding.derive(seeds, seeding.PLAYER, lane).astype(float)


class Counter:
    """Acts by how many steps its episode has played; state starts from the seed."""

    def __init__(self, offset: float = 0.0) -> None:
        self.offset, self.calls, self.rows = offset, 0, 0

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return seeds.copy(), np.zeros(len(seeds), dtype=np.int64)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        assert state is not None
        self.calls += 1
        self.rows += len(observation)
        seeds, step = state
        action = np.column_stack([seeds.astype(float), step + self.offset])
        return action, (seeds, step + 1)


class Recurrent:
    """Keeps state the way stable-baselines3's recurrent policies do: no `start`."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        n = len(observation)
        step = np.zeros(n) if state is None else state[0]
        assert episode_start is not None and len(step) == n
        step = np.where(episode_start, 0.0, step)
        return np.column_stack([step, step]), (step + 1,)


def test_network_actions_do_not_depend_on_the_batch(threads: int) -> None:
    checks.policy_rows_are_independent(_network, SIZE)


def test_random_actions_do_not_depend_on_the_batch() -> None:
    game = SMALL(1)
    checks.policy_rows_are_independent(lambda: Random(game, "kicker"), SIZE)


def test_pool_actions_do_not_depend_on_the_batch(threads: int) -> None:
    def pool() -> Policy:
        return Pool([_network(1), _network(2, width=32), _network(3)], [0.6, 0.1, 0.3])

    checks.policy_rows_are_independent(pool, SIZE)


def test_a_pool_of_one_acts_as_its_member() -> None:
    member, seeds = _network(), np.arange(40, dtype=np.uint64)
    obs = seeding.normal(seeds, 9, SIZE).astype(np.float32)
    actions = []
    for policy in (member, Pool([member])):
        driver = Driver(policy, 40, deterministic=False)
        driver.begin(np.arange(40), seeds, obs)
        actions.append(np.stack([driver.act(obs) for _ in range(3)]))
    assert np.array_equal(actions[0], actions[1])


def test_a_pool_draws_members_from_the_scenario_seed_with_the_given_weights() -> None:
    seeds = np.arange(6000, dtype=np.uint64)
    weights = np.array([3.0, 0.0, 1.0, 2.0])
    pool = Pool([Counter(i) for i in range(4)], weights.tolist())
    drawn = pool.start(seeds, np.zeros((6000, 1)))[0]
    order = np.random.default_rng(0).permutation(6000)
    assert np.array_equal(pool.start(seeds[order], np.zeros((6000, 1)))[0], drawn[order])
    assert pool.start(seeds[17:18], np.zeros((1, 1)))[0] == drawn[17]
    counts = np.bincount(drawn, minlength=4)
    assert counts[1] == 0
    present = weights > 0
    expected = 6000 * weights[present] / weights.sum()
    assert stats.chisquare(counts[present], expected).pvalue > 1e-3


def test_a_pool_calls_each_member_once_per_step_on_its_own_rows() -> None:
    members = [Counter(0.0), Counter(100.0), Counter(200.0)]
    n, seeds = 64, np.arange(64, dtype=np.uint64)
    driver = Driver(Pool(members), n)
    driver.begin(np.arange(n), seeds, np.zeros((n, 1)))
    assert driver.state is not None
    assigned = driver.state[0].copy()
    assert len(np.unique(assigned)) == 3
    for step in range(5):
        action = driver.act(np.zeros((n, 1)))
        assert [member.calls for member in members] == [step + 1] * 3
        assert np.array_equal(action[:, 0], _own(seeds))
        assert np.array_equal(action[:, 1], 100.0 * assigned + step)
    for index, member in enumerate(members):
        own = int((assigned == index).sum())
        assert member.rows == 5 * -(-own // 32) * 32  # padded to a multiple of 32


@pytest.mark.parametrize("n", [5, 64])
@pytest.mark.parametrize("pooled", [False, True])
def test_state_is_kept_per_episode_and_starts_anew(pooled: bool, n: int) -> None:
    policy: Policy = Pool([Counter(), Counter()]) if pooled else Counter()
    driver, seeds = Driver(policy, n), np.arange(n, dtype=np.uint64)
    driver.begin(np.arange(n), seeds, np.zeros((n, 1)))
    age = np.zeros(n)
    for step in range(6):
        if step in (2, 3):
            ended = np.array([1, 4])
            seeds[ended] = seeding.derive(seeds[ended], seeding.NEXT)
            driver.begin(ended, seeds[ended], np.zeros((n, 1)))
            age[ended] = 0
        action = driver.act(np.zeros((n, 1)))
        assert np.array_equal(action[:, 0], _own(seeds))
        assert np.array_equal(action[:, 1], age)
        age += 1


def test_a_recurrent_policy_keeps_its_own_state() -> None:
    driver = Driver(Recurrent(), 5)
    driver.begin(np.arange(5), np.arange(5, dtype=np.uint64), np.zeros((5, 1)))
    assert driver.act(np.zeros((5, 1)))[:, 0].tolist() == [0] * 5
    driver.begin(np.array([3]), np.array([9], dtype=np.uint64), np.zeros((5, 1)))
    assert driver.act(np.zeros((5, 1)))[:, 0].tolist() == [1, 1, 1, 0, 1]


@pytest.mark.parametrize("n", [5, 64])
@pytest.mark.parametrize("others", [[], [Counter(), Counter()]], ids=["alone", "among others"])
def test_a_recurrent_member_of_a_pool_is_refused(others: list[Policy], n: int) -> None:
    driver = Driver(Pool([*others, Recurrent()]), n)
    driver.begin(np.arange(n), np.arange(n, dtype=np.uint64), np.zeros((n, 1)))
    with pytest.raises(RoboAdvError, match="Recurrent keeps a state; inside another policy"):
        driver.act(np.zeros((n, 1)))


def _random() -> Policy:
    return Random(SMALL(1), "kicker")


@pytest.mark.parametrize("make_policy", [_random, _network])
def test_players_of_one_episode_draw_different_numbers(make_policy: Callable[[], Policy]) -> None:
    """Also when they are the same policy and see the same; a player's own numbers are its lane's."""
    n, seeds = 400, np.arange(400, dtype=np.uint64)
    obs = np.zeros((n, SIZE), dtype=np.float32)
    policy, drawn = make_policy(), []
    for lane in (0, 1, 0):
        driver = Driver(policy, n, deterministic=False, lane=lane)
        driver.begin(np.arange(n), seeds, obs)
        drawn.append(np.stack([driver.act(obs) for _ in range(3)]))
    first, second, again = drawn
    assert np.array_equal(first, again)
    within = (np.abs(first) < 1) & (np.abs(second) < 1)  # not clipped
    assert within.mean() > 0.1 and not (first == second)[within].any()
    assert stats.pearsonr(first[0, :, 0], second[0, :, 0]).pvalue > 1e-3


class Recorded:
    """Passes on what another policy does in `rows` episodes, and keeps it."""

    def __init__(self, policy: EpisodicPolicy, rows: int) -> None:
        self.policy, self.rows, self.actions = policy, rows, list[Array]()

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return self.policy.start(seeds, observation)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        action, state = self.policy.predict(observation, state, episode_start, deterministic)
        self.actions.append(np.array(action[: self.rows]))
        return action, state


@pytest.mark.parametrize("rebound", [False, True])
@pytest.mark.parametrize("sampled", [False, True], ids=["random", "sampled network"])
def test_an_opponent_draws_the_same_numbers_in_a_seat_as_in_a_rollout(
    sampled: bool, rebound: bool
) -> None:
    n = 4
    seeds = np.arange(60, 60 + n, dtype=np.uint64)

    def policies(game: Game) -> dict[str, Recorded]:
        def policy(p: str) -> EpisodicPolicy:
            if sampled:
                return _network(size=game.layouts[p].size, actions=game.action_size(p))
            return Random(game, p)

        return {p: Recorded(policy(p), n) for p in game.players}

    game, steps = SMALL(n), list[Step | None]()
    played = policies(game)
    rollout.play(game, played, seeds, deterministic=False, watch=steps.append)
    acted = {p: np.stack(policy.actions) for p, policy in played.items()}
    alike = (acted["kicker"] == acted["keeper"]) & (np.abs(acted["kicker"]) < 1)  # not clipped
    assert not alike.any(), "the players act alike"
    going = np.ones(n, dtype=bool)
    first = np.zeros(
        n, dtype=np.int64
    )  # length of every row's first episode: what follows it is the rollout's queue
    for t, step in enumerate(steps[1:], 1):
        assert step is not None
        ended = going & (step.terminated | step.truncated)
        going &= ~ended
        first[ended] = t
    assert first.min() >= 5
    for player in game.players:
        other = next(p for p in game.players if p != player)
        world = SMALL(n)
        opponent = policies(world)[other]
        seat = Seat(world, player, {other: opponent}, deterministic=False)
        if rebound:
            opponent = policies(world)[other]
            seat.rebind({other: opponent})
        seat.reset(seed=seeds.tolist())
        for t in range(first.max()):
            seat.step(acted[player][t])
        for i, length in enumerate(first):
            mine = np.stack(opponent.actions)[:length, i]
            assert np.array_equal(mine, acted[other][:length, i]), f"episode {i} of {other}"


def test_a_take_for_a_video_is_the_episode_that_was_played() -> None:
    game, other = SMALL(1), SMALL(1)
    states: list[Array] = []
    rollout.play(
        game,
        {p: Random(game, p) for p in game.players},
        np.array([3], dtype=np.uint64),
        watch=lambda _: states.append(game.batch.state[0].copy()),
    )
    take = play_take(other, {p: Random(other, p) for p in other.players}, 3, None)
    assert len(take.states) == len(states)
    assert np.array_equal(take.states[:-1], states[:-1])  # the last one is already restarted


def test_policies_of_wrong_shape_are_named() -> None:
    class Wrong(Counter):
        def predict(self, *args: Any, **kwargs: Any) -> tuple[Array, State]:
            return np.zeros(3), None

    driver = Driver(Wrong(), 3)
    driver.begin(np.arange(3), np.arange(3, dtype=np.uint64), np.zeros((3, 1)))
    with pytest.raises(RoboAdvError, match=r"Wrong\.predict returned actions of shape"):
        driver.act(np.zeros((3, 1)))


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [0.0, 0.0]])
def test_bad_pool_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(RoboAdvError, match="weights"):
        Pool([Counter(), Counter()], weights)
    with pytest.raises(RoboAdvError, match="at least one"):
        Pool([])


def test_a_seat_with_a_pool_continues_from_a_snapshot_to_the_bit() -> None:
    def seat() -> Seat:
        game = SMALL(3)
        pool = Pool([SCRIPTED[name](game, "keeper") for name in ("random", "track-ball")])
        return Seat(game, "kicker", {"keeper": pool})

    def go_on(env: Seat, steps: int) -> list[bytes]:
        action = np.full((3, 3), 0.4)
        return [
            b"".join(np.asarray(x).tobytes() for x in env.step(action)[:4]) for _ in range(steps)
        ]

    first, second = seat(), seat()
    first.reset(seed=5)
    go_on(first, 11)
    arrays, values = first.snapshot()
    expected = go_on(first, 40)
    second.restore(arrays, values)
    assert go_on(second, 40) == expected
