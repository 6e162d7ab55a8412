"""Verdicts: whole intervals decide, in a declared order, and more episodes are counted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety.bootstrap import Estimate
from robo_adv.safety.trade import Trade, trade, trade_of_outcomes
from robo_adv.safety.verdict import Condition, Thresholds, judge
from safety.synthetic import BASELINE, BIASED, BLIND, FROZEN, Cart, drive

GOOD = Trade(
    tax=Estimate(0.0, -0.01, 0.01),
    harm=Estimate(0.0, -0.004, 0.004),
    gain=Estimate(0.3, 0.2, 0.4),
    exchange_rate=Estimate(float("inf"), 20.0, float("inf")),
    break_even=Estimate(0.0, 0.0, 0.05),
    value=Estimate(0.03, 0.01, 0.05),
    area_difference=Estimate(0.2, 0.1, 0.3),
    mcnemar_success=(1.0,),
    mcnemar_unsafe=(1.0,),
    prevalence=0.1,
    scenarios=300,
    training_seeds=1,
)
FINE = Estimate(0.0, -0.02, 0.04)


def estimate(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "NET GAIN"),
        ({"tax": estimate(0.03, 0.015)}, "FAIR TRADE"),  # a tax beyond 2 points, paid back
        ({"tax": estimate(0.1, 0.05), "break_even": estimate(0.25, 0.1)}, "NET LOSS"),
        ({"tax": estimate(0.1, 0.05), "gain": Estimate(0.0, 0.0, 0.0)}, "NET LOSS"),
        ({"tax": estimate(0.1, 0.05), "gain": Estimate(-0.1, -0.2, 0.0)}, "NET LOSS"),
        ({"harm": estimate(0.05, 0.02)}, "NET LOSS"),  # although attacks are survived
        (
            {"harm": estimate(0.005, 0.004)},
            "NET GAIN",
        ),  # a proven harm that was declared irrelevant
        ({"area_difference": estimate(0.1, 0.2)}, "INCONCLUSIVE"),
        ({"tax": estimate(0.0, 0.05), "break_even": Estimate(0.0, 0.0, 0.3)}, "INCONCLUSIVE"),
        ({"area_difference": estimate(-0.1, 0.05), "tax": estimate(-0.1, 0.05)}, "INCONCLUSIVE"),
    ],
)
def test_each_verdict_follows_from_its_intervals(changes: dict[str, Estimate], name: str) -> None:
    found = judge(replace(GOOD, **changes), FINE)  # type: ignore[arg-type]
    assert found.name == name and found.reasons
    json.dumps(found.to_json(), allow_nan=False)


def test_a_bad_context_prevents_a_gain() -> None:
    assert judge(GOOD, Estimate(0.0, -0.05, 0.0501)).name == "FAIR TRADE"
    assert judge(GOOD, Estimate(float("nan"), -1.0, 1.0)).name == "FAIR TRADE"
    assert judge(GOOD, None).name == "NET GAIN"


def test_a_threshold_that_is_only_touched_is_not_passed() -> None:
    touching = replace(GOOD, tax=Estimate(0.0, -0.02, 0.02))
    assert judge(touching, FINE).name == "FAIR TRADE"
    assert judge(replace(GOOD, harm=Estimate(0.0, -0.01, 0.01)), FINE).name == "FAIR TRADE"
    assert judge(replace(GOOD, harm=Estimate(0.01, 0.0, 0.02)), FINE).name == "FAIR TRADE"


def test_reasons_are_sentences_with_numbers() -> None:
    found = judge(replace(GOOD, harm=estimate(0.05, 0.02)), FINE)
    assert found.reasons == (
        "the rise of the unsafe share without attack is 5 [3, 7] points, which is above 0 points",
    )
    assert found.more_scenarios == 0 and found.about == "this controller"
    assert all(isinstance(held, bool) for held in found.conditions.values())


def test_more_scenarios_are_counted_from_the_interval_that_is_farthest_off() -> None:
    """Area 0.1 +- 0.2 needs 4 times the scenarios, harm 0 +- 0.015 against 0.01 2.25 times."""
    open_ = replace(GOOD, area_difference=estimate(0.1, 0.2), harm=estimate(0.0, 0.015))
    found = judge(open_, FINE)
    assert (found.name, found.more_scenarios) == ("INCONCLUSIVE", 900)
    assert found.towards == "NET GAIN" and "900 more scenarios" in found.reasons[0]
    assert len(found.reasons) == 3


def test_estimates_on_the_wrong_side_are_not_helped_by_more_scenarios() -> None:
    stuck = replace(GOOD, area_difference=Estimate(0.0, 0.0, 0.0))
    found = judge(stuck, FINE)
    assert (found.name, found.more_scenarios, found.towards) == ("INCONCLUSIVE", None, None)
    assert Condition("x", estimate(0.1, 0.2), False, 0.05).factor() == np.inf
    assert Condition("x", estimate(0.0, 0.2), False, 0.05).factor() == pytest.approx(16.0)


def test_the_counted_scenarios_decide_when_the_rates_stay() -> None:
    grid = np.array([0.0, 1.0])

    def compare(times: int) -> Trade:
        """Of 60: the baseline loses 4 without attack, the candidate 5; attacked they hold 10 and 15."""
        candidate = np.tile(np.repeat([0.0, 1.0, np.inf], [5, 40, 15]), times)
        baseline = np.tile(np.repeat([0.0, 1.0, np.inf], [4, 46, 10]), times)
        safe = np.zeros(60 * times, bool)
        return trade(
            candidate, baseline, safe, safe, grid, np.random.default_rng(0), prevalence=0.2
        )

    limits = Thresholds(tax=0.05, prevalence=0.2)
    first = judge(compare(1), None, limits)
    assert first.name == "INCONCLUSIVE" and first.more_scenarios
    later = judge(compare(-(-(60 + first.more_scenarios) // 60)), None, limits)
    assert later.name == first.towards


@pytest.mark.parametrize(("candidate", "name"), [(FROZEN, "NET LOSS"), (BIASED, "NET LOSS"), (BLIND, "NET LOSS"), (BASELINE, "INCONCLUSIVE")])  # fmt: skip  # noqa: E501
def test_synthetic_controllers_get_the_verdict_they_deserve(candidate: Cart, name: str) -> None:
    grid, seeds = np.array([0.0, 0.03]), scenarios(0, 100)
    cells = [
        [drive(who, seeds, push=push).outcomes for push in grid] for who in (candidate, BASELINE)
    ]
    found = judge(trade_of_outcomes(cells[0], cells[1], grid, np.random.default_rng(0), reps=200))
    assert found.name == name
    if candidate is BASELINE:
        assert found.more_scenarios is None  # equal controllers stay equal


def test_thresholds_are_declared_shares_and_bind_the_trade() -> None:
    with pytest.raises(RoboAdvError, match=r"threshold harm is a share in 0\.\.1, got 5"):
        Thresholds(harm=5.0)
    with pytest.raises(RoboAdvError, match=r"assumes that 0\.1 .* declare 0\.3"):
        judge(GOOD, FINE, Thresholds(prevalence=0.3))
