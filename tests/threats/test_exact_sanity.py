"""Sanity rules: planted faults are told by name, chance is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from threats.cases.masked import COPIES, EPS, Feedback

from robo_adv.audit.sanity import (
    Check,
    Rung,
    black_box_never_beats_white_box,
    check_all,
    effort_never_helps_the_defender,
    gradients_exist,
    grows_with_budget,
    starts_agree,
)
from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.threats.access import Access
from robo_adv.threats.gradient_health import Gradients, measure_gradients

Array = npt.NDArray[Any]
N = 40
ENOUGH = 24  # suites in which only chance is at work


def outcome(mean: float, seed: int, spread: float = 100.0) -> Array:
    """Returns (N,) that share the scenarios' difficulty and have noise of their own."""
    shared = np.random.default_rng(0).normal(0.0, 300.0, N)
    return mean + shared + np.random.default_rng([1, seed]).normal(0.0, spread, N)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def ladder(**worse: float) -> list[Rung]:
    """A suite as it should be; `worse` moves the mean outcome of a rung, named without its @."""
    rungs = [Rung("none", "noise", 0.0, outcome(3000.0, 0))]
    for k, budget in enumerate((0.1, 0.2)):
        means = {"corner": 2900.0, "pgd": 2000.0, "square": 2050.0, "critic": 2500.0,
                 "evolution": 2400.0, "director": 1000.0, "pgd_long": 1950.0}  # fmt: skip
        made = {
            name: outcome(mean - 400.0 * k + worse.get(f"{name}{k}", 0.0), 100 * j + k + 1)
            for j, (name, mean) in enumerate(means.items())
        }
        starts = np.array([made["pgd"], outcome(2000.0 - 400.0 * k + worse.get("start", 0.0), 7)])
        rungs += [
            Rung("corner", "noise", budget, made["corner"]),
            Rung("pgd", "white-box", budget, made["pgd"], steps=20, restarts=starts,
                 gradients=Gradients(200, int(worse.get("flat", 0)), int(worse.get("broken", 0)))),
            Rung("pgd", "white-box", budget, made["pgd_long"], steps=100),
            Rung("square", "black-box", budget, made["square"]),
            Rung("critic", "white-box", budget, made["critic"], aim="return"),
            Rung("evolution", "black-box", budget, made["evolution"], aim="return"),
            Rung("director", "learned", budget, made["director"], aim="return"),
        ]  # fmt: skip
    return rungs


def test_a_suite_as_it_should_be_passes_every_rule() -> None:
    checks = check_all(ladder(), rng())
    assert [check.passed for check in checks] == [True] * 5
    assert [check.figures["compared"] for check in checks] == [7 + 14, 2, 6, 2, 2]
    assert all("nothing speaks against it" in check.told for check in checks)


@pytest.mark.parametrize(
    ("rule", "worse", "told"),
    [
        (0, {"corner0": -600.0}, "under corner@0.2 the controller does"),
        (0, {"corner0": 400.0}, "under corner@0.1 the controller does"),
        (1, {"pgd_long0": 500.0}, "under pgd@0.1 (100 steps) the controller does"),
        (2, {"square1": -700.0}, "square@0.2 does"),
        (2, {"corner1": -1500.0}, "corner@0.2 does"),
        (2, {"evolution0": -1800.0}, "evolution@0.1 does"),
        (3, {"start": -400.0}, "start 1 of pgd@0.1 does"),
        (4, {"flat": 30.0}, "pgd@0.1 meets no gradient in 15.0"),
        (4, {"broken": 1.0}, "broken one in 0.5"),
    ],
)
def test_a_planted_fault_breaks_its_rule_and_is_told(
    rule: int, worse: dict[str, float], told: str
) -> None:
    check = check_all(ladder(**worse), rng())[rule]
    assert check.passed is False
    assert told in check.told and check.figures["cases"]


def test_an_attack_on_the_return_may_beat_all_that_only_move_the_action() -> None:
    """The order that is expected: it says nothing of gradients."""
    strong = ladder(evolution0=-1000.0)  # below pgd and critic, above the director
    assert black_box_never_beats_white_box(strong, rng()).passed
    alone = [rung for rung in strong if rung.name in ("pgd", "evolution")]
    assert black_box_never_beats_white_box(alone, rng()).passed is None


def test_what_beats_one_white_box_but_not_the_best_is_no_sign() -> None:
    weak = [Rung("fgsm", "white-box", budget, outcome(2800.0, 55)) for budget in (0.1, 0.2)]
    assert black_box_never_beats_white_box([*ladder(), *weak], rng()).passed
    known = [rung for rung in ladder(critic0=-2000.0, corner0=-1500.0) if rung.budget == 0.1]
    assert black_box_never_beats_white_box(
        known, rng()
    ).passed  # noise, whatever the aim of the best


def test_differences_below_the_margin_do_not_matter() -> None:
    rungs = ladder(square1=-700.0)
    assert black_box_never_beats_white_box(rungs, rng()).passed is False
    assert black_box_never_beats_white_box(rungs, rng(), margin=900.0).passed
    low, high = outcome(0.0, 1), outcome(500.0, 2)
    pair = [Rung("pgd", "white-box", 0.1, low), Rung("pgd", "white-box", 0.2, high)]
    error = (high - low).std() / np.sqrt(N)
    for errors, passed in ((1.5, True), (4.0, False)):  # the whole interval must be above it
        margin = (high - low).mean() - errors * error
        assert grows_with_budget(pair, rng(), margin).passed is passed


@pytest.mark.parametrize(
    "rule", [grows_with_budget, effort_never_helps_the_defender, black_box_never_beats_white_box]
)
def test_chance_alone_seldom_breaks_a_rule(rule: Callable[..., Check]) -> None:
    """All attacks are equally strong: at most 2.5 % of suites, as the intervals promise."""
    alarms = 0
    for seed in range(ENOUGH):
        rungs = [
            Rung(name, kind, budget, outcome(0.0, 1000 * seed + 10 * k + j), steps=k + 1)  # type: ignore[arg-type]
            for k, (name, kind) in enumerate(
                [("a", "white-box"), ("a", "white-box"), ("b", "black-box"), ("c", "noise")]
            )
            for j, budget in enumerate((0.1, 0.2, 0.3))
        ]
        alarms += rule(rungs, rng()).passed is False
    assert alarms <= 3  # 0.6 are expected; more than 3 have a chance of 0.3 %


def test_safe_successes_are_compared_as_rates() -> None:
    """12 discordant scenarios of 40 on one side are proven, 3 are not."""
    held = np.arange(N) < 30
    for fallen, passed in ((3, True), (12, False)):
        rungs = [Rung("pgd", "white-box", 0.1, held),
                 Rung("square", "black-box", 0.1, held & (np.arange(N) >= fallen))]  # fmt: skip
        check = black_box_never_beats_white_box(rungs, rng())
        assert check.passed is passed
    assert check.figures["cases"][0]["difference"]["value"] == pytest.approx(0.3)
    all_or_none = [Rung("pgd", "white-box", b, np.full(N, b > 0.1)) for b in (0.1, 0.2)]
    check = grows_with_budget(all_or_none, rng())
    assert 0.8 < check.figures["cases"][0]["difference"]["low"] < 1.0  # a bootstrap has no width


def test_more_steps_from_fewer_starts_are_not_more_effort() -> None:
    rungs = [Rung("pgd", "white-box", 0.1, outcome(0.0, 1), steps=20, starts=5),
             Rung("pgd", "white-box", 0.1, outcome(900.0, 2), steps=100)]  # fmt: skip
    assert effort_never_helps_the_defender(rungs, rng()).passed is None


def test_a_rule_without_anything_to_compare_says_so() -> None:
    alone = [Rung("pgd", "white-box", 0.1, outcome(0.0, 1))]
    checks = check_all(alone, rng())
    assert [check.passed for check in checks] == [None] * 5
    assert {check.told for check in checks} == {"nothing here could be compared"}


def test_rungs_that_make_no_sense_are_refused() -> None:
    good = outcome(0.0, 1)
    with pytest.raises(UnknownNameError, match="kind of attack 'grey-box'"):
        Rung("pgd", "grey-box", 0.1, good)  # type: ignore[arg-type]
    with pytest.raises(RoboAdvError, match="budget"):
        Rung("pgd", "noise", -1.0, good)
    with pytest.raises(RoboAdvError, match=r"pgd@0\.1: outcomes must be"):
        Rung("pgd", "noise", 0.1, np.array([1.0, np.nan]))
    with pytest.raises(RoboAdvError, match=r"restarts must be \(starts, 40\)"):
        Rung("pgd", "noise", 0.1, good, restarts=np.zeros((3, 7)))
    with pytest.raises(RoboAdvError, match="the same scenarios, got 40 and 10"):
        grows_with_budget(
            [Rung("pgd", "noise", 0.1, good[:10]), Rung("pgd", "noise", 0.2, good)], rng()
        )


def seen(count: int = 400) -> Array:
    return np.random.default_rng(0).normal(0.0, 0.02, (count, 2 * COPIES))


def test_a_masked_gradient_is_flat_where_the_action_moves_and_a_plain_one_is_not() -> None:
    radius = np.full(2 * COPIES, EPS)
    masked = measure_gradients(Feedback().access, seen(), radius, rng())
    plain = measure_gradients(Feedback(masked=False).access, seen(), radius, rng())
    assert masked.flat > 0.6 * masked.states and masked.broken == 0
    assert plain == Gradients(400, 0, 0)
    assert gradients_exist([Rung("pgd", "white-box", EPS, outcome(0, 1), gradients=plain)]).passed


def test_a_controller_that_does_not_react_is_not_masked_and_a_broken_gradient_is_broken() -> None:
    radius = np.full(2 * COPIES, EPS)
    constant = Access(mean=lambda x: torch.ones(len(x), 1))
    saturated = Access(mean=lambda x: torch.tanh(1e3 + x[:, :1]))
    # The well-known trap: where does not keep the other branch's gradient out.
    root = Access(mean=lambda x: torch.where(x > 0, torch.sqrt(x), 0.0 * x)[:, :1])
    assert measure_gradients(constant, seen(), radius, rng()) == Gradients(400, 0, 0)
    assert measure_gradients(saturated, seen(), radius, rng()) == Gradients(400, 0, 0)
    assert measure_gradients(root, seen(), radius, rng()).broken > 100
    few = Gradients(200, 12, 0)  # 6 %, of which no more than 5 % are proven
    assert gradients_exist([Rung("pgd", "white-box", EPS, outcome(0, 1), gradients=few)]).passed
    with pytest.raises(RoboAdvError, match="black box"):
        measure_gradients(Access(), seen(), radius, rng())


def test_several_starts_are_compared_by_their_means() -> None:
    """Starts that differ in every scenario, but not on average, agree."""
    base = outcome(0.0, 1)
    swing = np.where(np.arange(N) % 2 == 0, 500.0, -500.0)
    for restarts, passed in (
        (np.array([base + swing, base - swing]), True),
        (np.array([base, base - 500.0, base]), False),
        (base[None], None),
    ):
        check = starts_agree([Rung("sa-rl", "learned", 0.1, base, restarts=restarts)], rng())
        assert check.passed is passed
