"""Sobol: uniform levels without the clumps and gaps of random ones."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc

from robo_adv.levels.generator import (
    GENERATORS,
    Array,
    Batch,
    Generator,
    Tensors,
    levels_of,
    shared,
)
from robo_adv.levels.space import DesignSpace


@GENERATORS.register("sobol")
@dataclass
class Sobol(Generator):
    """Levels that cover the space evenly: a scrambled Sobol sequence.

    Levels follow a Sobol sequence, scrambled by the seed (Owen 1998; Joe and Kuo's direction
    numbers, as in `scipy.stats.qmc.Sobol`): every run covers the space evenly at any length.

    Attributes:
        each: episodes per level.
    """

    each: int = 1
    drawn: int = field(init=False, repr=False)
    seed: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(each=(1, 1000))

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.seed, self.drawn = seed, 0
        self._sequence = self._scrambled()

    def ask(self, episodes: int, progress: float) -> Batch:
        n = levels_of(episodes, self.each)
        self.drawn += n
        return shared(self._next(n), self.each, "random")

    def _scrambled(self) -> qmc.Sobol:
        return qmc.Sobol(len(self.space), scramble=True, seed=np.random.default_rng(self.seed))

    def _next(self, n: int) -> Array:
        with warnings.catch_warnings():  # that n is no power of 2 matters to integrals only
            warnings.simplefilter("ignore", UserWarning)
            return np.asarray(self._sequence.random(n), dtype=np.float64)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        return tensors, values | {"seed": self.seed, "drawn": self.drawn}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.seed, self.drawn = int(values["seed"]), int(values["drawn"])
        self._sequence = self._scrambled()
        if self.drawn:
            self._sequence.fast_forward(self.drawn)
