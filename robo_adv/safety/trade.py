"""What a robust controller R costs and gains against its baseline 0, on paired scenarios.

S is safe success. V(q) = (1 - q) S(clean) + q S(attacked) is the value when a share q of episodes is
attacked, so R - 0 gives V = q gain - (1 - q) tax.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.safety import curves
from robo_adv.safety.bootstrap import (
    REPS,
    Array,
    Estimate,
    Floats,
    bootstrap,
    claim,
    independent_units,
    interval,
    plug_in,
    resampled,
)
from robo_adv.safety.curves import area, closed_grid, critical_budgets, design_of, survival
from robo_adv.safety.outcomes import Outcomes, check_paired
from robo_adv.safety.paired import paired_test, rate_difference

PREVALENCE = 0.1  # share of attacked episodes that is assumed unless one is declared


def exchange_rate(tax: npt.ArrayLike, gain: npt.ArrayLike) -> Floats:
    """kappa = gain / tax: robust success bought per nominal success paid.

    1 is a fair trade, 0.1 "a loss by an order of magnitude" (Lechner et al. 2023, arXiv 2204.07373).
    Nothing paid: inf for a gain; nan (no trade to rate) without one.
    """
    tax, gain = np.broadcast_arrays(np.asarray(tax, np.float64), np.asarray(gain, np.float64))
    free = np.where(gain > 0.0, np.inf, np.nan)
    return np.where(tax > 0.0, gain / np.where(tax > 0.0, tax, 1.0), free)


def break_even(tax: npt.ArrayLike, gain: npt.ArrayLike) -> Floats:
    """q*: R pays if more than this share of episodes is attacked; from V(q) = 0.

    tax > 0 and gain > 0: tax / (tax + gain). gain <= 0: 1, no share of attacks makes R pay (with
    tax < 0 R is worth having *without* attacks; `Trade.value` at the prevalence tells). tax <= 0 <
    gain: 0.
    """
    tax, gain = np.broadcast_arrays(np.asarray(tax, np.float64), np.asarray(gain, np.float64))
    both = (tax > 0.0) & (gain > 0.0)
    ratio = tax / np.where(both, tax + gain, 1.0)
    return np.where(both, ratio, np.where(gain > 0.0, 0.0, 1.0))


def value(tax: Array, gain: Array, prevalence: float) -> Array:
    """V of R minus V of the baseline when a share `prevalence` of episodes is attacked."""
    return np.asarray(prevalence * gain - (1.0 - prevalence) * tax)


@dataclass(frozen=True)
class Trade:
    """R against its baseline, each with an interval.

    Attributes:
        tax: S_0(0) - S_R(0), loss of safe success without attack.
        harm: unsafe share of R minus that of the baseline, without attack.
        gain: mean over budgets above 0 of S_R - S_0.
        exchange_rate, break_even: see the functions.
        value: of R over the baseline at `prevalence`.
        area_difference: cARA of R minus that of the baseline, safe success.
        mcnemar_success, mcnemar_unsafe: exact p-values of the clean comparison per training seed.
        about: what the intervals speak of.
    """

    tax: Estimate
    harm: Estimate
    gain: Estimate
    exchange_rate: Estimate
    break_even: Estimate
    value: Estimate
    area_difference: Estimate
    mcnemar_success: tuple[float, ...]
    mcnemar_unsafe: tuple[float, ...]
    prevalence: float
    scenarios: int
    training_seeds: int

    @property
    def about(self) -> str:
        return claim(self.training_seeds)

    def to_json(self) -> dict[str, Any]:
        names = ("tax", "harm", "gain", "exchange_rate", "break_even", "value", "area_difference")
        out: dict[str, Any] = {name: getattr(self, name).to_json() for name in names}
        return out | {
            "mcnemar_success": list(self.mcnemar_success),
            "mcnemar_unsafe": list(self.mcnemar_unsafe),
            "prevalence": self.prevalence,
            "scenarios": self.scenarios,
            "training_seeds": self.training_seeds,
            "about": self.about,
        }


def trade(
    candidate: Array,
    baseline: Array,
    candidate_unsafe: Array,
    baseline_unsafe: Array,
    budgets: npt.ArrayLike,
    rng: np.random.Generator,
    *,
    null: npt.ArrayLike = 0.0,
    prevalence: float = PREVALENCE,
    reps: int = REPS,
) -> Trade:
    """Compare two controllers on the same scenarios, all arrays (n,), or (K, n) of K training seeds.

    Tax and harm of one controller have Tango's interval, of several the crossed bootstrap (see
    `paired.rate_difference`); the rest are bootstrapped, from the same resamples.

    Args:
        candidate, baseline: critical budgets of safe success (`curves.critical_budgets`).
        candidate_unsafe, baseline_unsafe: unsafe without attack.
        null: null level of the areas, a number or one outcome per scenario.

    Raises:
        RoboAdvError: shapes that differ, a prevalence outside 0..1, a bad grid.
    """
    grid = closed_grid(budgets)
    arrays = [np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)]
    unsafe = [np.asarray(candidate_unsafe, bool), np.asarray(baseline_unsafe, bool)]
    _check([*arrays, *unsafe], prevalence)
    design, level = design_of(arrays[0]), curves.null_sample(null, arrays[0])
    statistic = _parts(grid, prevalence)
    samples = [*arrays, level]
    draws = resampled(statistic, samples, rng, design, reps)
    values, units = plug_in(statistic, samples, design), _units(statistic, samples, rng, design)
    gain, rate, even, worth = (
        interval(float(values[i]), draws[:, i], float(units[i])) for i in range(4)
    )
    return Trade(
        tax=rate_difference(arrays[1] > 0.0, arrays[0] > 0.0, rng, reps=reps),
        harm=rate_difference(unsafe[0], unsafe[1], rng, reps=reps),
        gain=gain,
        exchange_rate=rate,
        break_even=even,
        value=worth,
        area_difference=bootstrap(_area_difference(grid), samples, rng, design=design, reps=reps),
        mcnemar_success=_tests(arrays[0] > 0.0, arrays[1] > 0.0),
        mcnemar_unsafe=_tests(unsafe[0], unsafe[1]),
        prevalence=prevalence,
        scenarios=arrays[0].shape[-1],
        training_seeds=1 if design == "scenarios" else len(arrays[0]),
    )


def _check(arrays: list[Array], prevalence: float) -> None:
    if len({array.shape for array in arrays}) != 1:
        raise RoboAdvError(
            "a paired comparison needs arrays of one shape, got critical budgets "
            f"{arrays[0].shape} and {arrays[1].shape}, unsafe {arrays[2].shape} and "
            f"{arrays[3].shape}; play both controllers on one list of scenarios"
        )
    if not 0.0 <= prevalence <= 1.0:
        raise RoboAdvError(f"the prevalence of attacks lies in 0..1, got {prevalence}")


def _parts(grid: Floats, prevalence: float) -> Callable[..., Array]:
    """Gain, exchange rate, break-even and value of each resample (reps, 4)."""

    def statistic(candidate: Array, baseline: Array, _: Array) -> Array:
        more = survival(candidate, grid) - survival(baseline, grid)
        tax, gain = -more[:, 0], more[:, 1:].mean(axis=1)
        parts = gain, exchange_rate(tax, gain), break_even(tax, gain), value(tax, gain, prevalence)
        return np.stack(parts, axis=1)

    return statistic


def _units(
    statistic: Callable[..., Array], samples: list[Array], rng: np.random.Generator, design: Any
) -> Array:
    """Per component; ratios take the fewest, as their spread over resamples may not exist."""
    units = np.broadcast_to(independent_units(statistic, samples, rng, design), (4,)).copy()
    units[1:3] = units[[0, 3]].min()
    return units


def _area_difference(grid: Floats) -> Callable[..., Array]:
    def statistic(candidate: Array, baseline: Array, null: Array) -> Array:
        level = null.mean(axis=1)
        return area(survival(candidate, grid), grid, level) - area(
            survival(baseline, grid), grid, level
        )

    return statistic


def _tests(first: Array, second: Array) -> tuple[float, ...]:
    pairs = zip(np.atleast_2d(first), np.atleast_2d(second), strict=True)
    return tuple(paired_test(a, b) for a, b in pairs)


def trade_of_outcomes(
    candidate: list[Outcomes],
    baseline: list[Outcomes],
    budgets: npt.ArrayLike,
    rng: np.random.Generator,
    **options: Any,
) -> Trade:
    """`trade` from the outcomes of one attack (or of the worst) at each budget, clean ones first.

    Raises:
        RoboAdvError: other scenarios somewhere, or not one Outcomes per budget.
    """
    grid = closed_grid(budgets)
    if not len(candidate) == len(baseline) == len(grid):
        raise RoboAdvError(
            f"one Outcomes per budget is needed, {len(grid)}; got {len(candidate)} and {len(baseline)}"
        )
    check_paired(candidate[0], *candidate[1:], *baseline)
    held = [
        np.stack([cell.safe_success for cell in cells], axis=1) for cells in (candidate, baseline)
    ]
    first, second = (critical_budgets(part, grid) for part in held)
    return trade(first, second, candidate[0].unsafe, baseline[0].unsafe, grid, rng, **options)
