"""Nominal: the unedited world, again and again; what training without any curriculum does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robo_adv.levels.generator import GENERATORS, Batch, Generator, shared


@GENERATORS.register("nominal")
@dataclass
class Nominal(Generator):
    """Every level is the nominal one."""

    def ask(self, episodes: int, progress: float) -> Batch:
        return shared(np.tile(self.space.nominal_point, (episodes, 1)), 1, "nominal")
