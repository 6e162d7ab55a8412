"""OffPolicyLearner: stable-baselines3's SAC, one iteration at a time.

Like `learner.Learner` for PPO: an iteration collects and learns for a while; between iterations the
observation statistics move, metrics are drained and checkpoints are taken. The replay buffer is part
of the state, so a resumed run equals an uninterrupted one, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger

from robo_adv.errors import RoboAdvError
from robo_adv.training.learner import THREADS, Threads
from robo_adv.training.network import ACTIVATIONS, NormalisedObservation
from robo_adv.training.ranges import check_learner
from robo_adv.training.replay import FLAT, buffer_arrays, load_buffer, recent_observations
from robo_adv.training.squashed import SquashedPolicy, flat_policy
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
class SACConfig:
    """SAC (Haarnoja et al. 2018), with hindsight replay (Andrychowicz et al. 2017) or without, for two
    cores.

    Gradient steps are what costs: about 90-150 per second on one core. Half of one per environment
    step keeps the physics, which is far cheaper, from waiting for them.

    Attributes:
        gradient_steps: after each step of all num_envs environments.
        learning_starts, iteration, buffer_size: in environment steps; the first must outlast the
            first episodes of all environments where there is hindsight.
        sampled_goals: relabelled transitions per real one, goals from the episode's future
            (hindsight).
    """

    num_envs: int = 8
    gradient_steps: int = 4
    iteration: int = 2_000
    learning_starts: int = 2_000
    buffer_size: int = 400_000
    batch_size: int = 256
    learning_rate: float = 1e-3
    gamma: float = 0.95
    tau: float = 0.05
    sampled_goals: int = 4
    net_arch: tuple[int, ...] = (256, 256)
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_learner(
            self,
            counts=(
                "num_envs", "gradient_steps", "iteration", "buffer_size", "batch_size",
                "sampled_goals",
            ),
            shares=("learning_rate", "gamma", "tau"),
        )  # fmt: skip


class OffPolicyLearner:
    """One SAC learner on one environment.

    Args:
        env: it acts in [-1, 1] there. config: hyper-parameters.
        seed: of the networks, the exploration and the scenarios.
        buffer: class of the replay buffer, which decides what sampled steps are worth, and its
            arguments.
    """

    policy_class: ClassVar[str] = "MlpPolicy"
    normaliser: ClassVar[type[NormalisedObservation]] = NormalisedObservation

    def __init__(
        self,
        env: ResumableEnv,
        config: SACConfig,
        seed: int,
        threads: Threads = THREADS,
        buffer: type[ReplayBuffer] = ReplayBuffer,
        **buffer_arguments: Any,
    ) -> None:
        self.env, self.config, self.threads = env, config, threads
        self.vec_env = VectorToVecEnv(env)
        self.sac = SAC(
            self.policy_class,
            self.vec_env,
            learning_rate=config.learning_rate,
            buffer_size=config.buffer_size,
            learning_starts=config.learning_starts,
            batch_size=config.batch_size,
            tau=config.tau,
            gamma=config.gamma,
            gradient_steps=config.gradient_steps,
            replay_buffer_class=buffer,
            replay_buffer_kwargs=buffer_arguments,
            policy_kwargs={
                "net_arch": list(config.net_arch),
                "activation_fn": ACTIVATIONS[config.activation],
                "features_extractor_class": self.normaliser,
                "optimizer_kwargs": {"fused": True},
            },
            seed=seed,
            device="cpu",
        )
        self.sac.set_logger(Logger(folder=None, output_formats=[]))
        self.generators = capture_generators()

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return int(self.sac.num_timesteps)

    @property
    def policy(self) -> SquashedPolicy:
        """A copy of the current actor, of flat observations."""
        return flat_policy(self.sac.actor, self.config.net_arch, self.config.activation)

    @property
    def buffer(self) -> ReplayBuffer:
        assert self.sac.replay_buffer is not None
        return self.sac.replay_buffer

    def iterate(self) -> dict[str, float]:
        """Collect `config.iteration` steps and learn from the buffer; returns metrics."""
        restore_generators(self.generators)
        self.vec_env.finished.clear()
        before = self.buffer.pos
        torch.set_num_threads(self.threads.update)
        try:
            self._learn()
        finally:
            torch.set_num_threads(self.threads.rollout)
        self.normalise(recent_observations(self.buffer, before))
        self.generators = capture_generators()
        return self._metrics()

    def _learn(self) -> None:
        self.sac.learn(self.config.iteration, log_interval=10**9, reset_num_timesteps=False)

    def normalise(self, observations: Array) -> None:
        """Fold flat observations (n, d) into the statistics of all networks."""
        seen = torch.from_numpy(observations)
        for part in (self.sac.actor, self.sac.critic, self.sac.critic_target):
            assert isinstance(part.features_extractor, NormalisedObservation)
            part.features_extractor.update(seen)

    def _metrics(self) -> dict[str, float]:
        out = {"steps": float(self.steps), **episode_metrics(self.vec_env.finished)}
        logged = self.sac.logger.name_to_value
        for name in ("actor_loss", "critic_loss", "ent_coef"):
            if f"train/{name}" in logged:
                out[name] = float(logged[f"train/{name}"])
        logged.clear()
        return out

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        assert self.sac.ent_coef_optimizer is not None
        return {
            "actor": self.sac.actor.optimizer,
            "critic": self.sac.critic.optimizer,
            "entropy": self.sac.ent_coef_optimizer,
        }

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that continues this learner bit by bit, the replay buffer included."""
        sac, (arrays, env_values) = self.sac, self.env.snapshot()
        assert sac.log_ent_coef is not None
        tensors: Tensors = {
            f"policy.{k}": v.detach().clone() for k, v in sac.policy.state_dict().items()
        }
        tensors["log_ent_coef"] = sac.log_ent_coef.detach().clone()
        for name, optimiser in self._optimisers().items():
            tensors.update(optimiser_tensors(optimiser, f"optimizer.{name}."))
        arrays = {f"env.{name}": array for name, array in arrays.items()}
        arrays.update(buffer_arrays(self.buffer))
        last = sac._last_obs
        if last is not None:
            parts = last if isinstance(last, dict) else {FLAT: last}
            arrays.update({f"last_obs.{key}": np.asarray(part) for key, part in parts.items()})
        generators, plain = self.generators
        tensors["torch_generator"] = generators["torch"].clone()
        arrays["numpy_generator"] = generators["numpy"].numpy()
        tensors.update({k: torch.from_numpy(signed(array)) for k, array in arrays.items()})
        return tensors, {
            "steps": self.steps,
            "updates": int(sac._n_updates),
            "episodes": int(sac._episode_num),
            "numpy": plain,
            "actions": sac.action_space.np_random.bit_generator.state,
            "env": env_values,
        }

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        """Continue from what `state` gave.

        Raises:
            RoboAdvError: the state belongs to another network, buffer or number of environments.
        """
        sac = self.sac
        assert sac.log_ent_coef is not None
        try:
            sac.policy.load_state_dict(with_prefix(tensors, "policy."), strict=True)
        except RuntimeError as error:
            raise RoboAdvError(f"the checkpoint does not fit this learner: {error}") from error
        with torch.no_grad():
            sac.log_ent_coef.copy_(tensors["log_ent_coef"])
        for name, optimiser in self._optimisers().items():
            load_optimiser(optimiser, with_prefix(tensors, f"optimizer.{name}."))
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.env.restore(with_prefix(arrays, "env."), values["env"])
        load_buffer(self.buffer, with_prefix(arrays, "buffer."))
        last = {key: part.copy() for key, part in with_prefix(arrays, "last_obs.").items()}
        if last:
            sac._last_obs = last.get(FLAT, last)
            sac._last_episode_starts = np.zeros(self.config.num_envs, dtype=bool)
        sac.num_timesteps, sac._n_updates = int(values["steps"]), int(values["updates"])
        sac._episode_num = int(values["episodes"])
        sac.action_space.np_random.bit_generator.state = values["actions"]
        self.generators = (
            {"torch": tensors["torch_generator"], "numpy": tensors["numpy_generator"]},
            values["numpy"],
        )
