"""Edits of points of the unit cube: mutation, canonical order of interchangeable things, distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv.levels.space import DesignSpace, Parameter

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def mutate(
    space: DesignSpace, points: Array, rng: np.random.Generator, edits: int = 3, scale: float = 0.1
) -> Array:
    """Copies of points (n, P) after `edits` changes of one parameter each (a parameter may be drawn
    twice).

    A number takes a normal step of standard deviation `scale` and is reflected at the ends of its
    range, an int moves by at least one value, a choice becomes another option.
    """
    out = np.array(points, dtype=np.float64)
    rows = np.arange(len(out))
    for _ in range(edits):
        which = rng.integers(out.shape[1], size=len(out))
        step, chance = scale * rng.standard_normal(len(out)), rng.random(len(out))
        for i in rows:
            u = out[i, which[i]]
            out[i, which[i]] = _changed(space.parameters[which[i]], u, step[i], chance[i])
    return out


def _changed(parameter: Parameter, u: float, step: float, chance: float) -> float:
    if parameter.kind == "choice":
        size = len(parameter.options)
        if size == 1:
            return u
        now = min(int(u * size), size - 1)
        other = (now + 1 + int(chance * (size - 1))) % size
        return (other + 0.5) / size
    if parameter.high == parameter.low:
        return u
    if parameter.kind == "int":
        width = parameter.high - parameter.low
        u = round(u * width) / width
        step = float(np.copysign(max(abs(round(step * width)), 1.0) / width, step))
    u = abs(u + step)
    return min(max(2.0 - u if u > 1.0 else u, 0.0), 1.0)


@dataclass(frozen=True)
class Slot:
    """Things that can be exchanged for each other.

    Attributes:
        columns: of the space (groups, parameters), one group per thing. count: the column of the
            parameter `<slot>_count`, which says that only the first so many are there; -1 without
            one. fixed: how many are there if that is fixed.
    """

    columns: Ints
    count: int = -1
    fixed: int = 0

    def present(self, space: DesignSpace, point: Array) -> int:
        """How many of the groups are there at a point (P,)."""
        if self.count < 0:
            return self.fixed
        return int(space.parameters[self.count].decode(float(point[self.count])))


def slots(space: DesignSpace) -> list[Slot]:
    """The slots of a space.

    Raises:
        ValueError: a slot's parameters do not make equal groups.
    """
    out = []
    for slot in dict.fromkeys(p.slot for p in space if p.slot):
        columns = [k for k, p in enumerate(space) if p.slot == slot]
        stems = list(dict.fromkeys(space.names[k].split("_")[0] for k in columns))
        groups = [[k for k in columns if space.names[k].split("_")[0] == s] for s in stems]
        if len({len(group) for group in groups}) != 1:
            raise ValueError(f"slot {slot!r}: {stems} have different numbers of parameters")
        name = f"{slot}_count"
        count = space.names.index(name) if name in space.names else -1
        fixed = int(space.fixed.get(name, len(groups)))
        out.append(Slot(np.array(groups, dtype=np.int64), count, fixed))
    return out


def canonical(space: DesignSpace, points: Array) -> Array:
    """Points (n, P) that mean the same worlds, and are equal where the worlds are: interchangeable
    things in one order (by their first parameter, then the next ...), those that are not there at
    their nominal values."""
    out = np.array(points, dtype=np.float64)
    for slot in slots(space):
        for point in out:
            there = slot.present(space, point)
            used, idle = slot.columns[:there], slot.columns[there:]
            values = point[used]  # (groups, parameters)
            point[used] = values[np.lexsort(values.T[::-1])]
            point[idle] = space.nominal_point[idle]
    return out


def distance(space: DesignSpace, first: Array, second: Array) -> Array:
    """Root mean square difference (n, m) in the unit cube of points (n, P) and (m, P), each in
    canonical order."""
    a, b = canonical(space, first), canonical(space, second)
    return np.asarray(np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2)))
