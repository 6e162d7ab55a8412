"""SA-PPO's regulariser, gradient version: a policy that acts alike on alike observations.

Zhang et al. 2020, "Robust Deep Reinforcement Learning against Adversarial Perturbations on State
Observations" (https://arxiv.org/abs/2003.08938), section 3.2 and appendix C: PPO's loss plus
weight * mean_s max_{s'} KL(pi(s) || pi(s')) over a box around s. The maximum is approached by
sign-gradient steps from a random start (the paper's SGLD, whose own noise of inverse temperature 1e-5
changes no sign in practice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.threats.mlp import MLP
from robo_adv.training.network import CLIP, EPSILON, NormalisedObservation

Array = npt.NDArray[Any]
Unit = Literal["sigma", "policy"]


@dataclass(frozen=True)
class SmoothConfig:
    """Attributes:
    weight: of the divergence in PPO's loss; 0 leaves it out. (SA-PPO's kappa is half of it, as its
        code leaves out the 1/2 of the divergence.)
    budget: half the width of the box around an observation, in `unit`.
    unit: sigma (standard deviations of each sensor over the reference's nominal episodes, as the
        audit measures them) or policy (of the controller's own normaliser).
    steps: gradient steps of the inner maximum.
    ramp: share of the training over which the box grows from nothing; without it a policy can
        collapse to a constant.
    """

    weight: float = 0.02
    budget: float = 0.15
    unit: Unit = "sigma"
    steps: int = 10
    ramp: float = 0.3

    def __post_init__(self) -> None:
        for name in ("weight", "budget"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise RoboAdvError(
                    f"smooth.{name} must be a finite number of at least 0, got {getattr(self, name)}"
                )
        if self.unit not in get_args(Unit):
            raise unknown("unit of smooth.budget", self.unit, get_args(Unit))
        if self.steps < 1:
            raise RoboAdvError(f"smooth.steps must be at least 1, got {self.steps}")
        if not 0.0 <= self.ramp <= 1.0:
            raise RoboAdvError(f"smooth.ramp is a share of the training, in 0..1, got {self.ramp}")


def gaussian_kl(mean: torch.Tensor, other: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """KL divergence (n,) [nat] of diagonal Gaussians (n, a) that share a standard deviation (a,)."""
    return 0.5 * ((mean - other) / log_std.exp()).square().sum(dim=1)


class Smoothness:
    """The regulariser as a penalty of PPO's loss.

    Args:
        config: weight, budget, steps, ramp. scale: one unit of the budget per sensor (d,); sensors
            with scale 0 are left as they are.
        first, last: environment steps between which the ramp's share is counted.

    What acts is the mean, so the divergence's gradient moves mu(s') alone: towards mu(s), which is
    held fixed, and not by way of a wider distribution (both as in the paper's code).
    """

    def __init__(self, config: SmoothConfig, scale: Array, first: int, last: int) -> None:
        self.config, self.first, self.last = config, first, last
        self.scale = torch.as_tensor(np.array(scale), dtype=torch.float32)
        self.budget = 0.0
        self.seen: list[float] = []

    def budget_at(self, steps: int) -> float:
        """The budget after so many environment steps."""
        grown = (steps - self.first) / max(self.config.ramp * (self.last - self.first), 1.0)
        return self.config.budget * min(max(grown, 0.0), 1.0)

    def begin(self, steps: int) -> None:
        """Before an update."""
        self.budget, self.seen = self.budget_at(steps), []

    def metrics(self) -> dict[str, float]:
        """Of the last update: the budget and the mean divergence [nat] found within it."""
        return {"smooth_budget": self.budget, "smooth_kl": float(np.mean(self.seen or [0.0]))}

    def __call__(self, network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
        """The penalty (n,) at observations (n, d), differentiable in the network's weights."""
        if self.budget == 0.0:
            return torch.zeros(len(observations))
        with torch.no_grad():
            target = _mean(network, observations)
        log_std: torch.Tensor = network.log_std.detach()
        worst = self.worst(network, observations, target)
        divergence = gaussian_kl(target, _mean(network, worst), log_std)
        self.seen.append(float(divergence.detach().mean()))
        return self.config.weight * divergence

    def worst(
        self, network: ActorCriticPolicy, observations: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Observations (n, d) in the box whose action diverges most from `target` (n, a).

        The start is random: at the centre the gradient is 0. Steps are 2.5 / steps of the radius,
        enough to cross the box (Madry et al. 2018).
        """
        actor, precision = actor_mlp(network), torch.exp(-2.0 * network.log_std.detach())
        radius = self.budget * self.scale

        def head(mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            slope = precision * (mean - target)
            return 0.5 * (slope * (mean - target)).sum(dim=1), slope

        u = 2.0 * torch.rand(observations.shape) - 1.0
        for _ in range(self.config.steps):
            _, slope = actor.value_and_slope(torch.addcmul(observations, radius, u), head)
            u = torch.add(u, slope.sign_(), alpha=2.5 / self.config.steps).clamp_(-1.0, 1.0)
        return torch.addcmul(observations, radius, u)


def actor_mlp(network: ActorCriticPolicy) -> MLP:
    """The mean action as a function of raw observations; it shares the network's weights."""
    extractor = network.features_extractor
    assert isinstance(extractor, NormalisedObservation)
    shift, scale = extractor.mean.float(), torch.rsqrt(extractor.var + EPSILON).float()
    modules = [*network.mlp_extractor.policy_net, network.action_net]
    found = MLP.of(modules, shift, scale, CLIP)
    assert found is not None  # our networks are made of Linear, Tanh and ReLU alone
    return found


def _mean(network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
    return network.get_distribution(observations).mode()  # a Gaussian's is its mean
