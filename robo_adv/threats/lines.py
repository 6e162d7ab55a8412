"""Lines above and below activations on intervals: the relaxations that linear bounds rest on.

Zhang et al. 2018, "Efficient neural network robustness certification with general activation
functions" (CROWN), section 3.3 and table 2; for tanh the touching point that makes the smallest area.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.threats.mlp import Activation

Array = npt.NDArray[Any]
HALVINGS = 50  # of the bisection for a touching point
STEP = 1e-3  # between the points of a table of them
FLAT = 20.0  # beyond this tanh is +-1 in double precision
NARROW = 1e-9  # intervals narrower than this have no secant


@dataclass(frozen=True)
class Lines:
    """above_slope x + above >= activation(x) >= below_slope x + below, all arrays (n, h)."""

    above_slope: Array
    above: Array
    below_slope: Array
    below: Array


def lines(kind: Activation, low: Array, high: Array) -> Lines:
    """Lines that enclose an activation on [low, high] (n, h)."""
    if kind == "relu":
        return _relu(low, high)
    if kind == "none":
        one, zero = np.ones_like(low), np.zeros_like(low)
        return Lines(one, zero, one, zero)
    above_slope, above = _tanh_above(low, high)
    below_slope, minus = _tanh_above(-high, -low)  # tanh is odd
    return Lines(above_slope, above, below_slope, -minus)


def _relu(low: Array, high: Array) -> Lines:
    """The chord above; below the axis or the diagonal, whichever leaves the smaller area."""
    on, off = low >= 0.0, high <= 0.0
    width = np.where(on | off, 1.0, high - low)
    slope = np.where(on, 1.0, np.where(off, 0.0, high / width))
    start = np.where(on | off, 0.0, -slope * low)
    under = np.where(high > -low, 1.0, 0.0)
    return Lines(slope, start, under, np.zeros_like(low))


def _tanh_above(low: Array, high: Array) -> tuple[Array, Array]:
    """Slope and intercept (n, h) of a line above tanh.

    Every tangent at or right of the point whose tangent passes through (low, tanh(low)) is above tanh
    on [low, inf); the one nearest to the middle of the interval leaves the smallest area. Where `high`
    is left of that point, the secant is above.
    """
    first, last = _touching(low)
    width = high - low
    wide = width > NARROW
    secant = (np.tanh(high) - np.tanh(low)) / np.where(wide, width, 1.0)
    at = np.where(high <= first, high, np.maximum(last, 0.5 * (low + high)))
    slope = np.where((high <= first) & wide, secant, 1.0 - np.tanh(at) ** 2)
    return slope, np.tanh(at) - slope * at


def _touching(low: Array) -> tuple[Array, Array]:
    """Between which two points (n, h) a line through (low, tanh(low)) touches tanh from above.

    It touches further right the further left `low` is, so the neighbours in a table enclose it. For
    low >= 0, where tanh is concave, it touches in `low`, and every tangent is above.
    """
    place = np.clip(-low, 0.0, FLAT) / STEP
    first, last = (_table()[end(place).astype(np.int64)] for end in (np.floor, np.ceil))
    return first, np.where(low < -FLAT, FLAT, last)


@cache
def _table() -> Array:
    """Touching points of 0, -STEP, ... -FLAT, by bisection."""
    start = -STEP * np.arange(round(FLAT / STEP) + 1)
    left, right = np.zeros_like(start), -start  # the tangent at -low is above tanh at low
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        height = np.tanh(middle)
        above = height + (1.0 - height**2) * (start - middle) >= np.tanh(start)
        left, right = np.where(above, left, middle), np.where(above, middle, right)
    return right
