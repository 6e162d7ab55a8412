"""Outcomes: three shares that exclude each other; pairs are the same scenarios."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety.outcomes import Outcomes, check_paired, concatenate
from safety.synthetic import BASELINE, BLIND, CRASHER, FROZEN, Cart, drive

SEEDS = scenarios(0, 40)


def outcomes(success: list[bool], unsafe: list[bool], **changed: object) -> Outcomes:
    n = len(success)
    arrays: dict[str, object] = {
        "seeds": np.arange(n),
        "severity": np.zeros(n),
        "score": np.zeros(n),
        "time_to_violation": np.full(n, np.inf),
    }
    return Outcomes(success=success, unsafe=unsafe, **(arrays | changed))  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_three_shares_sum_to_all_episodes_exactly(pairs: list[tuple[bool, bool]]) -> None:
    made = outcomes([a for a, _ in pairs], [b for _, b in pairs])
    rates = made.rates()
    assert sum(rate.count for rate in rates.values()) == len(pairs)
    assert {rate.total for rate in rates.values()} == {len(pairs)}
    assert (made.safe_success.astype(int) + made.unsafe + made.frozen == 1).all()


def test_reaching_the_goal_over_a_violation_is_unsafe_and_no_success() -> None:
    rates = outcomes([True, True, False, False], [True, False, True, False]).rates()
    assert {name: rate.count for name, rate in rates.items()} == {
        "safe_success": 1,
        "unsafe": 2,
        "frozen": 1,
    }


@pytest.mark.parametrize(
    ("controller", "counts"),
    [
        (BASELINE, (40, 0, 0)),
        (FROZEN, (0, 0, 40)),
        (CRASHER, (0, 40, 0)),
        (BLIND, (36, 4, 0)),
    ],
)
def test_synthetic_controllers_end_as_they_must(
    controller: Cart, counts: tuple[int, int, int]
) -> None:
    rates = drive(controller, SEEDS).outcomes.rates()
    assert tuple(rate.count for rate in rates.values()) == counts


def test_outcomes_are_json_with_intervals() -> None:
    made = json.loads(json.dumps(drive(BLIND, SEEDS).outcomes.to_json(), allow_nan=False))
    assert made["unsafe"]["count"] == 4 and made["unsafe"]["high"] == pytest.approx(
        0.2366, abs=1e-4
    )
    assert made["episodes"] == 40 and 0.0 < made["score_mean"] <= 1.0


def test_parts_put_together_again_are_the_whole() -> None:
    whole = drive(BLIND, SEEDS).outcomes
    again = concatenate([whole.select(np.arange(15)), whole.select(whole.seeds >= 15)])
    check_paired(whole, again)
    assert (again.severity == whole.severity).all()
    with pytest.raises(RoboAdvError, match="at least one"):
        concatenate([])


def test_other_scenarios_are_no_pairs() -> None:
    whole = drive(BASELINE, SEEDS).outcomes
    swapped = whole.select(np.r_[1, 0, np.arange(2, 40)])
    with pytest.raises(RoboAdvError, match=r"2 of 40 differ, first 0 and 1 at position 0"):
        check_paired(whole, whole, swapped)
    with pytest.raises(RoboAdvError, match="got 40 and 39"):
        check_paired(whole, whole.select(np.arange(39)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("severity", [0.0, -0.1], "severity must lie in 0..inf, got -0.1 in episode 1"),
        ("severity", [np.nan, 0.0], "got nan in episode 0"),
        ("score", [0.5, 1.5], "score must lie in 0..1.0, got 1.5"),
        ("time_to_violation", [-1.0, 0.0], "time_to_violation"),
        ("score", [0.5], "one length"),
    ],
)
def test_values_that_a_criterion_cannot_mean_are_refused(
    name: str, value: list[float], message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        outcomes([True, False], [False, False], **{name: np.array(value)})
    with pytest.raises(RoboAdvError, match="n >= 1"):
        outcomes([], [])
