"""Trace: what was done in the running episodes, by which they can be played again up to now."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.envs.foreign.rows import Rows

Array = npt.NDArray[Any]


class Trace:
    """Actions and forces of the last steps of all rows.

    An environment's inner state is its own business; its seed, its level and what was done to it
    since they were set bring it back exactly, whatever it is.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.steps: deque[tuple[Array, Array | None]] = deque()

    def add(self, longest: int) -> None:
        """Note the step that comes next, and forget what is older than the `longest` episode."""
        arrays = self.rows.arrays
        pushed = arrays.forces.copy() if arrays.forces.any() else None
        self.steps.append((arrays.action.copy(), pushed))
        while len(self.steps) > longest:
            self.steps.popleft()

    def snapshot(self) -> dict[str, Array]:
        """Actions (T, N, a), and forces (T, N, nbody, 6) if there were any."""
        arrays = self.rows.arrays
        out = {"trace.action": np.zeros((len(self.steps), *arrays.action.shape))}
        if any(pushed is not None for _, pushed in self.steps):
            out["trace.forces"] = np.zeros((len(self.steps), *arrays.forces.shape))
        for t, (action, pushed) in enumerate(self.steps):
            out["trace.action"][t] = action
            if pushed is not None:
                out["trace.forces"][t] = pushed
        return out

    def replay(self, snapshot: Mapping[str, Array], lengths: Array) -> None:
        """Bring rows whose episodes have just been started to where the snapshot was taken, `lengths`
        (N,) steps later."""
        arrays = self.rows.arrays
        actions, forces = snapshot["trace.action"], snapshot.get("trace.forces")
        for i, row in enumerate(self.rows.rows):
            for t in range(len(actions) - int(lengths[i]), len(actions)):
                arrays.action[i] = actions[t, i]
                arrays.forces[i] = 0.0 if forces is None else forces[t, i]
                row.step(bool(arrays.forces[i].any()))
        self.steps = deque(
            (actions[t].astype(arrays.action.dtype), None if forces is None else forces[t].copy())
            for t in range(len(actions))
        )
