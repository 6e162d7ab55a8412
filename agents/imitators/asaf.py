"""Adversarial soft advantage fitting (Barde et al. 2020): the discriminator is made of the policy
itself and of what it was when the data were collected; there is no reward and no critic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.utils import clip_grad_norm_

from robo_adv.agents.imitators.collect import Collector, Rollout
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.agents.imitators.networks import (
    distribution,
    load_network_state,
    log_prob,
    make_network,
    network_state,
    normalise,
)
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.asaf import asaf_loss, episode_sums, window_indices
from robo_adv.training.network import NetworkPolicy
from robo_adv.training.state import Tensors, signed, with_prefix

Array = npt.NDArray[Any]


class Windows:
    """Runs of steps (windows, or whole episodes) in arrays of steps.

    Args:
        observation: (n, d). action: (n, a) in [-1, 1]. first, length: (m,) of each run, in rows.
    """

    def __init__(self, observation: Array, action: Array, first: Array, length: Array) -> None:
        self.observation = torch.as_tensor(observation, dtype=torch.float32)
        self.action = torch.as_tensor(action, dtype=torch.float32)
        self.first, self.length = first, length
        self.frozen = torch.zeros(len(observation))

    def __len__(self) -> int:
        return len(self.first)

    def sums(self, network: Any, chosen: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Sums (m,) over chosen runs of log pi, and of the frozen policy's."""
        length = self.length[chosen]
        offset = np.repeat(self.first[chosen] - (np.cumsum(length) - length), length)
        rows = torch.as_tensor(np.arange(length.sum()) + offset)
        now = log_prob(network, self.observation[rows], self.action[rows])
        return episode_sums(now, length), episode_sums(self.frozen[rows], length)

    @torch.no_grad()
    def freeze(self, network: Any) -> None:
        """Take the network's present log-probabilities as the frozen policy's."""
        self.frozen = log_prob(network, self.observation, self.action)


class Asaf:
    """ASAF on windows of one step, of several, or on whole episodes."""

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        self.task, self.config, self.own = lesson.task, config, config.asaf
        least = 2 * lesson.task.horizon - 1  # of any so many steps, one episode is whole
        if not self.own.window and self.own.n_steps < least:
            raise RoboAdvError(
                f"whole episodes (asaf.window 0) of up to {lesson.task.horizon} steps need "
                f"--asaf.n-steps of at least {least}, got {self.own.n_steps}"
            )
        self.network = make_network(lesson.task, config.ppo, config.seed)
        normalise(self.network, lesson.steps.observation)
        self.optimiser = torch.optim.Adam(self.network.parameters(), self.own.learning_rate)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.expert = self._expert(lesson)
        self.collector = Collector(lesson.task.seat(self.own.num_envs), config.seed)
        self.steps = 0

    def _expert(self, lesson: Lesson) -> Windows:
        lengths, window = lesson.episodes.lengths, self.own.window
        steps = len(lesson.steps)
        if window == 0:
            first = np.cumsum(lengths) - lengths
        elif window == 1:
            first = np.arange(steps)
        else:
            first = window_indices(lengths, window, self.own.stride)[:, 0]
        length = lengths if window == 0 else np.full(len(first), window)
        return Windows(lesson.steps.observation, self.task.unit(lesson.steps.action), first, length)

    @property
    def policy(self) -> NetworkPolicy:
        return NetworkPolicy(self.network)

    def iterate(self) -> dict[str, float]:
        """Collect with the present policy, then fit it against what it was."""
        rollout = self.collector.play(self.own.n_steps, self._sample)
        self.steps += self.own.n_steps * self.own.num_envs
        learner = self._windows(rollout)
        for windows in (self.expert, learner):
            windows.freeze(self.network)
        losses = [
            self._update(learner, chosen.numpy())
            for _ in range(self.own.epochs)
            for chosen in torch.split(
                torch.randperm(len(learner), generator=self.generator), self.own.batch_size
            )
        ]
        std = float(self.network.log_std.detach().exp().mean())
        return {**rollout.metrics, "loss": float(np.mean(losses)), "std": std}

    def _update(self, learner: Windows, chosen: Array) -> float:
        drawn = torch.randint(len(self.expert), (len(chosen),), generator=self.generator).numpy()
        loss = asaf_loss(
            *self.expert.sums(self.network, drawn), *learner.sums(self.network, chosen)
        )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.network.parameters(), self.own.max_grad_norm)
        self.optimiser.step()
        return float(loss.detach())

    @torch.no_grad()
    def _sample(self, observation: Array) -> tuple[Array, Array]:
        """Actions as they are played, and as they were drawn: a density at the bound to which one was
        clipped is not that of the draw, and a mean far beyond the bounds would make its own actions
        improbable."""
        found = distribution(self.network, torch.as_tensor(observation))
        noise = torch.randn(found.mean.shape, generator=self.generator)
        action = (found.mean + found.stddev * noise).numpy()
        played = self.task.unit(self.task.played(action))
        return played, action

    def _windows(self, rollout: Rollout) -> Windows:
        """The learner's, row after row of the environment; windows may cross its episodes.

        Raises:
            RoboAdvError: no whole episode was collected where whole ones are wanted, or fewer steps
                than a window has.
        """
        observation, action, ended = (
            np.swapaxes(part, 0, 1) for part in (rollout.observation, rollout.action, rollout.ended)
        )
        n, steps = ended.shape
        if self.own.window:
            lengths = np.full(n, steps)
            first = window_indices(lengths, self.own.window, self.own.stride)[:, 0]
            length = np.full(len(first), self.own.window)
        else:
            first, length = _whole(ended, rollout.fresh)
            if not len(first):
                raise RoboAdvError(
                    f"no episode was played from beginning to end within {steps} steps; raise "
                    "--asaf.n-steps"
                )
        seen, played = (part.reshape(n * steps, -1) for part in (observation, action))
        return Windows(seen, played, first, length)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors = network_state(self.network, self.optimiser, self.generator)
        arrays, values = self.collector.snapshot()
        tensors.update({f"env.{k}": torch.from_numpy(signed(v)) for k, v in arrays.items()})
        return tensors, {"steps": self.steps, "env": values}

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        load_network_state(tensors, self.network, self.optimiser, self.generator)
        arrays = {k: v.numpy() for k, v in with_prefix(tensors, "env.").items()}
        self.collector.restore(arrays, values["env"])
        self.steps = int(values["steps"])


def _whole(ended: Array, fresh: Array) -> tuple[Array, Array]:
    """First rows and lengths of the episodes that began and ended within (N, T) steps laid out one
    row after the other; `fresh` (N,): rows whose first step began an episode."""
    first, length = [], []
    for row, over in enumerate(ended):
        ends = np.flatnonzero(over) + 1
        begun = np.concatenate([[0], ends[:-1]] if fresh[row] else [ends[:-1]]).astype(np.int64)
        first.append(row * len(over) + begun)
        length.append(ends[len(ends) - len(begun) :] - begun)
    return np.concatenate(first), np.concatenate(length)
