"""Penalties: further terms of PPO's loss, without a copy of stable-baselines3's update."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from stable_baselines3.common.policies import ActorCriticPolicy


class Penalty(Protocol):
    """A term of the loss beside PPO's own."""

    def begin(self, steps: int) -> None:
        """Called before an update, after so many environment steps."""

    def metrics(self) -> dict[str, float]:
        """What to log of the last update."""

    def __call__(self, network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
        """The term (n,) at observations (n, d); it draws from torch's global generator, if at all."""


class PenalisedNetwork(ActorCriticPolicy):
    """An actor-critic whose penalty takes the place of PPO's entropy bonus.

    stable-baselines3's loss is surrogate - ent_coef * mean(entropy) + value. With ent_coef = 1 and
    `ent_coef * entropy - penalty` for the entropy, it gains the mean penalty and stays whole.
    """

    penalty: Penalty | None = None
    ent_coef = 0.0

    def evaluate_actions(
        self, obs: Any, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        values, log_prob, entropy = super().evaluate_actions(obs, actions)
        if self.penalty is None or entropy is None:
            return values, log_prob, entropy
        return values, log_prob, self.ent_coef * entropy - self.penalty(self, obs)
