"""MLP: a multi-layer perceptron with its gradient written out.

The same function as the torch modules it is made from, up to rounding, without the graph that
automatic differentiation keeps and with NumPy's tanh: about twice as fast for the small
networks of controllers, and plain weights for bounds. Rows are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn

Activation = Literal["tanh", "relu", "none"]
Head = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
ONE = torch.ones(1)


@dataclass(frozen=True)
class Layer:
    """x (n, i) -> activation(x weight^T + bias) (n, o)."""

    weight: torch.Tensor
    bias: torch.Tensor
    activation: Activation


@dataclass(frozen=True)
class MLP:
    """Layers after a normalisation clip((x - shift) * scale, -clip, clip) of the inputs (n, d)."""

    layers: tuple[Layer, ...]
    shift: torch.Tensor
    scale: torch.Tensor
    clip: float = float("inf")

    @staticmethod
    def of(
        modules: Iterable[nn.Module],
        shift: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
        clip: float = float("inf"),
        last: Activation = "none",
    ) -> MLP | None:
        """From Linear, Tanh and ReLU modules in order; None when there is anything else.

        Args:
            last: an activation after the last module.
        """
        layers: list[Layer] = []
        kinds: dict[type[nn.Module], Activation] = {nn.Tanh: "tanh", nn.ReLU: "relu"}
        for module in modules:
            if isinstance(module, nn.Linear):
                weight, bias = module.weight.detach(), module.bias
                zero = torch.zeros(len(weight))
                layers.append(Layer(weight, zero if bias is None else bias.detach(), "none"))
            elif type(module) in kinds and layers and layers[-1].activation == "none":
                layers[-1] = Layer(layers[-1].weight, layers[-1].bias, kinds[type(module)])
            elif not isinstance(module, (nn.Flatten, nn.Identity)):
                return None
        if not layers:
            return None
        if last != "none":
            layers[-1] = Layer(layers[-1].weight, layers[-1].bias, last)
        size = layers[0].weight.shape[1]
        return MLP(
            tuple(layers),
            torch.zeros(size) if shift is None else shift,
            torch.ones(size) if scale is None else scale,
            clip,
        )

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (n, o) for inputs (n, d); differentiable where torch records gradients."""
        if torch.is_grad_enabled() and x.requires_grad:
            out = self._normalised(x)
            for layer in self.layers:
                out = _activate(torch.addmm(layer.bias, out, layer.weight.T), layer.activation)
            return out
        with torch.no_grad():
            return self._outputs(x)[-1]

    def value_and_slope(self, x: torch.Tensor, head: Head) -> tuple[torch.Tensor, torch.Tensor]:
        """A function's values (n,) and its gradient (n, d) at x (n, d).

        Args:
            head: outputs (n, o) -> values (n,) and their derivative with respect to the outputs.
        """
        with torch.no_grad():
            start, *outputs = self._outputs(x)
            value, slope = head(outputs[-1])
            for layer, out in zip(reversed(self.layers), reversed(outputs), strict=True):
                slope = _pulled(slope, out, layer.activation) @ layer.weight
            if not self._all_inside(start):
                slope = slope * (start.abs() < self.clip)
            return value, slope.mul_(self.scale)

    def _outputs(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The normalised inputs and what comes out of each layer; without gradients."""
        found = [self._normalised(x)]
        for layer in self.layers:
            out = torch.addmm(layer.bias, found[-1], layer.weight.T)
            found.append(_activate_(out, layer.activation))
        return found

    def _all_inside(self, normalised: torch.Tensor) -> bool:
        low, high = torch.aminmax(normalised)
        return bool(low > -self.clip) and bool(high < self.clip)

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        out = (x.float() - self.shift).mul_(self.scale)
        return out if self.clip == float("inf") else out.clamp_(-self.clip, self.clip)


def _activate(x: torch.Tensor, kind: Activation) -> torch.Tensor:
    if kind == "tanh":
        return torch.tanh(x)
    return torch.relu(x) if kind == "relu" else x


def _activate_(x: torch.Tensor, kind: Activation) -> torch.Tensor:
    """The same in place. NumPy's tanh of 32-bit numbers takes a seventh of torch's time (AVX-512)."""
    if kind == "tanh":
        np.tanh(x.numpy(), out=x.numpy())
        return x
    return x.relu_() if kind == "relu" else x


def _pulled(slope: torch.Tensor, after: torch.Tensor, kind: Activation) -> torch.Tensor:
    """The slope before an activation, from the one behind it and the activation's output."""
    if kind == "tanh":
        return torch.addcmul(ONE, after, after, value=-1).mul_(slope)
    return slope * (after > 0) if kind == "relu" else slope
