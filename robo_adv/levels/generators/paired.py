"""PAIRED: a designer that looks for levels which the antagonist solves and the protagonist does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from robo_adv.levels.generator import GENERATORS, Array, Outcomes
from robo_adv.levels.learned import LearnedGenerator, check_option
from robo_adv.levels.scores import max_mean, mean_mean

Regret = Literal["max-mean", "mean-mean"]


@GENERATORS.register("paired")
@dataclass
class Paired(LearnedGenerator):
    """PAIRED: a designer that is paid for regret, the antagonist's lead over the protagonist.

    Protagonist Antagonist Induced Regret Environment Design (Dennis et al. 2020, NeurIPS).

    Attributes:
        regret: max-mean, the antagonist's best episode minus the protagonist's mean, as published;
            or mean-mean, noisier but unbiased.
        non_negative: whether regret below zero counts as zero.
        student_kl, kl_every: weight of KL(antagonist || protagonist) in the protagonist's loss, and
            every how many updates it is there (Uni-BC, Mediratta et al. 2023, CoLLAs).
    """

    students: ClassVar[int] = 2
    regret: Regret = "max-mean"
    non_negative: bool = True
    student_kl: float = 0.0
    kl_every: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_option("regret", self.regret, Regret)
        self.check(student_kl=(0, np.inf), kl_every=(1, np.inf))

    def reward(self, outcomes: Outcomes) -> Array:
        protagonist, antagonist = self.measured(outcomes)
        estimate = max_mean if self.regret == "max-mean" else mean_mean
        regret = estimate(antagonist, protagonist)
        return np.maximum(regret, 0.0) if self.non_negative else regret
