"""Feasibility of levels: analytic margins, and repair that is counted, never silent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.levels.space import DesignSpace

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
AROUND = 64  # places that repair tries at each scale
SCALES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)  # of the parameters' ranges
STEPS = 16  # on the way to the nominal level


@dataclass(frozen=True)
class Constraint:
    """Something that possible levels keep.

    Attributes:
        name: in words, for example "the motors can hold the arm".
        parameters: those it depends on, and that repair may change.
        margin: values (n,) per parameter name -> margins (n,), negative where it is broken. The
            nominal level must keep it.
    """

    name: str
    parameters: tuple[str, ...]
    margin: Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Repaired:
    """Attributes:
    points: (n, P), all possible. moved: which were changed (n,). broken: per constraint, how many
        of the proposed points broke it.
    """

    points: Array
    moved: Bools
    broken: dict[str, int]


def values_of(space: DesignSpace, points: npt.ArrayLike) -> dict[str, Array]:
    """Numeric values (n,) per parameter of points (n, P), fixed ones included; a choice is the index
    of its option."""
    points = np.clip(np.asarray(points, dtype=np.float64), 0.0, 1.0)
    out: dict[str, Array] = {}
    for p, u in zip(space, points.T, strict=True):
        if p.kind == "choice":
            out[p.name] = np.minimum(np.floor(u * len(p.options)), len(p.options) - 1.0)
        elif p.kind == "log":
            value = np.exp(np.log(p.low) + u * (np.log(p.high) - np.log(p.low)))
            out[p.name] = np.clip(value, p.low, p.high)
        else:
            value = p.low + u * (p.high - p.low)
            out[p.name] = np.rint(value) if p.kind == "int" else value
    for name, fixed in space.fixed.items():
        if not isinstance(fixed, str):
            out[name] = np.full(len(points), float(fixed))
    return out


def margins(space: DesignSpace, points: Array) -> dict[str, Array]:
    """Margins (n,) per constraint of points (n, P); negative ones are broken."""
    values = values_of(space, points)
    return {c.name: np.asarray(c.margin(values)) for c in space.constraints}


def repair(space: DesignSpace, points: npt.ArrayLike) -> Repaired:
    """Possible points near the proposed ones (n, P).

    Where constraints are broken, their parameters are changed: to the nearest possible of `AROUND`
    fixed places around the proposed one, within a sixteenth of their ranges, then an eighth ..., then
    all of them. Where none is possible they move towards their nominal values, all by the same share,
    together with those of constraints that this breaks.
    """
    proposed = np.clip(np.asarray(points, dtype=np.float64), 0.0, 1.0)
    found = margins(space, proposed)
    broken = {name: int((margin < 0).sum()) for name, margin in found.items()}
    out = proposed.copy()
    for i in np.flatnonzero(_any_broken(found, len(out))):
        out[i] = _mended(space, proposed[i], {n for n, margin in found.items() if margin[i] < 0})
    return Repaired(out, (out != proposed).any(axis=1), broken)


def _any_broken(found: Mapping[str, Array], n: int) -> Bools:
    out = np.zeros(n, dtype=np.bool_)
    for margin in found.values():
        out |= margin < 0
    return out


def _mended(space: DesignSpace, point: Array, broken: set[str]) -> Array:
    """A possible point for an impossible one (P,) that breaks some constraints."""
    names = {p for c in space.constraints if c.name in broken for p in c.parameters}
    columns = [k for k, name in enumerate(space.names) if name in names]
    if columns:
        around = 2.0 * seeding.uniform(np.arange(AROUND), seeding.LEVEL, len(columns)) - 1.0
        for scale in SCALES:
            tried = np.tile(point, (AROUND, 1))
            tried[:, columns] = _reflected(tried[:, columns] + scale * around)
            possible = tried[~_any_broken(margins(space, tried), AROUND)]
            if len(possible):
                far = ((possible - point) ** 2).sum(axis=1)
                return np.asarray(possible[int(np.argmin(far))])
    return _towards_nominal(space, point)


def _reflected(u: Array) -> Array:
    """Numbers in [-1, 2], reflected at 0 and 1."""
    u = np.abs(u)
    return np.asarray(np.where(u > 1.0, 2.0 - u, u))


def _towards_nominal(space: DesignSpace, point: Array) -> Array:
    """The first possible point on the way from (P,) to the nominal level."""
    names, moved = space.names, set[str]()
    shares = np.arange(1, STEPS + 1)[:, None] / STEPS
    candidate = point
    while True:
        found = margins(space, candidate[None])
        broken = [c for c in space.constraints if found[c.name][0] < 0]
        new = {p for c in broken for p in c.parameters if p in names} - moved
        if not new:
            return candidate
        moved |= new
        columns = [names.index(name) for name in sorted(moved)]
        path = np.tile(point, (STEPS, 1))
        path[:, columns] += shares * (space.nominal_point - point)[columns]
        bad = _any_broken(margins(space, path), STEPS)
        candidate = path[int(np.argmin(bad))] if not bad.all() else path[-1]
