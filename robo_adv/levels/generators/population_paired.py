"""Population PAIRED: the regret of a whole population of students."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robo_adv.levels.generator import GENERATORS, Array, Outcomes
from robo_adv.levels.learned import LearnedGenerator
from robo_adv.levels.scores import population_regret


@GENERATORS.register("population-paired")
@dataclass
class PopulationPaired(LearnedGenerator):
    """Population PAIRED: a designer that is paid the best student's lead over the mean of all.

    The designer is paid the best student's regret over the mean of all (Gur et al. 2021,
    "Environment generation for zero-shot compositional reinforcement learning", NeurIPS).

    Attributes:
        students: size of the population.
    """

    students: int = 3  # type: ignore[misc]

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(students=(2, np.inf))

    def reward(self, outcomes: Outcomes) -> Array:
        return population_regret(self.measured(outcomes))
