"""Bursts and spurious switches are counted as events, not as squares."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.safety.error_events import burst_rate, burst_steps, event_rate, toggle_rate
from safety.synthetic import covered

EPISODES = np.repeat([0, 1], 100)
FLAT = np.zeros(200, int)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_bursts_are_counted_once_and_long_excursions_not() -> None:
    e = np.zeros((200, 2))
    e[20:23, 0] = 1.0  # a burst of 3 steps
    e[50, 1] = -1.0  # one of 1 step
    e[130:140] = 1.0  # ten steps: longer than the plant's time constant
    inside = burst_steps(e, EPISODES, FLAT, threshold=0.5, longest=5)
    assert np.flatnonzero(inside).tolist() == [20, 21, 22, 50]
    found = burst_rate(e, EPISODES, FLAT, 0.1, rng(), threshold=0.5, longest=5, reps=200)
    assert found.count == 2 and found.seconds == pytest.approx(20.0)
    assert found.rate.value == pytest.approx(100.0)  # per 1000 s


def test_bias_context_and_slow_drift_are_no_bursts() -> None:
    contexts = (np.arange(200) % 100 >= 60).astype(int)
    e = 0.4 + 0.8 * contexts + 0.1 * EPISODES + np.tile(np.linspace(0, 0.3, 100), 2)
    assert not burst_steps(e, EPISODES, contexts, threshold=0.3, longest=5).any()
    e[70] += 1.0
    assert np.flatnonzero(burst_steps(e, EPISODES, contexts, 0.3, 5)).tolist() == [70]


def test_bursts_at_the_border_of_two_episodes_are_two() -> None:
    e = np.zeros(200)
    e[98:102] = 1.0
    found = burst_rate(e, EPISODES, FLAT, 0.1, rng(), threshold=0.5, longest=3, reps=50)
    assert found.count == 2


def test_switches_are_spurious_unless_commanded_within_the_window() -> None:
    modes, commanded = np.zeros(200, int), np.zeros(200, int)
    modes[30:35] = 1  # on and off without command: 2
    commanded[60:], modes[62:] = 1, 1  # followed two steps late, back at the episode's end
    modes[100:], commanded[100:] = 0, 0
    modes[150:] = 2  # 1
    found = [
        toggle_rate(modes, commanded, EPISODES, 0.1, rng(), window=w, reps=50).count for w in (2, 1)
    ]
    assert found == [3, 4]
    rate = toggle_rate(modes, commanded, EPISODES, 0.1, rng(), window=2, reps=50)
    assert rate.rate.value == pytest.approx(9.0)  # per minute
    json.dumps(rate.to_json(), allow_nan=False)


def test_a_command_in_another_episode_explains_nothing() -> None:
    modes, commanded = np.zeros(200, int), np.zeros(200, int)
    commanded[99] = 1
    modes[101:] = 1
    assert toggle_rate(modes, commanded, EPISODES, 0.1, rng(), window=5, reps=50).count == 1


def test_no_events_still_leave_an_upper_bound() -> None:
    found = event_rate(np.zeros(10), np.full(10, 100.0), 1000.0, rng(), reps=50)
    assert found.rate.low == 0.0 and found.rate.high == pytest.approx(3.689, abs=1e-3)


def test_rates_cover_their_true_value_when_events_cluster() -> None:
    """Half the episodes have 6 events on average, half have none: Poisson's interval is too narrow."""
    make, trials, hits, poisson = np.random.default_rng(1), 150, 0, 0
    for _ in range(trials):
        counts = make.poisson(6.0, 40) * (make.random(40) < 0.5)
        found = event_rate(counts, np.full(40, 10.0), 10.0, make, reps=300)
        one = event_rate(counts.sum(keepdims=True), np.array([400.0]), 10.0, make, reps=300)
        hits, poisson = hits + found.rate.covers(3.0), poisson + one.rate.covers(3.0)
    assert covered(hits, trials) and not covered(poisson, trials)


def test_events_need_time() -> None:
    with pytest.raises(RoboAdvError, match="dt > 0"):
        toggle_rate(FLAT, FLAT, EPISODES, 0.0, rng())
    with pytest.raises(RoboAdvError, match="duration above 0"):
        event_rate(np.zeros(2), np.zeros(2), 60.0, rng())
