"""A controller whose gradient is masked: gradient attacks find noise, attacks that ask find the fall,
and the sanity rules say so."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from threats.cases.bench import PLAYER, engine, row
from threats.cases.masked import COPIES, EPS, STAIR, Balance, Feedback

from robo_adv.audit.engine import Engine
from robo_adv.audit.sanity import Check, Kind, Rung, check_all
from robo_adv.threats.gradient_health import measure_gradients

Array = npt.NDArray[Any]
STEPS = 100.0  # an episode's, and its return when the pole stands
EPISODES = 16
GRADIENT = ("fgsm", "pgd")
KINDS: dict[str, Kind] = {
    "uniform": "noise",
    "fgsm": "white-box",
    "pgd": "white-box",
    "square": "black-box",
}


@cache
def bench(masked: bool = True) -> Engine:
    policy = Feedback(masked)
    return engine(
        Balance, policy, policy.access, STEPS, episodes=EPISODES, num_envs=EPISODES,
        unsafe="cost>0", horizon=int(STEPS),
    )  # fmt: skip


@cache
def stood(name: str, masked: bool = True) -> Array:
    """Steps (n,) that the pole stands under an attack."""
    played = bench(masked).play(row(name, EPS), EPS)
    fallen = played.episodes.returns[PLAYER] < STEPS
    assert np.array_equal(played.outcomes.unsafe, fallen)
    return played.episodes.returns[PLAYER]


def test_the_staircase_does_what_the_plain_feedback_does() -> None:
    seen = np.random.default_rng(0).normal(0.0, 0.1, (500, 2 * COPIES)).astype(np.float32)
    stairs, plain = (Feedback(masked).predict(seen)[0] for masked in (True, False))
    assert np.abs(stairs - plain).max() <= STAIR / 2 + 1e-3
    assert bench().play().episodes.returns[PLAYER].tolist() == [STEPS] * EPISODES


@pytest.mark.parametrize("name", GRADIENT)
def test_gradient_attacks_do_no_more_to_it_than_noise(name: str) -> None:
    assert stood("uniform").mean() > 0.98 * STEPS
    assert stood(name).mean() > 0.98 * STEPS


@pytest.mark.parametrize("name", GRADIENT)
def test_the_same_attacks_fell_the_plain_feedback(name: str) -> None:
    """So it is the mask that holds them off, not the budget."""
    assert stood("uniform", masked=False).mean() > 0.98 * STEPS
    assert stood(name, masked=False).mean() < 0.7 * STEPS


def test_an_attack_that_asks_the_controller_fells_it() -> None:
    assert stood("square").mean() < 0.7 * STEPS
    assert (stood("square") < STEPS).mean() > 0.75


def checks(masked: bool, safe: bool) -> dict[str, Check]:
    """Of the ladder on it; `safe` compares who stands instead of how long."""
    seen = np.random.default_rng(0).normal(0.0, 0.02, (400, 2 * COPIES))
    rng, radius = np.random.default_rng(0), np.full(2 * COPIES, EPS)
    health = measure_gradients(Feedback(masked).access, seen, radius, rng)
    rungs = [Rung("none", "noise", 0.0, np.full(EPISODES, STEPS))]
    for name, kind in KINDS.items():
        rungs.append(
            Rung(name, kind, EPS, stood(name, masked), gradients=health if name == "pgd" else None)
        )
    if safe:
        rungs = [
            Rung(r.name, r.kind, r.budget, r.outcome == STEPS, gradients=r.gradients) for r in rungs
        ]
    return {check.name: check for check in check_all(rungs, rng, 0.0 if safe else 0.02 * STEPS)}


@pytest.mark.parametrize("safe", [False, True])
def test_the_sanity_rules_tell_the_masked_from_the_plain(safe: bool) -> None:
    masked, plain = checks(True, safe), checks(False, safe)
    told = masked["black box never beats white box"]
    assert told.passed is False and f"square@{EPS:g} does" in told.told
    assert masked["gradients exist"].passed is False
    assert masked["damage grows with the budget"].passed
    assert [c.passed for c in plain.values() if c.passed is not None] == [True] * 3
