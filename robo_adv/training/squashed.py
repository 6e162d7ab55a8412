"""SAC's actor as a policy: a Gaussian squashed by tanh, with observation normalisation inside."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.sac.policies import LOG_STD_MAX, LOG_STD_MIN, Actor

from robo_adv.training.network import (
    ACTIVATIONS,
    Kind,
    NetworkPolicy,
    NormalisedObservation,
    load_network_weights,
    network_weights,
)

Array = npt.NDArray[Any]


class NormalisedDict(NormalisedObservation):
    """The same layer for Dict observations, which it flattens as `gymnasium.spaces.flatten` does.

    Its statistics are those of the flat observation, so an actor that learned from Dicts is, weight
    for weight, one of flat observations.
    """

    def forward(self, observations: Any) -> torch.Tensor:
        return super().forward(
            torch.cat([observations[key] for key in sorted(observations)], dim=1)
        )


def build_actor(
    observation_size: int, action_size: int, net_arch: tuple[int, ...], activation: str
) -> Actor:
    """A fresh actor for observations (d,) and actions (a,) in [-1, 1]."""
    space = gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32)
    return Actor(
        space,
        gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32),
        list(net_arch),
        features_extractor=NormalisedObservation(space),
        features_dim=observation_size,
        activation_fn=ACTIVATIONS[activation],
    )


class SquashedPolicy(NetworkPolicy):
    """A trained actor as a Policy; see NetworkPolicy. Actions are tanh of a Gaussian."""

    kind: Kind = "squashed-actor"
    network: Actor  # type: ignore[assignment]

    def __init__(self, network: Actor) -> None:
        super().__init__(network)  # type: ignore[arg-type]

    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        """Deterministic action (N, a) in [-1, 1]; differentiable with respect to (N, d)."""
        return torch.tanh(self.network.mu(self._latent(observation)))

    def _latent(self, observation: torch.Tensor) -> torch.Tensor:
        features = self.network.extract_features(observation, self.network.features_extractor)
        latent: torch.Tensor = self.network.latent_pi(features)
        return latent

    def _distribution(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latent = self._latent(observation)
        log_std = self.network.log_std(latent)  # type: ignore[operator]
        return self.network.mu(latent), log_std.clamp(LOG_STD_MIN, LOG_STD_MAX)

    def _bounded(self, action: Array) -> Array:
        return np.tanh(action)


def flat_policy(actor: Actor, net_arch: tuple[int, ...], activation: str) -> SquashedPolicy:
    """A copy of an actor that learned from Dicts, as a policy of flat observations."""
    size = gymnasium.spaces.flatdim(actor.observation_space)
    assert actor.action_space.shape is not None
    copy = build_actor(size, actor.action_space.shape[0], net_arch, activation)
    load_network_weights(copy, network_weights(actor))
    return SquashedPolicy(copy)
