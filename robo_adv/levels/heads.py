"""Distributions over the unit cube, independent per coordinate, whose numbers a network gives.

`numbers` (..., 2, P) are two free real numbers per coordinate. Samples come from NumPy, densities
and entropies are torch functions that gradients pass through.
"""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import logsigmoid, softplus

Array = npt.NDArray[np.float64]
Tensor = torch.Tensor
HeadName = Literal["beta", "tanh-gaussian"]
EDGE = 1e-6  # samples keep this distance from the faces of the cube, where densities may vanish


class Head(Protocol):
    """A family of distributions over [0, 1]^P."""

    start: tuple[float, float]
    """The two numbers of a wide distribution to begin with."""

    def sample(self, numbers: Array, rng: np.random.Generator) -> Array:
        """Points (..., P)."""

    def log_prob(self, numbers: Tensor, points: Tensor) -> Tensor:
        """Log density (...) of points (..., P) in the unit cube."""

    def entropy(self, numbers: Tensor) -> Tensor:
        """Differential entropy (...) [nat]: 0 for the uniform distribution, less for any other."""


class BetaHead:
    """Beta(1 + softplus(a), 1 + softplus(b)): unimodal, wide in the middle, may peak at an end
    (Chou, Maturana and Scherer 2017, "Improving stochastic policy gradients in continuous control
    with deep reinforcement learning using the Beta distribution", ICML)."""

    start = (-1.0, -1.0)  # Beta(1.31, 1.31)

    def sample(self, numbers: Array, rng: np.random.Generator) -> Array:
        shape = 1.0 + np.logaddexp(0.0, numbers)
        return np.clip(rng.beta(shape[..., 0, :], shape[..., 1, :]), EDGE, 1.0 - EDGE)

    def log_prob(self, numbers: Tensor, points: Tensor) -> Tensor:
        a, b = self._shape(numbers)
        log_density = (a - 1.0) * points.log() + (b - 1.0) * (-points).log1p() - _log_beta(a, b)
        return log_density.sum(-1)

    def entropy(self, numbers: Tensor) -> Tensor:
        a, b = self._shape(numbers)
        inner = (a - 1.0) * torch.digamma(a) + (b - 1.0) * torch.digamma(b)
        return (_log_beta(a, b) - inner + (a + b - 2.0) * torch.digamma(a + b)).sum(-1)

    def _shape(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        shape = 1.0 + softplus(numbers)
        return shape[..., 0, :], shape[..., 1, :]


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    """Logarithm of the beta function."""
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


class TanhGaussianHead:
    """(1 + tanh(x)) / 2 with x normal of mean a and standard deviation exp(b), b in [-4, 1].

    The entropy is that of x plus the mean log slope of the squashing, by Gauss-Hermite quadrature.
    """

    start = (0.0, -0.2)  # close to uniform: a logistic x would be uniform exactly
    log_std_bounds = (-4.0, 1.0)

    def __init__(self) -> None:
        nodes, weights = np.polynomial.hermite_e.hermegauss(48)
        self._nodes = torch.as_tensor(nodes)
        self._weights = torch.as_tensor(weights / math.sqrt(2.0 * math.pi))

    def sample(self, numbers: Array, rng: np.random.Generator) -> Array:
        mean, log_std = numbers[..., 0, :], np.clip(numbers[..., 1, :], *self.log_std_bounds)
        x = mean + np.exp(log_std) * rng.standard_normal(mean.shape)
        return np.clip(0.5 * (1.0 + np.tanh(x)), EDGE, 1.0 - EDGE)

    def log_prob(self, numbers: Tensor, points: Tensor) -> Tensor:
        mean, log_std = self._split(numbers)
        x = 0.5 * torch.logit(points)
        normal = -0.5 * ((x - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return (normal - self._log_slope(x)).sum(-1)

    def entropy(self, numbers: Tensor) -> Tensor:
        mean, log_std = self._split(numbers)
        x = mean[..., None] + log_std.exp()[..., None] * self._nodes
        slope = (self._log_slope(x) * self._weights).sum(-1)
        return (log_std + 0.5 * math.log(2 * math.pi * math.e) + slope).sum(-1)

    def _split(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        return numbers[..., 0, :], numbers[..., 1, :].clamp(*self.log_std_bounds)

    @staticmethod
    def _log_slope(x: Tensor) -> Tensor:
        """log of d/dx (1 + tanh(x)) / 2."""
        return math.log(2.0) + logsigmoid(2.0 * x) + logsigmoid(-2.0 * x)


HEADS: dict[str, Head] = {"beta": BetaHead(), "tanh-gaussian": TanhGaussianHead()}
