"""Flexible PAIRED: whichever student does better on a level is its antagonist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.levels.generator import GENERATORS, Array, Outcomes
from robo_adv.levels.learned import LearnedGenerator
from robo_adv.levels.scores import flexible_regret


@GENERATORS.register("flexible-paired")
@dataclass
class FlexiblePaired(LearnedGenerator):
    """PAIRED without fixed roles: per level, the student with the best episode is the antagonist
    (`flexible_protagonist` in the code of Dennis et al. 2020). The designer goes on learning when
    the protagonist has overtaken.

    Attributes:
        student_kl, kl_every: as for PAIRED.
    """

    students: ClassVar[int] = 2
    student_kl: float = 0.0
    kl_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(student_kl=(0, np.inf), kl_every=(1, np.inf))

    def reward(self, outcomes: Outcomes) -> Array:
        return flexible_regret(*self.measured(outcomes))
