"""REPAIRED: PAIRED proposes levels, and each student replays those it has most to learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from robo_adv.errors import unknown
from robo_adv.levels.buffer import TRANSFORMS, LevelBuffer
from robo_adv.levels.generator import GENERATORS, Batch, Ints, Outcomes, Tensors, levels_of
from robo_adv.levels.generators.paired import Paired
from robo_adv.levels.scores import best_of, check_score, scored
from robo_adv.levels.space import DesignSpace


@GENERATORS.register("repaired")
@dataclass
class Repaired(Paired):
    """REPAIRED: PAIRED proposes levels, and each student replays its own best ones.

    Replay-Enhanced PAIRED (Jiang et al. 2021, "Replay-Guided Adversarial Environment Design",
    NeurIPS): a buffer per student, filled with the designer's levels. As in Robust PLR, students
    learn from replayed levels only.

    Attributes:
        score: what a student's buffer ranks by, one of `robo_adv.levels.scores.SCORES` for one
            student, computed from that student's episodes.
        capacity, replay, fill, transform, beta, staleness, tolerance: as for PLR, per student.
    """

    score: str = "positive_value_loss"
    capacity: int = 128
    replay: float = 0.5
    fill: float = 0.5
    transform: str = "rank"
    beta: float = 0.3
    staleness: float = 0.3
    tolerance: float = 0.01
    buffers: list[LevelBuffer] = field(init=False, repr=False)
    replayed: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(capacity=(1, 1_000_000), replay=(0, 1), fill=(0, 1), beta=(0.01, 100))
        self.check(staleness=(0, 1), tolerance=(0, 1))
        check_score(self.score, 1, self.each)
        if self.transform not in TRANSFORMS:
            raise unknown("transform of scores", self.transform, TRANSFORMS)

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        kind = (self.capacity, self.transform, self.beta, self.staleness)
        self.buffers = [
            LevelBuffer(space, *kind, tolerance=self.tolerance) for _ in range(self.students)
        ]
        self.replayed = np.zeros((self.students, 0), dtype=np.int64)

    def ask(self, episodes: int, progress: float) -> Batch:
        n = levels_of(episodes, self.each)
        ready = all(len(buffer) and buffer.fill >= self.fill for buffer in self.buffers)
        if not (ready and self.rng.random() < self.replay):
            return replace(super().ask(episodes, progress), learn=False)
        self.replayed = np.stack([buffer.sample(self.rng, n) for buffer in self.buffers])
        pairs = zip(self.buffers, self.replayed, strict=True)
        points = np.stack([buffer.points[entries] for buffer, entries in pairs])
        return Batch(points, self.each, "replay")

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        out = {} if batch.source == "replay" else super().tell(batch, outcomes)
        for i, buffer in enumerate(self.buffers):
            self._remember(buffer, i, batch.source == "replay", of_student(outcomes, i))
        return out | self.buffers[0].metrics()

    def _remember(self, buffer: LevelBuffer, i: int, replay: bool, outcomes: Outcomes) -> None:
        best = best_of(outcomes)
        if replay:
            entries = self.replayed[i]
            best = np.maximum(best, buffer.best[entries])
            buffer.update(entries, scored(self.score, outcomes, best), best)
        else:
            buffer.insert(outcomes.points[0], scored(self.score, outcomes, best), best)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        for i, buffer in enumerate(self.buffers):
            more, clock = buffer.state(f"buffer{i}")
            tensors, values = tensors | more, values | clock
        return tensors, values | {"replayed": self.replayed.tolist()}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        for i, buffer in enumerate(self.buffers):
            buffer.load_state(tensors, values, f"buffer{i}")
        self.replayed = np.array(values["replayed"], dtype=np.int64)


def of_student(outcomes: Outcomes, i: int) -> Outcomes:
    """The outcomes of student i alone (S = 1)."""
    return Outcomes(**{f.name: getattr(outcomes, f.name)[[i]] for f in fields(outcomes)})
