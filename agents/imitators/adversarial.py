"""GAIL and AIRL on PPO: rewards are a discriminator's, which is trained after every rollout.

GAIL: Ho and Ermon 2016, "Generative adversarial imitation learning". AIRL: Fu et al. 2018, "Learning
robust rewards with adversarial inverse reinforcement learning"; its logit is f - log pi(a|s), its
reward f.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.agents.imitators import absorbing
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.judged import JudgedEnv, true_return
from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.agents.imitators.networks import log_prob
from robo_adv.agents.imitators.seeing import seeing_discriminator
from robo_adv.agents.player import copy_policy
from robo_adv.imitation.discriminator import Discriminator
from robo_adv.imitation.transitions import Transitions
from robo_adv.training.learner import Learner
from robo_adv.training.network import NetworkPolicy
from robo_adv.training.off_policy import OffPolicyLearner
from robo_adv.training.sighted import sighted_kwargs
from robo_adv.training.state import Tensors, with_prefix

Array = npt.NDArray[Any]


def relative_goals(steps: Transitions, goals: tuple[slice, slice] | None) -> Transitions:
    """Steps with the desired goal taken relative to the achieved one, both where `goals` says; without
    goals, the steps."""
    if goals is None:
        return steps
    achieved, desired = goals
    seen = [steps.observation.copy(), steps.next_observation.copy()]
    for observation in seen:
        observation[:, desired] -= observation[:, achieved]
    return replace(steps, observation=seen[0], next_observation=seen[1])


class Adversary:
    """What learners that are paid by a discriminator share.

    Args:
        discount: of the learner, by which an end counts as what being over is worth for ever.
    """

    learner: Learner | OffPolicyLearner

    def __init__(self, lesson: Lesson, config: ImitatorConfig, discount: float) -> None:
        task = self.task = lesson.task
        self.config, self.discount, size = config, discount, task.observation_size
        self.expert = lesson.steps
        if config.absorb:
            self.expert, size = absorbing.expert_steps(lesson, config.every), size + 1
        self.shown = self.view(self.expert)
        if task.sight is not None:
            self.discriminator = seeing_discriminator(task, config, self.expert)
        else:
            self.discriminator = Discriminator(size, task.action_size, config.disc, config.seed)
            self.discriminator.fit_normaliser(self.shown)
        self.generator = torch.Generator().manual_seed(config.seed)

    @property
    def steps(self) -> int:
        return self.learner.steps

    @property
    def policy(self) -> NetworkPolicy:
        return self.learner.policy

    def judge(self, steps: Transitions) -> Array:
        """Rewards (n,) of steps; a terminated one earns what being over is worth for ever."""
        if not self.config.absorb:
            return self.discriminator.reward(self.view(steps))
        size, gamma = self.task.observation_size, self.discount
        over = absorbing.absorbing_steps(1, size, self.task.action_size)
        rows = Transitions.concatenate([absorbing.widened(steps), over])
        *rewards, last = self.discriminator.reward(self.view(rows))
        return np.array(rewards) + np.where(steps.terminated, gamma / (1.0 - gamma) * last, 0.0)

    def view(self, steps: Transitions) -> Transitions:
        """Steps as the discriminator sees them: goals relative to what is achieved, if it is asked for.
        A few demonstrations show a few goals; a discriminator that sees where they lie knows the
        learner by its other goals, whatever it does. Of pictures nothing is relative."""
        relative = self.config.relative_goals and self.task.sight is None
        return relative_goals(steps, self.task.goals) if relative else steps

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = self.learner.state()
        judge, judged = self.discriminator.state()
        tensors.update({f"disc.{name}": value for name, value in judge.items()})
        tensors["disc_generator"] = self.generator.get_state()
        return tensors, {"learner": values, "disc": judged}

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        self.learner.load_state(tensors, values["learner"])
        self.discriminator.load_state(with_prefix(tensors, "disc."), values["disc"])
        self.generator.set_state(tensors["disc_generator"])


class Gail(Adversary):
    """PPO that is paid by a discriminator."""

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        super().__init__(lesson, config, config.ppo.gamma)
        seat = self.task.seat(config.ppo.num_envs)
        self.env = JudgedEnv(seat, self.judge, self.task.played)
        sight, columns = self.task.sight, self.task.columns
        first = None if sight is None else sighted_kwargs(sight, columns)
        self.learner = Learner(self.env, config.ppo, config.seed, config.threads, first)

    def iterate(self) -> dict[str, float]:
        """A rollout under the present rewards, PPO's update, then the discriminator's on what the
        rollout saw: what it learns counts from the next rollout on."""
        self.env.clear()
        before = self.policy_now()
        metrics = self.learner.iterate()
        metrics["judged_return"] = metrics.pop("return", float("nan"))
        metrics |= true_return(self.learner.vec_env.finished)
        if self.config.control != "null":
            metrics.update(self.discriminate(self.seen(), before))
        return {name: value for name, value in metrics.items() if not np.isnan(value)}

    def seen(self) -> Transitions:
        """What the learner did since `clear`."""
        steps = Transitions.concatenate(self.env.collected)
        if not self.config.absorb:
            return steps
        over = np.array(self.env.terminated_after, dtype=np.int64)
        missing = absorbing.missing_steps(over, np.ones(len(over), bool), self.task.horizon)
        return absorbing.with_absorbing(steps, missing)

    def policy_now(self) -> NetworkPolicy | None:
        """What `discriminate` must know of the policy that the rollout is made with."""
        return None

    def discriminate(self, seen: Transitions, before: NetworkPolicy | None) -> dict[str, float]:
        """Train the discriminator for a round; means of what its updates tell."""
        return self.discriminator.train_round(self.shown, self.view(seen), self.generator)


class Airl(Gail):
    """PPO that is paid AIRL's f; the discriminator also knows how probable its own actions are."""

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        shaped = replace(config.disc, inputs="shaped", reward="airl", discount=config.ppo.gamma)
        super().__init__(lesson, replace(config, disc=shaped))

    def policy_now(self) -> NetworkPolicy | None:
        return copy_policy(self.policy, self.config.ppo)

    def discriminate(self, seen: Transitions, before: NetworkPolicy | None) -> dict[str, float]:
        assert before is not None
        known = self._log_probs(before, self.expert), self._log_probs(before, seen)
        return self.discriminator.train_round(self.shown, self.view(seen), self.generator, known)

    def _log_probs(self, policy: NetworkPolicy, steps: Transitions) -> Array:
        observation = torch.as_tensor(steps.observation, dtype=torch.float32)
        action = torch.as_tensor(self.task.unit(steps.action))
        with torch.no_grad():
            known: Array = log_prob(policy.network, observation, action).numpy()
        return known
