"""ADR, automatic domain randomisation: ranges that widen where the student copes at their ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from robo_adv.levels.edits import slots
from robo_adv.levels.generator import (
    GENERATORS,
    Array,
    Batch,
    Generator,
    Ints,
    Outcomes,
    Tensors,
    levels_of,
    shared,
)
from robo_adv.levels.space import DesignSpace, Parameter

LOWER, UPPER = 0, 1  # bound 2 k + side belongs to parameter k


@GENERATORS.register("adr")
@dataclass
class ADR(Generator):
    """Automatic domain randomisation: ranges that widen where the student succeeds.

    Levels are uniform within a range per parameter that begins at the nominal value. With
    probability `pin` one parameter of a level is put at an end of its range; when `queue` such levels
    have been played, the end moves outwards by `step` if their success rate is at least
    `widen_above`, inwards (never past the nominal value) if it is at most `shrink_below`.

    Source: OpenAI et al. 2019, "Solving Rubik's Cube with a Robot Hand".
    An int moves by at least one value; a choice has no order, its range admits the options before
    and after the nominal one in the order of the space. A level whose pinned parameter was moved by
    repair says nothing about the end and is left out.

    Attributes:
        each: episodes per level. step: in the unit cube.
    """

    each: int = 1
    pin: float = 0.5
    queue: int = 10
    step: float = 0.05
    shrink_below: float = 0.3
    widen_above: float = 0.7
    lower: Array = field(init=False, repr=False)
    upper: Array = field(init=False, repr=False)
    queues: list[list[float]] = field(init=False, repr=False)
    pinned: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(each=(1, 1000), pin=(0, 1), queue=(1, 100_000), step=(1e-6, 1))
        self.check(widen_above=(0, 1), shrink_below=(0, self.widen_above))

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.lower, self.upper = space.nominal_point.copy(), space.nominal_point.copy()
        self.queues = [[] for _ in range(2 * len(space))]
        self.pinned = np.zeros(0, dtype=np.int64)
        self._cells = np.array([_cell(p) for p in space])
        self._ends = np.array([_ends(p) for p in space])
        room = np.abs(self._ends - space.nominal_point[:, None])
        self._movable = np.flatnonzero(room.ravel() > 1e-9)
        self._alike = _alike(space)

    def ask(self, episodes: int, progress: float) -> Batch:
        n = levels_of(episodes, self.each)
        low, high = self.lower - self._cells / 2, self.upper + self._cells / 2
        points = np.clip(low + self.rng.random((n, len(low))) * (high - low), 0.0, 1.0)
        self.pinned = np.full(n, -1, dtype=np.int64)
        if len(self._movable):
            bounds = self.rng.choice(self._movable, size=n)
            self.pinned = np.where(self.rng.random(n) < self.pin, bounds, -1)
        for i in np.flatnonzero(self.pinned >= 0):
            k, side = divmod(int(self.pinned[i]), 2)
            points[i, k] = self.upper[k] if side == UPPER else self.lower[k]
        return shared(points, self.each, "random")

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        success = outcomes.success[0].mean(axis=-1)
        rows = np.flatnonzero(self.pinned >= 0)
        kept = [i for i in rows if self._survived(int(i), batch.points[0], outcomes.points[0])]
        for i in kept:
            self._hear(int(self.pinned[i]), float(success[i]))
        width = (self.upper - self.lower) / np.maximum(np.ptp(self._ends, axis=1), 1e-9)
        free = np.ptp(self._ends, axis=1) > 0
        metrics = {
            "range_mean": float(width[free].mean()) if free.any() else 0.0,
            "range_volume": float(width[free].prod()),
            "pins_moved_by_repair": float(len(rows) - len(kept)),
        }
        return metrics | ({"success_pinned": float(success[kept].mean())} if kept else {})

    def _survived(self, i: int, proposed: Array, played: Array) -> bool:
        """Whether level i was played with the pinned value, perhaps in another place of its slot."""
        k = int(self.pinned[i]) // 2
        return bool((np.abs(played[i, self._alike[k]] - proposed[i, k]) < 1e-9).any())

    def _hear(self, bound: int, success: float) -> None:
        self.queues[bound].append(success)
        if len(self.queues[bound]) < self.queue:
            return
        rate = float(np.mean(self.queues[bound]))
        self.queues[bound] = []
        if rate >= self.widen_above:
            self._move(bound, 1.0)
        elif rate <= self.shrink_below:
            self._move(bound, -1.0)

    def _move(self, bound: int, way: float) -> None:
        """Move a bound by one step, outwards (1) or inwards (-1)."""
        k, side = divmod(bound, 2)
        nominal, step = (
            self.space.nominal_point[k],
            way * _step(self.space.parameters[k], self.step),
        )
        if side == UPPER:
            self.upper[k] = np.clip(self.upper[k] + step, nominal, self._ends[k, UPPER])
        else:
            self.lower[k] = np.clip(self.lower[k] - step, self._ends[k, LOWER], nominal)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        tensors |= {"lower": torch.from_numpy(self.lower.copy())}
        tensors |= {"upper": torch.from_numpy(self.upper.copy())}
        queues = [list(queue) for queue in self.queues]
        return tensors, values | {"queues": queues, "pinned": self.pinned.tolist()}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.lower = np.array(tensors["lower"].numpy())
        self.upper = np.array(tensors["upper"].numpy())
        self.queues = [list(queue) for queue in values["queues"]]
        self.pinned = np.array(values["pinned"], dtype=np.int64)


def _cell(parameter: Parameter) -> float:
    """Width in the unit cube of one value of an int or a choice; 0 for numbers."""
    if parameter.kind == "choice":
        return 1.0 / len(parameter.options)
    if parameter.kind == "int" and parameter.high > parameter.low:
        return 1.0 / (parameter.high - parameter.low)
    return 0.0


def _ends(parameter: Parameter) -> tuple[float, float]:
    """The widest range in the unit cube: of a choice, the middles of its first and last option."""
    if parameter.kind == "choice":
        half = _cell(parameter) / 2
        return half, 1.0 - half
    return (0.0, 0.0) if parameter.high == parameter.low else (0.0, 1.0)


def _step(parameter: Parameter, step: float) -> float:
    """`step` in whole values of an int, one option of a choice."""
    cell = _cell(parameter)
    if parameter.kind == "choice":
        return cell
    return max(round(step / cell), 1) * cell if cell else step


def _alike(space: DesignSpace) -> list[list[int]]:
    """Per parameter, the columns to which canonical order may move its value."""
    alike = [[k] for k in range(len(space))]
    for slot in slots(space):
        for columns in slot.columns.T.tolist():
            for k in columns:
                alike[k] = columns
    return alike
