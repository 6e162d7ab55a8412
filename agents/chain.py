"""Chains: a network that was read from a file as a list of steps, as an `MLP` where it is one.

A chain of entrywise steps, linear maps and activations is an MLP when it is (x - shift) * scale, a clip
that is the same on both sides, and then linear maps with tanh, relu or nothing behind them. Any other
chain is a function that torch differentiates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.threats.access import Tensor
from robo_adv.threats.mlp import MLP, Activation, Layer

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """x (n, i) -> x @ weight + bias, with `weight` (i, o) and `bias` (o,)."""

    weight: Array
    bias: Array

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(_tensor(self.bias), x, _tensor(self.weight))


@dataclass(frozen=True)
class Scaled:
    """x -> x * factor + offset, entry by entry; each (d,) or (1,)."""

    factor: Array
    offset: Array

    def __call__(self, x: Tensor) -> Tensor:
        return x * _tensor(self.factor) + _tensor(self.offset)


@dataclass(frozen=True)
class Clipped:
    """x -> min(max(x, low), high); each (d,) or (1,)."""

    low: Array
    high: Array

    def __call__(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, _tensor(self.low)), _tensor(self.high))


@dataclass(frozen=True)
class Curve:
    """An activation by the name of its function."""

    name: str
    function: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.function(x)


Step = Linear | Scaled | Clipped | Curve


def _tensor(x: Array) -> Tensor:
    return torch.as_tensor(np.array(x), dtype=torch.float32)


@dataclass(frozen=True)
class Chain:
    """Steps in order, from observations (n, d) to actions (n, a)."""

    steps: tuple[Step, ...]
    size: int

    @staticmethod
    def of(steps: Sequence[Step], size: int) -> Chain:
        """With clips that follow each other as one."""
        out: list[Step] = []
        for step in steps:
            if out and isinstance(step, Clipped) and isinstance(last := out[-1], Clipped):
                ends = (np.clip(end, step.low, step.high) for end in (last.low, last.high))
                out[-1] = Clipped(*ends)
            else:
                out.append(step)
        return Chain(tuple(out), size)

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        for step in self.steps:
            x = step(x)
        return x

    def without_clip(self, low: npt.ArrayLike, high: npt.ArrayLike) -> Chain:
        """Without a last clip that changes nothing once actions are clipped to [low, high] (a,)."""
        if not self.steps or not isinstance(last := self.steps[-1], Clipped):
            return self
        idle = (last.low <= np.asarray(low)).all() and (last.high >= np.asarray(high)).all()
        return Chain(self.steps[:-1], self.size) if idle else self

    def normaliser(self) -> tuple[Array, Array] | None:
        """Mean and standard deviation (d,) by which observations are scaled first, if they are."""
        scaled, _, _ = self._head()
        if scaled is None or not (scaled.factor > 0).all():
            return None
        return -scaled.offset / scaled.factor, 1.0 / scaled.factor

    def mlp(self) -> MLP | None:
        """The chain as an MLP, or None."""
        scaled, clip, rest = self._head()
        layers = _layers(rest)
        if not layers:
            return None
        shift, scale = torch.zeros(self.size), torch.ones(self.size)
        if scaled is not None:
            shift, scale = _tensor(-scaled.offset / scaled.factor), _tensor(scaled.factor)
        return MLP(tuple(layers), shift, scale, clip)

    def _head(self) -> tuple[Scaled | None, float, Sequence[Step]]:
        """Scaling and clip in front, where there are any of the form of an MLP's; and the rest."""
        factor, offset, count = np.ones(self.size), np.zeros(self.size), 0
        while count < len(self.steps) and isinstance(step := self.steps[count], Scaled):
            factor, offset = factor * step.factor, offset * step.factor + step.offset
            count += 1
        if count and not (np.isfinite(factor) & (factor != 0)).all():
            return None, float("inf"), self.steps
        clip = float("inf")
        rest = self.steps[count:]
        if rest and isinstance(step := rest[0], Clipped):
            bound = float(step.high.flat[0])
            if bound > 0 and (step.high == bound).all() and (step.low == -bound).all():
                clip, rest = bound, rest[1:]
        return (Scaled(factor, offset) if count else None), clip, rest


def _layers(steps: Sequence[Step]) -> list[Layer] | None:
    """Layers of an MLP; None when a step has no place in one."""
    layers: list[Layer] = []
    pending: Linear | None = None
    for step in steps:
        if isinstance(step, Linear):
            pending = step if pending is None else Linear(
                pending.weight @ step.weight, pending.bias @ step.weight + step.bias
            )  # fmt: skip
        elif isinstance(step, Scaled) and pending is not None:
            pending = Linear(pending.weight * step.factor, pending.bias * step.factor + step.offset)
        elif isinstance(step, Scaled) and layers:
            ones = np.ones(len(layers[-1].bias))
            pending = Linear(np.diag(ones * step.factor), ones * step.offset)
        elif isinstance(step, Curve) and step.name in ("tanh", "relu") and pending is not None:
            layers.append(_layer(pending, step.name))  # type: ignore[arg-type]
            pending = None
        else:
            return None
    return layers if pending is None else [*layers, _layer(pending, "none")]


def _layer(linear: Linear, activation: Activation) -> Layer:
    return Layer(_tensor(linear.weight.T).contiguous(), _tensor(linear.bias), activation)


def described(mean: Any) -> str:
    """What gradients are computed with, in words."""
    if not isinstance(mean, MLP):
        return "differentiated by torch"
    return "MLP " + " x ".join(
        str(n) for n in (len(mean.shift), *(len(x.bias) for x in mean.layers))
    )


CURVES: dict[str, Callable[..., Any]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "elu": torch.nn.functional.elu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "selu": torch.selu,
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
    "gelu": torch.nn.functional.gelu,
}
