"""Paired differences of rates and families of tests: exact cases and exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.paired import discordant, holm, paired_test, rate_difference, tango
from safety.synthetic import covered

Z = float(stats.norm.ppf(0.975))


@pytest.mark.parametrize(
    ("first", "second", "total", "low", "high"),
    [
        (1, 7, 21, -0.517, -0.026),  # Fagerland, Lydersen and Laake 2014, Stat. Med. 33, section 7
        (0, 0, 300, -(Z**2) / (300 + Z**2), Z**2 / (300 + Z**2)),
        (0, 1, 44, -0.118, 0.059),  # Tango 1998, section 5
    ],
)
def test_intervals_equal_published_ones(
    first: int, second: int, total: int, low: float, high: float
) -> None:
    found = tango(first, second, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-4)


@pytest.mark.parametrize(
    ("p_first", "p_second"), [(0.1, 0.1), (0.02, 0.02), (0.05, 0.2), (0.0, 0.1)]
)
def test_the_interval_covers_the_true_difference(p_first: float, p_second: float) -> None:
    """By summing the trinomial distribution of 30 pairs, not by sampling. A score interval holds its
    confidence on average, not at every point; the literature gives 0.93 as its worst."""
    n, coverage = 30, 0.0
    for first in range(n + 1):
        for second in range(n + 1 - first):
            counts = [first, second, n - first - second]
            chance = stats.multinomial.pmf(counts, n, [p_first, p_second, 1 - p_first - p_second])
            if chance > 1e-9:
                coverage += chance * tango(first, second, n).covers(p_first - p_second)
    assert coverage > 0.93


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.data())
def test_the_interval_contains_the_estimate_and_agrees_with_mcnemars_test(
    total: int, data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, total))
    second = data.draw(st.integers(0, total - first))
    found = tango(first, second, total)
    assert -1.0 <= found.low <= found.value <= found.high <= 1.0
    mirrored = tango(second, first, total)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-8)
    score = (first - second) / math.sqrt(max(first + second, 1))  # McNemar's, at a difference of 0
    if abs(abs(score) - Z) > 1e-6:
        assert found.covers(0.0) == (abs(score) < Z)


def test_no_differing_pair_still_leaves_a_width() -> None:
    rng, same = np.random.default_rng(0), np.zeros((5, 300), dtype=bool)
    for pairs in (same[0], same):
        found = rate_difference(pairs, pairs, rng)
        assert found.value == 0.0 and found.high == pytest.approx(0.01264, abs=1e-5)
        always = rate_difference(~pairs, pairs, rng)
        assert always.value == always.high == 1.0 and 0.9 < always.low < 0.99


def test_differences_over_training_seeds_cover_the_methods_difference() -> None:
    """Each of 5 seeds has its own unsafe share around 20 %; the baselines' is 10 %."""
    rng, trials, hits = np.random.default_rng(8), 120, 0
    for _ in range(trials):
        own = np.clip(0.2 + 0.05 * rng.standard_normal((5, 1)), 0.0, 1.0)
        u = rng.random((1, 60)) * np.ones((5, 1))
        first, second = rng.random((5, 60)) < own, u < 0.1
        hits += rate_difference(first, second, rng, reps=400).covers(0.1)
    assert covered(hits, trials)


def test_one_training_seed_is_one_controller() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 1, 50)) < 0.3
    assert rate_difference(first, second, rng) == rate_difference(first[0], second[0], rng)
    counts = discordant(first[0], second[0])
    assert rate_difference(first, second, rng) == tango(*counts, 50)
    assert paired_test(first[0], second[0]) == stats.binomtest(counts[0], sum(counts)).pvalue


def test_holm_equals_the_worked_example() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1, made to rise."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).shape == (0,) and holm([0.7, 0.9]) == pytest.approx([1.0, 1.0])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_holm_rejects_as_the_step_down_procedure_does(p: list[float], alpha: float) -> None:
    order, rejected = np.argsort(p, kind="stable"), set()
    for rank, j in enumerate(order):
        if p[j] * (len(p) - rank) > alpha:
            break
        rejected.add(int(j))
    assert set(np.flatnonzero(holm(p) <= alpha).tolist()) == rejected


def test_bad_counts_and_p_values_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="got 3, 3 of 5"):
        tango(3, 3, 5)
    with pytest.raises(RoboAdvError, match=r"0\.\.1"):
        holm([0.5, 1.2])
    with pytest.raises(RoboAdvError, match="equal shapes"):
        rate_difference(np.zeros(3, bool), np.zeros(4, bool), np.random.default_rng(0))
