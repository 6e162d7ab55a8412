"""DAgger (Ross et al. 2011): the expert labels the states that the learner gets into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.agents.controllers import Controller, controller
from robo_adv.agents.imitators.cloning import Cloner, seen_rows
from robo_adv.agents.imitators.collect import Collector
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.agents.imitators.networks import make_network, normalise
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver
from robo_adv.sight import SightedRows
from robo_adv.training.network import NetworkPolicy
from robo_adv.training.state import Tensors, signed, with_prefix

Array = npt.NDArray[Any]


class Dagger:
    """Rounds of: play, the expert's action with probability decay ** round, else one's own; add what
    the expert would have done to the demonstrations; clone them all.

    Raises:
        RoboAdvError: no expert is named, or it does not fit.
    """

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        task, self.own = lesson.task, config.dagger
        self.task, self.config = task, config
        name = config.expert or lesson.whole.card.demonstrator.name
        expert = self._expert(name)
        self.driver = Driver(expert.policy, self.own.num_envs)
        self.network = make_network(task, config.ppo, config.seed)
        self.cloner = Cloner(self.network, config.clone, config.seed)
        self.observation = seen_rows(task, lesson.steps.observation, np.arange(len(lesson.steps)))
        self.action = task.unit(lesson.steps.action)
        self.collector = Collector(task.seat(self.own.num_envs), config.seed, self._begin)
        self.steps, self.rounds = 0, 0

    def _expert(self, name: str) -> Controller:
        """Who is asked."""
        try:
            return controller(name, self.task.sample, self.task.player)
        except RoboAdvError as problem:
            if self.config.expert:
                raise
            raise RoboAdvError(
                f"dagger asks who demonstrated, {name!r}, and that cannot be had here; --expert names "
                "somebody to ask"
            ) from problem

    @property
    def policy(self) -> NetworkPolicy:
        return NetworkPolicy(self.network)

    @property
    def beta(self) -> float:
        """Probability of the expert's action in the round to come."""
        return float(self.own.decay**self.rounds)

    def iterate(self) -> dict[str, float]:
        """One round."""
        beta = self.beta
        rollout = self.collector.play(self.own.n_steps, self._act)
        self.steps += self.own.n_steps * self.own.num_envs
        self.rounds += 1
        seen = rollout.observation.reshape(-1, rollout.observation.shape[-1])
        label = rollout.action.reshape(-1, rollout.action.shape[-1])
        self._add(seen)
        self.action = np.concatenate([self.action, label])
        pairs = self.observation, torch.as_tensor(self.action)
        losses = [self.cloner.epoch(pairs) for _ in range(self.config.clone.epochs)]
        size = float(len(self.action))
        return {**rollout.metrics, "beta": beta, "loss": losses[-1], "labelled": size}

    def _add(self, seen: Array) -> None:
        """Rows that the learner saw, to those of the demonstrations."""
        if isinstance(self.observation, SightedRows):
            more = SightedRows.of(seen, self.task.observation_size)
            self.observation = self.observation.and_then(more)
            normalise(self.network, self.observation)
        else:
            self.observation = torch.cat([self.observation, torch.as_tensor(seen)])
            normalise(self.network, self.observation.numpy())

    def _begin(self, rows: Array, seeds: Array, seen: Array) -> None:
        self.driver.begin(rows, seeds, seen[:, : self.task.observation_size])

    def _act(self, observation: Array) -> tuple[Array, Array]:
        """What is played, and what the expert would have played."""
        told = observation[:, : self.task.observation_size]  # the expert sees no pictures
        label = self.task.unit(self.driver.act(told))
        own, _ = self.policy.predict(observation, deterministic=True)
        asked = torch.rand(len(own), 1, generator=self.cloner.generator).numpy() < self.beta
        return np.where(asked, label, own), label

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        arrays, values = self.collector.snapshot()
        arrays = {f"env.{name}": array for name, array in arrays.items()}
        arrays["data.action"] = self.action
        if isinstance(self.observation, SightedRows):
            arrays["data.observation"] = self.observation.observation
            arrays["data.pictures"] = self.observation.pixels[self.observation.rows]
        else:
            arrays["data.observation"] = self.observation.numpy()
        arrays["driver.starts"] = self.driver.starts
        for index, part in enumerate(self.driver.state or ()):
            arrays[f"driver.state.{index}"] = np.array(part)
        tensors = {name: torch.from_numpy(signed(array.copy())) for name, array in arrays.items()}
        counters = {"steps": self.steps, "rounds": self.rounds, "env": values}
        return {**self.cloner.state(), **tensors}, counters

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        self.cloner.load_state(tensors)
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        self.action, observation = arrays["data.action"], arrays["data.observation"]
        if self.task.sight is not None:
            self.observation = SightedRows(observation, arrays["data.pictures"])
        else:
            self.observation = torch.as_tensor(observation)
        self.collector.restore(with_prefix(arrays, "env."), values["env"])
        self.driver.starts[:] = arrays["driver.starts"]
        for index, part in enumerate(self.driver.state or ()):
            if f"driver.state.{index}" not in arrays:
                raise RoboAdvError("the checkpoint does not hold the expert's state")
            part[:] = arrays[f"driver.state.{index}"].view(part.dtype)
        self.steps, self.rounds = int(values["steps"]), int(values["rounds"])
