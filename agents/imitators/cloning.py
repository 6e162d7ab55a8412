"""Behavioural cloning (Pomerleau 1991): fits a network to the demonstrated actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from robo_adv.agents.imitators.config import CloneConfig, ImitatorConfig
from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.agents.imitators.networks import (
    distribution,
    load_network_state,
    log_prob,
    make_network,
    network_state,
    normalise,
    row_sums,
)
from robo_adv.agents.imitators.task import Task
from robo_adv.imitation.cloning import negative_log_likelihood
from robo_adv.sight import SightedRows
from robo_adv.training.network import NetworkPolicy, load_network_weights, network_weights
from robo_adv.training.state import Tensors, with_prefix

Array = npt.NDArray[Any]
# Observations (n, d) or sighted rows, and actions (n, a) in [-1, 1].
Pairs = tuple[torch.Tensor | SightedRows, torch.Tensor]


class Cloner:
    """Fits a network to pairs, epoch by epoch."""

    def __init__(self, network: ActorCriticPolicy, config: CloneConfig, seed: int) -> None:
        self.network, self.config = network, config
        self.optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)

    def epoch(self, pairs: Pairs) -> float:
        """One pass over the pairs; the mean loss."""
        losses = []
        order = torch.randperm(len(pairs[0]), generator=self.generator)
        for rows in torch.split(order, self.config.batch_size):
            loss = self.loss(torch.as_tensor(pairs[0][rows]), pairs[1][rows])
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses))

    def loss(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """What is minimised on a batch."""
        found = distribution(self.network, observation)
        entropy: torch.Tensor = found.entropy()  # type: ignore[no-untyped-call]
        return negative_log_likelihood(
            row_sums(found, action), entropy.sum(dim=1), self.config.entropy,
            self.network.parameters(), self.config.l2,
        )  # fmt: skip

    @torch.no_grad()
    def likelihood_loss(self, pairs: Pairs) -> float:
        """Mean negative log-likelihood of pairs."""
        return float(-log_prob(self.network, torch.as_tensor(pairs[0][:]), pairs[1]).mean())

    def batches(self, pairs: Pairs) -> int:
        """Gradient steps of an epoch."""
        return -(-len(pairs[0]) // self.config.batch_size)

    def state(self) -> Tensors:
        return network_state(self.network, self.optimiser, self.generator)

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        load_network_state(tensors, self.network, self.optimiser, self.generator)


def seen_rows(
    task: Task, seen: Array | SightedRows, rows: Array
) -> torch.Tensor | SightedRows:  # fmt: skip
    """Those rows of what a learner of the task sees."""
    if isinstance(seen, SightedRows):
        return seen.take(rows)
    if task.sight is not None:
        return SightedRows.of(seen[rows], task.observation_size)
    return torch.as_tensor(seen[rows], dtype=torch.float32)


class Clone:
    """Behavioural cloning with early stopping; its steps are gradient steps.

    The policy is that of the lowest loss on demonstrations held out for that (without any, the last).
    """

    def __init__(self, lesson: Lesson, config: ImitatorConfig) -> None:
        self.task, self.config = lesson.task, config
        self.fit, self.held_out = self._split(lesson)
        self.network = make_network(lesson.task, config.ppo, config.seed)
        seen = self.fit[0]
        normalise(self.network, seen if isinstance(seen, SightedRows) else seen.numpy())
        self.cloner = Cloner(self.network, config.clone, config.seed)
        self.best = make_network(lesson.task, config.ppo, config.seed)
        load_network_weights(self.best, network_weights(self.network))
        self.steps, self.waited, self.lowest = 0, 0, float("inf")

    def _split(self, lesson: Lesson) -> tuple[Pairs, Pairs | None]:
        """Pairs to learn from, and held out ones: whole episodes if the share makes one of them
        and every step is there, else steps."""
        steps, config = lesson.steps, self.config
        n = len(steps)
        rng = np.random.default_rng(config.seed)
        groups, lengths = n, lesson.episodes.lengths
        group = np.arange(n)
        if config.every == 1 and len(lengths) * config.clone.validation >= 1.0:
            groups, group = len(lengths), np.repeat(np.arange(len(lengths)), lengths)
        few = round(config.clone.validation * groups)
        if config.clone.validation and groups > 1:
            few = min(max(few, 1), groups - 1)
        out = np.isin(group, rng.permutation(groups)[:few])
        action = self.task.unit(steps.action)
        kept, held = np.flatnonzero(~out), np.flatnonzero(out)
        fit, rest = (
            (seen_rows(self.task, steps.observation, rows), torch.as_tensor(action[rows]))
            for rows in (kept, held)
        )
        return fit, rest if few else None

    @property
    def policy(self) -> NetworkPolicy:
        return NetworkPolicy(self.best)

    def iterate(self) -> dict[str, float]:
        """One epoch."""
        loss = self.cloner.epoch(self.fit)
        self.steps += self.cloner.batches(self.fit)
        judged = loss
        if self.held_out is not None:
            judged = self.cloner.likelihood_loss(self.held_out)
        self.waited += 1
        if self.held_out is None or judged < self.lowest:
            self.lowest, self.waited = judged, 0
            load_network_weights(self.best, network_weights(self.network))
        stopped = self.waited >= self.config.clone.patience
        if stopped:
            self.steps = max(self.steps, self.config.steps)
        return {
            "episodes": 0.0, "loss": loss, "validation_loss": judged, "stopped": float(stopped),
        }  # fmt: skip

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        best = {f"best.{name}": value for name, value in network_weights(self.best).items()}
        values = {"steps": self.steps, "waited": self.waited, "lowest": self.lowest}
        return {**self.cloner.state(), **best}, values

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        self.cloner.load_state(tensors)
        load_network_weights(self.best, with_prefix(tensors, "best."))
        self.steps, self.waited = int(values["steps"]), int(values["waited"])
        self.lowest = float(values["lowest"])
