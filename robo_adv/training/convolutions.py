"""The small CNN that policies and discriminators see by."""

from __future__ import annotations

from torch import nn

SMALLEST = 36  # pixels a side that `convolutions` need


def convolutions(channels: int) -> nn.Sequential:
    """Features (n, 32 k^2) of pictures (n, channels, H, W), k^2 places of 32 each; made for 64 x 64
    pixels, of which k = 2."""
    return nn.Sequential(
        nn.Conv2d(channels, 16, 8, stride=4),
        nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
    )


def features_of(size: int) -> int:
    """How many features `convolutions` give of pictures of `size` pixels a side."""
    for kernel, stride in ((8, 4), (4, 2), (3, 2)):
        size = (size - kernel) // stride + 1
    return 32 * size * size
