"""What a learner is paid for a discriminator's output: log D, -log(1 - D) and their relatives.

The output l is the logit of D = sigmoid(l), the probability that a step is the expert's. A reward
that is never negative pays for staying alive and one that is never positive for ending early,
whatever the discriminator has learned (Kostrikov et al. 2019, "Discriminator-Actor-Critic", section
4.1): `survival` says which, so that a learner can warn where episodes end before their time limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

FAIRL_LIMIT = 10.0  # magnitude at which FAIRL's reward, exponential in the logit, is cut


@dataclass(frozen=True)
class RewardFunction:
    """A reward (N,) from logits (N,); `survival` is +1, -1 or 0: pays for living, for ending, free."""

    function: Callable[[torch.Tensor], torch.Tensor]
    survival: int
    formula: str

    def __call__(self, logit: torch.Tensor) -> torch.Tensor:
        return self.function(logit)


def gail(logit: torch.Tensor) -> torch.Tensor:
    """-log(1 - D) = softplus(l), at least 0 (Ho and Ermon 2016, with the expert as class 1)."""
    return F.softplus(logit)


def negative(logit: torch.Tensor) -> torch.Tensor:
    """log D = -softplus(-l), at most 0: the other sign of GAIL, for tasks that end in success."""
    return F.logsigmoid(logit)


def airl(logit: torch.Tensor) -> torch.Tensor:
    """log D - log(1 - D) = l (Fu et al. 2018; the default of Kostrikov et al. 2019)."""
    return logit


def fairl(logit: torch.Tensor) -> torch.Tensor:
    """-l exp(l): forward Kullback-Leibler divergence (Ghasemipour et al. 2019), cut at the limit."""
    return (-logit * logit.exp()).clamp(-FAIRL_LIMIT, FAIRL_LIMIT)


def bounded(logit: torch.Tensor) -> torch.Tensor:
    """D = sigmoid(l), in (0, 1)."""
    return torch.sigmoid(logit)


def amp(output: torch.Tensor) -> torch.Tensor:
    """max(0, 1 - (d - 1)^2 / 4) of a least-squares output d (Peng et al. 2021, equation 7)."""
    return (1.0 - 0.25 * (output - 1.0).square()).clamp(min=0.0)


REWARDS: dict[str, RewardFunction] = {
    "gail": RewardFunction(gail, 1, "-log(1 - D)"),
    "negative": RewardFunction(negative, -1, "log D"),
    "airl": RewardFunction(airl, 0, "log D - log(1 - D)"),
    "fairl": RewardFunction(fairl, 0, "-l exp(l)"),
    "bounded": RewardFunction(bounded, 1, "D"),
    "amp": RewardFunction(amp, 1, "max(0, 1 - (d - 1)^2 / 4)"),
}
