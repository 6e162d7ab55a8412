"""A Gymnasium environment as a seat that learners sit in."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest

from imitation.follow import ENV, LENGTH, register
from robo_adv.agents.imitators.task import Task
from robo_adv.agents.world_seat import WorldSeat
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.foreign.scores import Scores, one_hot
from robo_adv.errors import RoboAdvError
from robo_adv.training.learner import Learner, PPOConfig, Threads

Array = npt.NDArray[Any]


def _seat(env: Any, n: int, **options: Any) -> WorldSeat:
    register()
    return WorldSeat(GymnasiumWorld(env, n, **options))


def test_actions_in_the_unit_range_are_scaled_to_the_environments_bounds() -> None:
    seat, env = _seat("Pendulum-v1", 2), gymnasium.make("Pendulum-v1")
    first, _ = seat.reset(seed=[5, 6])
    alone, _ = env.reset(seed=5)
    assert np.array_equal(first[0], alone) and first.dtype == np.float32
    assert seat.single_action_space == gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    for unit in (1.0, -0.25, 3.0):  # the last is clipped to the bounds
        after, reward, *_ = seat.step(np.full((2, 1), unit, np.float32))
        alone, paid, *_ = env.step(np.array([np.clip(2.0 * unit, -2.0, 2.0)], np.float32))
        assert np.array_equal(after[0], alone) and reward[0] == pytest.approx(float(paid))


def test_an_episode_restarts_in_the_step_that_ends_it_and_its_last_observation_is_kept() -> None:
    seat = _seat(ENV, 2)
    seat.reset(seed=[1, 2])
    for _ in range(LENGTH):
        seen, _, terminated, truncated, info = seat.step(np.zeros((2, 1)))
    env = gymnasium.make(ENV)
    env.reset(seed=1)
    for _ in range(LENGTH):
        last, *_ = env.step(np.zeros(1))
    assert truncated.all() and not terminated.any()
    assert np.array_equal(info["final_obs"][0], last.astype(np.float32))
    assert not np.array_equal(seen[0], info["final_obs"][0])
    assert info["final_info"]["length"].tolist() == [LENGTH, LENGTH]


def test_an_end_of_the_environments_own_is_a_termination() -> None:
    seat = _seat(ENV, 2, fragile=0.01)
    seat.reset(seed=[1, 2])
    *_, terminated, truncated, info = seat.step(np.ones((2, 1)))
    assert terminated.all() and not truncated.any()
    assert info["final_info"]["return"].max() < -0.01


@pytest.mark.parametrize(
    ("env", "options", "size"), [("Pendulum-v1", {}, 1), ("CartPole-v1", {"scores": True}, 2)]
)
def test_a_restored_seat_goes_on_to_the_bit(env: str, options: dict[str, Any], size: int) -> None:
    rng = np.random.default_rng(0)
    seat = _seat(env, 3, **options)
    seat.reset(seed=[1, 2, 3])
    for _ in range(30):
        seat.step(rng.uniform(-1, 1, (3, size)))
    arrays, values = seat.snapshot()
    ahead = rng.uniform(-1, 1, (40, 3, size))
    expected = [seat.step(action) for action in ahead]
    other = _seat(env, 3, **options)
    other.restore(arrays, values)
    for action, (seen, reward, terminated, truncated, _) in zip(ahead, expected, strict=True):
        found = other.step(action)
        for one, two in zip(found[:4], (seen, reward, terminated, truncated), strict=True):
            assert np.array_equal(one, two)


def test_a_seat_that_was_never_reset_has_an_empty_snapshot() -> None:
    arrays, values = _seat(ENV, 2).snapshot()
    other = _seat(ENV, 2)
    other.restore(arrays, values)
    with pytest.raises(gymnasium.error.ResetNeeded):
        other.step(np.zeros((2, 1)))


def test_unbounded_actions_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="no finite bounds"):
        _seat(ENV, 1, high=np.inf)


def test_the_largest_score_chooses_the_action() -> None:
    env = Scores(gymnasium.make("Acrobot-v1"))
    assert env.action_space == gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    assert [env.action(np.array(s)) for s in ([0, 1, 0], [0.2, 0.1, 0.3], [0, 0, 0])] == [1, 2, 0]
    assert one_hot(np.array([[0.2, 0.1, 0.3]])).tolist() == [[-1.0, -1.0, 1.0]]
    with pytest.raises(RoboAdvError, match="discrete"):
        Scores(gymnasium.make("Pendulum-v1"))


def test_what_is_played_is_clipped_scaled_and_undone() -> None:
    register()
    task = Task(ENV, {})
    assert task.played([[0.5], [7.0]]).tolist() == [[1.0], [2.0]]
    assert task.unit(task.played([[0.5], [-0.25]])).tolist() == [[0.5], [-0.25]]
    scores = Task("CartPole-v1", {"scores": True})
    assert scores.played([[0.2, -0.7]]).tolist() == [[1.0, -1.0]]
    assert scores.sample.id == "CartPole-v1"
    with pytest.raises(RoboAdvError, match="scores=true"):
        Task("CartPole-v1", {})


def test_ppo_learns_in_a_seat() -> None:
    config = PPOConfig(num_envs=8, n_steps=64, batch_size=128, learning_rate=3e-3, gamma=0.5)
    learner = Learner(_seat(ENV, 8), config, 0, Threads(1, 1, 1))
    returns = [learner.iterate()["return"] for _ in range(12)]
    assert returns[-1] > 0.6 * returns[0], returns
