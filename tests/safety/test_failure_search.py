"""Failure probabilities against closed forms; most likely failures; simulations counted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.failure_search import falsify, monte_carlo, search
from robo_adv.safety.failure_space import Margin, Nominal, Probability, Simulator
from robo_adv.safety.importance import Proposal, cross_entropy
from robo_adv.safety.splitting import splitting
from safety.synthetic import Array, covered

SMALL: dict[str, Any] = {"per_level": 300, "final": 600}
FEW: dict[str, Any] = {"particles": 200, "runs": 5}


def half_space(p: float, size: int) -> Margin:
    """Fails with probability p: beyond a plane, not along an axis."""
    reach, direction = float(stats.norm.isf(p)), np.ones(size) / math.sqrt(size)
    return lambda u: np.asarray(reach - u @ direction)


def two_modes(first: float, second: float) -> Margin:
    a, b = stats.norm.isf(first), stats.norm.isf(second)
    return lambda u: np.minimum(a - u[:, 0], b + u[:, 0])


def corner(u: Array) -> Array:
    """A cube's corner of side 0.1: 1e-3 of the volume in 3 dimensions."""
    return np.asarray(u.max(axis=1) - 0.1)


CASES = [
    (half_space(1e-3, 5), Nominal("normal", 5), 1e-3, 1),
    (half_space(1e-4, 3), Nominal("normal", 3), 1e-4, 1),
    (two_modes(7e-4, 3e-4), Nominal("normal", 3), 1e-3, 2),
    (corner, Nominal("uniform", 3), 1e-3, 1),
]


def repeated(
    estimate: Callable[..., Probability], margin: Margin, nominal: Nominal, trials: int, **how: Any
) -> list[Probability]:
    rng = np.random.default_rng(11)
    return [estimate(margin, nominal, rng, **how) for _ in range(trials)]


@pytest.mark.parametrize(("margin", "nominal", "p", "modes"), CASES)
def test_importance_sampling_covers_the_true_probability(
    margin: Margin, nominal: Nominal, p: float, modes: int
) -> None:
    found = repeated(cross_entropy, margin, nominal, 40, **SMALL)
    assert covered(sum(f.estimate.covers(p) for f in found), 40)
    assert np.mean([f.estimate.value for f in found]) == pytest.approx(p, rel=0.08)
    assert np.median([f.modes for f in found]) == modes
    assert np.median([f.effective for f in found]) > 30.0
    assert all((f.effective < 30.0) == f.note.startswith("only") for f in found)
    widths = [f.estimate.high / f.estimate.low for f in found]
    assert np.median(widths) < 2.0 and found[0].simulations < 2600  # plain sampling: >= 100,000


@pytest.mark.parametrize(("margin", "nominal", "p", "modes"), CASES)
def test_splitting_covers_the_true_probability(
    margin: Margin, nominal: Nominal, p: float, modes: int
) -> None:
    found = repeated(splitting, margin, nominal, 20, **FEW)
    assert covered(sum(f.estimate.covers(p) for f in found), 20)
    assert np.mean([f.estimate.value for f in found]) == pytest.approx(p, rel=0.2)
    assert found[0].simulations < 5 * 200 * 5


def test_adaptive_levels_bias_splitting_by_a_few_percent_only() -> None:
    found = repeated(
        splitting, half_space(1e-2, 2), Nominal("normal", 2), 20, particles=500, runs=3
    )
    assert 0.95 < np.mean([f.estimate.value for f in found]) / 1e-2 < 1.12


def test_weights_never_exceed_ten_and_average_to_one() -> None:
    rng = np.random.default_rng(0)
    proposal = Proposal(np.array([[4.0, 0.0], [0.0, 50.0]]), np.array([0.3, 0.7]))
    z = proposal.sample(40_000, rng)
    weight = proposal.weight(z)
    assert weight.max() <= 10.0 + 1e-9 and weight.min() >= 0.0
    assert weight.mean() == pytest.approx(1.0, abs=0.05)
    assert (np.abs(z).max(axis=1) < 4.9).sum() >= 4000  # a tenth as in service
    assert (proposal.weight(np.array([[0.0, 1e4]])) < 1e-9).all()


def test_what_never_fails_gets_an_upper_bound_and_says_so() -> None:
    rng, nominal = np.random.default_rng(0), Nominal("normal", 2)

    def safe(u: Array) -> Array:
        return np.asarray(1.0 + 1.0 / (1.0 + (u**2).sum(axis=1)))

    found = cross_entropy(safe, nominal, rng, levels=4, **SMALL)
    assert found.estimate.value == 0.0 and "not reached" in found.note
    assert found.estimate.high == pytest.approx(10.0 * (1.0 - 0.025 ** (1.0 / 600)), rel=1e-6)
    split = splitting(safe, nominal, rng, levels=4, **FEW)
    assert split.estimate.value == 0.0 and split.note == "5 of 5 runs met no failure"
    assert split.estimate.high == pytest.approx(1.0 - 0.025 ** (1.0 / 1000), rel=1e-6)
    flat = splitting(lambda u: np.ones(len(u)), nominal, rng, **FEW)
    assert flat.simulations < 5 * 200 * 3  # a margin without slope ends the search at once


def test_always_failing_is_probability_one() -> None:
    rng, nominal = np.random.default_rng(0), Nominal("uniform", 2)

    def crash(u: Array) -> Array:
        return -np.ones(len(u))

    assert splitting(crash, nominal, rng, **FEW).estimate.value == 1.0
    assert cross_entropy(crash, nominal, rng, **SMALL).estimate.covers(1.0)
    assert search(crash, nominal, rng, count=50, method="monte_carlo").falsified.count == 50


@pytest.mark.parametrize("size", [2, 5, 10])
def test_the_most_likely_failure_is_the_nearest_point_of_the_plane(size: int) -> None:
    reach = float(stats.norm.isf(1e-3))
    made = search(
        half_space(1e-3, size), Nominal("normal", size), np.random.default_rng(1), **SMALL
    )
    assert made.most_likely is not None and made.most_likely.margin <= 0.0
    assert np.linalg.norm(made.most_likely.scenario) == pytest.approx(reach, rel=0.02)
    ideal = reach**2 / 2.0 + size / 2.0 * math.log(2.0 * math.pi)
    assert 0.0 <= made.most_likely.surprise - ideal < 0.2


def test_the_nearer_of_two_modes_is_more_likely() -> None:
    made = search(two_modes(3e-4, 2e-3), Nominal("normal", 3), np.random.default_rng(2), **SMALL)
    assert made.most_likely is not None
    assert made.most_likely.scenario[0] == pytest.approx(-stats.norm.isf(2e-3), rel=0.02)


def test_the_three_questions_have_three_answers_and_one_count() -> None:
    calls = []

    def margin(u: Array) -> Array:
        calls.append(len(u))
        return half_space(1e-3, 3)(u)

    rng = np.random.default_rng(3)
    made = search(margin, Nominal("normal", 3), rng, count=200, **SMALL)
    assert made.simulations == sum(calls) > 200 + made.probability.simulations
    assert made.falsified.total == 200 and made.probability.estimate.covers(1e-3)
    text = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert text["falsified"]["found"] is True and text["probability"]["method"] == "cross_entropy"


def test_in_a_cube_the_failure_with_the_least_margin_stands_for_all() -> None:
    made = search(
        corner, Nominal("uniform", 3), np.random.default_rng(4), method="splitting", **FEW
    )
    assert made.most_likely is not None and made.most_likely.surprise == 0.0
    assert made.most_likely.margin == pytest.approx(made.most_likely.scenario.max() - 0.1)
    assert made.most_likely.margin < -0.04


def test_plain_sampling_is_exact_and_repeatable() -> None:
    nominal, margin = Nominal("normal", 2), half_space(0.05, 2)
    rates = [falsify(margin, nominal, np.random.default_rng(5), 400) for _ in range(2)]
    assert rates[0] == rates[1] and monte_carlo(rates[0]).estimate.low == rates[0].low
    results = [search(margin, nominal, np.random.default_rng(6), **SMALL) for _ in range(2)]
    assert results[0].probability == results[1].probability


def test_a_simulator_that_does_not_answer_in_numbers_is_refused() -> None:
    play = Simulator(lambda u: np.full(len(u), np.nan), Nominal("normal", 2))
    with pytest.raises(RoboAdvError, match="3 NaN"):
        play(np.zeros((3, 2)))
    with pytest.raises(RoboAdvError, match=r"must return \(3,\)"):
        Simulator(lambda u: u, Nominal("normal", 2))(np.zeros((3, 2)))


def test_settings_without_meaning_are_refused() -> None:
    nominal, rng, margin = Nominal("normal", 2), np.random.default_rng(0), half_space(0.1, 2)
    with pytest.raises(RoboAdvError, match="unknown scenario density"):
        Nominal("gauss", 2)  # type: ignore[arg-type]
    with pytest.raises(RoboAdvError, match="at least one coordinate"):
        Nominal("normal", 0)
    with pytest.raises(RoboAdvError, match="at least 3 runs"):
        splitting(margin, nominal, rng, runs=1)
    with pytest.raises(RoboAdvError, match="per_level"):
        cross_entropy(margin, nominal, rng, per_level=20)
    with pytest.raises(RoboAdvError, match="unknown method"):
        search(margin, nominal, rng, method="luck")  # type: ignore[arg-type]
    with pytest.raises(RoboAdvError, match="at least one scenario"):
        search(margin, nominal, rng, count=0)
