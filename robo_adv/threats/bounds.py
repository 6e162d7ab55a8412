"""Bounds of what an MLP can answer in a ball of inputs: intervals (IBP) and linear bounds (CROWN).

Sources: Gowal et al. 2018, arXiv:1810.12715 (IBP); Zhang et al. 2018, arXiv:1811.00866 (CROWN);
Zhang et al. 2020, arXiv:1906.06316 (CROWN-IBP).

The bounds hold for the network as it is computed in single precision, in any order of summation: every
layer is given the largest rounding error that it can have (Higham 2002, section 3.1) as one more
interval. The bounds themselves are computed in double precision, whose rounding is 2^-29 of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.threats.lines import Lines, lines
from robo_adv.threats.mlp import MLP, Activation, Layer

Array = npt.NDArray[Any]
Ball = Literal["linf", "l2"]
Method = Literal["ibp", "crown-ibp", "crown"]
UNIT = 2.0**-24  # largest relative rounding error of single precision
TANH = 4.0  # of such errors in a computed tanh
CHUNK = 2**21  # numbers in the largest array of a chunk of rows


@dataclass(frozen=True)
class Bounds:
    """low <= f(z) <= high (n, o) for every z in the row's ball."""

    low: Array
    high: Array

    def meet(self, other: Bounds) -> Bounds:
        """The tighter of both, entry by entry."""
        return Bounds(np.maximum(self.low, other.low), np.minimum(self.high, other.high))

    def clipped(self, low: Array, high: Array) -> Bounds:
        """After values are clipped to [low, high] (o,)."""
        return Bounds(np.clip(self.low, low, high), np.clip(self.high, low, high))

    @property
    def width(self) -> Array:
        """(n, o)"""
        return self.high - self.low


def output_bounds(
    mlp: MLP, x: Array, radius: Array, norm: Ball = "linf", method: Method = "crown"
) -> Bounds:
    """Bounds (n, o) of the network's outputs in balls around x (n, d).

    Args:
        x: raw inputs, before the network's own normalisation and its clip.
        radius: half the box's sides (d,), or the ellipsoid's semi-axes for `l2`; 0 keeps an entry.
        method: `ibp` passes boxes from layer to layer; `crown` also bounds every layer by linear
            functions of the inputs and takes the tighter; `crown-ibp` does so for the last one only.

    Raises:
        RoboAdvError: wrong shapes, numbers that are not finite, an unknown norm or method.
    """
    x, radius = np.asarray(x, dtype=np.float64), np.asarray(radius, dtype=np.float64)
    _check(mlp, x, radius, norm, method)
    layers = [_Layer.of(layer) for layer in mlp.layers]
    widest = max(max(layer.weight.shape) for layer in layers)
    rows = max(1, CHUNK // (2 * widest * widest))
    found = [
        _bounds(layers, _Start.of(mlp, x[k : k + rows], radius, norm), method)
        for k in range(0, max(len(x), 1), rows)
    ]
    return Bounds(*(np.concatenate([getattr(b, end) for b in found]) for end in ("low", "high")))


def _check(mlp: MLP, x: Array, radius: Array, norm: str, method: str) -> None:
    size = mlp.layers[0].weight.shape[1]
    if norm not in get_args(Ball):
        raise unknown("norm of a bound", norm, get_args(Ball))
    if method not in get_args(Method):
        raise unknown("method of a bound", method, get_args(Method))
    if x.ndim != 2 or x.shape[1] != size or radius.shape != (size,):
        raise RoboAdvError(
            f"this network takes {size} inputs, so bounds need inputs (n, {size}) and a radius "
            f"({size},); got {x.shape} and {radius.shape}"
        )
    if not (np.isfinite(x).all() and np.isfinite(radius).all() and (radius >= 0).all()):
        raise RoboAdvError("bounds need finite inputs and a finite radius of at least 0")


@dataclass(frozen=True)
class _Layer:
    weight: Array
    bias: Array
    activation: Activation

    @staticmethod
    def of(layer: Layer) -> _Layer:
        weight, bias = (p.numpy().astype(np.float64) for p in (layer.weight, layer.bias))
        return _Layer(weight, bias, layer.activation)

    def rounding(self, size: Array) -> Array:
        """How far (n, o) a computed product can be off, for inputs of at most `size` (n, i)."""
        terms = UNIT * (self.weight.shape[1] + 2.0 + TANH)
        most = size @ np.abs(self.weight).T + np.abs(self.bias)
        return np.asarray(terms / (1.0 - terms) * most)

    def interval(self, before: Bounds, error: Array) -> Bounds:
        """Gowal et al. 2018, eq. 6."""
        centre, half = 0.5 * (before.low + before.high), 0.5 * before.width
        out = centre @ self.weight.T + self.bias
        away = half @ np.abs(self.weight).T + error
        return Bounds(out - away, out + away)

    def activated(self, before: Bounds) -> Bounds:
        """All activations rise, so they map ends to ends."""
        if self.activation == "tanh":
            return Bounds(np.tanh(before.low), np.tanh(before.high))
        floor = 0.0 if self.activation == "relu" else -np.inf
        return Bounds(np.maximum(before.low, floor), np.maximum(before.high, floor))


@dataclass(frozen=True)
class _Start:
    """The ball after normalisation and clip: a box, and for `l2` also an ellipsoid.

    The clip maps each entry by itself and never pulls two values apart, so the image of a box is the
    box of the images, and that of an ellipsoid is in the same ellipsoid around the centre's image.
    """

    box: Bounds
    centre: Array
    axes: Array | None
    error: Array

    @staticmethod
    def of(mlp: MLP, x: Array, radius: Array, norm: Ball) -> _Start:
        shift, scale = (p.numpy().astype(np.float64) for p in (mlp.shift, mlp.scale))
        centre, half = (x - shift) * scale, np.abs(radius * scale)
        # Rounded: observations and what a threat grants of them, the statistics, the normalisation.
        far = np.abs(scale) * (2.0 * (np.abs(x) + radius) + np.abs(shift))
        error = 1.01 * UNIT * (far + 4.0 * (np.abs(centre) + half))
        ends = (centre - half - error, centre + half + error, centre)
        low, high, middle = (np.clip(end, -mlp.clip, mlp.clip) for end in ends)
        return _Start(Bounds(low, high), middle, half if norm == "l2" else None, error)

    def most(self, slope: Array, offset: Array) -> Array:
        """The largest values (n, k) of slope z + offset; slope (n or 1, k, d), offset (n, k)."""
        size = np.abs(slope)
        middle, half = 0.5 * (self.box.low + self.box.high), 0.5 * self.box.width
        out = _dot(slope, middle) + _dot(size, half)
        if self.axes is not None:
            reach = np.sqrt(_dot(slope**2, self.axes[None] ** 2))
            out = np.minimum(out, _dot(slope, self.centre) + reach + _dot(size, self.error))
        return np.asarray(out + offset)


def _dot(slope: Array, z: Array) -> Array:
    """slope (n or 1, k, d) times z (n or 1, d) -> (n, k)."""
    if len(slope) == 1:
        return np.asarray(z @ slope[0].T)
    return np.asarray((slope @ z[:, :, None])[:, :, 0])


@dataclass(frozen=True)
class _Passed:
    """A layer on the way back: how far it can be off, and lines around its activation."""

    layer: _Layer
    error: Array
    lines: Lines

    def pulled(self, slope: Array, offset: Array) -> tuple[Array, Array]:
        """A linear bound from above in the layer's outputs as one in its inputs (Zhang et al. 2018,
        theorem 3.2)."""
        rising, falling, own = np.maximum(slope, 0.0), np.minimum(slope, 0.0), self.lines
        offset = offset + _dot(rising, own.above) + _dot(falling, own.below)
        slope = rising * own.above_slope[:, None] + falling * own.below_slope[:, None]
        offset = offset + slope @ self.layer.bias + _dot(np.abs(slope), self.error)
        return slope @ self.layer.weight, offset


def _bounds(layers: list[_Layer], start: _Start, method: Method) -> Bounds:
    passed: list[_Passed] = []
    out = start.box
    for k, layer in enumerate(layers):
        last = k == len(layers) - 1
        error = layer.rounding(np.maximum(np.abs(out.low), np.abs(out.high)))
        before = layer.interval(out, error)
        if k == 0 or method == "crown" or (last and method == "crown-ibp"):
            before = before.meet(_linear(passed, layer, error, start))
        out = layer.activated(before)
        if not last and method != "ibp":
            passed.append(_Passed(layer, error, lines(layer.activation, before.low, before.high)))
    slack = TANH * UNIT if layers[-1].activation == "tanh" else 0.0
    return Bounds(out.low - slack, out.high + slack)


def _linear(passed: list[_Passed], layer: _Layer, error: Array, start: _Start) -> Bounds:
    """Bounds (n, o) of a layer by linear functions of the inputs; from below as minus from above."""
    slope = np.concatenate([layer.weight, -layer.weight])[None]
    offset = np.concatenate([layer.bias + error, error - layer.bias], axis=1)
    for before in reversed(passed):
        slope, offset = before.pulled(slope, offset)
    high, minus = np.split(start.most(slope, offset), 2, axis=1)
    return Bounds(-minus, high)
