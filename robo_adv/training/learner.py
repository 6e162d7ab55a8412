"""Learner: stable-baselines3's PPO on a vector environment, one iteration at a time, with exact resume.

An iteration is one rollout and one update. Between iterations the observation statistics are
updated (so that probability ratios start at one), metrics are drained and checkpoints are taken;
that keeps every hook out of stable-baselines3's loop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from robo_adv.errors import RoboAdvError
from robo_adv.training.network import (
    NetworkPolicy,
    NormalisedObservation,
    load_network_weights,
    network_weights,
    policy_kwargs,
)
from robo_adv.training.penalty import PenalisedNetwork, Penalty
from robo_adv.training.ranges import check_learner
from robo_adv.training.state import (
    Tensors,
    capture_generators,
    episode_metrics,
    load_optimiser,
    optimiser_tensors,
    restore_generators,
    signed,
    with_prefix,
)
from robo_adv.training.vec_env import ResumableEnv, VectorToVecEnv

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017) as stable-baselines3 names it, scaled to minutes on two cores.

    Gleave et al. used 16384 samples per update, 4 minibatches, 4 epochs and 3e-4 for 20M steps. A
    tenth of those steps needs more updates from fewer samples: 8192, 8 minibatches, 5 epochs, 7e-4.

    Attributes:
        anneal_over: environment steps over which the learning rate falls linearly to a tenth; 0 keeps
            it constant.
        scale_reward: divide rewards by the running standard deviation of discounted returns, as
            VecNormalize does, for tasks whose rewards are not of the order of one.
    """

    num_envs: int = 128
    n_steps: int = 64
    batch_size: int = 1024
    n_epochs: int = 5
    learning_rate: float = 7e-4
    anneal_over: int = 0
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    net_arch: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    log_std_init: float = -0.5
    scale_reward: bool = False

    def __post_init__(self) -> None:
        check_learner(
            self,
            counts=("num_envs", "n_steps", "batch_size", "n_epochs"),
            shares=("learning_rate", "gamma", "gae_lambda"),
        )
        if self.anneal_over < 0:
            raise RoboAdvError(f"anneal_over must be at least 0, got {self.anneal_over}")
        if self.num_envs * self.n_steps < self.batch_size:
            raise RoboAdvError(
                f"batch_size {self.batch_size} exceeds num_envs * n_steps = "
                f"{self.num_envs * self.n_steps}"
            )

    def learning_rate_at(self, steps: int) -> float:
        """The learning rate after so many environment steps."""
        if not self.anneal_over:
            return self.learning_rate
        return self.learning_rate * max(0.1, 1.0 - 0.9 * steps / self.anneal_over)

    @property
    def rollout(self) -> int:
        """Environment steps per iteration."""
        return self.num_envs * self.n_steps


@dataclass(frozen=True)
class Threads:
    """Threads for the three things that take turns. On 2 cores physics wants both; the small
    matrices of a rollout step are fastest on one; the update's large ones gain from two."""

    physics: int = 0
    rollout: int = 1
    update: int = 2


THREADS = Threads()


class _PPO(PPO):
    """PPO that can leave out its update."""

    frozen = False

    def train(self) -> None:
        if not self.frozen:
            super().train()


class Learner:
    """One PPO learner on one environment.

    Args:
        env: where it learns, for example a Seat.
        config: hyper-parameters. seed: of the network, the exploration and the scenarios.
        first: another first layer, as arguments of `policy_kwargs`.

    Attributes:
        normaliser_learns: whether the observation statistics follow what is seen.

    Raises:
        RoboAdvError: the environment's observations are not flat.
    """

    def __init__(
        self,
        env: ResumableEnv,
        config: PPOConfig,
        seed: int,
        threads: Threads = THREADS,
        first: Mapping[str, Any] | None = None,
    ) -> None:
        self.env, self.config, self.threads = env, config, threads
        if not isinstance(env.single_observation_space, gymnasium.spaces.Box):
            raise RoboAdvError(
                f"PPO here learns from flat observations, got {env.single_observation_space}; make "
                "the Seat with observation='flat'"
            )
        self.vec_env = VectorToVecEnv(env)
        source: VecEnv = self.vec_env
        self.reward_scale: VecNormalize | None = None
        if config.scale_reward:
            source = self.reward_scale = VecNormalize(source, norm_obs=False, gamma=config.gamma)
        self.ppo = _PPO(
            PenalisedNetwork,
            source,
            learning_rate=config.learning_rate,
            n_steps=config.n_steps,
            batch_size=config.batch_size,
            n_epochs=config.n_epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            ent_coef=config.ent_coef,
            vf_coef=config.vf_coef,
            max_grad_norm=config.max_grad_norm,
            policy_kwargs=policy_kwargs(
                config.net_arch, config.activation, config.log_std_init, first
            ),
            seed=seed,
            device="cpu",
        )
        self.ppo.set_logger(Logger(folder=None, output_formats=[]))
        self.generators = capture_generators()
        self.normaliser_learns = True

    def penalise(self, penalty: Penalty) -> None:
        """Add the mean of a penalty to PPO's loss."""
        network = self.ppo.policy
        assert isinstance(network, PenalisedNetwork)
        network.penalty, network.ent_coef, self.ppo.ent_coef = penalty, self.config.ent_coef, 1.0

    def freeze_actor(self, frozen: bool) -> None:
        """Let updates change the critic alone, or the actor again."""
        for name, parameter in self.ppo.policy.named_parameters():
            if not name.startswith(("mlp_extractor.value_net", "value_net")):
                parameter.requires_grad_(not frozen)

    @property
    def penalty(self) -> Penalty | None:
        """What `penalise` was given."""
        network = self.ppo.policy
        assert isinstance(network, PenalisedNetwork)
        return network.penalty

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return int(self.ppo.num_timesteps)

    @property
    def policy(self) -> NetworkPolicy:
        """The current network; it changes as learning goes on (copy it to keep it)."""
        return NetworkPolicy(self.ppo.policy)

    def iterate(self, learn: bool = True) -> dict[str, float]:
        """One rollout and one update; returns metrics of the iteration. Without `learn` the policy,
        its observation statistics included, stays as it is; the steps count all the same.

        Each learner keeps its own generator states, so that two that take turns (self-play) do not
        depend on each other's draws.
        """
        restore_generators(self.generators)
        self.vec_env.finished.clear()
        torch.set_num_threads(self.threads.rollout)
        before_update = _BeforeUpdate(self.threads.update)
        rate = self.config.learning_rate_at(self.steps)
        self.ppo.lr_schedule = lambda _: rate
        if self.penalty is not None:
            self.penalty.begin(self.steps)
        self.ppo.frozen = not learn
        self.ppo.learn(self.config.rollout, before_update, reset_num_timesteps=False)
        torch.set_num_threads(self.threads.rollout)
        extractor = self.ppo.policy.features_extractor
        assert isinstance(extractor, NormalisedObservation)
        if learn and self.normaliser_learns:
            observations = torch.as_tensor(self.ppo.rollout_buffer.observations)
            extractor.update(observations.reshape(-1, observations.shape[-1]))
        self.generators = capture_generators()
        return self._metrics()

    def _metrics(self) -> dict[str, float]:
        out = {"steps": float(self.steps), **episode_metrics(self.vec_env.finished)}
        logged = self.ppo.logger.name_to_value
        for name in ("approx_kl", "clip_fraction", "explained_variance", "std"):
            if f"train/{name}" in logged:
                out[name] = float(logged[f"train/{name}"])
        return out if self.penalty is None else {**out, **self.penalty.metrics()}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that continues this learner bit by bit: tensors, and plain JSON values."""
        ppo = self.ppo
        arrays, env_values = self.env.snapshot()
        arrays = {f"env.{name}": array for name, array in arrays.items()}
        tensors: Tensors = {f"policy.{k}": v for k, v in network_weights(ppo.policy).items()}
        tensors.update(optimiser_tensors(ppo.policy.optimizer, "optimizer."))
        if ppo._last_obs is not None:
            arrays["last_obs"] = np.asarray(ppo._last_obs)
            arrays["last_starts"] = np.asarray(ppo._last_episode_starts)
        if self.reward_scale is not None:
            statistics = self.reward_scale.ret_rms
            arrays["reward.returns"] = self.reward_scale.returns.copy()
            arrays["reward.statistics"] = np.array(
                [statistics.mean, statistics.var, statistics.count], dtype=np.float64
            )
        generators, plain = self.generators
        tensors["torch_generator"] = generators["torch"].clone()
        arrays["numpy_generator"] = generators["numpy"].numpy()
        for name, array in arrays.items():
            tensors[name] = torch.from_numpy(signed(array))
        values = {
            "steps": self.steps,
            "updates": int(ppo._n_updates),
            "numpy": plain,
            "env": env_values,
        }
        return tensors, values

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        """Continue from what `state` gave. Bind the same opponents first.

        Raises:
            RoboAdvError: the state belongs to another network or number of environments.
        """
        ppo = self.ppo
        try:
            load_network_weights(ppo.policy, with_prefix(tensors, "policy."))
        except RuntimeError as error:
            raise RoboAdvError(f"the checkpoint does not fit this learner: {error}") from error
        load_optimiser(ppo.policy.optimizer, with_prefix(tensors, "optimizer."))
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.env.restore(with_prefix(arrays, "env."), values["env"])
        if "last_obs" in arrays:
            ppo._last_obs = arrays["last_obs"].copy()
            ppo._last_episode_starts = arrays["last_starts"].astype(bool)
        if self.reward_scale is not None:
            self.reward_scale.returns = arrays["reward.returns"].copy()
            statistics = self.reward_scale.ret_rms
            statistics.mean, statistics.var, statistics.count = arrays["reward.statistics"].copy()
        ppo.num_timesteps = int(values["steps"])
        ppo._n_updates = int(values["updates"])
        self.generators = (
            {"torch": tensors["torch_generator"], "numpy": tensors["numpy_generator"]},
            values["numpy"],
        )


class _BeforeUpdate(BaseCallback):
    """Gives torch its threads for the update when the rollout is over."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads = threads

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        torch.set_num_threads(self.threads)
