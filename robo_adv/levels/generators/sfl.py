"""SFL, sampling for learnability: train on the random levels that are sometimes solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

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
from robo_adv.levels.scores import check_score, scored
from robo_adv.levels.space import DesignSpace


@GENERATORS.register("sfl")
@dataclass
class SFL(Generator):
    """Sampling for learnability: random levels that are sometimes solved and sometimes not.

    Every `every` learned rounds, random levels are played without a gradient step until at least
    `candidates` have been scored; the `keep` best are trained on, with fresh random ones, until the
    next time.

    Source: Rutherford et al. 2024, "No Regrets: Investigating and Improving Regret Approximations for
    Curriculum Discovery". The scoring is not free, and its steps count: with 64
    candidates of 4 episodes and rounds of 64 episodes, 4 rounds of 24.

    Attributes:
        each: episodes per level when learning. tries: episodes per candidate.
        score: one of `robo_adv.levels.scores.SCORES` for one student.
        share: expected share of kept levels in a learned round.
    """

    each: int = 1
    tries: int = 4
    every: int = 20
    candidates: int = 64
    keep: int = 16
    share: float = 0.5
    score: str = "learnability"
    points: Array = field(init=False, repr=False)
    scores: Array = field(init=False, repr=False)
    kept: Array = field(init=False, repr=False)
    learned: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(each=(1, 1000), tries=(1, 1000), every=(1, 1_000_000), share=(0, 1))
        self.check(candidates=(1, 1_000_000), keep=(1, self.candidates))
        check_score(self.score, self.students, self.tries)

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.points, self.scores = np.zeros((0, len(space))), np.zeros(0)
        self.kept = np.zeros((0, len(space)))
        self.learned = self.every  # a refresh is due

    def ask(self, episodes: int, progress: float) -> Batch:
        if self.learned >= self.every:
            fresh = self.space.sample(self.rng, levels_of(episodes, self.tries))
            return shared(fresh, self.tries, "candidate", learn=False)
        n = levels_of(episodes, self.each)
        points = self.space.sample(self.rng, n)
        old = np.flatnonzero(self.rng.random(n) < self.share)
        points[old] = self.kept[self._drawn(len(old))]
        return shared(points, self.each, "replay")

    def _drawn(self, n: int) -> Ints:
        """Indices (n,) of kept levels, each as often as the others, or once more."""
        turns = -(-n // len(self.kept))
        orders = [self.rng.permutation(len(self.kept)) for _ in range(turns)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *orders])[:n]

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        if batch.source != "candidate":
            self.learned += 1
            return {}
        scores = scored(self.score, outcomes)
        self.points = np.concatenate([self.points, outcomes.points[0]])
        self.scores = np.concatenate([self.scores, scores])
        metrics = {"score": float(scores.mean()), "candidates": float(len(self.scores))}
        return metrics | (self._refresh() if len(self.scores) >= self.candidates else {})

    def _refresh(self) -> dict[str, float]:
        some = int((self.scores > 0).sum()) or self.keep
        best = np.argsort(-self.scores, kind="stable")[: min(some, self.keep)]
        self.kept = self.points[best]
        metrics = {"kept": float(len(best)), "kept_score": float(self.scores[best].mean())}
        self.points, self.scores = self.points[:0], self.scores[:0]
        self.learned = 0
        return metrics

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        arrays = {"points": self.points, "scores": self.scores, "kept": self.kept}
        tensors |= {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return tensors, values | {"learned": self.learned}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.points = np.array(tensors["points"].numpy())
        self.scores = np.array(tensors["scores"].numpy())
        self.kept = np.array(tensors["kept"].numpy())
        self.learned = int(values["learned"])
