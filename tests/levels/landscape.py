"""A world without physics whose regret is known in closed form over a unit cube.

With s = x + y, all students solve every level of s < EASY, none can solve a level of s > HARD, and in
between they get worse in a straight line. Around BUMP some of them fail where others do not. Further
parameters change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.generator import Batch, Generator, Outcomes

Array = npt.NDArray[np.float64]
EASY, HARD = 0.8, 1.5
SHARP = 1.4  # an easy region that ends just before the unsolvable one
BUMP, WIDTH, DEPTH = (0.2, 0.65), 0.12, 0.9


@dataclass(frozen=True)
class Landscape:
    """Attributes:
    size: P, 2 or more.
    weakness: by which share of its depth the bump is there for each student, the protagonist first.
    easy: up to which s levels are easy.
    """

    size: int = 3
    weakness: tuple[float, ...] = (1.0, 0.0)
    easy: float = EASY

    @cached_property
    def space(self) -> DesignSpace:
        names = ["x", "y", *(f"idle{k}" for k in range(self.size - 2))]
        return DesignSpace(tuple(Parameter(name, 0.0, 1.0, 0.25, "") for name in names))

    def solvable(self, points: Array) -> Array:
        """Success probability (...) of a perfect student at points (..., P)."""
        s = points[..., 0] + points[..., 1]
        return np.clip((HARD - s) / (HARD - self.easy), 0.0, 1.0)

    def success(self, points: Array, student: int) -> Array:
        """Success probability (...) of a student."""
        far = ((points[..., :2] - np.array(BUMP)) ** 2).sum(axis=-1)
        bump = np.exp(-far / (2.0 * WIDTH**2))
        return np.asarray(self.solvable(points) * (1.0 - DEPTH * self.weakness[student] * bump))

    def regret(self, points: Array) -> Array:
        """True regret (...) of the weakest student: perfect success minus its own."""
        return self.solvable(points) - self.success(points, int(np.argmax(self.weakness)))

    @cached_property
    def top(self) -> float:
        """Regret that a tenth of all levels exceeds."""
        side = (np.arange(400) + 0.5) / 400
        grid = np.stack(np.meshgrid(side, side), axis=-1)
        return float(np.quantile(self.regret(grid), 0.9))

    def share_of_top(self, points: Array) -> float:
        """Share of points (..., P) among the tenth of all levels with the highest regret."""
        return float((self.regret(points) > self.top).mean())

    def share_unsolvable(self, points: Array) -> float:
        """Share of points (..., P) that nobody can solve; of all levels it is an eighth."""
        return float((self.solvable(points) == 0.0).mean())

    def play(self, batch: Batch, rng: np.random.Generator) -> Outcomes:
        """Every student plays every level `batch.episodes` times; an episode is one step, its return
        its success, and critics know the exact probability of success."""
        students = len(self.weakness)
        points = np.broadcast_to(batch.points, (students, *batch.points.shape[1:])).copy()
        chance = np.stack([self.success(points[i], i) for i in range(students)])
        chance = np.repeat(chance[..., None], batch.episodes, axis=2)
        success = (rng.random(chance.shape) < chance).astype(np.float64)
        return Outcomes(
            points=points,
            repaired=np.zeros(points.shape[:2], dtype=np.bool_),
            returns=success,
            success=success,
            lengths=np.ones_like(success),
            discounted=success,
            first_value=chance,
            positive_value_loss=np.maximum(success - chance, 0.0),
        )


def rounds(
    generator: Generator, landscape: Landscape, count: int, episodes: int = 64, seed: int = 0
) -> tuple[list[Batch], list[dict[str, float]]]:
    """Batches and metrics of a whole run of `count` rounds."""
    generator.begin(landscape.space, seed)
    rng = np.random.default_rng(seed + 1000)
    batches, metrics = [], []
    for i in range(count):
        batch = generator.ask(episodes, i / count)
        metrics.append(generator.tell(batch, landscape.play(batch, rng)))
        batches.append(batch)
    return batches, metrics


def points_of(batches: Sequence[Batch], source: str) -> Array:
    """Points (m, P) of all batches of one source."""
    return np.concatenate(
        [b.points.reshape(-1, b.points.shape[-1]) for b in batches if b.source == source]
    )
