"""What keeps a discriminator smooth: each a function of a network, its inputs or its logits.

Inputs are in the discriminator's normalised units (the expert's standard deviations).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

Side = Literal["one", "two"]
Logit = Callable[[torch.Tensor], torch.Tensor]


def interpolates(
    expert: torch.Tensor, learner: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """Points (n, d) drawn evenly from the segments between rows, n the smaller batch's length."""
    n = min(len(expert), len(learner))
    share = torch.rand(n, 1, generator=generator)
    return share * expert[:n] + (1.0 - share) * learner[:n]


def gradient_norms(logit: Logit, points: torch.Tensor) -> torch.Tensor:
    """Norms (n,) of the logit's gradient at points (n, d), differentiable in the weights."""
    points = points.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(logit(points).sum(), points, create_graph=True)
    # The root's derivative is infinite at 0, where a constant network stands.
    return (gradient.square().sum(1) + 1e-12).sqrt()


def gradient_penalty(norms: torch.Tensor, target: float = 1.0, side: Side = "one") -> torch.Tensor:
    """Mean of (norm - target)^2 (Gulrajani et al. 2017); one-sided: only where it is above."""
    excess = norms - target
    return (excess.clamp(min=0.0) if side == "one" else excess).square().mean()


def r1_penalty(norms: torch.Tensor) -> torch.Tensor:
    """Half the mean squared norm at the expert's samples (Mescheder et al. 2018, R1)."""
    return 0.5 * norms.square().mean()


def bernoulli_entropy(logit: torch.Tensor) -> torch.Tensor:
    """Mean entropy [nat] of Bernoulli(sigmoid(l)): softplus(l) - l sigmoid(l)."""
    return (F.softplus(logit) - logit * torch.sigmoid(logit)).mean()


def linear_layers(network: nn.Module) -> list[nn.Linear | nn.Conv2d]:
    """All layers of `network` that multiply by a weight."""
    return [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]


def add_spectral_norm(network: nn.Module) -> None:
    """Divide every weight by its largest singular value (Miyato et al. 2018), here in place.

    With 1-Lipschitz activations the network is then 1-Lipschitz. A convolution's weight is taken
    as a matrix (out, in x height x width), as Miyato et al. do, which bounds it only roughly.
    """
    for layer in linear_layers(network):
        parametrizations.spectral_norm(layer, n_power_iterations=1)


@torch.no_grad()
def clip_singular_values(network: nn.Module, limit: float) -> int:
    """Set all singular values above `limit` to it (Saito et al. 2017, TGAN); the layers changed.

    Weights whose singular values are below already are not written. Afterwards a network with
    1-Lipschitz activations is limit^depth-Lipschitz.
    """
    changed = 0
    for layer in linear_layers(network):
        matrix = layer.weight.flatten(1)
        u, values, vh = torch.linalg.svd(matrix, full_matrices=False)
        if bool(values[0] > limit):
            clipped = (u * values.clamp(max=limit)) @ vh
            layer.weight.copy_(clipped.view_as(layer.weight))
            changed += 1
    return changed


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, set by `use` before a training step."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        keep = 1.0 - self.probability
        return x * (torch.rand(x.shape, generator=self.generator) < keep) / keep


def draw_dropout_from(network: nn.Module, generator: torch.Generator | None) -> None:
    """Let every Dropout of `network` draw from `generator`."""
    for module in network.modules():
        if isinstance(module, Dropout):
            module.generator = generator
