"""Threat: a port of the closed loop with a budget and the projection that enforces it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.threats.schedule import Schedule

Array = npt.NDArray[Any]
Port = Literal["observation", "action", "force", "level", "opponent"]
Norm = Literal["linf", "l2", "std", "mixing", "probability", "steps"]
PORTS: tuple[str, ...] = get_args(Port)
# What a budget may be measured in, per port and norm.
UNITS: dict[tuple[str, str], tuple[str, ...]] = {
    ("observation", "linf"): ("sigma", "policy", "raw"),
    ("observation", "l2"): ("sigma", "policy", "raw"),
    ("observation", "std"): ("sigma", "policy", "raw"),
    ("observation", "probability"): ("share",),
    ("observation", "steps"): ("steps",),
    ("action", "linf"): ("range",),
    ("action", "l2"): ("range",),
    ("action", "std"): ("range",),
    ("action", "mixing"): ("share",),
    ("action", "probability"): ("share",),
    ("action", "steps"): ("steps",),
    ("force", "l2"): ("weight", "N"),
    ("level", "linf"): ("range",),
    ("opponent", "probability"): ("share",),
}
TAIL = 6.0  # standard deviations beyond which Gaussian noise is cut
MEANING = {
    "sigma": "standard deviations of each sensor over the reference controller's nominal episodes",
    "policy": "standard deviations of the controller's own normaliser",
    "raw": "the observation's own units",
    "range": "half the range of each action",
    "weight": "times the weight of the robot",
    "N": "newtons",
    "share": "share of steps",
    "steps": "control steps",
}


def meaning(port: str, unit: str) -> str:
    """What a unit means on a port, in words."""
    if port == "level" and unit == "range":
        return "share of the way from a parameter's nominal value to the end of its range"
    return MEANING[unit]


@dataclass(frozen=True)
class Threat:
    """What may be touched, and how far.

    Attributes:
        port: where in the loop. budget: how far, at least 0. norm: how it is measured: `linf` each
            entry, `l2` the whole vector, `std` standard deviation of noise, `mixing` weight of the
            adversary's action (NR-MDP), `probability` of its replacing the value (PR-MDP, dropout),
            `steps` of delay.
        unit: of the budget, see UNITS and MEANING; the first one of the port by default.
        slices: names of the observation's slices that may be touched; `*` ends a prefix.
        schedule: when.

    Raises:
        RoboAdvError: a negative or infinite budget, or a unit that does not fit.
    """

    port: Port
    budget: float
    norm: Norm = "linf"
    unit: str = ""
    slices: tuple[str, ...] = ("*",)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.port not in PORTS:
            raise unknown("port", self.port, PORTS)
        norms = [norm for port, norm in UNITS if port == self.port]
        if self.norm not in norms:
            raise unknown(f"norm of port {self.port!r}", self.norm, norms)
        known = UNITS[self.port, self.norm]
        if not self.unit:
            object.__setattr__(self, "unit", known[0])
        if self.unit not in known:
            raise unknown(f"unit of {self.norm!r} on port {self.port!r}", self.unit, known)
        if not (math.isfinite(self.budget) and self.budget >= 0):
            raise RoboAdvError(f"a budget is a finite number of at least 0, got {self.budget}")
        if self.norm in ("mixing", "probability") and self.budget > 1:
            raise RoboAdvError(f"a budget that is a share is at most 1, got {self.budget:g}")
        if self.norm == "steps" and self.budget != round(self.budget):
            raise RoboAdvError(f"a delay is a whole number of steps, got {self.budget:g}")

    def at(self, budget: float) -> Threat:
        """The same threat with another budget."""
        return replace(self, budget=budget)

    def __str__(self) -> str:
        when = "" if str(self.schedule) == "always" else f", {self.schedule}"
        return f"{self.port} {self.norm} {self.budget:g} {self.unit}{when}"

    def project(self, clean: Array, proposal: Array, scale: Array, chance: Array) -> Array:
        """What the attack gets of its proposal (n, d).

        Args:
            clean: what would have been (n, d). scale: one unit of the budget per entry (d,); entries
                with scale 0 are not touched. chance: uniform numbers (n, d) for `probability`.
        """
        touch = np.broadcast_to(scale > 0, clean.shape)
        proposal = np.where(touch & np.isfinite(proposal), proposal, clean)
        if self.norm == "mixing":
            out = (1.0 - self.budget) * clean + self.budget * proposal
        elif self.norm == "probability":
            out = np.where(chance < self.budget, proposal, clean)
        else:
            out = clean + self._shortened(proposal - clean, scale)
        # Untouched entries keep every bit, a zero budget keeps all of them.
        kept = ~touch | (self.budget == 0) | (proposal == clean)
        return np.where(kept, clean, out).astype(clean.dtype)

    def _shortened(self, delta: Array, scale: Array) -> Array:
        if self.norm == "l2":
            unit = np.divide(delta, scale, out=np.zeros_like(delta), where=scale > 0)
            length = row_norm(unit)[:, None]
            return np.asarray(delta * np.minimum(1.0, self.budget / np.maximum(length, 1e-30)))
        bound = (TAIL if self.norm == "std" else 1.0) * self.budget * scale
        return np.clip(delta, -bound, bound)

    def excess(self, clean: Array, proposal: Array, scale: Array) -> float:
        """How many times its budget the worst proposal asks for; 0 for norms that cannot be
        overdrawn."""
        if self.norm not in ("linf", "l2") or self.budget == 0:
            return 0.0
        touch = np.broadcast_to(scale > 0, clean.shape)
        proposal = np.where(np.isfinite(proposal), proposal, np.inf)
        if (proposal != clean)[~touch].any():
            return float("inf")
        return float(self.size(clean, proposal, scale).max() / self.budget)

    def size(self, clean: Array, after: Array, scale: Array) -> Array:
        """How large changes are (n,), in units of the budget, by the norms `linf` and `l2`."""
        with np.errstate(invalid="ignore"):  # a sensor that is broken already
            delta = np.asarray(after - clean, dtype=np.float64)
        unit = np.divide(delta, scale, out=np.zeros(delta.shape), where=scale > 0)
        return np.abs(unit).max(axis=1) if self.norm == "linf" else row_norm(unit)


def row_norm(x: Array) -> Array:
    """Euclidean norms (n,) of rows (n, d), summed in the order of the entries (NumPy's own sum over
    an axis depends, in the last bits, on how many rows there are)."""
    total = np.zeros(len(x), dtype=x.dtype)
    for column in x.T:
        total += column * column
    return np.sqrt(total)
