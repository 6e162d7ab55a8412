"""PLR and Robust PLR: replay the random levels on which there is most to learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from robo_adv.errors import unknown
from robo_adv.levels.buffer import TRANSFORMS, LevelBuffer
from robo_adv.levels.generator import (
    GENERATORS,
    Array,
    Batch,
    Generator,
    Ints,
    Outcomes,
    Tensors,
    levels_of,
    shared,
)
from robo_adv.levels.scores import best_of, check_score, scored
from robo_adv.levels.space import DesignSpace


@GENERATORS.register("plr")
@dataclass
class PLR(Generator):
    """Prioritised level replay: new uniform levels, and again those worth learning from.

    A round plays new uniform levels, or, once the buffer is filled enough, replays with
    probability `replay` levels from the buffer; students learn from both.

    Source: Jiang et al. 2021, "Prioritized Level Replay". Whole rounds replay, as in its vectorised
    implementations; the levels of a round are drawn without replacement (see `LevelBuffer`).

    Attributes:
        each: episodes per level. score: one of `robo_adv.levels.scores.SCORES` for one student.
        capacity: levels in the buffer; a run should be able to fill it several times.
        replay: probability that a round replays. fill: share of the buffer that must be filled first.
        transform, beta, staleness: see `LevelBuffer`. tolerance: distance below which two levels are
            the same.
    """

    learns_from_new: ClassVar[bool] = True

    each: int = 4
    score: str = "positive_value_loss"
    capacity: int = 128
    replay: float = 0.5
    fill: float = 0.5
    transform: str = "rank"
    beta: float = 0.3
    staleness: float = 0.3
    tolerance: float = 0.01
    buffer: LevelBuffer = field(init=False, repr=False)
    replayed: Ints = field(init=False, repr=False)
    rounds: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(each=(1, 1000), capacity=(1, 1_000_000), replay=(0, 1), fill=(0, 1))
        self.check(beta=(0.01, 100), staleness=(0, 1), tolerance=(0, 1))
        check_score(self.score, self.students, self.each)
        if self.transform not in TRANSFORMS:
            raise unknown("transform of scores", self.transform, TRANSFORMS)

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.buffer = LevelBuffer(
            space,
            self.capacity,
            self.transform,
            self.beta,
            self.staleness,
            tolerance=self.tolerance,
        )
        self.replayed = np.zeros(0, dtype=np.int64)
        self.rounds = {}

    def ask(self, episodes: int, progress: float) -> Batch:
        n = levels_of(episodes, self.each)
        ready = len(self.buffer) > 0 and self.buffer.fill >= self.fill
        if ready and self.rng.random() < self.replay:
            self.replayed = self.buffer.sample(self.rng, n)
            return shared(self.buffer.points[self.replayed], self.each, "replay")
        return shared(self.fresh(n), self.each, "random", self.learns_from_new)

    def fresh(self, n: int) -> Array:
        """New levels (n, P)."""
        return self.space.sample(self.rng, n)

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        best, entries = best_of(outcomes), self.replayed
        if batch.source == "replay":
            best = np.maximum(best, self.buffer.best[entries])
            scores = scored(self.score, outcomes, best)
            self.buffer.update(entries, scores, best)
            taken = 0.0
        else:
            scores = scored(self.score, outcomes, best)
            taken = float(self.buffer.insert(outcomes.points[0], scores, best).mean())
        self.rounds[batch.source] = self.rounds.get(batch.source, 0) + 1
        share = self.rounds.get("replay", 0) / sum(self.rounds.values())
        metrics = {"score": float(scores.mean()), "replay_share": share, "taken": taken}
        return metrics | self.buffer.metrics()

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        more, clock = self.buffer.state()
        mine = {"replayed": self.replayed.tolist(), "rounds": dict(self.rounds)}
        return tensors | more, values | clock | mine

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.buffer.load_state(tensors, values)
        self.replayed = np.array(values["replayed"], dtype=np.int64)
        self.rounds = dict(values["rounds"])


@GENERATORS.register("robust-plr")
@dataclass
class RobustPLR(PLR):
    """PLR whose students take no gradient step on new levels, which are played to score them only.

    Source: Jiang et al. 2021, "Replay-Guided Adversarial Environment Design" (there PLR with a
    raised perpendicular sign): at its equilibria the student minimises the worst regret.
    """

    learns_from_new: ClassVar[bool] = False
