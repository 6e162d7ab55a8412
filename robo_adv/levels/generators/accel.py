"""ACCEL: a curriculum that grows by small edits of the levels at the frontier of what is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from robo_adv.errors import unknown
from robo_adv.levels.edits import mutate
from robo_adv.levels.generator import GENERATORS, Array, Batch, Outcomes, Tensors, levels_of, shared
from robo_adv.levels.generators.plr import RobustPLR
from robo_adv.levels.scores import best_of, scored
from robo_adv.levels.space import DesignSpace

BASES = ("all", "easy")
STARTS = ("nominal", "uniform")


@GENERATORS.register("accel")
@dataclass
class ACCEL(RobustPLR):
    """ACCEL: replayed levels, and mutants of them that join the buffer if they score high.

    Robust PLR, and after each replayed round a round of mutants of its levels, which is scored
    without a gradient step and offered to the buffer.

    Source: Parker-Holder et al. 2022, "Evolving Curricula with Regret-Based Environment Design";
    `replay` as in minimax (Jiang et al. 2023), `edits` as in ACCEL's bipedal walker.

    Attributes:
        replay: as in `PLR`; the rounds after replays come on top, so that a share replay /
            (1 + replay) of all rounds is learned from.
        edits, scale: how many parameters a mutant changes, and the standard deviation of a change.
        base: which replayed levels are edited: all, or the easy quarter (highest return minus score).
        start: new levels are edits of the nominal one, or uniform.
    """

    replay: float = 0.8
    edits: int = 3
    scale: float = 0.1
    base: str = "all"
    start: str = "nominal"
    parents: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(edits=(1, 1000), scale=(0, 1))
        if self.base not in BASES:
            raise unknown("base of edits", self.base, BASES)
        if self.start not in STARTS:
            raise unknown("start of ACCEL", self.start, STARTS)

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.parents = np.zeros((0, len(space)))

    def ask(self, episodes: int, progress: float) -> Batch:
        if not len(self.parents):
            return super().ask(episodes, progress)
        n = levels_of(episodes, self.each)
        parents = self.parents[np.arange(n) % len(self.parents)]
        points = mutate(self.space, parents, self.rng, self.edits, self.scale)
        return shared(points, self.each, "mutant", learn=False)

    def fresh(self, n: int) -> Array:
        if self.start == "uniform":
            return super().fresh(n)
        nominal = np.tile(self.space.nominal_point, (n, 1))
        return mutate(self.space, nominal, self.rng, self.edits, self.scale)

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        metrics = super().tell(batch, outcomes)
        replayed = batch.source == "replay"
        self.parents = self._bases(outcomes) if replayed else np.zeros((0, len(self.space)))
        if batch.source == "mutant":
            metrics["mutants_taken"] = metrics["taken"]
        return metrics

    def _bases(self, outcomes: Outcomes) -> Array:
        points: Array = outcomes.points[0]
        if self.base == "all":
            return points
        ever = np.maximum(best_of(outcomes), self.buffer.best[self.replayed])
        ease = outcomes.returns[0].mean(axis=-1) - scored(self.score, outcomes, ever)
        easiest = np.argsort(-ease, kind="stable")[: max(len(points) // 4, 1)]
        return np.asarray(points[easiest])

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        return tensors | {"parents": torch.from_numpy(self.parents.copy())}, values

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.parents = np.array(tensors["parents"].numpy())
