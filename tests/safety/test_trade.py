"""What robustness costs and gains: known rates, every sign case, and intervals that cover."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety.outcomes import Outcomes
from robo_adv.safety.trade import (
    Trade,
    break_even,
    exchange_rate,
    trade,
    trade_of_outcomes,
    value,
)
from safety.synthetic import BASELINE, BIASED, BLIND, FROZEN, Array, Cart, covered, drive

GRID = np.array([0.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("tax", "gain", "rate", "even"),
    [
        (0.1, 0.3, 3.0, 0.25),
        (0.2, 0.02, 0.1, 0.2 / 0.22),  # a loss by an order of magnitude
        (0.1, 0.1, 1.0, 0.5),  # fair
        (0.1, 0.0, 0.0, 1.0),  # paid for nothing
        (0.1, -0.2, -2.0, 1.0),  # worse everywhere
        (0.0, 0.2, math.inf, 0.0),  # free
        (-0.1, 0.2, math.inf, 0.0),  # better everywhere
        (0.0, 0.0, math.nan, 1.0),
        (-0.1, -0.2, math.nan, 1.0),  # better without attack only: no attacks make it pay
        (-0.1, 0.0, math.nan, 1.0),
    ],
)
def test_every_sign_of_tax_and_gain(tax: float, gain: float, rate: float, even: float) -> None:
    assert float(exchange_rate(tax, gain)) == pytest.approx(rate, nan_ok=True)
    assert float(break_even(tax, gain)) == pytest.approx(even)


@settings(max_examples=80, deadline=None)
@given(st.floats(0.001, 1.0), st.floats(0.001, 1.0))
def test_the_value_changes_sign_at_break_even(tax: float, gain: float) -> None:
    even = float(break_even(tax, gain))
    t, g = np.array(tax), np.array(gain)
    assert float(value(t, g, even)) == pytest.approx(0.0, abs=1e-12)
    assert float(value(t, g, even / 2)) < 0.0 < float(value(t, g, (1.0 + even) / 2))


def _pair(rng: np.random.Generator, n: int, clean: tuple[float, float], hard: float) -> list[Array]:
    """Critical budgets with S(0) = clean, of which the candidate holds `hard`, the baseline none."""
    u = rng.random(n)  # common random numbers: the pairs depend on each other
    held = rng.random(n) < hard
    candidate = np.where(u < clean[0], np.where(held, np.inf, 1.0), 0.0)
    return [candidate, np.where(u < clean[1], 1.0, 0.0)]


def _trade(rng: np.random.Generator, critical: list[Array], reps: int = 300) -> Trade:
    unsafe = [c == 0.0 for c in critical]
    return trade(critical[0], critical[1], unsafe[0], unsafe[1], GRID, rng, reps=reps)


def test_the_parts_of_a_trade_cover_their_true_values() -> None:
    """Clean 0.8 against 0.9, attacked 0.4 against 0: tax 0.1, gain 0.32, harm 0.1."""
    rng, trials = np.random.default_rng(0), 120
    truth = {
        "tax": 0.1,
        "harm": 0.1,
        "gain": 0.32,
        "exchange_rate": 3.2,
        "break_even": 0.1 / 0.42,
        "value": 0.1 * 0.32 - 0.9 * 0.1,
        "area_difference": (0.25 * 0.8 + 0.75 * 0.32) - 0.25 * 0.9,
    }
    hits = dict.fromkeys(truth, 0)
    for _ in range(trials):
        found = _trade(rng, _pair(rng, 200, (0.8, 0.9), 0.4))
        for name, true in truth.items():
            hits[name] += getattr(found, name).covers(true)
    assert all(covered(count, trials) for count in hits.values()), hits


def test_five_training_seeds_speak_of_the_method_and_widen_what_differs_between_them() -> None:
    rng = np.random.default_rng(1)
    lost = np.array([0.0, 0.1, 0.2, 0.3, 0.4])[:, None]  # of clean success, per seed
    u = (np.arange(100)[None] + 0.5) / 100.0
    candidate = np.where(u < 0.9 - lost, np.inf, 0.0)
    baseline = np.where(u < 0.9, 1.0, 0.0) * np.ones((5, 1))
    found = _trade(rng, [candidate, baseline])
    assert found.about == "the training method" and len(found.mcnemar_success) == 5
    assert found.tax.value == pytest.approx(0.2) and found.tax.low < 0.05 and found.tax.high > 0.35
    alone = _trade(rng, [candidate[2], baseline[2]])
    assert alone.about == "this controller" and alone.tax.low > 0.1
    assert found.gain.value == pytest.approx((0.7 + 0.7) / 2)  # S_R at both budgets, baseline 0


def test_an_interval_of_the_exchange_rate_is_open_when_the_tax_may_be_zero() -> None:
    rng = np.random.default_rng(2)
    found = _trade(rng, _pair(rng, 200, (0.9, 0.9), 0.4))
    assert found.exchange_rate.high == math.inf and found.break_even.low == 0.0


def test_equal_controllers_trade_nothing() -> None:
    rng = np.random.default_rng(3)
    same = _pair(rng, 200, (0.8, 0.8), 0.4)[0]
    found = _trade(rng, [same, same])
    assert (found.tax.value, found.gain.value, found.area_difference.value) == (0.0, 0.0, 0.0)
    assert found.harm.high > 0.0 and found.mcnemar_success == (1.0,)
    assert math.isnan(found.exchange_rate.value) and found.break_even.value == 1.0


def _cells(controller: Cart, pushes: Array) -> list[Outcomes]:
    return [drive(controller, scenarios(0, 100), push=push).outcomes for push in pushes]


@pytest.mark.parametrize(
    ("candidate", "tax", "harm"), [(FROZEN, 1.0, 0.0), (BLIND, 0.1, 0.1), (BIASED, 1.0, 1.0)]
)
def test_synthetic_controllers_cost_what_they_must(
    candidate: Cart, tax: float, harm: float
) -> None:
    pushes = np.array([0.0, 0.03])
    cells = [_cells(who, pushes) for who in (candidate, BASELINE)]
    found = trade_of_outcomes(cells[0], cells[1], pushes, np.random.default_rng(0), reps=200)
    assert (found.tax.value, found.harm.value) == pytest.approx((tax, harm))
    assert found.mcnemar_success[0] == pytest.approx(2.0 * 0.5 ** (100 * tax))
    assert found.gain.value == 0.0 and found.break_even.value == 1.0
    json.dumps(found.to_json(), allow_nan=False)


def test_comparisons_that_are_not_paired_are_refused() -> None:
    rng, pushes = np.random.default_rng(0), np.array([0.0, 0.03])
    cells = _cells(BASELINE, pushes)
    other = drive(BASELINE, scenarios(500, 100)).outcomes
    with pytest.raises(RoboAdvError, match="same scenario seeds"):
        trade_of_outcomes(cells, [other, other], pushes, rng)
    with pytest.raises(RoboAdvError, match="one Outcomes per budget"):
        trade_of_outcomes(cells, cells[:1], pushes, rng)
    with pytest.raises(RoboAdvError, match="one shape"):
        trade(np.ones(5), np.ones(4), np.ones(5), np.ones(5), GRID, rng)
    with pytest.raises(RoboAdvError, match="prevalence"):
        trade(np.ones(5), np.ones(5), np.ones(5), np.ones(5), GRID, rng, prevalence=1.5)
