"""The learner: bootstrapping, advantages, and statistics that move only between rollouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.training.learner import Learner, PPOConfig
from robo_adv.training.network import NormalisedObservation
from training.fakes import Corridor
from training.tiny import GAME, ONE_THREAD, disturb_generators

Array = npt.NDArray[Any]
CONFIG = PPOConfig(
    num_envs=8, n_steps=16, batch_size=64, n_epochs=2, net_arch=(16,), gamma=0.9, gae_lambda=1.0
)


def _seat(num_envs: int = 8) -> Seat:
    game = make_game(GAME, num_envs, threads=1, arms=0)
    return Seat(game, "kicker", {"keeper": SCRIPTED["random"](game, "keeper")})


def _statistics(learner: Learner) -> NormalisedObservation:
    extractor = learner.ppo.policy.features_extractor
    assert isinstance(extractor, NormalisedObservation)
    return extractor


def _before_update(learner: Learner, look: Callable[[], None]) -> None:
    """Calls `look` when the buffer is full and nothing was learned from it yet."""
    train = learner.ppo.train

    def looked() -> None:
        look()
        train()

    learner.ppo.train = looked  # type: ignore[method-assign]


def _values(learner: Learner, observations: Array) -> Array:
    with torch.no_grad():
        values = learner.ppo.policy.predict_values(torch.as_tensor(observations))
    return np.asarray(values.squeeze(-1).numpy())


def test_truncation_is_bootstrapped_and_termination_is_not() -> None:
    length, env = 4, Corridor(num_envs=8, length=4)
    learner = Learner(env, CONFIG, 0, ONE_THREAD)
    rewards, returns, last_values = [], [], []

    def look() -> None:
        buffer = learner.ppo.rollout_buffer
        rewards.append(buffer.rewards.copy())
        returns.append(buffer.returns.copy())
        env.clock[:] = length
        last_values.append(_values(learner, env.observe()))
        env.clock[:] = 0

    _before_update(learner, look)
    learner.iterate()
    learner.iterate()  # the second one with normalised observations
    ends, odd, gamma = np.arange(16) % length == length - 1, env.odd, CONFIG.gamma
    for reward, whole, value in zip(rewards, returns, last_values, strict=True):
        assert np.array_equal(reward[~ends], np.ones((12, 8)))
        assert np.array_equal(reward[ends][:, ~odd], np.ones((4, 4)))
        expected = np.broadcast_to(1.0 + gamma * value[odd], (4, 4))
        assert np.abs(value[odd]).min() > 1e-6
        np.testing.assert_allclose(reward[ends][:, odd], expected, rtol=1e-4)
        # With lambda = 1 the return of step t is the geometric sum of what is left.
        left = length - np.arange(16) % length
        sums = (1.0 - gamma**left) / (1.0 - gamma)
        np.testing.assert_allclose(whole[:, ~odd], np.tile(sums[:, None], (1, 4)), rtol=1e-5)
        tail = gamma ** left[:, None] * value[odd]
        np.testing.assert_allclose(whole[:, odd], sums[:, None] + tail, rtol=1e-4)


def test_advantages_are_generalised_advantage_estimates() -> None:
    """Schulman et al. 2016, eq. 16, by the sum over all later steps instead of the recursion."""
    config = PPOConfig(num_envs=8, n_steps=40, batch_size=64, net_arch=(16,), gae_lambda=0.7)
    learner = Learner(_seat(), config, 1, ONE_THREAD)
    kept: list[Array] = []
    buffer = learner.ppo.rollout_buffer

    def look() -> None:
        arrays = (buffer.rewards, buffer.values, buffer.episode_starts, buffer.advantages)
        kept.extend(array.copy() for array in arrays)

    _before_update(learner, look)
    learner.iterate()
    rewards, values, starts, advantages = kept
    weight = config.gamma * config.gae_lambda
    assert starts[1:].any(), "no episode ended, so the check would say little"
    for row in range(8):
        for t in range(39):
            later = np.flatnonzero(starts[t + 1 :, row])
            end = t + 1 + int(later[0]) if len(later) else None
            if end is None:
                continue  # the last value is not in the buffer
            after = [*values[t + 1 : end, row], 0.0]
            deltas = rewards[t:end, row] + config.gamma * np.array(after) - values[t:end, row]
            expected = float((weight ** np.arange(end - t) * deltas).sum())
            assert advantages[t, row] == pytest.approx(expected, abs=1e-4)


def test_probability_ratios_start_at_one_because_statistics_move_between_rollouts() -> None:
    learner, worst, shifted = Learner(_seat(), CONFIG, 2, ONE_THREAD), [], []

    def difference() -> float:
        buffer, policy = learner.ppo.rollout_buffer, learner.ppo.policy
        observations = torch.as_tensor(buffer.observations).flatten(0, 1)
        actions = torch.as_tensor(buffer.actions).flatten(0, 1)
        with torch.no_grad():
            _, log_prob, _ = policy.evaluate_actions(observations, actions)
        return float((log_prob - torch.as_tensor(buffer.log_probs).flatten()).abs().max())

    def look() -> None:
        worst.append(difference())
        statistics = _statistics(learner)
        kept = {name: value.clone() for name, value in statistics.state_dict().items()}
        observations = torch.as_tensor(learner.ppo.rollout_buffer.observations)
        statistics.update(observations.flatten(0, 1))  # too early: trap 7
        shifted.append(difference())
        statistics.load_state_dict(kept)

    _before_update(learner, look)
    for _ in range(3):
        learner.iterate()
    assert max(worst) < 2e-4
    assert min(shifted) > 20 * max(worst), "the check would not see statistics that move too early"


def test_the_first_minibatch_of_an_update_has_no_divergence() -> None:
    config = PPOConfig(num_envs=8, n_steps=16, batch_size=128, n_epochs=1, net_arch=(16,))
    learner = Learner(_seat(), config, 3, ONE_THREAD)
    for _ in range(3):
        metrics = learner.iterate()
        assert abs(metrics["approx_kl"]) < 1e-5
        assert metrics["clip_fraction"] == 0.0


def test_statistics_are_those_of_all_observations_so_far() -> None:
    learner, seen = Learner(_seat(), CONFIG, 4, ONE_THREAD), []
    for _ in range(3):
        learner.iterate()
        seen.append(learner.ppo.rollout_buffer.observations.reshape(-1, _size(learner)).copy())
        everything = np.concatenate(seen).astype(np.float64)
        statistics = _statistics(learner)
        assert float(statistics.count) == len(everything)
        np.testing.assert_allclose(statistics.mean.numpy(), everything.mean(0), atol=1e-9)
        np.testing.assert_allclose(statistics.var.numpy(), everything.var(0), atol=1e-9)


def _size(learner: Learner) -> int:
    return int(learner.vec_env.observation_space.shape[0])  # type: ignore[index]


def test_metrics_count_the_episodes_of_the_iteration() -> None:
    learner = Learner(Corridor(num_envs=8, length=4), CONFIG, 0, ONE_THREAD)
    for k in (1, 2):
        metrics = learner.iterate()
        assert metrics["steps"] == k * CONFIG.rollout
        assert metrics["episodes"] == 32 and metrics["wins"] == 16
        assert metrics["draw"] == 0.5 and metrics["length"] == 4 and metrics["cost_force"] == 8


def test_learners_that_take_turns_do_not_disturb_each_other() -> None:
    def weights(learner: Learner) -> dict[str, torch.Tensor]:
        return {k: v.clone() for k, v in learner.ppo.policy.state_dict().items()}

    alone = Learner(_seat(), CONFIG, 5, ONE_THREAD)
    for _ in range(3):
        alone.iterate()
    one, other = Learner(_seat(), CONFIG, 5, ONE_THREAD), Learner(_seat(), CONFIG, 6, ONE_THREAD)
    for _ in range(3):
        other.iterate()
        one.iterate()
        disturb_generators()
    expected, got = weights(alone), weights(one)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_a_learner_continues_from_its_state_alone() -> None:
    first = Learner(_seat(), CONFIG, 7, ONE_THREAD)
    first.iterate()
    tensors, values = first.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    expected = first.iterate()
    second = Learner(_seat(), CONFIG, 99, ONE_THREAD)
    second.iterate()
    second.load_state(tensors, values)
    assert second.iterate() == expected


def test_a_state_of_another_number_of_simulations_is_refused() -> None:
    tensors, values = Learner(_seat(4), _with(num_envs=4), 0, ONE_THREAD).state()
    with pytest.raises(RoboAdvError, match=r"use the same options and num_envs"):
        Learner(_seat(8), CONFIG, 0, ONE_THREAD).load_state(tensors, values)


def _with(**changes: Any) -> PPOConfig:
    return PPOConfig(**{"n_steps": 16, "batch_size": 64, "net_arch": (16,), **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"n_epochs": -1}, "n_epochs must be at least 1, got -1"),
        ({"num_envs": 2}, r"batch_size 64 exceeds num_envs \* n_steps = 32"),
        ({"activation": "gelu"}, "activation 'gelu' is not one of"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        _with(**changes)


@pytest.mark.parametrize(
    "changes",
    [{"learning_rate": float("nan")}, {"learning_rate": -1e-3}, {"gamma": 1.5}, {"net_arch": (0,)}],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(RoboAdvError):
        _with(**changes)


def test_an_annealed_learning_rate_falls_linearly_to_a_tenth_and_stays() -> None:
    config = replace(CONFIG, learning_rate=1e-3, anneal_over=256)
    learner = Learner(_seat(), config, 0, ONE_THREAD)
    rates = []
    for _ in range(4):  # 128 steps each
        learner.iterate()
        rates.append(learner.ppo.policy.optimizer.param_groups[0]["lr"])
    assert np.allclose(rates, [1e-3, 5.5e-4, 1e-4, 1e-4])


def test_a_constant_learning_rate_is_the_default_and_negative_annealing_is_refused() -> None:
    assert PPOConfig().learning_rate_at(10**9) == PPOConfig().learning_rate
    with pytest.raises(RoboAdvError, match="anneal_over must be at least 0, got -1"):
        PPOConfig(anneal_over=-1)
