"""Networks of learners without a critic's use: how they are made, asked for log-probabilities, kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy

from robo_adv.agents.imitators.task import Task
from robo_adv.errors import RoboAdvError
from robo_adv.sight import SightedRows
from robo_adv.training.learner import PPOConfig
from robo_adv.training.network import (
    NormalisedObservation,
    build_network,
    load_network_weights,
    network_weights,
)
from robo_adv.training.sighted import build_sighted
from robo_adv.training.state import Tensors, load_optimiser, optimiser_tensors, with_prefix

Array = npt.NDArray[Any]


def make_network(task: Task, ppo: PPOConfig, seed: int) -> ActorCriticPolicy:
    """A fresh network of a task, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shape = task.observation_size, task.action_size, ppo.net_arch, ppo.activation
        network = (
            build_network(*shape) if task.sight is None
            else build_sighted(*shape, task.sight, task.columns)
        )  # fmt: skip
    with torch.no_grad():
        network.log_std.fill_(ppo.log_std_init)
    return network.train(False)


def normalise(network: ActorCriticPolicy, observations: Array | SightedRows) -> None:
    """Set the network's statistics to those of observations (n, d); pixels have none."""
    if isinstance(observations, SightedRows):
        observations = observations.observation
    layer = network.features_extractor
    assert isinstance(layer, NormalisedObservation)
    layer.count.zero_()
    layer.mean.zero_()
    layer.var.fill_(1.0)
    layer.update(torch.as_tensor(observations))


def distribution(
    network: ActorCriticPolicy, observation: torch.Tensor
) -> torch.distributions.Normal:
    """Of actions (n, a) before they are clipped, for observations (n, d)."""
    found = network.get_distribution(observation)
    assert isinstance(found, DiagGaussianDistribution)
    return found.distribution


def row_sums(found: torch.distributions.Normal, action: torch.Tensor) -> torch.Tensor:
    """Logarithmic densities (n,) of actions (n, a)."""
    each: torch.Tensor = found.log_prob(action)  # type: ignore[no-untyped-call]
    return each.sum(dim=1)


def log_prob(
    network: ActorCriticPolicy, observation: torch.Tensor, action: torch.Tensor
) -> torch.Tensor:
    """log pi(a|s) (n,) of actions (n, a) in [-1, 1]."""
    return row_sums(distribution(network, observation), action)


def network_state(
    network: ActorCriticPolicy, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> Tensors:
    """Tensors from which `load_network_state` goes on bit by bit."""
    return {
        **{f"policy.{name}": value for name, value in network_weights(network).items()},
        **optimiser_tensors(optimiser, "optimizer."),
        "generator": generator.get_state(),
    }


def load_network_state(
    tensors: Mapping[str, torch.Tensor],
    network: ActorCriticPolicy,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Put back what `network_state` gave.

    Raises:
        RoboAdvError: it belongs to another network.
    """
    try:
        load_network_weights(network, with_prefix(tensors, "policy."))
    except RuntimeError as error:
        raise RoboAdvError(f"the checkpoint does not fit this learner: {error}") from error
    load_optimiser(optimiser, with_prefix(tensors, "optimizer."))
    generator.set_state(tensors["generator"])
