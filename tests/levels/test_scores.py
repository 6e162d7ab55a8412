"""Scores of levels against closed forms."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from levels.fabricate import outcomes
from robo_adv.errors import RoboAdvError
from robo_adv.levels import scores

Array = npt.NDArray[np.float64]
RNG = np.random.default_rng(0)
A, P = RNG.standard_normal((2, 5, 4))
POPULATION = RNG.standard_normal((3, 5, 4))


def every_outcome(count: int, p: float) -> tuple[Array, Array]:
    """All results (2^count, count) of `count` episodes, and their probabilities."""
    results = np.array(list(itertools.product((0.0, 1.0), repeat=count)))
    return results, np.prod(np.where(results > 0, p, 1.0 - p), axis=1)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_mean_of_max_mean_between_identical_students_has_its_closed_form(
    k: int, p: float
) -> None:
    results, chance = every_outcome(2 * k, p)
    found = scores.max_mean(results[:, :k], results[:, k:])
    assert found @ chance == pytest.approx(1.0 - (1.0 - p) ** k - p, abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_learnability_is_unbiased(k: int, p: float) -> None:
    results, chance = every_outcome(k, p)
    assert scores.learnability(results) @ chance == pytest.approx(p * (1.0 - p), abs=1e-12)


def test_learnability_of_one_episode_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="at least 2 episodes per level, got 1"):
        scores.learnability(np.ones((3, 1)))


def test_pooled_learnability_sees_disagreement_that_no_student_has_alone() -> None:
    success = np.zeros((2, 1, 3))
    success[1] = 1.0
    assert scores.learnability(success).max() == 0.0
    assert scores.pooled_learnability(success) == pytest.approx(0.25 * 6 / 5)


def test_pooled_learnability_of_one_student_is_its_learnability() -> None:
    success = (POPULATION > 0).astype(float)[:1]
    np.testing.assert_array_equal(
        scores.pooled_learnability(success), scores.learnability(success[0])
    )


def test_regrets_on_returns_worked_out_by_hand() -> None:
    antagonist, protagonist = np.array([[1.0, 5.0]]), np.array([[2.0, 6.0]])
    assert scores.max_mean(antagonist, protagonist) == pytest.approx(1.0)  # 5 - 4
    assert scores.mean_mean(antagonist, protagonist) == pytest.approx(-1.0)  # 3 - 4
    assert scores.flexible_regret(antagonist, protagonist) == pytest.approx(3.0)  # 6 - 3
    both = np.stack([antagonist, protagonist])
    assert scores.population_regret(both) == pytest.approx(2.5)  # 6 - 3.5


def test_flexible_regret_does_not_depend_on_who_is_who() -> None:
    np.testing.assert_allclose(scores.flexible_regret(A, P), scores.flexible_regret(P, A))
    both_solve_it_once = np.array([[1.0, 1.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    for first, second in (both_solve_it_once, both_solve_it_once[::-1]):
        assert scores.flexible_regret(first, second) == pytest.approx(1 - 1 / 3), (
            "the weaker counts"
        )


@pytest.mark.parametrize("regret", [scores.max_mean, scores.mean_mean, scores.flexible_regret])
def test_regrets_scale_with_returns_and_ignore_what_both_are_given(regret) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_allclose(regret(3.0 * A + 2.0, 3.0 * P + 2.0), 3.0 * regret(A, P))


def test_population_regret_scales_and_is_never_negative() -> None:
    found = scores.population_regret(POPULATION)
    assert (found >= 0).all()
    np.testing.assert_allclose(scores.population_regret(2.0 * POPULATION - 1.0), 2.0 * found)


def test_max_mc_is_best_ever_minus_what_the_critic_expects() -> None:
    found = scores.max_mc(np.array([2.0]), np.array([[0.5, 1.5]]))
    assert found == pytest.approx(1.0)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_the_mean_positive_value_loss_of_one_step_is_the_learnability(p: float) -> None:
    results, chance = every_outcome(3, p)
    losses = np.maximum(results - p, 0.0)
    assert scores.positive_value_loss(losses) @ chance == pytest.approx(p * (1.0 - p), abs=1e-12)


@pytest.mark.parametrize("name", scores.SCORES)
def test_every_score_follows_the_levels_and_ignores_the_order_of_episodes(name: str) -> None:
    rng = np.random.default_rng(3)
    points = rng.random((2, 6, 3))
    found = outcomes(points, rng.random((2, 6)), 4, rng)
    order, again = rng.permutation(6), rng.permutation(4)
    fields = {k: v[:, order] for k, v in vars(found).items()}
    fields |= {k: v[..., again] for k, v in fields.items() if k not in ("points", "repaired")}
    mixed = type(found)(**fields)
    np.testing.assert_allclose(
        scores.scored(name, mixed), scores.scored(name, found)[order], atol=1e-12
    )


@pytest.mark.parametrize("name", scores.SCORES)
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_every_score_is_a_number_where_all_or_none_succeed(name: str, p: float) -> None:
    found = outcomes(np.zeros((2, 3, 1)), np.full((2, 3), p), 2, np.random.default_rng(0))
    np.testing.assert_array_equal(scores.scored(name, found), np.zeros(3))


def test_the_memory_of_the_best_return_raises_max_mc_alone() -> None:
    found = outcomes(np.zeros((1, 2, 1)), np.full((1, 2), 0.5), 4, np.random.default_rng(0))
    ever = np.full(2, 9.0)
    np.testing.assert_allclose(scores.scored("max_mc", found, ever), 8.5)
    assert scores.scored("positive_value_loss", found, ever).max() <= 0.5


def test_a_diverged_critic_is_named_not_passed_on() -> None:
    found = outcomes(np.zeros((1, 2, 1)), np.full((1, 2), 0.5), 2, np.random.default_rng(0))
    found.first_value[0, 1] = np.nan
    with pytest.raises(RoboAdvError, match="'max_mc' is not finite"):
        scores.scored("max_mc", found)


@pytest.mark.parametrize(
    ("name", "students", "each", "message"),
    [
        ("regrets", 1, 4, "unknown score 'regrets'"),
        ("max_mean", 1, 4, "compares 2 students, there is 1"),
        ("learnability", 1, 1, "needs 2 episodes per level"),
    ],
)
def test_scores_that_cannot_be_had_are_refused(
    name: str, students: int, each: int, message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        scores.check_score(name, students, each)
