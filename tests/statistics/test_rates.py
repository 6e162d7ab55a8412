"""Rates and verdicts: exact intervals, and conditions judged by the whole interval."""

from __future__ import annotations

import operator
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.statistics import FailIf, Rate, mcnemar

SIGNS = ("<", "<=", ">", ">=")


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 300, 0.0, 0.01222),  # two-sided 95 %; the one-sided "rule of three" gives 0.00994
        (3, 300, 0.00207, 0.02894),
        (300, 300, 0.98778, 1.0),
        (0, 1, 0.0, 0.975),
        (1, 1, 0.025, 1.0),
        (1, 10, 0.00253, 0.44502),
        (8, 10, 0.44390, 0.97479),
        (81, 263, 0.25271, 0.36763),  # Newcombe 1998, Statistics in Medicine 17, table I
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_intervals_equal_published_ones(count: int, total: int, low: float, high: float) -> None:
    rate = Rate(count, total)
    assert rate.low == pytest.approx(low, abs=6e-5)
    assert rate.high == pytest.approx(high, abs=6e-5)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.data(), st.sampled_from([0.8, 0.95, 0.99]))
def test_intervals_equal_scipys_and_contain_the_estimate(
    total: int, data: st.DataObject, confidence: float
) -> None:
    count = data.draw(st.integers(0, total))
    rate = Rate(count, total, confidence)
    expected = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    assert (rate.low, rate.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert 0.0 <= rate.low <= float(rate) <= rate.high <= 1.0
    mirrored = Rate(total - count, total, confidence)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - rate.high, 1 - rate.low), abs=1e-9)


@pytest.mark.parametrize("total", [1, 7, 30])
def test_the_interval_covers_every_true_rate_with_at_least_its_confidence(total: int) -> None:
    """By summing the binomial distribution, not by sampling."""
    rates = [Rate(count, total) for count in range(total + 1)]
    for true in np.linspace(0.001, 0.999, 100):
        covers = [rate.low <= true <= rate.high for rate in rates]
        weights = [comb(total, k) * true**k * (1 - true) ** (total - k) for k in range(total + 1)]
        assert np.dot(covers, weights) >= 0.95 - 1e-12


def test_rates_print_in_percent_and_serialise_with_their_counts() -> None:
    rate = Rate(3, 300)
    assert str(rate) == "1.0 [0.2, 2.9] %"
    expected = {"rate": 0.01, "low": 0.002067, "high": 0.028945, "count": 3, "episodes": 300}
    assert rate.to_json() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(RoboAdvError, match="0 <= count <= total"):
        Rate(count, total)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_two_sided_sign_test(first: int, second: int) -> None:
    n, fewer = first + second, min(first, second)
    tail = sum(comb(n, k) for k in range(fewer + 1)) / 2**n
    expected = 1.0 if first == second else min(1.0, 2 * tail)
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first), rel=1e-12)


def test_mcnemar_in_closed_form() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(6, 0) == pytest.approx(2 / 2**6)
    assert mcnemar(5, 1) == pytest.approx(2 * (1 + 6) / 2**6)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("win_rate<0.8", ("win_rate", "<", 0.8)),
        ("  loss_rate >= 1e-1 ", ("loss_rate", ">=", 0.1)),
        ("draw_rate<=1", ("draw_rate", "<=", 1.0)),
        ("x>0", ("x", ">", 0.0)),
    ],
)
def test_conditions_are_read(text: str, parts: tuple[str, str, float]) -> None:
    condition = FailIf.parse(text)
    assert (condition.name, condition.sign, condition.threshold) == parts


@pytest.mark.parametrize(
    "text",
    ["", "win_rate", "win_rate<", "<0.5", "win_rate=0.5", "win_rate==0.5", "win_rate<80", "a<-0.1",
     "win_rate<0.8 or x", "win_rate<1e9", "win_rate<nan", "win_rate<e", "win rate<0.5", "a<0.5<b",
     "a<1.2.3", "a<+-1"],
)  # fmt: skip
def test_other_conditions_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(RoboAdvError, match=r'for example "win_rate<0\.8"'):
        FailIf.parse(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_condition_or_a_clear_error(text: str) -> None:
    try:
        condition = FailIf.parse(text)
    except RoboAdvError:
        return
    assert condition.sign in SIGNS and 0.0 <= condition.threshold <= 1.0


@pytest.mark.parametrize(
    ("count", "verdicts"),
    [
        # of 100, threshold 0.5; in the order of SIGNS
        (20, ("fails", "fails", "holds", "holds")),
        (48, ("inconclusive",) * 4),
        (80, ("holds", "holds", "fails", "fails")),
    ],
)
def test_each_sign_has_three_outcomes(count: int, verdicts: tuple[str, ...]) -> None:
    rate = Rate(count, 100)
    assert tuple(FailIf("r", sign, 0.5).judge(rate) for sign in SIGNS) == verdicts


def _expected(sign: str, threshold: float, rate: Rate) -> str:
    """By definition: the condition at both ends of the interval."""
    meets = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}[sign]
    ends = {bool(meets(end, threshold)) for end in (rate.low, rate.high)}
    return "inconclusive" if len(ends) == 2 else ("fails" if ends.pop() else "holds")


# With `>`, an interval whose upper end is the threshold itself meets the condition nowhere.


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">="])
def test_verdicts_follow_the_definition_also_where_an_end_is_the_threshold(sign: str) -> None:
    for total in (1, 5, 40):
        for count in range(total + 1):
            rate = Rate(count, total)
            for threshold in (0.0, 0.3, 0.5, 1.0, rate.low, rate.high, float(rate)):
                verdict = FailIf("r", sign, threshold).judge(rate)
                assert verdict == _expected(sign, threshold, rate), (count, total, threshold)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize(
    ("count", "total", "threshold"), [(3, 10, 0.5), (1, 3, 0.9), (45, 100, 0.5), (0, 4, 0.02)]
)
def test_with_that_many_more_episodes_at_the_same_rate_the_verdict_is_decided(
    count: int, total: int, threshold: float, sign: str
) -> None:
    condition, rate = FailIf("r", sign, threshold), Rate(count, total)
    more = condition.more_episodes(rate)
    assert more is not None
    n = total + more
    assert condition.judge(Rate(round(count / total * n), n)) != "inconclusive"
    if condition.judge(rate) == "inconclusive":
        assert more > 0
        fewer = max(total, int(n / 1.25))  # the search steps by a tenth
        assert condition.judge(Rate(round(count / total * fewer), fewer)) == "inconclusive"
    else:
        assert more == 0


def test_a_rate_at_the_threshold_never_decides() -> None:
    assert FailIf("r", "<", 0.5).more_episodes(Rate(5, 10), most=20_000) is None
