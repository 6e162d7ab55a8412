"""Where access to a controller comes from: our own networks, stable-baselines3 models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from robo_adv.threats.access import Access, Tensor
from robo_adv.threats.mlp import MLP, Activation
from robo_adv.training.network import CLIP, EPSILON, NetworkPolicy, NormalisedObservation
from robo_adv.training.squashed import SquashedPolicy


def network_access(policy: NetworkPolicy) -> Access:
    """Access to our own networks: all of an actor-critic but Q, mean and normaliser of SAC's actor."""
    network: Any = policy.network
    extractor = network.features_extractor
    assert isinstance(extractor, NormalisedObservation)
    normaliser = (
        extractor.mean.numpy().copy(),
        np.sqrt(extractor.var.numpy() + EPSILON),
    )

    shift, scale = extractor.mean.float(), torch.rsqrt(extractor.var + EPSILON).float()

    def mlp(*modules: nn.Module, last: Activation = "none") -> MLP:
        found = MLP.of([*modules], shift, scale, CLIP, last)
        assert found is not None  # our networks are made of Linear, Tanh and ReLU alone
        return found

    if isinstance(policy, SquashedPolicy):
        mean = mlp(*network.latent_pi, network.mu, last="tanh")
        return Access(mean=mean, normaliser=normaliser)

    def std(observation: Tensor) -> Tensor:
        return torch.exp(network.log_std.detach()).expand(len(observation), -1)

    return Access(
        mean=mlp(*network.mlp_extractor.policy_net, network.action_net),
        std=std,
        value=mlp(*network.mlp_extractor.value_net, network.value_net),
        normaliser=normaliser,
    )


def sb3_access(model: Any, normalised: Callable[[Tensor], Tensor] | None = None) -> Access:
    """Access to a stable-baselines3 model of flat observations; actions on the environment's scale.

    Args:
        normalised: what comes before the model (VecNormalize), differentiable.
    """
    before = normalised or (lambda observation: observation)
    if hasattr(model, "actor"):
        return _off_policy(model, before)
    policy = model.policy

    def distribution(observation: Tensor) -> Any:
        return policy.get_distribution(before(observation).float()).distribution

    def mean(observation: Tensor) -> Tensor:
        found: Tensor = distribution(observation).mean
        return found

    def std(observation: Tensor) -> Tensor:
        found: Tensor = distribution(observation).stddev.detach()
        return found

    def value(observation: Tensor) -> Tensor:
        found: Tensor = policy.predict_values(before(observation).float())
        return found

    if policy.squash_output:
        return Access(value=value)
    return Access(mean=mean, std=std, value=value)


def _off_policy(model: Any, before: Callable[[Tensor], Tensor]) -> Access:
    low, high = (torch.as_tensor(end) for end in (model.action_space.low, model.action_space.high))

    options = {"deterministic": True} if hasattr(model.actor, "log_std") else {}  # SAC's; not TD3's

    def mean(observation: Tensor) -> Tensor:
        unit: Tensor = model.actor(before(observation).float(), **options)
        return low + 0.5 * (unit + 1.0) * (high - low)

    def q(observation: Tensor, action: Tensor) -> Tensor:
        unit = 2.0 * (action.float() - low) / (high - low) - 1.0
        every = model.critic(before(observation).float(), unit)
        return torch.cat(every, dim=1).amin(dim=1, keepdim=True)

    def value(observation: Tensor) -> Tensor:
        return q(observation, mean(observation))

    return Access(mean=mean, value=value, q=q)
