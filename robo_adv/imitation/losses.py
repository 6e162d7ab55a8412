"""Losses of a discriminator, row by row, for labels from 0 (learner) to 1 (expert)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

RowLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(logit: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """-label log D - (1 - label) log(1 - D) with D = sigmoid(l)."""
    return F.softplus(logit) - label * logit


def least_squares(output: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """(d - (2 label - 1))^2: targets 1 and -1 (Mao et al. 2017; Peng et al. 2021, equation 6)."""
    return (output - (2.0 * label - 1.0)).square()


LOSSES: dict[str, RowLoss] = {
    "bce": cross_entropy,
    "least-squares": least_squares,
    "mixup": cross_entropy,  # on inputs that `mixup` mixed
}


def mixup_shares(n: int, alpha: float, generator: torch.Generator) -> torch.Tensor:
    """The expert's shares (n,) ~ Beta(alpha, alpha) in mixed inputs (Zhang et al. 2018)."""
    seed = int(torch.randint(2**62, (), generator=generator))
    shares = np.random.default_rng(seed).beta(alpha, alpha, n)
    return torch.from_numpy(shares.astype(np.float32))
