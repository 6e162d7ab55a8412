"""CMA-ES (Hansen 2016) over worlds, by the package `cmaes`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cmaes import CMA  # type: ignore[import-untyped]

from robo_adv.threats.attack import ATTACKS, Attack, LevelAttack
from robo_adv.threats.lab import Lab


@ATTACKS.register("level-cma")
@dataclass(frozen=True)
class CovarianceAdaptation(LevelAttack):
    """CMA-ES from the nominal world, bounded by the budget.

    Attributes:
        rounds, population: their product is the number of worlds tried. sigma: first step size.
    """

    rounds: int = 6
    population: int = 16
    sigma: float = 0.5

    def search(self, lab: Lab) -> Attack:
        size = max(self.size, 2)  # the package wants two dimensions; a further one has no effect
        search = CMA(
            np.zeros(size), self.sigma, bounds=np.tile([-1.0, 1.0], (size, 1)),
            seed=int(lab.rng.integers(2**31)), population_size=self.population,
        )  # fmt: skip
        best, worst_mark = self.at(np.zeros(self.size)), -np.inf
        for _ in range(self.rounds):
            points = [search.ask() for _ in range(self.population)]
            marks = lab.judge([self.at(point[: self.size]) for point in points])
            top = int(np.argmax(marks))
            if marks[top] > worst_mark:
                best, worst_mark = self.at(points[top][: self.size]), float(marks[top])
            search.tell([(p, -float(m)) for p, m in zip(points, marks, strict=True)])
        return best
