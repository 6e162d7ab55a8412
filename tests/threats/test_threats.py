"""Threats own the budget: projections, units and schedules."""

from __future__ import annotations

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import UNITS, Threat

RNG = np.random.default_rng(0)
CLEAN = RNG.normal(size=(200, 5)).astype(np.float32)
WILD = (CLEAN + 50 * RNG.normal(size=(200, 5))).astype(np.float32)
SCALE = np.array([1.0, 0.1, 10.0, 0.0, 2.0])
CHANCE = RNG.uniform(size=(200, 5))


def test_linf_moves_no_entry_further_than_its_budget() -> None:
    out = Threat("observation", 0.3).project(CLEAN, WILD, SCALE, CHANCE)
    assert (np.abs(out - CLEAN) <= 0.3 * SCALE + 1e-5).all()
    assert np.abs(out - CLEAN).max() > 2.9


def test_l2_moves_the_whole_vector_no_further_than_its_budget() -> None:
    out = Threat("observation", 0.3, "l2").project(CLEAN, WILD, SCALE, CHANCE)
    unit = (out - CLEAN)[:, SCALE > 0] / SCALE[SCALE > 0]
    assert np.allclose(np.linalg.norm(unit, axis=1), 0.3, rtol=1e-3)


def test_an_l2_proposal_inside_the_ball_is_granted_as_it_is() -> None:
    near = CLEAN + np.float32(0.01) * SCALE.astype(np.float32)
    out = Threat("observation", 1.0, "l2").project(CLEAN, near, SCALE, CHANCE)
    assert np.allclose(out, near, atol=1e-6)


def test_mixing_weighs_the_adversary_with_the_budget() -> None:
    out = Threat("action", 0.25, "mixing").project(CLEAN, WILD, np.ones(5), CHANCE)
    assert np.allclose(out, 0.75 * CLEAN + 0.25 * WILD, atol=1e-4)


def test_probability_replaces_that_share_of_the_readings() -> None:
    out = Threat("observation", 0.3, "probability").project(CLEAN, WILD, np.ones(5), CHANCE)
    replaced = (out == WILD).all(axis=1).mean(), (out != CLEAN).mean()
    assert np.array_equal(out != CLEAN, CHANCE < 0.3), replaced


@pytest.mark.parametrize("norm", ["linf", "l2", "std", "probability"])
def test_untouched_entries_keep_every_bit(norm: str) -> None:
    threat = Threat("observation", 0.9, norm)  # type: ignore[arg-type]
    out = threat.project(CLEAN, WILD, SCALE, CHANCE)
    assert out.dtype == CLEAN.dtype
    assert (out[:, 3].view(np.uint32) == CLEAN[:, 3].view(np.uint32)).all()


@pytest.mark.parametrize(("port", "norm"), [k for k in UNITS if k[0] in ("observation", "action")])
def test_a_zero_budget_keeps_every_bit(port: str, norm: str) -> None:
    clean = CLEAN.copy()
    clean[0] = -0.0
    out = Threat(port, 0.0, norm).project(clean, WILD, np.ones(5), CHANCE)  # type: ignore[arg-type]
    assert (out.view(np.uint32) == clean.view(np.uint32)).all()


def test_a_proposal_that_is_not_finite_is_not_granted() -> None:
    broken = np.full_like(CLEAN, np.nan)
    out = Threat("observation", 1.0).project(CLEAN, broken, SCALE, CHANCE)
    assert np.array_equal(out, CLEAN)


def test_excess_tells_how_many_budgets_the_worst_proposal_asks_for() -> None:
    threat = Threat("observation", 0.5)
    asked = CLEAN + np.float32(1.5) * np.array([1, 0, 0, 0, 0], np.float32)
    assert threat.excess(CLEAN, asked, SCALE) == pytest.approx(3.0, rel=1e-3)
    asked[0, 3] += 1.0  # an entry that may not be touched at all
    assert threat.excess(CLEAN, asked, SCALE) == np.inf


@pytest.mark.parametrize("budget", [-0.1, float("nan"), float("inf")])
def test_a_budget_is_a_finite_number_of_at_least_zero(budget: float) -> None:
    with pytest.raises(RoboAdvError, match="budget"):
        Threat("observation", budget)


def test_shares_above_one_broken_delays_and_unknown_units_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="share"):
        Threat("action", 1.5, "mixing")
    with pytest.raises(RoboAdvError, match="whole number"):
        Threat("observation", 1.5, "steps")
    with pytest.raises(RoboAdvError, match=r"unit.*'furlong'.*sigma"):
        Threat("observation", 1.0, unit="furlong")
    with pytest.raises(RoboAdvError, match="norm of port 'force'"):
        Threat("force", 1.0, "linf")


def steps(schedule: Schedule, length: int = 40, episodes: int = 1) -> np.ndarray:
    """Whether the schedule is on, (length, episodes); `used` counts as a threat's does."""
    seeds = np.arange(episodes, dtype=np.uint64)
    used = np.zeros(episodes, dtype=np.int64)
    out = []
    for t in range(length):
        on = schedule.active(np.full(episodes, t, np.uint64), used, seeds, np.full(episodes, t))
        used += on
        out.append(on)
    return np.array(out)


def test_schedules_act_when_they_say() -> None:
    assert steps(Schedule.parse("always")).all()
    assert np.flatnonzero(steps(Schedule.parse("every:7"))).tolist() == [0, 7, 14, 21, 28, 35]
    assert np.flatnonzero(steps(Schedule.parse("window:3-6"))).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(steps(Schedule.parse("at-most:2+window:5-"))).tolist() == [5, 6]
    assert np.flatnonzero(steps(Schedule.parse("when:height[0]>=38"))).tolist() == [38, 39]


def test_bursts_have_their_length_and_a_phase_per_episode() -> None:
    on = steps(Schedule.parse("burst:3/10"), length=100, episodes=50)
    assert (on.sum(axis=0) == 30).all()
    assert len({tuple(column) for column in on.T}) > 5


def test_a_share_is_met_on_average() -> None:
    on = steps(Schedule.parse("share:0.2"), length=200, episodes=100)
    assert abs(on.mean() - 0.2) < 0.01


@pytest.mark.parametrize(
    "text", ["always", "every:7", "burst:3/10", "window:3-6", "at-most:2+window:5-", "share:0.2",
             "when:height[0]>=38"],
)  # fmt: skip
def test_a_schedule_reads_what_it_writes(text: str) -> None:
    schedule = Schedule.parse(text)
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize("text", ["sometimes", "every:0", "burst:5", "window:6-3", "when:x>1", ""])
def test_a_schedule_that_makes_no_sense_lists_the_forms(text: str) -> None:
    with pytest.raises(RoboAdvError, match=r"burst|period"):
        Schedule.parse(text)
