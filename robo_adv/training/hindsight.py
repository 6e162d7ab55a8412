"""HindsightLearner: SAC that learns from what it reached as if it had meant to reach it."""

from __future__ import annotations

from typing import ClassVar

import gymnasium
from stable_baselines3 import HerReplayBuffer

from robo_adv.errors import RoboAdvError
from robo_adv.training.learner import THREADS, Threads
from robo_adv.training.network import NormalisedObservation
from robo_adv.training.off_policy import OffPolicyLearner, SACConfig
from robo_adv.training.squashed import NormalisedDict
from robo_adv.training.vec_env import ResumableEnv


class HindsightLearner(OffPolicyLearner):
    """One SAC learner on one environment of Dict observations with `compute_reward`.

    Args:
        env: a Seat of a GoalGame. config: hyper-parameters.
        seed: of the networks, the exploration and the scenarios.

    Raises:
        RoboAdvError: the environment has no goals.
    """

    policy_class: ClassVar[str] = "MultiInputPolicy"
    normaliser: ClassVar[type[NormalisedObservation]] = NormalisedDict

    def __init__(
        self, env: ResumableEnv, config: SACConfig, seed: int, threads: Threads = THREADS
    ) -> None:
        space = env.single_observation_space
        if not isinstance(space, gymnasium.spaces.Dict) or "desired_goal" not in space.spaces:
            raise RoboAdvError(f"hindsight needs Dict observations with goals, got {space}")
        super().__init__(
            env, config, seed, threads, HerReplayBuffer,
            n_sampled_goal=config.sampled_goals, goal_selection_strategy="future",
        )  # fmt: skip

    def _learn(self) -> None:
        """Raises RoboAdvError when learning starts before an episode ended."""
        try:
            super()._learn()
        except RuntimeError as error:
            if "first episode" not in str(error):
                raise
            raise RoboAdvError(
                f"no episode ended in the first {self.steps} steps; raise learning_starts "
                f"({self.config.learning_starts}) above num_envs times the length of an episode"
            ) from error
