"""Minimax: a designer that wants the student to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.levels.generator import GENERATORS, Array, Outcomes
from robo_adv.levels.learned import LearnedGenerator


@GENERATORS.register("minimax")
@dataclass
class Minimax(LearnedGenerator):
    """Minimax adversary: a designer that is paid for the student's failure.

    The designer is paid minus the student's mean return, hence prefers levels that nobody can
    solve (the minimax adversary of Dennis et al. 2020, section 5)."""

    pays: ClassVar[str] = "failure"

    def reward(self, outcomes: Outcomes) -> Array:
        return np.asarray(-self.measured(outcomes)[0].mean(axis=1))
