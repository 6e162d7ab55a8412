"""Discriminators see goals relative to what is achieved, policies see them as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from imitation.follow import PPO, THREADS
from robo_adv.agents.imitators.adversarial import Airl, Gail, relative_goals
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.lesson import Lesson, prepare
from robo_adv.agents.recording import RecordConfig, record
from robo_adv.imitation.config import DiscriminatorConfig
from robo_adv.imitation.transitions import Transitions

ACHIEVED, DESIRED = slice(0, 3), slice(3, 6)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lesson, ImitatorConfig]:
    folder = tmp_path_factory.mktemp("reach") / "demonstrations"
    record(RecordConfig("reach-expert", "Reach-v0", episodes=2, width=2, threads=1)).save(folder)
    config = ImitatorConfig(
        str(folder), ppo=replace(PPO, n_steps=16, batch_size=64), threads=THREADS,
        disc=DiscriminatorConfig(updates=2, batch_size=16),
    )  # fmt: skip
    return prepare(config), config


def test_a_goal_is_seen_relative_to_what_is_achieved(
    lesson: tuple[Lesson, ImitatorConfig],
) -> None:
    shown, made = lesson[0].steps, Gail(*lesson)
    assert made.task.goals == (ACHIEVED, DESIRED)
    for name in ("observation", "next_observation"):
        raw, seen = getattr(shown, name), getattr(made.shown, name)
        assert np.array_equal(seen[:, DESIRED], raw[:, DESIRED] - raw[:, ACHIEVED])
        rest = np.r_[0:3, 6 : raw.shape[1]]
        assert np.array_equal(seen[:, rest], raw[:, rest])
    at_the_end = np.linalg.norm(made.shown.next_observation[-1, DESIRED])
    assert at_the_end < 0.02 < np.linalg.norm(made.shown.observation[0, DESIRED])


def test_rewards_stay_when_goal_and_achieved_move_together(
    lesson: tuple[Lesson, ImitatorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A goal elsewhere, as far away, changes what a discriminator sees only by where the arm is."""
    seen: list[Transitions] = []
    made = Gail(*lesson)
    right = made.discriminator.reward

    def noted(steps: Transitions) -> Any:
        seen.append(steps)
        return right(steps)

    monkeypatch.setattr(made.discriminator, "reward", noted)
    steps = lesson[0].steps
    moved = steps.observation.copy()
    moved[:, ACHIEVED] += 0.1
    moved[:, DESIRED] += 0.1
    made.judge(steps)
    made.judge(replace(steps, observation=moved))
    np.testing.assert_allclose(
        seen[0].observation[:, DESIRED], seen[1].observation[:, DESIRED], atol=1e-6
    )


def test_it_can_be_turned_off_and_tasks_without_goals_are_as_they_were(
    lesson: tuple[Lesson, ImitatorConfig],
) -> None:
    made = Gail(lesson[0], replace(lesson[1], relative_goals=False))
    assert np.array_equal(made.shown.observation, lesson[0].steps.observation)
    steps = lesson[0].steps
    assert relative_goals(steps, None) is steps


def test_log_probabilities_are_those_of_the_observation_that_the_policy_saw(
    lesson: tuple[Lesson, ImitatorConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Transitions] = []
    made = Airl(*lesson)
    right = made._log_probs

    def noted(policy: Any, steps: Transitions) -> Any:
        asked.append(steps)
        return right(policy, steps)

    monkeypatch.setattr(made, "_log_probs", noted)
    made.iterate()
    expert, learner = asked
    assert np.array_equal(expert.observation, lesson[0].steps.observation)
    goals: Any = learner.observation[:, DESIRED]
    assert (goals[:, 0] > 0.2).all()  # where goals lie, in front of the arm
