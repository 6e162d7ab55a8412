"""Uniform: domain randomisation over the whole design space, the baseline that is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass

from robo_adv.levels.generator import GENERATORS, Batch, Generator, levels_of, shared


@GENERATORS.register("uniform")
@dataclass
class Uniform(Generator):
    """Every level uniform in the unit cube: domain randomisation (Tobin et al. 2017).

    Attributes:
        each: episodes per level.
    """

    each: int = 1

    def __post_init__(self) -> None:
        self.check(each=(1, 1000))

    def ask(self, episodes: int, progress: float) -> Batch:
        points = self.space.sample(self.rng, levels_of(episodes, self.each))
        return shared(points, self.each, "random")
