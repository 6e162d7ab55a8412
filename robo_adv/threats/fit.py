"""Fits of small networks to what a controller was seen to do: copies of it, stacks of perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.threats.lab import Transitions
from robo_adv.threats.mlp import MLP, Layer

Array = npt.NDArray[Any]
Tensor = torch.Tensor
SMALLEST = 1e-6  # of standard deviations by which is divided
RATE = 5e-3  # of Adam, falling linearly
PATIENCE = 15  # epochs without a better validation error after which a fit ends


class Stack:
    """K perceptrons of one shape, trained side by side: inputs (K, n, i) or (n, i) -> (K, n, o).

    Args:
        members: K. sizes: of the inputs, the hidden layers and the outputs.
        activation: of the hidden layers.
    """

    def __init__(
        self, members: int, sizes: Sequence[int], activation: Literal["tanh", "relu"],
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.activation = activation
        self.weights, self.biases = [], []
        for i, o in pairwise(sizes):
            weight = (2.0 * torch.rand(members, i, o, generator=generator) - 1.0) * i**-0.5
            self.weights.append(weight.requires_grad_(True))
            self.biases.append(torch.zeros(members, 1, o, requires_grad=True))

    @property
    def parameters(self) -> list[Tensor]:
        """What is trained."""
        return [*self.weights, *self.biases]

    def __call__(self, x: Tensor) -> Tensor:
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.matmul(x, weight) + bias
            x = self.activated(x) if k < len(self.weights) - 1 else x
        return x

    def activated(self, x: Tensor) -> Tensor:
        """Behind the hidden layers' activation."""
        return torch.tanh(x) if self.activation == "tanh" else torch.relu(x)

    def member(
        self, k: int, shift: Tensor, scale: Tensor, out: tuple[Tensor, Tensor] | None = None
    ) -> MLP:
        """Perceptron k of inputs (x - shift) * scale, on its own.

        Args:
            out: shift and scale (o,) of its outputs.
        """
        layers = [
            Layer(weight[k].detach().T.contiguous(), bias[k, 0].detach().clone(), self.activation)
            for weight, bias in zip(self.weights, self.biases, strict=True)
        ]
        last = layers[-1]
        move, stretch = out or (torch.zeros(1), torch.ones(1))
        layers[-1] = Layer(last.weight * stretch[:, None], last.bias * stretch + move, "none")
        return MLP(tuple(layers), shift, scale)


@dataclass(frozen=True)
class Copy:
    """A policy learned from behaviour alone.

    Attributes:
        mean: observations (n, d) -> actions (n, a), before they are clipped.
        normaliser: mean and standard deviation (d,) of the observations it learned from.
        error: mean square error on steps it has not seen, as a share of the actions' variance.
        steps: of the controller that it learned from.
    """

    mean: MLP
    normaliser: tuple[Array, Array]
    error: float
    steps: int


def imitate(
    seen: Transitions, rng: np.random.Generator, hidden: tuple[int, ...] = (64, 64),
    epochs: int = 60, batch: int = 256,
) -> Copy:  # fmt: skip
    """A copy of the controller by regression, on the last tenth of the time of which it is validated.

    An action at the end of its range says only that the controller wanted at least as much (censored
    regression, Tobin 1958), so that the copy is not flat where the controller saturates.
    """
    split = max(1, len(seen.reward) * 9 // 10)
    x = torch.as_tensor(_rows(seen.observation), dtype=torch.float32)
    y = torch.as_tensor(_rows(seen.action), dtype=torch.float32)
    known = split * seen.reward.shape[1]
    shift, scale = moments(x[:known])
    move, stretch = moments(y[:known])
    z, target = (x - shift) / scale, (y - move) / stretch
    low, high = (_ends(y[:known]) - move) / stretch
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    net = Stack(1, (x.shape[1], *hidden, y.shape[1]), "tanh", generator)
    optimiser = torch.optim.Adam(net.parameters, RATE)

    def loss(rows: Tensor | slice) -> Tensor:
        away = net(z[rows])[0] - target[rows]
        away = torch.where(target[rows] >= high, away.clamp_max(0.0), away)
        away = torch.where(target[rows] <= low, away.clamp_min(0.0), away)
        return away.square().mean()

    best, kept, waited = float("inf"), [p.detach().clone() for p in net.parameters], 0
    for epoch in range(epochs):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1.0 - epoch / epochs)
        for rows in torch.split(torch.randperm(known, generator=generator), batch):
            optimiser.zero_grad()
            loss(rows).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            error = float(loss(slice(known, None)) if known < len(z) else loss(slice(None)))
        waited += 1
        if error < best:
            best, waited, kept = error, 0, [p.detach().clone() for p in net.parameters]
        if waited >= PATIENCE:
            break
    with torch.no_grad():
        for parameter, value in zip(net.parameters, kept, strict=True):
            parameter.copy_(value)
    mean = net.member(0, shift, 1.0 / scale, (move, stretch))
    return Copy(mean, (shift.double().numpy(), scale.double().numpy()), best, known)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (d,) of rows (n, d); 1 for entries that hardly vary."""
    spread = x.std(dim=0, correction=0)
    return x.mean(dim=0), torch.where(spread > SMALLEST, spread, torch.ones(1))


def _ends(action: Tensor) -> Tensor:
    """Ends (2, a) of the actions' range where they are met more than once, else infinite."""
    low, high = action.amin(dim=0), action.amax(dim=0)
    often = [(action == end).sum(dim=0) > max(1, len(action) // 200) for end in (low, high)]
    ends = [torch.full_like(low, -torch.inf), torch.full_like(high, torch.inf)]
    return torch.stack(
        [torch.where(o, e, i) for o, e, i in zip(often, (low, high), ends, strict=True)]
    )


def _rows(x: Array) -> Array:
    """(T, N, k) as (T * N, k), in the order of time."""
    return x.reshape(-1, x.shape[-1])
