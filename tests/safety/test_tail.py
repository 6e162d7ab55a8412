"""Tails and times: fractional counts, censoring, and intervals that cover."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety import tail as tails
from safety.synthetic import BASELINE, CRASHER, DT, SPIKED, STEPS, WALL, covered, drive

SEEDS = scenarios(0, 60)


def test_the_mean_of_the_worst_tenth_of_ten_values_is_the_worst() -> None:
    values = np.arange(10.0)
    assert tails.conditional_value_at_risk(values, 0.1) == 9.0
    assert tails.conditional_value_at_risk(values, 0.25) == pytest.approx((9 + 8 + 0.5 * 7) / 2.5)
    assert tails.conditional_value_at_risk(values, 0.01) == 9.0  # less than one episode
    assert tails.conditional_value_at_risk(values, 1.0) == pytest.approx(4.5)


def test_value_at_risk_is_exceeded_by_at_most_its_share() -> None:
    values = np.arange(10.0)
    assert [tails.value_at_risk(values, a) for a in (0.05, 0.1, 0.25, 1.0)] == [9.0, 8.0, 7.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=80), st.floats(0.01, 1.0))
def test_the_tail_mean_is_the_minimum_of_rockafellar_and_uryasevs_function(
    values: list[float], alpha: float
) -> None:
    """CVaR = min_t t + E[(X - t)+] / alpha, and VaR is a minimiser (2000, theorem 1)."""
    x, alpha = np.array(values), round(alpha, 6)
    grid = t = np.unique(x)
    objective = t + np.maximum(x[:, None] - grid[None], 0.0).mean(axis=0) / alpha
    found = float(tails.conditional_value_at_risk(x, alpha))
    assert found == pytest.approx(objective.min(), abs=1e-6)
    at_risk = tails.value_at_risk(x, alpha)
    assert at_risk + np.maximum(x - at_risk, 0.0).mean() / alpha == pytest.approx(found, abs=1e-6)
    assert (x > at_risk).mean() <= alpha + 1e-9


def test_rounding_does_not_move_whole_counts() -> None:
    values = np.arange(100.0)
    assert 0.07 * 100 > 7.0  # in floating point
    assert tails.conditional_value_at_risk(values, 0.07) == pytest.approx(96.0)
    assert tails.value_at_risk(values, 0.07) == 92.0


def test_the_interval_of_an_exponential_tail_covers_it() -> None:
    rng, trials, hits = np.random.default_rng(1), 150, 0
    for _ in range(trials):
        hits += tails.tail(rng.exponential(size=200), 0.1, rng, reps=300).mean.covers(
            1.0 - math.log(0.1)
        )
    assert covered(hits, trials)


def test_a_tail_of_few_episodes_says_so() -> None:
    rng = np.random.default_rng(0)
    small, large = (tails.tail(np.ones(n), 0.1, rng, reps=50) for n in (199, 200))
    assert (small.enough, large.enough, small.needed) == (False, True, 200)
    assert tails.tail(np.ones(10), 0.01, rng, reps=50).needed == 2000
    with pytest.raises(RoboAdvError, match="0 < alpha <= 1"):
        tails.value_at_risk(np.ones(3), 0.0)


def test_the_band_covers_the_whole_distribution_function() -> None:
    rng, trials, hits = np.random.default_rng(2), 300, 0
    for _ in range(trials):
        x, share, low, high = tails.distribution_band(rng.random(200))
        following = np.r_[x[1:], 1.0]  # the step at x lasts until there
        hits += bool(((low <= x) & (following <= high)).all())
        assert share[-1] == 1.0
    assert covered(hits, trials)
    assert high[100] - share[100] == pytest.approx(0.0960, abs=1e-4)  # n = 200: 9.6 points


def test_the_median_interval_covers_whatever_the_distribution() -> None:
    rng, trials, hits = np.random.default_rng(3), 400, 0
    for _ in range(trials):
        hits += tails.median_estimate(rng.exponential(size=30)).covers(math.log(2.0))
    assert covered(hits, trials)
    assert tails.median_estimate(np.ones(3)).low == -math.inf
    assert tails.median_estimate(np.arange(6.0)).low == 0.0  # 2 / 2^6 = 3.1 % outside
    assert tails.median_estimate(np.arange(5.0)).low == -math.inf  # 6.3 %


def test_severity_of_a_robot_that_always_crashes() -> None:
    recording = drive(CRASHER, SEEDS)
    found = tails.severity_of(
        recording.outcomes, STEPS * DT, np.random.default_rng(0), (0.1,), reps=100
    )
    track_end = recording.observations[-1, :, 0].max() + 0.2
    assert found.worst == pytest.approx(track_end / WALL)
    assert found.violations.count == 60 and found.median_time.value < STEPS * DT
    assert found.restricted_mean_time.value == pytest.approx(
        recording.outcomes.time_to_violation.mean()
    )
    json.dumps(found.to_json(), allow_nan=False)
    early = tails.severity_of(recording.outcomes, 0.3, np.random.default_rng(0), (0.1,), reps=50)
    assert early.median_time.value == math.inf  # all crash, but later than that


def test_episodes_without_violation_count_until_the_horizon() -> None:
    rng, horizon = np.random.default_rng(0), STEPS * DT
    safe = tails.severity_of(drive(BASELINE, SEEDS).outcomes, horizon, rng, (0.1,), reps=100)
    assert safe.median_time.value == math.inf and safe.restricted_mean_time.value == horizon
    outcomes = drive(SPIKED, SEEDS).outcomes
    struck = tails.severity_of(outcomes, horizon, rng, (0.1,), reps=100)
    share = outcomes.unsafe.mean()
    assert 0.1 < share < 0.5
    late = outcomes.time_to_violation[outcomes.unsafe].mean()
    expected = share * late + (1.0 - share) * horizon
    assert struck.restricted_mean_time.value == pytest.approx(expected)
    early = tails.severity_of(outcomes, 3.0, rng, (0.1,), reps=100)  # before the spike
    assert early.restricted_mean_time.value == 3.0 and early.median_time.value == math.inf
    with pytest.raises(RoboAdvError, match="horizon"):
        tails.severity_of(outcomes, 0.0, rng)
