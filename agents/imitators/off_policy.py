"""GAIL and SQIL on SAC: learners that remember all they did, and need far fewer steps for it.

GAIL-SAC: Kostrikov et al. 2019, "Discriminator-Actor-Critic": the discriminator learns from the whole
replay buffer, and steps are paid by it when they are sampled. SQIL: Reddy et al. 2020, "SQIL: imitation
learning via reinforcement learning with sparse rewards": no discriminator at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.agents.imitators import absorbing
from robo_adv.agents.imitators.adversarial import Adversary
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.judged import JudgedEnv, true_return
from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.agents.imitators.relabelled import Pay, RelabelledReplay
from robo_adv.imitation.transitions import Transitions
from robo_adv.training.off_policy import OffPolicyLearner
from robo_adv.training.replay import filled

Array = npt.NDArray[Any]


class UnpaidLearner(OffPolicyLearner):
    """SAC in an environment that pays nothing; what steps are worth is said when they are sampled.

    Args:
        pay: rewards of steps, see RelabelledReplay. share: of the expert's steps in each batch.
    """

    env: JudgedEnv

    def __init__(self, lesson: Lesson, config: ImitatorConfig, pay: Pay, share: float) -> None:
        task = lesson.task
        env = JudgedEnv(task.seat(config.sac.num_envs), _nothing, task.played)
        observation = lesson.steps.observation.astype(np.float32)
        shown = replace(
            lesson.steps, observation=observation, action=task.unit(lesson.steps.action)
        )
        super().__init__(
            env, config.sac, config.seed, config.threads, RelabelledReplay,
            pay=pay, expert=shown, share=share,
        )  # fmt: skip
        if share:
            self.normalise(observation)  # own ones join it

    def iterate(self) -> dict[str, float]:
        metrics = super().iterate()
        self.env.clear()
        metrics.pop("return", None)  # of nothing
        return metrics | true_return(self.vec_env.finished)


def _nothing(steps: Transitions) -> Array:
    return np.zeros(len(steps))


class GailSac(Adversary):
    """SAC that is paid by a discriminator, for its own steps and for the expert's.

    Without a trained discriminator (`null`) no step of the expert's is in its batches: what it
    reaches owes nothing to the demonstrations.
    """

    learner: UnpaidLearner

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        super().__init__(lesson, config, config.sac.gamma)
        share = 0.0 if config.control == "null" else config.expert_share
        self.learner = UnpaidLearner(lesson, config, self.pay, share)

    def pay(self, steps: Transitions, shown: Array) -> Array:
        """Rewards (n,) of steps, whosever they are, actions in [-1, 1]."""
        return self.judge(replace(steps, action=self.task.played(steps.action)))

    def iterate(self) -> dict[str, float]:
        """Steps and SAC's updates under the present rewards, then a round of the discriminator."""
        metrics = self.learner.iterate()
        if self.config.control != "null":
            seen = self.view(self.seen())
            metrics.update(self.discriminator.train_round(self.shown, seen, self.generator))
            metrics["judged_reward"] = float(self.discriminator.reward(seen).mean())
        return metrics

    def seen(self) -> Transitions:
        """Random steps of the replay buffer, as many as a round of the discriminator takes; being
        over is among them in proportion to what episodes lacked to the time limit."""
        buffer, disc = self.learner.buffer, self.config.disc
        rows, count = filled(buffer), max(disc.updates, 1) * disc.batch_size
        missing = 0
        if self.config.absorb:
            lengths, terminated = episodes_in(buffer.dones[:rows], buffer.timeouts[:rows])
            missing = absorbing.missing_steps(lengths, terminated, self.task.horizon)
        over = round(count * missing / (rows * buffer.n_envs + missing))
        row, column = (
            torch.randint(n, (count - over,), generator=self.generator).numpy()
            for n in (rows, buffer.n_envs)
        )
        steps = Transitions(
            buffer.observations[row, column],
            self.task.played(buffer.actions[row, column]),
            buffer.next_observations[row, column],
            (buffer.dones[row, column] > 0.0) & (buffer.timeouts[row, column] == 0.0),
        )
        return absorbing.with_absorbing(steps, over) if self.config.absorb else steps


def episodes_in(dones: Array, timeouts: Array) -> tuple[Array, Array]:
    """Lengths (k,) of the episodes that ended in a buffer (size, num_envs), and whether they
    terminated (k,). Of an episode that was partly overwritten, what is left counts."""
    column, row = np.nonzero(dones.T)
    lengths = np.diff(row, prepend=-1)
    first = np.diff(column, prepend=-1) != 0
    lengths[first] = row[first] + 1
    return lengths, timeouts[row, column] == 0


class Sqil(UnpaidLearner):
    """SAC that is paid 1 for what the expert did and 0 for what it did itself, half of each batch each.

    A demonstrated end of an episode is worth 1 and nothing after it, an own one nothing: where
    episodes can end early this pays for staying alive, as rewards that are never negative do.
    """

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        super().__init__(lesson, config, _whose, 0.5)


def _whose(steps: Transitions, shown: Array) -> Array:
    return shown.astype(np.float64)
