"""Learners with a replay buffer: what sampled steps are worth, and that it is never stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from imitation.follow import LENGTH, config, demonstrations
from robo_adv.agents.imitators import absorbing
from robo_adv.agents.imitators.lesson import prepare
from robo_adv.agents.imitators.off_policy import GailSac, Sqil, episodes_in
from robo_adv.agents.imitators.relabelled import RelabelledReplay
from robo_adv.imitation.transitions import Transitions

Array = npt.NDArray[Any]
PLAY = {"iteration": 400, "learning_starts": 10_000}  # random actions, 50 steps of 8 rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstrations(tmp_path_factory.mktemp("follow") / "demonstrations")


def _gail(folder: Path, **changes: Any) -> GailSac:
    """A learner that has played and not learned."""
    made = config(
        folder, "gail-sac", **{"expert_share": 0.0, "sac": PLAY, "disc": {"updates": 0}, **changes}
    )
    learner = GailSac(prepare(made), made)
    learner.iterate()
    return learner


def _sample(learner: GailSac | Sqil, size: int = 256, seed: int = 0) -> ReplayBufferSamples:
    """The same stored steps for the same seed."""
    np.random.seed(seed)
    return _buffer(learner).sample(size)


def _buffer(learner: GailSac | Sqil) -> RelabelledReplay:
    buffer = learner.learner.buffer if isinstance(learner, GailSac) else learner.buffer
    assert isinstance(buffer, RelabelledReplay)
    return buffer


def _steps(learner: GailSac, got: ReplayBufferSamples) -> Transitions:
    return Transitions(
        got.observations.numpy(), learner.task.played(got.actions.numpy()),
        got.next_observations.numpy(), got.dones.numpy()[:, 0] > 0,
    )  # fmt: skip


# GAIL on SAC.


def test_a_stored_step_is_paid_by_the_discriminator_as_it_is_now(folder: Path) -> None:
    learner = _gail(folder)
    before = _sample(learner)
    for _ in range(3):
        learner.discriminator.update(learner.expert, learner.seen(), learner.generator)
        now = _sample(learner)
        assert torch.equal(now.observations, before.observations)
        assert torch.equal(now.actions, before.actions)
        assert not torch.isclose(now.rewards, before.rewards, atol=1e-6, rtol=0.0).any()
        expected = learner.discriminator.reward(_steps(learner, now))
        np.testing.assert_allclose(now.rewards.numpy()[:, 0], expected, rtol=1e-6)
        before = now


def test_what_the_buffer_stores_as_rewards_is_never_paid(folder: Path) -> None:
    learner = _gail(folder)
    assert not learner.learner.buffer.rewards.any()  # not even there: the environment's are errors
    before = _sample(learner)
    learner.learner.buffer.rewards[:] = 1e6
    assert torch.equal(_sample(learner).rewards, before.rewards)


def test_the_experts_steps_in_a_batch_are_paid_by_the_same_discriminator(folder: Path) -> None:
    learner = _gail(folder, expert_share=0.25, disc={"updates": 5})
    got = _sample(learner, 100)
    steps = _steps(learner, got)
    right = np.abs(steps.action - 1.5 * steps.observation)[:, 0] < 1e-6
    assert np.flatnonzero(right).tolist() == list(range(75, 100))
    expected = learner.discriminator.reward(steps)
    np.testing.assert_allclose(got.rewards.numpy()[:, 0], expected, rtol=1e-6)
    null = _gail(folder, expert_share=0.25, control="null")
    assert _buffer(null).share == 0.0


@pytest.mark.parametrize(("reward", "sign"), [("gail", 1), ("negative", -1)])
def test_sampled_rewards_have_the_sign_of_their_formula(
    folder: Path, reward: str, sign: int
) -> None:
    learner = _gail(folder, disc={"updates": 0, "reward": reward})
    assert bool((sign * _sample(learner).rewards > 0).all())


def test_steps_like_the_experts_come_to_be_paid_more(folder: Path) -> None:
    learner = _gail(folder, disc={"updates": 200, "learning_rate": 3e-3})
    got = _sample(learner, 1_000)
    error = (learner.task.played(got.actions.numpy()) - 1.5 * got.observations.numpy())[:, 0]
    close = np.abs(error) < 0.3
    paid = got.rewards.numpy()[:, 0]
    assert close.sum() > 50 and paid[close].mean() > 1.1 * paid[~close].mean()


def test_a_time_limit_is_no_end_and_the_last_observation_is_kept(folder: Path) -> None:
    learner = _gail(folder)
    buffer = learner.learner.buffer
    ends = np.arange(LENGTH - 1, 49, LENGTH)
    assert buffer.dones[ends].all() and not _sample(learner, 2_000).dones.any()
    same = (buffer.next_observations[:49] == buffer.observations[1:50]).all(axis=(1, 2))
    assert np.flatnonzero(~same).tolist() == ends.tolist()
    assert not learner.seen().terminated.any()


def test_the_discriminator_sees_the_whole_buffer_and_actions_as_played(folder: Path) -> None:
    learner = _gail(folder, disc={"updates": 20})
    seen, buffer = learner.seen(), learner.learner.buffer
    assert len(seen) == 20 * 256
    pairs = np.column_stack([seen.observation, seen.action])
    stored = np.column_stack(
        [buffer.observations[:50].reshape(400, 1), 2.0 * buffer.actions[:50].reshape(400, 1)]
    )
    np.testing.assert_array_equal(np.unique(pairs, axis=0), np.unique(stored, axis=0))


def test_the_null_control_plays_by_an_untrained_discriminator(folder: Path) -> None:
    learner = _gail(folder, control="null", disc={"updates": 5})
    assert learner.discriminator.updates == 0


def test_being_over_is_seen_in_proportion_and_earned_for_ever(folder: Path) -> None:
    learner = _gail(folder, absorb=True, options={"fragile": 0.5}, disc={"updates": 20})
    buffer = learner.learner.buffer
    lengths, terminated = episodes_in(buffer.dones[:50], buffer.timeouts[:50])
    missing = int((LENGTH - lengths[terminated]).sum())
    over = learner.seen().observation[:, -1]
    assert missing > 400 and over.mean() == pytest.approx(missing / (400 + missing), abs=1e-3)
    got = _sample(learner)
    steps = _steps(learner, got)
    assert 0 < steps.terminated.sum() < len(steps)
    last = learner.discriminator.reward(absorbing.absorbing_steps(1, 1, 1))[0]
    alive = learner.discriminator.reward(absorbing.widened(steps))
    expected = alive + np.where(steps.terminated, last, 0.0)  # 0.5 / (1 - 0.5), the discount's
    np.testing.assert_allclose(got.rewards.numpy()[:, 0], expected, rtol=1e-5)


def test_episodes_in_a_buffer_have_the_lengths_between_their_ends() -> None:
    dones = np.array([[0, 1], [1, 0], [0, 0], [1, 1], [0, 0]], dtype=np.float32)
    timeouts = np.array([[0, 0], [1, 0], [0, 0], [0, 0], [0, 0]], dtype=np.float32)
    lengths, terminated = episodes_in(dones, timeouts)
    assert lengths.tolist() == [2, 2, 1, 3]
    assert terminated.tolist() == [False, True, True, True]
    assert episodes_in(np.zeros((3, 2)), np.zeros((3, 2)))[0].tolist() == []


# SQIL.


@pytest.mark.parametrize("size", [64, 7])
def test_half_of_each_batch_is_the_experts_worth_1_and_half_ones_own_worth_0(
    folder: Path, size: int
) -> None:
    made = config(folder, "sqil", sac=PLAY)
    learner = Sqil(prepare(made), made)
    learner.iterate()
    got = _sample(learner, size)
    half = size // 2
    assert got.rewards[:, 0].tolist() == [0.0] * half + [1.0] * (size - half)
    observation, action = got.observations.numpy(), got.actions.numpy()
    right = np.abs(2.0 * action - 1.5 * observation)[:, 0] < 1e-6  # actions in [-1, 1] here
    assert right[half:].all() and not right[:half].any()
    assert got.dones.shape == (size, 1) and not got.dones.any()
    assert got.discounts is None


def test_a_demonstrated_end_is_one_and_a_demonstrated_time_limit_is_not(folder: Path) -> None:
    made = config(folder, "sqil", sac=PLAY)
    learner = Sqil(prepare(made), made)
    learner.iterate()
    buffer = _buffer(learner)
    assert len(buffer.expert) == 5 * LENGTH and not buffer.expert.terminated.any()
    buffer.expert = replace(buffer.expert, terminated=np.ones(5 * LENGTH, dtype=bool))
    got = _sample(learner, 10)
    assert got.dones[:, 0].tolist() == [0.0] * 5 + [1.0] * 5


def test_the_true_return_is_logged_and_never_stored(folder: Path) -> None:
    made = config(folder, "sqil", sac=PLAY)
    learner = Sqil(prepare(made), made)
    metrics = learner.iterate()
    assert metrics["true_return"] < 0 and "return" not in metrics
    assert not learner.buffer.rewards.any() and not learner.env.collected
