"""Climbing a ladder: every rung at every budget on the same scenarios, and what it took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robo_adv.audit.engine import Engine, Played
from robo_adv.audit.ladder import Probe, Rung, probes
from robo_adv.audit.store import CLEAN, Cell, Store
from robo_adv.runs import write_text

Progress = Callable[[int, int, str], None]  # cells done, cells in all, what comes


@dataclass(frozen=True)
class Spent:
    """What a cell took and met, beside its outcomes.

    Attributes:
        search_steps: environment steps of its search and training. costs: of an episode, by name: mean
            and largest.
    """

    search_steps: int = 0
    costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A rung that was played at a budget. Attributes: probe: of the sanity rules, if it is one."""

    rung: Rung
    budget: float
    cell: Cell
    spent: Spent
    probe: Probe | None = None

    @property
    def env_steps(self) -> int:
        """Environment steps in all."""
        return sum(self.cell.length) + self.spent.search_steps


@dataclass(frozen=True)
class Climb:
    """A ladder at one port. Attributes: skipped: per rung, why it could not be tried."""

    port: str
    unit: str
    budgets: tuple[float, ...]
    clean: Step
    steps: tuple[Step, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def at(self, budget: float) -> list[Step]:
        """The rungs at a budget, from weak to strong."""
        return [one for one in self.steps if one.budget == budget and one.probe is None]


def climb(
    engine: Engine, port: str, rungs: Sequence[Rung], budgets: Sequence[float], unit: str,
    store: Store, progress: Progress | None = None, checks: bool = True,
) -> Climb:  # fmt: skip
    """Play all rungs at all budgets that `store` does not hold yet, and what the sanity rules need.

    Args:
        unit: of the budgets, '' for the port's usual one.
    """
    asked = {rung.name: engine.why_not(rung.row(port, budgets[0], unit)) for rung in rungs}
    skipped = {name: why for name, why in asked.items() if why}
    for rung in rungs:
        if rung.instead and rung.instead in asked and not asked[rung.instead]:
            skipped[rung.name] = f"stands in for {rung.instead} where that cannot be tried"
    able = [rung for rung in rungs if rung.name not in skipped]
    more = probes(able, len(budgets) > 1) if checks else []
    plan: list[tuple[Rung, float, Probe | None]] = [
        *((rung, budget, None) for budget in budgets for rung in able),
        *((one.rung, one.times * budget, one) for budget in budgets for one in more),
    ]
    taken = [(r, b, p) for r, b, p in plan if p is None or port != "level" or b <= 1.0]
    total = 1 + len(taken)
    if progress:
        progress(0, total, "no attack")
    clean = _clean(engine, store)
    steps = []
    for k, (rung, budget, probe) in enumerate(taken):
        if progress:
            progress(1 + k, total, f"{port}/{rung.name} {budget:g}")
        steps.append(_step(engine, port, rung, budget, unit, store, probe))
    if progress:
        progress(total, total, "done")
    usual = able[0].row(port, budgets[0], unit).threat.unit if able else unit
    return Climb(port, usual, tuple(budgets), clean, tuple(steps), skipped)


def _clean(engine: Engine, store: Store) -> Step:
    cell, spent = _kept(engine, store, CLEAN, 0.0, "", engine.play)
    return Step(Rung("no attack", "none", "noise"), 0.0, cell, spent)


def _step(
    engine: Engine, port: str, rung: Rung, budget: float, unit: str, store: Store,
    probe: Probe | None,
) -> Step:  # fmt: skip
    row = rung.row(port, budget, unit)
    cell, spent = _kept(
        engine, store, row.label, budget, repr(row), lambda: engine.play(row, budget)
    )
    return Step(rung, budget, cell, spent, probe)


def _kept(
    engine: Engine, store: Store, label: str, budget: float, about: str,
    play: Callable[[], Played],
) -> tuple[Cell, Spent]:  # fmt: skip
    """A cell from the store, or played and stored; the cell is written last."""
    path = store.folder.parent / "spent" / f"{store.identity(f'{label} {about}')}.json"
    found = store.find(label, budget, about)
    if found is not None and np.array_equal(found.outcomes.seeds, engine.seeds) and path.exists():
        values = json.loads(path.read_text(encoding="utf-8"))
        costs = {str(k): (float(v[0]), float(v[1])) for k, v in values["costs"].items()}
        return found, Spent(int(values["search_steps"]), costs)
    began = time.monotonic()
    played = play()
    player = engine.subject.player
    cell = Cell.of(label, budget, played, player, time.monotonic() - began)
    found_by = played.setting.found
    spent = Spent(found_by.played if found_by else 0, _costs(played, player))
    values = {"search_steps": spent.search_steps, "costs": spent.costs}
    write_text(path, json.dumps(values) + "\n")
    store.write(cell, about)
    return cell, spent


def _costs(played: Played, player: str) -> dict[str, tuple[float, float]]:
    """Mean and largest of each cost over the episodes in which it is a number."""
    out = {}
    for name, values in played.episodes.costs[player].items():
        known: Any = values[np.isfinite(values)]
        if len(known):
            out[name] = float(f"{known.mean():.9g}"), float(f"{known.max():.9g}")
    return out
