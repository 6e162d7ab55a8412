"""Budget curves and areas: closed forms, censoring, grids, and intervals that cover."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety import curves
from robo_adv.safety.curves import Predicate, area, critical_budgets, survival
from safety.synthetic import BASELINE, CRASHER, FROZEN, Array, Cart, covered, drive

GRID = np.array([0.0, 1.0, 2.0, 4.0])


def test_critical_budgets_are_the_worst_over_attacks_and_monotone() -> None:
    first = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1]])
    second = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1]])
    assert critical_budgets(first, GRID).tolist() == [np.inf, 2.0, 4.0, 0.0]
    both = critical_budgets(np.stack([first, second]), GRID)
    assert both.tolist() == [np.inf, 2.0, 1.0, 0.0]
    assert survival(both, GRID).tolist() == [0.75, 0.5, 0.25, 0.25]


def test_what_was_not_tested_behind_a_loss_does_not_matter() -> None:
    skipped, played = np.array([[1, 0, 0, 0]]), np.array([[1, 0, 1, 1]])
    assert critical_budgets(skipped, GRID) == critical_budgets(played, GRID) == 1.0


def test_the_area_is_exact_for_straight_curves() -> None:
    grid = np.linspace(0.0, 3.0, 13)
    straight = 1.0 - grid / 3.0
    assert area(straight, grid) == pytest.approx(0.5)
    assert area(straight, grid, 0.25) == pytest.approx(0.75**2 / 2)  # 0.25 is met on the grid
    assert area(np.ones(13), grid) == 1.0 and area(np.ones(13), grid, 1.0) == 0.0
    assert area(np.zeros(13), grid, 0.3) == 0.0  # never below 0
    assert area(np.stack([straight, np.ones(13)]), grid, np.array([0.0, 0.5])).tolist() == [
        0.5,
        0.5,
    ]


def test_the_area_of_an_exponential_curve_is_met_as_the_grid_gets_finer() -> None:
    """S = exp(-3 x): (1 - exp(-3)) / 3; the trapezoid's error is h^2 / 12 times the slopes' change."""
    exact, slopes = (1.0 - np.exp(-3.0)) / 3.0, 3.0 * (1.0 - np.exp(-3.0))
    for steps in (10, 40):
        grid = np.linspace(0.0, 1.0, steps + 1)
        error = float(area(np.exp(-3.0 * grid), grid)) - exact
        assert error == pytest.approx(slopes / (12 * steps**2), rel=0.02)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=30),
    st.lists(st.floats(0.05, 3.0), min_size=3, max_size=3),
)
def test_the_area_is_a_restricted_mean_survival_budget(
    lost: list[int], widths: list[float]
) -> None:
    """Trapezoid: of midpoints. Step rules, its bounds: of the last held and the critical budget."""
    grid = np.r_[0.0, np.cumsum(widths)]
    critical = np.r_[grid, np.inf][np.array(lost)]
    curve, held = survival(critical, grid), np.r_[0.0, grid][np.minimum(lost, 4)]
    low, high = curves.area_bounds(curve, grid)
    assert area(curve, grid) == pytest.approx(curves.midpoints(critical, grid).mean() / grid[-1])
    assert high == pytest.approx(np.minimum(critical, grid[-1]).mean() / grid[-1])
    assert low == pytest.approx(np.where(np.isinf(critical), grid[-1], held).mean() / grid[-1])
    assert -1e-12 <= low <= area(curve, grid) + 1e-12 and area(curve, grid) <= high + 1e-12 <= 1.1


def test_the_null_budget_is_where_standing_still_is_as_good() -> None:
    curve = np.array([0.9, 0.5, 0.2, 0.0])
    assert [float(curves.null_budget(curve, GRID, s)) for s in (0.95, 0.5, 0.1, 0.0)] == [
        0,
        1,
        4,
        4,
    ]
    assert curves.null_budget(curve + 0.1, GRID) == np.inf


def test_a_frozen_robot_keeps_all_limits_and_none_of_the_task() -> None:
    outcomes = drive(FROZEN, scenarios(0, 20)).outcomes
    shares = {name: curves.holds(outcomes, name).mean() for name in ("T", "N", "TN")}
    assert shares == {"T": 0.0, "N": 1.0, "TN": 0.0}
    with pytest.raises(RoboAdvError, match="unknown predicate 'S'"):
        curves.holds(outcomes, "S")  # type: ignore[arg-type]


def _critical(controller: Cart, predicate: Predicate, grid: Array) -> Array:
    cells = [drive(controller, scenarios(0, 20), push=push).outcomes for push in grid]
    return critical_budgets(np.stack([curves.holds(c, predicate) for c in cells], axis=1), grid)


def test_pushes_are_survived_as_far_as_the_controller_can_hold() -> None:
    """A push p moves the rest position by p / 0.14: 0.1 m is missed above 0.014, the wall at 0.07."""
    grid = np.array([0.0, 0.01, 0.03, 0.06, 0.09])
    assert set(_critical(BASELINE, "T", grid)) == {0.03} == set(_critical(BASELINE, "TN", grid))
    assert set(_critical(BASELINE, "N", grid)) == {0.09}
    assert set(_critical(CRASHER, "TN", grid)) == {0.0}
    assert curves.midpoints(_critical(BASELINE, "N", grid), grid).mean() == pytest.approx(0.075)


def test_the_area_of_uniform_critical_budgets_is_covered() -> None:
    """eps* uniform in 0..2 and tested on a fine grid to 1: S = 1 - x / 2, area 0.75; with null 0.6
    (measured, paired): integral of 0.4 - x / 2 to 0.8, which lies on the grid, 0.16."""
    grid, rng, trials = np.linspace(0.0, 1.0, 11), np.random.default_rng(3), 80
    hits = np.zeros(2, int)
    for _ in range(trials):
        true = 2.0 * rng.random(100)
        critical = np.where(true > 1.0, np.inf, np.ceil(true * 10.0) / 10.0)
        null = (rng.random(100) < 0.6).astype(float)
        for i, (level, truth) in enumerate([(np.zeros(100), 0.75), (null, 0.16)]):
            made = curves.budget_curve(critical, grid, rng, level, reps=200)
            hits[i] += made.area.covers(truth)
    assert covered(hits[0], trials)
    assert covered(hits[1], trials, 0.93)  # the clip at 0 biases the area up by about 0.003


def test_a_curve_reports_exact_rates_and_its_grid() -> None:
    rng = np.random.default_rng(0)
    critical = np.repeat([0.0, 2.0, np.inf], [10, 30, 60])
    made = curves.budget_curve(critical, GRID, rng, reps=300)
    assert [rate.count for rate in made.rates] == [90, 90, 60, 60]
    assert made.survival[0].low == made.rates[0].low
    assert made.area.value == pytest.approx((0.3 * 1.5 + 0.6 * 4.0) / 4.0)
    assert made.bounds == pytest.approx(((0.3 * 1.0 + 0.6 * 4.0) / 4.0, (0.3 * 2 + 0.6 * 4) / 4.0))
    assert made.null_budget.value == made.null_budget.low == np.inf
    text = json.dumps(made.to_json(), allow_nan=False)
    assert json.loads(text)["budgets"] == GRID.tolist()


def test_several_training_seeds_share_one_curve_with_wider_intervals() -> None:
    rng = np.random.default_rng(0)
    skill = np.array([0.5, 1.5, 3.0, 1.0, 2.5])[:, None]
    critical = np.where(skill + 0.1 * rng.standard_normal((5, 80)) > 2.0, np.inf, 2.0)
    made = curves.budget_curve(critical, GRID, rng, reps=500)
    alone = curves.budget_curve(critical.ravel(), GRID, rng, reps=500)
    assert made.rates == () and made.area.value == pytest.approx(alone.area.value)
    assert made.area.high - made.area.low > 4.0 * (alone.area.high - alone.area.low)


@pytest.mark.parametrize(
    "grid", [[0.1, 1.0], [0.0], [0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [0.0, np.nan], [0.0, np.inf]]
)
def test_grids_that_are_not_closed_or_do_not_increase_are_refused(grid: list[float]) -> None:
    with pytest.raises(RoboAdvError, match=r"budgets"):
        area(np.ones(len(grid)), grid)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RoboAdvError, match=r"\(n, 4\)"):
        critical_budgets(np.ones((5, 3)), GRID)
    with pytest.raises(RoboAdvError, match="null level"):
        curves.budget_curve(np.ones(5), GRID, np.random.default_rng(0), np.ones(4))
    with pytest.raises(RoboAdvError, match="training seeds, n"):
        curves.design_of(np.ones((2, 2, 2)))


def test_an_area_of_few_scenarios_that_all_end_alike_keeps_a_wide_interval() -> None:
    for critical, value in ((np.inf, 1.0), (0.0, 0.0)):
        found = curves.budget_curve(np.full(5, critical), [0.0, 0.5, 1.0], np.random.default_rng(0))
        assert found.area.value == value
        assert found.area.high - found.area.low == pytest.approx(0.5218, abs=1e-4)  # 0 of 5
