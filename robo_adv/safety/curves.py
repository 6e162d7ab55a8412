"""Budget curves, and the closed-loop Accuracy-Robustness Area (cARA).

After the ARA of Woods, Chen and Teuscher 2019, "Adversarial explanations for understanding image
classification decisions and improved neural network robustness", Nature Machine Intelligence 1, with
the survival of a predicate in closed loop in place of correct classification. An area rewards giving
up nominal performance, so it never stands alone: `BudgetCurve.to_json` gives S(0) and S(eps_max) too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.bootstrap import (
    REPS,
    Array,
    Design,
    Estimate,
    Floats,
    bootstrap,
    design_for,
    number,
)
from robo_adv.safety.outcomes import Bools, Outcomes
from robo_adv.safety.statistics import CONFIDENCE, Rate

Predicate = Literal["T", "N", "TN"]


def holds(outcomes: Outcomes, predicate: Predicate) -> Bools:
    """(n,) T: task done. N: no violation (read it with T: a frozen robot scores 1). TN: both."""
    if predicate not in get_args(Predicate):
        raise unknown("predicate", predicate, get_args(Predicate))
    return {"T": outcomes.success, "N": ~outcomes.unsafe, "TN": outcomes.safe_success}[predicate]


def closed_grid(budgets: npt.ArrayLike) -> Floats:
    """The budgets (B,) as an array.

    Raises:
        RoboAdvError: fewer than two, the first is not 0, or they do not increase.
    """
    grid = np.asarray(budgets, dtype=np.float64)
    if grid.ndim != 1 or len(grid) < 2 or grid[0] != 0.0 or not (np.diff(grid) > 0.0).all():
        raise RoboAdvError(
            f"a grid of budgets starts at 0 and increases, with at least 2 entries; got {grid.tolist()}"
        )
    if not np.isfinite(grid[-1]):
        raise RoboAdvError(f"budgets must be finite, got {grid.tolist()}")
    return grid


def critical_budgets(held: Array, budgets: npt.ArrayLike) -> Floats:
    """Smallest tested budget, over attacks, at which each scenario loses its predicate.

    0 if it is lost without attack, inf if it is held at every budget (right-censored at the largest).
    Monotone by definition, although the outcome of one attack need not be. Entries behind the first
    loss of a scenario do not matter, so a search may skip them.

    Args:
        held: (n, B), or (attacks, n, B), whether the predicate held at each budget.

    Returns:
        (n,)
    """
    grid = closed_grid(budgets)
    held = np.asarray(held, dtype=bool)
    if held.ndim == 2:
        held = held[None]
    if held.ndim != 3 or held.shape[2] != len(grid) or not held.size:
        raise RoboAdvError(
            f"held needs shape (n, {len(grid)}) or (attacks, n, {len(grid)}), got {held.shape}"
        )
    lost = np.asarray(~held.all(axis=0)).reshape(held.shape[1:])
    return np.where(lost.any(axis=1), grid[lost.argmax(axis=1)], np.inf)


def survival(critical: Array, budgets: npt.ArrayLike) -> Floats:
    """S at each budget (..., B): share of the last axis of `critical` (..., n) that is larger."""
    grid = closed_grid(budgets)
    return np.stack([(critical > budget).mean(axis=-1) for budget in grid], axis=-1)


def area(curve: Array, budgets: npt.ArrayLike, null: npt.ArrayLike = 0.0) -> Floats:
    """cARA of curves S (..., B): in [0, 1].

    (1 / eps_max) times the trapezoid rule on max(S - null, 0) at the tested budgets. With null 0 it
    is exactly the mean of `midpoints` / eps_max, the restricted mean survival budget if a loss found
    between two budgets lies in their middle; the step rules give the mean of the last budget held
    (right ends) and of the critical budget min(eps*, eps_max) (left ends), the bounds of what the
    grid can tell: see `area_bounds`.

    Args:
        null: S of the best of holding still and random actions, (...) or a number.
    """
    grid = closed_grid(budgets)
    above = np.maximum(curve - np.asarray(null, dtype=np.float64)[..., None], 0.0)
    return np.asarray(np.trapezoid(above, grid, axis=-1) / grid[-1])


def area_bounds(
    curve: Array, budgets: npt.ArrayLike, null: npt.ArrayLike = 0.0
) -> tuple[Floats, Floats]:
    """Least and largest cARA (...) that curves through the tested points can have; S falls."""
    grid = closed_grid(budgets)
    above = np.maximum(curve - np.asarray(null, dtype=np.float64)[..., None], 0.0)
    width = np.diff(grid) / grid[-1]
    return np.asarray(above[..., 1:] @ width), np.asarray(above[..., :-1] @ width)


def midpoints(critical: Array, budgets: npt.ArrayLike) -> Floats:
    """(...) middle between the last budget held and the first lost; 0 lost clean, eps_max if held."""
    grid = closed_grid(budgets)
    middles = np.concatenate([grid[:1], (grid[:-1] + grid[1:]) / 2.0, grid[-1:]])
    return np.asarray(middles[np.searchsorted(grid, critical, side="left")])


def null_budget(curve: Array, budgets: npt.ArrayLike, null: npt.ArrayLike = 0.0) -> Floats:
    """eps_null (...): smallest budget at which S <= null, "worse than switched off"; inf if never."""
    grid = closed_grid(budgets)
    below = curve <= np.asarray(null, dtype=np.float64)[..., None]
    return np.where(below.any(axis=-1), grid[below.argmax(axis=-1)], np.inf)


def design_of(critical: Array) -> Design:
    """Of one controller (n,), or of K training seeds on the same scenarios (K, n)."""
    if critical.ndim not in (1, 2) or not critical.size:
        raise RoboAdvError(f"expected (n,) or (training seeds, n), got shape {critical.shape}")
    return "scenarios" if critical.ndim == 1 else design_for(len(critical))


def null_sample(null: npt.ArrayLike, critical: Array) -> Floats:
    """The null level per scenario, in the shape of `critical`, so that it is resampled with it."""
    try:
        return np.broadcast_to(np.asarray(null, dtype=np.float64), critical.shape)
    except ValueError:
        raise RoboAdvError(
            f"the null level is a number or one outcome per scenario {critical.shape}, got shape "
            f"{np.shape(null)}"
        ) from None


@dataclass(frozen=True)
class BudgetCurve:
    """Survival of one predicate over the tested budgets (B,), with 95 % intervals.

    Attributes:
        survival: per budget; pointwise intervals. rates: exact ones, for one controller only.
        bounds: least and largest area that the grid allows, before any chance.
    """

    budgets: Floats
    survival: tuple[Estimate, ...]
    rates: tuple[Rate, ...]
    area: Estimate
    bounds: tuple[float, float]
    null: float
    null_budget: Estimate

    def to_json(self) -> dict[str, Any]:
        return {
            "budgets": self.budgets.tolist(),
            "survival": [point.to_json() for point in self.survival],
            "area": self.area.to_json(),
            "area_bounds": [round(bound, 9) for bound in self.bounds],
            "null": number(self.null),
            "null_budget": self.null_budget.to_json(),
        }


def budget_curve(
    critical: Array,
    budgets: npt.ArrayLike,
    rng: np.random.Generator,
    null: npt.ArrayLike = 0.0,
    reps: int = REPS,
) -> BudgetCurve:
    """Curve, area and null budget from critical budgets (n,), or (K, n) of K training seeds.

    Intervals of S: Clopper-Pearson (n,), crossed bootstrap (K, n); of the area and the null budget:
    bootstrap.

    Args:
        null: a number, or (n,) whether a robot that holds still (or acts at random) held the
            predicate in the same scenario; then its chance enters the intervals.
    """
    critical, grid = np.asarray(critical, dtype=np.float64), closed_grid(budgets)
    design, level = design_of(critical), null_sample(null, critical)
    rates: tuple[Rate, ...] = ()
    if design == "scenarios":
        rates = tuple(Rate(int((critical > budget).sum()), len(critical)) for budget in grid)
        points = tuple(Estimate(float(rate), rate.low, rate.high) for rate in rates)
    else:
        points = tuple(_share_above(critical, budget, rng, reps) for budget in grid)

    def of(rule: Callable[..., Floats]) -> Callable[..., Array]:
        return lambda c, z: rule(survival(c, grid), grid, z.mean(axis=1))

    samples, whole = [critical, level], survival(critical.ravel(), grid)
    low, high = area_bounds(whole, grid, float(level.mean()))
    return BudgetCurve(
        budgets=grid,
        survival=points,
        rates=rates,
        area=_with_grid(
            bootstrap(of(area), samples, rng, design=design, reps=reps),
            points,
            grid,
            critical,
            float(level.mean()),
        ),
        bounds=(float(low), float(high)),
        null=float(level.mean()),
        null_budget=bootstrap(of(null_budget), samples, rng, design=design, reps=reps),
    )


def _with_grid(
    found: Estimate, points: tuple[Estimate, ...], grid: Floats, critical: Array, null: float
) -> Estimate:
    """The area's interval; where all scenarios end alike, and a bootstrap has no width, that of the
    curves through the ends of the pointwise intervals."""
    if np.ptp(np.minimum(critical, grid[-1])) > 0.0 or len(np.unique(np.isinf(critical))) > 1:
        return found
    low, high = (
        area(np.array([getattr(p, end) for p in points]), grid, null) for end in ("low", "high")
    )
    return Estimate(found.value, float(low), float(high), found.confidence)


def _share_above(
    critical: Array, budget: float, rng: np.random.Generator, reps: int
) -> Estimate:  # fmt: skip
    above = (critical > budget).astype(np.float64)
    return bootstrap(
        lambda sample: sample.mean(axis=1), [above], rng, design=design_of(above), reps=reps,
        confidence=CONFIDENCE,
    )  # fmt: skip
