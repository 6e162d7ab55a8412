"""Which port breaks a controller most cheaply: where the best attack of each halves safe success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit.ladder_run import Climb
from robo_adv.safety.bootstrap import Estimate, bootstrap
from robo_adv.safety.statistics import Rate
from robo_adv.threats.threat import meaning

Array = npt.NDArray[Any]
REPS = 2_000
HALF = 0.5


def halving_budget(curve: Array, budgets: Sequence[float], at: float | None = None) -> Array:
    """Smallest budget (reps,) at which curves (reps, 1 + B), the first entry without attack, fall below
    half of it; on the straight line between two tested budgets. inf if never, NaN where nothing
    succeeds without attack.

    Args:
        at: in place of the line, 0 for the tested budget before and 1 for the one after.
    """
    grid = np.concatenate([[0.0], np.asarray(budgets, dtype=np.float64)])
    goal = HALF * curve[:, :1]
    below = curve < goal
    last = np.maximum(below.argmax(axis=1), 1)
    rows = np.arange(len(curve))
    high, low = curve[rows, last - 1], curve[rows, last]
    share = np.clip((high - goal[:, 0]) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    share = share if at is None else np.full(len(curve), at)
    found = grid[last - 1] + share * (grid[last] - grid[last - 1])
    out = np.where(below.any(axis=1), found, np.inf if at != 0.0 else grid[-1])
    return np.asarray(np.where(curve[:, 0] > 0, out, np.nan))


def best_curve(sample: Array, rungs: int, budgets: int) -> Array:
    """What the best single attack at each budget leaves (reps, 1 + B), from safe successes (reps, n,
    1 + rungs * budgets), those without attack first."""
    rates = sample.mean(axis=1)
    left = rates[:, 1:].reshape(-1, rungs, budgets).min(axis=1)
    return np.concatenate([rates[:, :1], left], axis=1)


def cheapest(found: Climb, seed: int = 0) -> dict[str, Any]:
    """The line of one port, as JSON values: `halved_at` and `area` with intervals, and per budget the
    best attack and what it leaves."""
    names = list(dict.fromkeys(one.rung.name for one in found.steps if one.probe is None))
    held = {(one.rung.name, one.budget): one.cell.outcomes.safe_success for one in found.steps}
    clean = found.clean.cell.outcomes.safe_success
    cells = [held[name, budget] for name in names for budget in found.budgets]
    sample = np.stack([clean, *cells], axis=1).astype(np.float64)
    many = len(found.budgets)

    def halved(at: float | None = None) -> Estimate:
        return bootstrap(
            lambda drawn: halving_budget(best_curve(drawn, len(names), many), found.budgets, at),
            [sample], np.random.default_rng([seed, 5]), reps=REPS,
        )  # fmt: skip

    def area(drawn: Array) -> Array:
        curve = best_curve(drawn, len(names), many)
        return np.asarray(np.trapezoid(curve, [0.0, *found.budgets], axis=1) / found.budgets[-1])

    rng = np.random.default_rng([seed, 6])
    lines = []
    for budget in found.budgets:
        best = min(names, key=lambda name: float(held[name, budget].mean()))
        mine = held[best, budget]
        left = Rate(int(mine.sum()), len(mine)).to_json()
        lines.append({"budget": budget, "best": best, "safe_success": left})
    return {
        "port": found.port, "unit": found.unit, "unit_meaning": meaning(found.port, found.unit),
        "clean": Rate(int(clean.sum()), len(clean)).to_json(),
        # What the grid leaves open belongs to the interval.
        "halved_at": Estimate(halved().value, halved(0.0).low, halved(1.0).high).to_json(),
        "area": bootstrap(area, [sample], rng, reps=REPS).to_json(),
        "best": _decisive(lines, float(clean.mean())), "budgets": lines, "why_not": "",
        "skipped": dict(found.skipped),
    }  # fmt: skip


def _decisive(lines: Sequence[dict[str, Any]], clean: float) -> str:
    """The attack that first halves, or that leaves least at the largest budget."""
    halves = [one for one in lines if one["safe_success"]["rate"] < HALF * clean]
    return str((halves[0] if halves else lines[-1])["best"])


def no_ladder(port: str, why: str) -> dict[str, Any]:
    """The line of a port at which nothing can be tried."""
    return {"port": port, "why_not": why}
