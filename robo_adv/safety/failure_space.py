"""Scenarios as points with a nominal density, and a simulator that counts what it is asked.

A failure is a scenario with margin <= 0. Every search works on standard normal coordinates z; scenarios
that are uniform in a cube are u = Phi(z), so one method serves both.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from scipy import special

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.bootstrap import Array, Estimate, Floats, number

Margin = Callable[[Floats], Array]
Density = Literal["normal", "uniform"]


@dataclass(frozen=True)
class Nominal:
    """The density that scenarios have in service.

    Attributes:
        density: standard `normal`, or `uniform` in the cube [0, 1)^size.
    """

    density: Density
    size: int

    def __post_init__(self) -> None:
        if self.density not in get_args(Density):
            raise unknown("scenario density", self.density, get_args(Density))
        if self.size < 1:
            raise RoboAdvError(f"scenarios need at least one coordinate, got {self.size}")

    def scenario(self, z: Floats) -> Floats:
        """Scenarios u (n, d) of standard normal points z (n, d)."""
        return z if self.density == "normal" else np.asarray(special.ndtr(z))

    def surprise(self, z: Floats) -> Floats:
        """-log density (n,) of the scenarios at z; 0 everywhere in the cube."""
        if self.density == "uniform":
            return np.zeros(len(z))
        return np.asarray((z**2).sum(axis=1) / 2.0 + self.size / 2.0 * math.log(2.0 * math.pi))


@dataclass(frozen=True)
class Failure:
    """A scenario u (d,) that fails, its margin (<= 0) and its -log density."""

    scenario: Floats
    margin: float
    surprise: float

    def to_json(self) -> dict[str, Any]:
        scenario = np.asarray(self.scenario).tolist()
        return {"scenario": scenario, "margin": self.margin, "surprise": self.surprise}


@dataclass
class Simulator:
    """Plays scenarios, counts them, and remembers the most likely failure.

    Where the density is flat, the failure with the smallest margin is remembered.
    """

    margin: Margin
    nominal: Nominal
    simulations: int = 0
    failures: int = 0
    best: Failure | None = None
    best_point: Floats | None = field(default=None, repr=False)

    def __call__(self, z: Floats) -> Floats:
        """Margins (n,) at standard normal points z (n, d).

        Raises:
            RoboAdvError: the margin function returned another shape or NaN.
        """
        u = self.nominal.scenario(z)
        margins = np.asarray(self.margin(u), dtype=np.float64)
        if margins.shape != (len(z),) or np.isnan(margins).any():
            raise RoboAdvError(
                f"the margin function must return ({len(z)},) numbers for scenarios {u.shape}; got "
                f"shape {margins.shape} with {int(np.isnan(margins).sum())} NaN (a simulation that "
                "diverged is a failure: give it a margin <= 0)"
            )
        self.simulations += len(z)
        self.failures += int((margins <= 0.0).sum())
        self._remember(z, u, margins)
        return margins

    def _remember(self, z: Floats, u: Floats, margins: Floats) -> None:
        failed = np.flatnonzero(margins <= 0.0)
        if not len(failed):
            return
        surprise = self.nominal.surprise(z[failed])
        j = np.lexsort((margins[failed], surprise))[0]
        key = float(surprise[j]), float(margins[failed[j]])
        if self.best is None or key < (self.best.surprise, self.best.margin):
            self.best = Failure(u[failed[j]].copy(), key[1], key[0])
            self.best_point = z[failed[j]].copy()


@dataclass(frozen=True)
class Probability:
    """An estimate of the probability of failure in service.

    Attributes:
        method: monte_carlo, cross_entropy or splitting. simulations: all that were played for it.
        effective: effective number of failures the estimate rests on.
        modes: separate regions of failure that were found, None where the method cannot tell.
        note: what limits the estimate, empty if nothing does.
    """

    method: str
    estimate: Estimate
    simulations: int
    effective: float
    modes: int | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "probability": self.estimate.to_json(),
            "simulations": self.simulations,
            "effective_failures": number(self.effective),
            "modes": self.modes,
            "note": self.note,
        }


def log_interval(value: float, relative: float, quantile: float, confidence: float) -> Estimate:
    """value exp(+- quantile x relative standard error): positive, and skewed as products are."""
    factor = math.exp(quantile * relative)
    return Estimate(value, value / factor, min(1.0, value * factor), confidence)
