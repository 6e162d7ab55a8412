"""Searches for the worst world: a closed grid, the cross-entropy method, CMA-ES.

Places are (P,) in [-1, 1]^P: 0 is the nominal value of a parameter, -1 and 1 are the ends of its
range, and a budget of b allows [-b, b], both ends included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, Attack, LevelAttack
from robo_adv.threats.lab import Lab


@ATTACKS.register("level-grid")
@dataclass(frozen=True)
class Grid(LevelAttack):
    """One parameter at a time, at both ends of its range and half-way; the worst is kept."""

    shares: tuple[float, ...] = (-1.0, -0.5, 0.5, 1.0)

    def search(self, lab: Lab) -> Attack:
        points = [share * row for row in np.eye(self.size) for share in self.shares]
        return _worst(self, np.array(points), lab)


@ATTACKS.register("level-random")
@dataclass(frozen=True)
class RandomLevels(LevelAttack):
    """The worst of random worlds: what a smarter search must beat.

    Attributes:
        tries: number of worlds.
    """

    tries: int = 96

    def search(self, lab: Lab) -> Attack:
        return _worst(self, lab.rng.uniform(-1.0, 1.0, (self.tries, self.size)), lab)


@ATTACKS.register("level-cem")
@dataclass(frozen=True)
class CrossEntropy(LevelAttack):
    """Cross-entropy method (Rubinstein 1999): a Gaussian moves to the worst tenth of its samples.

    Attributes:
        rounds, population: their product is the number of worlds tried. elite: share that is kept.
    """

    rounds: int = 4
    population: int = 24
    elite: float = 0.2
    smoothing: ClassVar[float] = 0.7

    def search(self, lab: Lab) -> Attack:
        mean, std = np.zeros(self.size), np.full(self.size, 0.7)
        seen: list[Array] = []
        marks: list[Array] = []
        for _ in range(self.rounds):
            points = lab.rng.normal(mean, std, (self.population, self.size)).clip(-1.0, 1.0)
            seen.append(points)
            marks.append(lab.judge([self.at(point) for point in points]))
            best = points[np.argsort(-marks[-1], kind="stable")[: self._kept]]
            mean = self.smoothing * best.mean(axis=0) + (1.0 - self.smoothing) * mean
            std = self.smoothing * best.std(axis=0) + (1.0 - self.smoothing) * std
        every = np.concatenate(seen)
        return self.at(every[int(np.argmax(np.concatenate(marks)))])

    @property
    def _kept(self) -> int:
        return max(2, round(self.elite * self.population))


def _worst(attack: LevelAttack, points: Array, lab: Lab) -> Attack:
    marks = lab.judge([attack.at(point) for point in points])
    return attack.at(points[int(np.argmax(marks))])
