"""Failure searched with few simulations: probabilities against closed forms, coverage, and counting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.safety.design_point import FREQUENT, LEAST, Found, Jobs, search
from safety.synthetic import Array, covered

SIZE = 10


def half_space(p: float, relevant: int = 2, noise: float = 0.0) -> Any:
    """Fails with probability p beyond a plane in the first coordinates, moved by noise of the seed."""
    direction = np.zeros(SIZE)
    direction[:relevant] = 1.0 / math.sqrt(relevant)
    reach = float(stats.norm.isf(p)) * math.sqrt(1.0 + noise**2)

    def play(z: Array, seeds: seeding.Seeds) -> Array:
        drawn = special.ndtri(seeding.uniform(seeds, 77, 1)[:, 0])
        return np.asarray(reach - z @ direction - noise * drawn)

    return play


def two_ways(p: float) -> Any:
    a, b = stats.norm.isf(0.7 * p), stats.norm.isf(0.3 * p)
    return lambda z, seeds: np.minimum(a - z[:, 0], b + z[:, 1])


def repeated(play: Any, simulations: int, trials: int) -> list[Found]:
    return [
        search(play, SIZE, np.random.default_rng(k), simulations, first=1_000_000 * k)
        for k in range(trials)
    ]


@pytest.mark.parametrize(
    ("p", "relevant", "noise", "simulations"),
    [(0.3, 2, 0.0, 400), (0.05, 2, 0.0, 400), (1e-2, 2, 0.0, 400), (1e-3, 1, 0.0, 400),
     (1e-3, 6, 0.0, 400), (1e-4, 2, 0.0, 1000), (2e-2, 2, 1.0, 400), (1e-3, 2, 1.0, 400)],
)  # fmt: skip
def test_intervals_cover_the_true_probability(
    p: float, relevant: int, noise: float, simulations: int
) -> None:
    found = repeated(half_space(p, relevant, noise), simulations, 60)
    answers = [one.answers for one in found]
    assert covered(sum(a.probability.estimate.covers(p) for a in answers), 60)
    assert covered(sum(a.falsified.low <= p <= a.falsified.high for a in answers), 60)
    assert all(a.simulations == simulations for a in answers)


def test_few_simulations_measure_what_plain_ones_do_not_even_meet() -> None:
    p = 1e-3
    answers = [one.answers for one in repeated(half_space(p), 400, 60)]
    weighted = [a.probability for a in answers if a.probability.method == "design_point"]
    assert len(weighted) > 45
    assert np.mean([w.estimate.value for w in weighted]) == pytest.approx(p, rel=0.1)
    assert np.median([w.estimate.high / w.estimate.low for w in weighted]) < 3.0
    assert np.median([a.falsified.count for a in answers]) == 0
    assert all(w.effective >= 20.0 and not w.note for w in weighted)


def test_two_ways_to_fail_are_both_weighed_where_simulations_allow() -> None:
    found = repeated(two_ways(1e-3), 1000, 30)
    assert covered(sum(one.answers.probability.estimate.covers(1e-3) for one in found), 30)
    assert np.mean([one.regions for one in found]) > 1.8


@pytest.mark.parametrize(("p", "relevant"), [(0.02, 1), (1e-3, 2), (1e-4, 3)])
def test_the_most_likely_failure_is_the_nearest_point_of_the_plane(p: float, relevant: int) -> None:
    reach = float(stats.norm.isf(p))
    for one in repeated(half_space(p, relevant), 1000, 5):
        failure = one.answers.most_likely
        assert failure is not None and failure.margin <= 0.0
        assert np.linalg.norm(failure.scenario) == pytest.approx(reach, rel=0.06)
        assert np.linalg.norm(failure.scenario[relevant:]) < 0.3  # what does nothing is left alone
        ideal = reach**2 / 2.0 + SIZE / 2.0 * math.log(2.0 * math.pi)
        assert 0.0 <= failure.surprise - ideal < 0.06 * 1.1 * reach**2


def test_the_most_likely_failure_comes_with_the_seed_in_which_it_fails() -> None:
    play = half_space(1e-2, noise=1.0)
    for one in repeated(play, 400, 5):
        failure = one.answers.most_likely
        assert failure is not None and one.seed is not None
        margin = play(failure.scenario[None], np.array([one.seed], dtype=np.uint64))[0]
        assert failure.margin <= 0.0 and margin == pytest.approx(failure.margin)


def test_what_never_fails_gets_an_upper_bound_of_all_plain_jobs() -> None:
    found = search(lambda z, s: np.ones(len(z)), SIZE, np.random.default_rng(0), 400)
    assert found.seed is None and found.answers.most_likely is None and found.regions == 0
    assert found.answers.falsified.total == 280 and found.answers.falsified.count == 0
    assert found.answers.probability.estimate.high == pytest.approx(1 - 0.025 ** (1 / 280))
    assert found.answers.to_json()["falsified"]["found"] is False


def test_what_always_fails_fails_at_the_origin() -> None:
    found = search(lambda z, s: np.full(len(z), -np.inf), SIZE, np.random.default_rng(0), 400)
    assert float(found.answers.falsified) == 1.0
    assert found.answers.most_likely is not None
    assert np.linalg.norm(found.answers.most_likely.scenario) < 0.2


def test_frequent_failures_are_counted_plainly() -> None:
    for one in repeated(half_space(0.2), 400, 5):
        answer = one.answers
        assert answer.probability.method == "monte_carlo" and answer.falsified.total >= 280
        assert answer.falsified.count >= FREQUENT


def test_fresh_seeds_are_used_once_and_searched_ones_are_those_of_plain_jobs() -> None:
    seen: list[Array] = []

    def play(z: Array, seeds: seeding.Seeds) -> Array:
        seen.append(seeds)
        return np.asarray(half_space(1e-3)(z, seeds))

    search(play, SIZE, np.random.default_rng(3), 400, first=500)
    fresh = [s for s in seen if len(np.unique(s)) == len(s)]
    held = [s for s in seen if len(np.unique(s)) == 1]
    assert len(fresh) + len(held) == len(seen) and held
    together = np.concatenate(fresh)
    assert np.array_equal(together, np.arange(500, 500 + len(together)))
    assert all(500 <= s[0] < 660 for s in held)


def test_worlds_without_coordinates_are_counted_over_seeds() -> None:
    found = search(
        lambda z, s: np.where(s % 4 == 0, -1.0 * s, 1.0), 0, np.random.default_rng(0), 200
    )
    assert found.answers.falsified.count == 50 and found.answers.falsified.total == 200
    assert found.seed == 196 and found.answers.probability.method == "monte_carlo"


def test_equal_seeds_give_equal_answers() -> None:
    first, second = (
        search(half_space(1e-3), SIZE, np.random.default_rng(4), 400).answers.to_json()
        for _ in range(2)
    )
    assert first == second


def test_a_player_that_does_not_answer_in_numbers_is_refused() -> None:
    with pytest.raises(RoboAdvError, match=r"\(3,\) margins without NaN"):
        Jobs(lambda z, s: np.full(len(z), np.nan), 2, 0)(np.zeros((3, 2)))


@pytest.mark.parametrize("simulations", [-5, 0, LEAST - 1])
def test_too_few_simulations_are_refused_with_the_least_number(simulations: int) -> None:
    with pytest.raises(RoboAdvError, match=f"at least {LEAST} simulations .* got {simulations}"):
        search(half_space(0.1), SIZE, np.random.default_rng(0), simulations)
