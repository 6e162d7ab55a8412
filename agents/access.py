"""Where access to a controller comes from: our own networks, stable-baselines3 models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn

from robo_adv.threats.access import Access, Tensor
from robo_adv.threats.mlp import MLP, Activation, Layer
from robo_adv.training.network import CLIP, EPSILON, NetworkPolicy, NormalisedObservation
from robo_adv.training.squashed import SquashedPolicy

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Normaliser:
    """clip((x - mean) / std, -clip, clip) of observations (n, d), with `mean` and `std` (d,)."""

    mean: Array
    std: Array
    clip: float = float("inf")

    def __call__(self, observation: Tensor) -> Tensor:
        mean, std = torch.as_tensor(self.mean), torch.as_tensor(self.std)
        return ((observation - mean) / std).clamp(-self.clip, self.clip).float()

    def mlp(self, modules: Iterable[nn.Module], last: Activation = "none") -> MLP | None:
        """The modules behind it as an MLP; None when they hold other layers than `MLP.of` knows."""
        shift = torch.as_tensor(self.mean, dtype=torch.float32)
        scale = torch.as_tensor(1.0 / self.std, dtype=torch.float32)
        return MLP.of(modules, shift, scale, self.clip, last)


def network_access(policy: NetworkPolicy) -> Access:
    """Access to our own networks: all of an actor-critic but Q, mean and normaliser of SAC's actor;
    none to one that sees."""
    if policy.sight is not None:
        return Access()
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


def on_range(access: Access, low: Array, high: Array) -> Access:
    """Access to a controller that acts in [-1, 1], with its actions mapped to [low, high] (a,)."""
    if (low == -1.0).all() and (high == 1.0).all():
        return access
    mean, std, q = access.mean, access.std, access.q
    half = torch.as_tensor(high - low, dtype=torch.float32) / 2.0
    middle = torch.as_tensor(high + low, dtype=torch.float32) / 2.0
    return replace(
        access,
        mean=None if mean is None else stretched(mean, half, middle),
        std=None if std is None else lambda observation: std(observation) * half,
        q=None if q is None else lambda seen, action: q(seen, (action - middle) / half),
    )


def stretched(
    mean: Callable[[Tensor], Tensor], half: Tensor, middle: Tensor
) -> Callable[[Tensor], Tensor]:
    """middle + half * mean(x); an MLP stays one."""
    if isinstance(mean, MLP):
        return replace(mean, layers=(*mean.layers, Layer(torch.diag(half), middle, "none")))
    return lambda observation: middle + half * mean(observation)


def sb3_access(model: Any, normaliser: Normaliser | None = None) -> Access:
    """Access to a stable-baselines3 model of flat observations; actions on the environment's scale.

    Plain `MlpPolicy` networks come as `MLP`, others as functions that torch differentiates.

    Args:
        normaliser: what comes before the model (VecNormalize).
    """
    size = int(np.prod(model.observation_space.shape))
    before = normaliser or Normaliser(np.zeros(size), np.ones(size))
    found = _off_policy(model, before) if hasattr(model, "actor") else _on_policy(model, before)
    if normaliser is None:
        return found
    return replace(found, normaliser=(normaliser.mean, normaliser.std))


def _plain(*extractors: nn.Module) -> bool:
    return all(type(extractor) is FlattenExtractor for extractor in extractors)


def _on_policy(model: Any, before: Normaliser) -> Access:
    policy = model.policy

    def distribution(observation: Tensor) -> Any:
        return policy.get_distribution(before(observation)).distribution

    def mean(observation: Tensor) -> Tensor:
        found: Tensor = distribution(observation).mean
        return found

    def std(observation: Tensor) -> Tensor:
        found: Tensor = distribution(observation).stddev.detach()
        return found

    def value(observation: Tensor) -> Tensor:
        found: Tensor = policy.predict_values(before(observation))
        return found

    networks = policy.mlp_extractor
    actor = critic = None
    if _plain(policy.pi_features_extractor, policy.vf_features_extractor) \
            and hasattr(networks, "policy_net"):  # fmt: skip
        actor = before.mlp([*networks.policy_net, policy.action_net])
        critic = before.mlp([*networks.value_net, policy.value_net])
    if policy.squash_output:
        return Access(value=critic or value)
    return Access(mean=actor or mean, std=std, value=critic or value)


def _off_policy(model: Any, before: Normaliser) -> Access:
    low, high = model.action_space.low, model.action_space.high
    actor = model.actor
    options = {"deterministic": True} if hasattr(actor, "log_std") else {}  # SAC's; not TD3's

    def mean(observation: Tensor) -> Tensor:
        unit: Tensor = actor(before(observation), **options)
        return unit

    def q(observation: Tensor, action: Tensor) -> Tensor:
        every = model.critic(before(observation), action.float())
        return torch.cat(every, dim=1).amin(dim=1, keepdim=True)

    plain = None
    if _plain(actor.features_extractor):
        is_sac = isinstance(actor.mu, nn.Linear)
        plain = (
            before.mlp([*actor.latent_pi, actor.mu], "tanh") if is_sac
            else before.mlp([*actor.mu]) if isinstance(actor.mu, nn.Sequential) and not options
            else None
        )  # fmt: skip
    found = on_range(Access(mean=plain or mean, q=q), low, high)
    assert found.mean is not None and found.q is not None
    act, judge = found.mean, found.q
    return replace(found, value=lambda observation: judge(observation, act(observation)))
