"""An audit from beginning to end: the clean cell, then every row at rising budgets."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from robo_adv.audit.engine import Engine, Played
from robo_adv.audit.plan import Row
from robo_adv.audit.store import CLEAN, Cell, Store

Progress = Callable[[int, int, str], None]  # cells done, cells in all, what comes


@dataclass(frozen=True)
class Line:
    """A row with its cells, the clean one first; `skipped` says why there are none."""

    row: Row
    cells: tuple[Cell, ...] = ()
    skipped: str = ""


@dataclass(frozen=True)
class Audit:
    """What an audit found, before any statistics."""

    clean: Cell
    lines: tuple[Line, ...]


def run_audit(
    engine: Engine, rows: Sequence[Row], store: Store, progress: Progress | None = None
) -> Audit:
    """Play all cells that `store` does not have yet.

    A scenario that lost its safe success at one budget is played at the larger ones all the same:
    the outcome of one attack need not be monotone, and the curve shows it.
    """
    total = 1 + sum(len(row.budgets) for row in rows)
    done = 0

    def cell(label: str, budget: float, play: Callable[[], Played], about: str = "") -> Cell:
        nonlocal done
        if progress:
            progress(done, total, f"{label} {budget:g}" if budget else "no attack")
        done += 1
        found = store.find(label, budget, about)
        if found is not None and np.array_equal(found.outcomes.seeds, engine.seeds):
            return found
        began = time.monotonic()
        played = play()
        player = engine.subject.player
        made = Cell.of(label, budget, played, player, time.monotonic() - began)
        store.write(made, about)
        return made

    clean = cell(CLEAN, 0.0, engine.play)
    lines = []
    for row in rows:
        if why := engine.why_not(row):
            lines.append(Line(row, skipped=why))
            done += len(row.budgets)
            continue
        played = []
        for budget in row.budgets:
            played.append(cell(row.label, budget, partial(engine.play, row, budget), repr(row)))
        lines.append(Line(row, (clean, *played)))
    if progress:
        progress(total, total, "done")
    return Audit(clean, tuple(lines))
