"""Outcomes of a batch, without physics, from closed-form success probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from robo_adv.levels.edits import canonical
from robo_adv.levels.feasible import repair
from robo_adv.levels.generator import Batch, Generator, Outcomes
from robo_adv.levels.space import DesignSpace

Array = npt.NDArray[np.float64]
Chance = Callable[[Array, int], Array]


def outcomes(points: Array, chance: Array, episodes: int, rng: np.random.Generator) -> Outcomes:
    """Episodes of one step on points (S, n, P), won with chance (S, n); critics know the chance."""
    odds = np.repeat(chance[..., None], episodes, axis=2)
    success = (rng.random(odds.shape) < odds).astype(np.float64)
    return Outcomes(
        points=points,
        repaired=np.zeros(points.shape[:2], dtype=np.bool_),
        returns=success,
        success=success,
        lengths=np.ones_like(success),
        discounted=success,
        first_value=odds,
        positive_value_loss=np.maximum(success - odds, 0.0),
    )


def play(
    space: DesignSpace, batch: Batch, chance: Chance, students: int, rng: np.random.Generator
) -> Outcomes:
    """What the recipe does: repair, canonical order, and every student plays; `chance` is the success
    probability (n,) of a student at points (n, P)."""
    made = [canonical(space, repair(space, points).points) for points in batch.points]
    points = np.stack([made[k % len(made)] for k in range(students)])
    odds = np.stack([chance(mine, k) for k, mine in enumerate(points)])
    return outcomes(points, odds, batch.episodes, rng)


def rounds(
    generator: Generator, chance: Chance, count: int, episodes: int = 64, first: int = 0
) -> tuple[list[Batch], list[dict[str, float]]]:
    """Batches and metrics of the rounds first ... first + count - 1 of a generator that has begun;
    luck depends on the number of the round alone."""
    batches, metrics = [], []
    for i in range(first, first + count):
        batch = generator.ask(episodes, min(i / 100, 1.0))
        rng = np.random.default_rng([i, 7])
        result = play(generator.space, batch, chance, generator.students, rng)
        metrics.append(generator.tell(batch, result))
        batches.append(batch)
    return batches, metrics
