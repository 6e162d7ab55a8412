"""The policy network: a stable-baselines3 actor-critic with observation normalisation inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.sight import Sight

Array = npt.NDArray[Any]
# An actor-critic's clipped Gaussian; SAC's actor; an actor-critic that sees pictures.
Kind = Literal["mlp", "squashed-actor", "cnn"]
CLIP = 10.0  # standard deviations, as stable-baselines3's VecNormalize
EPSILON = 1e-8  # added to the variance, as VecNormalize
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class NormalisedObservation(BaseFeaturesExtractor):
    """Running mean and variance as a layer, so that a policy is one function of raw observations.

    `update` follows Chan et al. 1979 (parallel variance), as VecNormalize does. Until the first
    update it passes observations through.

    Args:
        size: how many numbers are normalised. features: how many the layer gives. Both are those of
            the observation by default.
    """

    sight: Sight | None = None  # what a layer that sees is shown

    mean: torch.Tensor
    var: torch.Tensor
    count: torch.Tensor

    def __init__(
        self,
        observation_space: gymnasium.Space[Any],
        size: int | None = None,
        features: int | None = None,
    ) -> None:
        size = gymnasium.spaces.flatdim(observation_space) if size is None else size
        super().__init__(observation_space, features or size)
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(size, dtype=torch.float64))
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))
        self._refresh()

    def _refresh(self) -> None:
        self._shift = self.mean.float()
        self._scale = torch.rsqrt(self.var + EPSILON).float()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._refresh()

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return ((observations - self._shift) * self._scale).clamp(-CLIP, CLIP)

    def update(self, observations: torch.Tensor) -> None:
        """Fold observations (n, d) into the statistics."""
        batch = observations.double()
        n = float(len(batch))
        mean, var = batch.mean(0), batch.var(0, unbiased=False)
        total = self.count + n
        delta = mean - self.mean
        m2 = self.var * self.count + var * n + delta**2 * self.count * n / total
        self.mean += delta * n / total
        self.var.copy_(m2 / total)
        self.count.copy_(total)
        self._refresh()


def policy_kwargs(
    net_arch: tuple[int, ...],
    activation: str,
    log_std: float,
    first: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Arguments of `ActorCriticPolicy` for an MLP with normalisation inside, or behind another first
    layer (`robo_adv.training.sighted`)."""
    return {
        **(first or {"features_extractor_class": NormalisedObservation}),
        "net_arch": {"pi": list(net_arch), "vf": list(net_arch)},
        "activation_fn": ACTIVATIONS[activation],
        "log_std_init": log_std,
    }


def build_network(
    observation_size: int, action_size: int, net_arch: tuple[int, ...], activation: str
) -> ActorCriticPolicy:
    """A fresh network for observations (d,) and actions (a,) in [-1, 1]."""
    return ActorCriticPolicy(
        gymnasium.spaces.Box(-np.inf, np.inf, (observation_size,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32),
        lr_schedule=lambda _: 0.0,
        **policy_kwargs(net_arch, activation, 0.0),
    )


_SHARED = ("pi_features_extractor.", "vf_features_extractor.")  # aliases of features_extractor


def network_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all weights and statistics, shared ones once."""
    return {
        name: value.detach().clone()
        for name, value in network.state_dict().items()
        if not name.startswith(_SHARED)
    }


def load_network_weights(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load what `network_weights` gave; raises RuntimeError when names or shapes differ."""
    aliases = _SHARED if isinstance(network, ActorCriticPolicy) else ()
    shared = {
        prefix + name.removeprefix("features_extractor."): value
        for name, value in weights.items()
        if name.startswith("features_extractor.")
        for prefix in aliases
    }
    network.load_state_dict({**weights, **shared}, strict=True)


class NetworkPolicy:
    """A trained network as a Policy: raw observations (N, d) in, actions (N, a) in [-1, 1] out.

    Sampled actions (`deterministic=False`) use random numbers of each episode's own seed.

    Attributes:
        sight: what it sees beside numbers, where it takes sighted rows (`robo_adv.sight`), else None.
        observation_size: d, without pixels.
    """

    kind: Kind = "mlp"

    def __init__(self, network: ActorCriticPolicy) -> None:
        self.network = network.eval()
        self.sight: Sight | None = network.features_extractor.sight  # type: ignore[assignment]
        self.observation_size = int(network.observation_space.shape[0])  # type: ignore[index]
        if self.sight is not None:
            self.kind = "cnn"
            self.observation_size -= self.sight.pixels
        self.action_size = int(network.action_space.shape[0])  # type: ignore[index]

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return seeds, np.zeros(len(seeds), dtype=np.uint64)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if self.sight is not None and np.shape(observation)[1:] == (self.observation_size,):
            raise RoboAdvError(
                f"this policy acts from pictures of the cameras {', '.join(self.sight.cameras)}, which "
                "it is not shown here; policies that see are played by `robo-adv evaluate` (without "
                "--levels) and `imitate`, and by nothing else yet"
            )
        with torch.no_grad():
            centre, log_std = self._distribution(torch.as_tensor(observation))
        action = centre.numpy().astype(np.float64)
        if not deterministic:
            if state is None:
                state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
            seeds, step = state
            noise = seeding.normal(seeds, seeding.ACTION, self.action_size, step)
            action = action + np.exp(log_std.numpy()) * noise
            state = (seeds, step + np.uint64(1))
        return self._bounded(action), state

    def _distribution(self, observation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Centre and logarithmic standard deviation of the action before it is bounded."""
        return self.mean(observation), self.network.log_std.detach()

    def _bounded(self, action: Array) -> Array:
        return np.clip(action, -1.0, 1.0)

    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        """Mean action (N, a), before clipping; differentiable with respect to (N, d)."""
        features = self.network.extract_features(observation, self.network.pi_features_extractor)
        assert isinstance(features, torch.Tensor)
        latent = self.network.mlp_extractor.forward_actor(features)
        action: torch.Tensor = self.network.action_net(latent)
        return action
