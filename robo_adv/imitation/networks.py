"""Networks of discriminators: flat normalised inputs (n, D) in, logits (n, 1) or features out."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.regularisers import Dropout
from robo_adv.training.convolutions import SMALLEST, convolutions

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def mlp(
    inputs: int,
    hidden: tuple[int, ...],
    activation: str = "tanh",
    input_dropout: float = 0.0,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Layers from (n, inputs) to (n, 1), with dropout on the inputs and after hidden layers."""
    layers: list[nn.Module] = [Dropout(input_dropout)] if input_dropout else []
    for size, following in pairwise((inputs, *hidden)):
        layers += [nn.Linear(size, following), ACTIVATIONS[activation]()]
        layers += [Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], 1))


class ImageTrunk(nn.Module):
    """Features (n, `size`) of inputs (n, C x H x W + rest): three convolutions, then the rest as is.

    Made for 64 x 64 pixels; `images` is (C, H, W). Raises RoboAdvError for H or W below 36.
    """

    def __init__(self, images: tuple[int, int, int], rest: int) -> None:
        super().__init__()
        if min(images[1:]) < SMALLEST:
            raise RoboAdvError(f"images need 36 x 36 pixels or more, got {images[1]} x {images[2]}")
        self.images = images
        self.pixels = images[0] * images[1] * images[2]
        self.convolutions = convolutions(images[0])
        with torch.no_grad():
            self.size = self.convolutions(torch.zeros(1, *images)).shape[1] + rest

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        pixels = inputs[:, : self.pixels].reshape(-1, *self.images)
        return torch.cat([self.convolutions(pixels), inputs[:, self.pixels :]], 1)
