"""Nominal mix: uniform levels and some nominal ones, so that the usual world is not forgotten."""

from __future__ import annotations

from dataclasses import dataclass

from robo_adv.levels.generator import GENERATORS, Batch, Generator, levels_of, shared


@GENERATORS.register("nominal-mix")
@dataclass
class NominalMix(Generator):
    """Every level is the nominal one with probability `share`, else uniform.

    Curricula shift the distribution of parameters that the student cannot observe; grounding part of
    the training in the usual world limits that (Jiang et al. 2022, SAMPLR, is the full correction).

    Attributes:
        share: expected share of nominal levels. each: episodes per level.
    """

    share: float = 0.1
    each: int = 1

    def __post_init__(self) -> None:
        self.check(share=(0, 1), each=(1, 1000))

    def ask(self, episodes: int, progress: float) -> Batch:
        points = self.space.sample(self.rng, levels_of(episodes, self.each))
        points[self.rng.random(len(points)) < self.share] = self.space.nominal_point
        return shared(points, self.each, "random")
