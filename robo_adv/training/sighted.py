"""Networks that act from pictures: one small CNN per camera beside the numbers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from robo_adv.sight import Sight
from robo_adv.training.convolutions import convolutions, features_of
from robo_adv.training.network import NormalisedObservation, policy_kwargs


class Sighted(nn.Module):
    """Features of sighted rows (n, d + C + rest): one eye per camera, then the numbers that are seen
    and the rest, both as they are.

    Args:
        columns: which of the d numbers are seen. size: d. rest: numbers after the pixels.
    """

    def __init__(self, sight: Sight, columns: tuple[int, ...], size: int, rest: int = 0) -> None:
        super().__init__()
        self.sight, self.first, self.last = sight, size, size + sight.pixels
        self.numbers = [*columns, *range(self.last, self.last + rest)]
        self.eyes = nn.ModuleList(convolutions(3) for _ in sight.cameras)
        self.size = features_of(sight.size) * len(sight.cameras) + len(self.numbers)

    def pictures(self, rows: torch.Tensor) -> torch.Tensor:
        """(n, k, 3, S, S) as they stand in the rows."""
        k, s = len(self.sight.cameras), self.sight.size
        return rows[:, self.first : self.last].reshape(-1, k, s, s, 3).permute(0, 1, 4, 2, 3)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """(n, k times `features_of`) of pictures in [-1, 1]."""
        return torch.cat([one(pictures[:, i]) for i, one in enumerate(self.eyes)], dim=1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.features(self.pictures(rows)), rows[:, self.numbers]], dim=1)


class SightedObservation(NormalisedObservation):
    """The first layer of a policy that sees: statistics are those of the numbers, pixels go to
    [-1, 1], and numbers that are not seen go nowhere.

    Args:
        observation_space: of sighted rows (d + C,).
    """

    sight: Sight

    def __init__(
        self, observation_space: gymnasium.Space[Any], sight: Sight, columns: tuple[int, ...]
    ) -> None:
        inner = Sighted(sight, columns, gymnasium.spaces.flatdim(observation_space) - sight.pixels)
        super().__init__(observation_space, len(columns), inner.size)
        self.sight, self.columns, self.inner = sight, list(columns), inner

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        pictures = self.inner.pictures(observations) / 127.5 - 1.0
        numbers = super().forward(observations[:, self.columns])
        return torch.cat([self.inner.features(pictures), numbers], dim=1)

    def update(self, observations: torch.Tensor) -> None:
        """Fold rows (n, d or more) into the statistics of the numbers that are seen."""
        super().update(observations[:, self.columns])


def sighted_kwargs(sight: Sight, columns: tuple[int, ...]) -> dict[str, Any]:
    """Arguments of `ActorCriticPolicy` for the first layer."""
    return {
        "features_extractor_class": SightedObservation,
        "features_extractor_kwargs": {"sight": sight, "columns": columns},
    }


def build_sighted(
    observation_size: int, action_size: int, net_arch: tuple[int, ...], activation: str,
    sight: Sight, columns: tuple[int, ...],
) -> ActorCriticPolicy:  # fmt: skip
    """A fresh network for sighted rows of observations (d,), and actions (a,) in [-1, 1]."""
    size = observation_size + sight.pixels
    return ActorCriticPolicy(
        gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (action_size,), np.float32),
        lr_schedule=lambda _: 0.0,
        **policy_kwargs(net_arch, activation, 0.0, sighted_kwargs(sight, columns)),
    )


def sighted_sizes(sight: Sight, columns: tuple[int, ...]) -> tuple[int, int]:
    """How many features the first layer gives, and how many weights it has."""
    one = sum(weight.numel() for weight in convolutions(3).parameters())
    cameras = len(sight.cameras)
    return features_of(sight.size) * cameras + len(columns), one * cameras
