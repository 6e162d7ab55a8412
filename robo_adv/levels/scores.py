"""Scores of levels: what a round's outcomes say about how much there is to learn on each level.

R is a return, p a success probability, K the number of episodes per level. The functions are pure;
`SCORES` names those that a generator can be given, `scored` computes one from a round's outcomes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.generator import Outcomes

Array = npt.NDArray[np.float64]


def max_mean(antagonist: Array, protagonist: Array) -> Array:
    """Regret (n,) max_K R_A - mean_K R_P of returns (n, K) each.

    Source: Dennis et al. 2020 (PAIRED), as social_rl computes it. The maximum is biased upwards: for
    identical students with binary outcomes the mean is 1 - (1 - p)^K - p, which is p(1 - p) for
    K = 2 and prefers levels that are solved once by luck for large K.
    """
    return np.asarray(antagonist.max(axis=-1) - protagonist.mean(axis=-1))


def mean_mean(antagonist: Array, protagonist: Array) -> Array:
    """Regret (n,) mean_K R_A - mean_K R_P of returns (n, K) each: unbiased, 0 for equal students.

    Source: the "mean relative regret" of minimax (Jiang et al. 2023, arXiv:2311.12716).
    """
    return np.asarray(antagonist.mean(axis=-1) - protagonist.mean(axis=-1))


def flexible_regret(first: Array, second: Array) -> Array:
    """Regret (n,) max(best) - mean(other) of returns (n, K) each; per level, the best is the student
    with the higher maximum and, where these are equal, as successes often are, the higher mean.

    Source: flexible PAIRED of social_rl, the code of Dennis et al. 2020; there the antagonist is the
    best of equals, so that the antagonist's weaknesses would never count.
    """
    one, two = first.max(axis=-1), second.max(axis=-1)
    mean_one, mean_two = first.mean(axis=-1), second.mean(axis=-1)
    of_equals = np.minimum(mean_one, mean_two)
    other = np.where(one == two, of_equals, np.where(one > two, mean_two, mean_one))
    return np.asarray(np.maximum(one, two) - other)


def population_regret(returns: Array) -> Array:
    """Regret (n,) max - mean of returns (S, n, K), both over all students and episodes; never
    negative.

    Source: the population regret of Gur et al. 2021 (arXiv:2201.08896).
    """
    return np.asarray(returns.max(axis=(0, 2)) - returns.mean(axis=(0, 2)))


def positive_value_loss(losses: Array) -> Array:
    """Mean (n,) over episodes (n, K) of mean_t max(generalised advantage_t, 0).

    Source: Jiang et al. 2021, "Replay-Guided Adversarial Environment Design". In
    episodes of one step with a calibrated critic its mean is p(1 - p); it scales with the rewards.
    """
    return np.asarray(losses.mean(axis=-1))


def max_mc(best: Array, first_value: Array) -> Array:
    """Best discounted return ever on the level (n,), minus the mean over episodes (n, K) of the
    critic's value of the first observation.

    The published MaxMC (Jiang et al. 2021) is mean_t (best undiscounted return ever -
    V(s_t)). That subtracts a discounted value to go, which rises or falls along the episode as
    rewards come near or are cashed in, from an undiscounted return of the whole episode, so it
    grows with the length of a level. At the first step, and discounted, both are the same quantity,
    and the difference estimates regret.
    """
    return np.asarray(best - first_value.mean(axis=-1))


def learnability(success: Array) -> Array:
    """Unbiased estimate (...) of p(1 - p) from successes (..., K): phat(1 - phat) K / (K - 1).

    Source: Rutherford et al. 2024, "No Regrets" (SFL); the factor is Bessel's.

    Raises:
        RoboAdvError: K = 1, for which nothing can be said.
    """
    episodes = success.shape[-1]
    if episodes < 2:
        raise RoboAdvError(
            f"learnability needs at least 2 episodes per level, got {episodes}; raise `each`"
        )
    rate = success.mean(axis=-1)
    return np.asarray(rate * (1.0 - rate) * episodes / (episodes - 1))


def pooled_learnability(success: Array) -> Array:
    """Learnability (n,) of all students' successes (S, n, K) as if they were one student's: beside
    each one's own, it counts the disagreement between students."""
    students, levels, episodes = success.shape
    return learnability(success.transpose(1, 0, 2).reshape(levels, students * episodes))


@dataclass(frozen=True)
class Score:
    """A score by name.

    Attributes:
        function: outcomes, and the best discounted returns ever (n,), to scores (n,).
        students: how many it compares. plays: how many episodes of a level it needs, of all
            students together.
    """

    function: Callable[[Outcomes, Array], Array]
    students: int = 1
    plays: int = 1


SCORES: dict[str, Score] = {
    "max_mean": Score(lambda o, _: max_mean(o.returns[1], o.returns[0]), students=2, plays=2),
    "mean_mean": Score(lambda o, _: mean_mean(o.returns[1], o.returns[0]), students=2, plays=2),
    "flexible": Score(lambda o, _: flexible_regret(o.returns[0], o.returns[1]), 2, 2),
    "population": Score(lambda o, _: population_regret(o.returns), students=2, plays=2),
    "positive_value_loss": Score(lambda o, _: positive_value_loss(o.positive_value_loss[0])),
    "max_mc": Score(lambda o, best: max_mc(best, o.first_value[0])),
    "learnability": Score(lambda o, _: learnability(o.success[0]), plays=2),
    "pooled_learnability": Score(lambda o, _: pooled_learnability(o.success), plays=2),
}


def check_score(name: str, students: int, each: int) -> None:
    """Refuse a score that `students` students with `each` episodes per level cannot give.

    Raises:
        RoboAdvError: an unknown name, too few students or episodes.
    """
    if name not in SCORES:
        raise unknown("score", name, SCORES)
    score = SCORES[name]
    if students < score.students:
        fit = ", ".join(sorted(k for k, s in SCORES.items() if s.students <= students))
        raise RoboAdvError(
            f"score {name!r} compares {score.students} students, there is {students}; use {fit}"
        )
    if students * each < score.plays:
        raise RoboAdvError(f"score {name!r} needs {score.plays} episodes per level; set each=2")


def best_of(outcomes: Outcomes) -> Array:
    """Best discounted return (n,) of the first student in this round."""
    return np.asarray(outcomes.discounted[0].max(axis=-1))


def scored(name: str, outcomes: Outcomes, best: Array | None = None) -> Array:
    """Scores (n,) of a round's levels.

    Args:
        best: best discounted returns ever (n,), this round's included (only `max_mc` reads it);
            by default this round's.

    Raises:
        RoboAdvError: see `check_score`; a score that is not finite.
    """
    students, _, each = outcomes.returns.shape
    check_score(name, students, each)
    scores = SCORES[name].function(outcomes, best_of(outcomes) if best is None else best)
    if not np.isfinite(scores).all():
        raise RoboAdvError(
            f"score {name!r} is not finite: the students' returns or values have diverged; lower "
            "their learning rate"
        )
    return scores
