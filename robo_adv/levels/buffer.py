"""The level buffer of Prioritized Level Replay: which of the levels seen so far are worth replaying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.edits import canonical
from robo_adv.levels.space import DesignSpace

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
TRANSFORMS = ("rank", "power")
REPLACES = ("probability", "score")
FLOOR = 1e-12  # keeps every entry drawable when a round asks for more levels than have any weight


@dataclass
class LevelBuffer:
    """Levels with their latest scores, drawn with P = (1 - c) P_score + c P_stale.

    P_score is (1 / rank)^(1 / beta) of the scores (rank 1 is the highest; equal scores share their
    mean rank, so equal levels are equally likely), or max(score, 0)^(1 / beta); P_stale is
    proportional to the number of calls of `insert` and `update` since the entry was last played.
    Source: Jiang et al. 2021, "Prioritized Level Replay"; of "Replay-Guided
    Adversarial Environment Design" the rule that a full buffer replaces its least likely entry, and
    only by a level of higher score.

    Use: `buffer.insert(points, scores, best)` after new levels were played; `i = buffer.sample(rng,
    n)` and `buffer.points[i]` to replay, then `buffer.update(i, scores, best)`. Arrays are as long
    as there are entries, in the same order:

    Attributes:
        capacity: most entries. transform: rank or power. beta: temperature. staleness: c in [0, 1].
        replace: whether the entry of least probability or of lowest score gives way.
        tolerance: levels nearer than this root mean square distance in the unit cube, in canonical
            form, are the same level (0: only equal ones).
        points: (m, P), canonical. scores: (m,). best: (m,) best return ever on each level.
        last: (m,) clock when last played. clock: rounds so far.
    """

    space: DesignSpace = field(repr=False)
    capacity: int = 128
    transform: str = "rank"
    beta: float = 0.3
    staleness: float = 0.3
    replace: str = "probability"
    tolerance: float = 0.01
    points: Array = field(init=False, repr=False)
    scores: Array = field(init=False, repr=False)
    best: Array = field(init=False, repr=False)
    last: Ints = field(init=False, repr=False)
    clock: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.transform not in TRANSFORMS:
            raise unknown("transform of scores", self.transform, TRANSFORMS)
        if self.replace not in REPLACES:
            raise unknown("rule of replacement", self.replace, REPLACES)
        self.points = np.zeros((0, len(self.space)))
        self.scores, self.best = np.zeros(0), np.zeros(0)
        self.last = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def fill(self) -> float:
        """Share of the capacity that is in use."""
        return len(self) / self.capacity

    def probabilities(self) -> Array:
        """P (m,), how likely each entry is drawn first."""
        mixed = (1.0 - self.staleness) * self._by_score() + self.staleness * self._by_age()
        return np.asarray((mixed + FLOOR) / (mixed + FLOOR).sum())

    def _by_score(self) -> Array:
        if self.transform == "rank":
            return _share(np.power(rankdata(-self.scores), -1.0 / self.beta))
        top = max(float(self.scores.max(initial=0.0)), np.finfo(np.float64).tiny)
        return _share(np.maximum(self.scores / top, 0.0) ** (1.0 / self.beta))

    def _by_age(self) -> Array:
        return _share((self.clock - self.last).astype(np.float64))

    def sample(self, rng: np.random.Generator, n: int) -> Ints:
        """Entries (n,) to replay, all different where there are enough.

        Raises:
            RoboAdvError: the buffer is empty.
        """
        if not len(self):
            raise RoboAdvError("the level buffer is empty: insert levels before drawing some")
        again = n > len(self)
        return rng.choice(len(self), size=n, replace=again, p=self.probabilities())

    def update(self, entries: Ints, scores: Array, best: Array) -> None:
        """Give entries (n,) that were replayed the scores (n,) and best returns (n,) they got now; an
        entry that is named twice gets the mean score."""
        scores, best = _finite(scores), _finite(best)
        self.clock += 1
        total = np.bincount(entries, scores, minlength=len(self))
        count = np.bincount(entries, minlength=len(self))
        self.scores[entries] = total[entries] / count[entries]
        np.maximum.at(self.best, entries, best)
        self.last[entries] = self.clock

    def insert(self, points: Array, scores: Array, best: Array) -> Bools:
        """Offer new levels (n, P) with scores (n,) and best returns (n,); those (n,) that were taken.

        A level that is in the buffer already updates its entry. When the buffer is full, a level
        replaces the entry that `replace` says, if its score is higher than that entry's.
        """
        scores, best = _finite(scores), _finite(best)
        self.clock += 1
        taken = np.zeros(len(scores), dtype=np.bool_)
        for i, point in enumerate(canonical(self.space, points)):
            taken[i] = self._offer(point, float(scores[i]), float(best[i]))
        return taken

    def _offer(self, point: Array, score: float, best: float) -> bool:
        same = self._same(point)
        if same is not None:
            best = max(best, float(self.best[same]))
            self._put(same, self.points[same], score, best)
            return False
        if len(self) < self.capacity:
            self.points = np.concatenate([self.points, point[None]])
            self.scores, self.best = np.append(self.scores, score), np.append(self.best, best)
            self.last = np.append(self.last, np.int64(self.clock))
            return True
        worth = self.scores if self.replace == "score" else self.probabilities()
        weakest = int(np.argmin(worth))
        if score <= self.scores[weakest]:
            return False
        self._put(weakest, point, score, best)
        return True

    def _same(self, point: Array) -> int | None:
        if not len(self):
            return None
        apart = np.sqrt(((self.points - point) ** 2).mean(axis=1))
        nearest = int(np.argmin(apart))
        near = apart[nearest] < self.tolerance or apart[nearest] == 0
        return nearest if near else None

    def _put(self, entry: int, point: Array, score: float, best: float) -> None:
        self.points[entry], self.scores[entry] = point, score
        self.best[entry], self.last[entry] = best, self.clock

    def metrics(self) -> dict[str, float]:
        """What to log: fill, mean and maximum score, mean age in rounds, effective number of entries
        (exponential of the entropy of P)."""
        if not len(self):
            return {"buffer_fill": 0.0}
        p = self.probabilities()
        return {
            "buffer_fill": self.fill,
            "buffer_score_mean": float(self.scores.mean()),
            "buffer_score_max": float(self.scores.max()),
            "buffer_age": float((self.clock - self.last).mean()),
            "buffer_effective": float(np.exp(-(p * np.log(p)).sum())),
        }

    def state(self, prefix: str = "buffer") -> tuple[dict[str, torch.Tensor], dict[str, int]]:
        """Its entries as tensors and its clock as a JSON value, named `prefix`_..."""
        arrays = {"points": self.points, "scores": self.scores, "best": self.best}
        tensors = {f"{prefix}_{k}": torch.from_numpy(v.copy()) for k, v in arrays.items()}
        tensors[f"{prefix}_last"] = torch.from_numpy(self.last.copy())
        return tensors, {f"{prefix}_clock": self.clock}

    def load_state(
        self,
        tensors: Mapping[str, torch.Tensor],
        values: Mapping[str, int],
        prefix: str = "buffer",
    ) -> None:
        """Continue from `state`.

        Raises:
            RoboAdvError: it holds more entries than the capacity, or points of another space.
        """
        points = np.array(tensors[f"{prefix}_points"].numpy())
        if len(points) > self.capacity or points.shape[1] != len(self.space):
            raise RoboAdvError(
                f"a level buffer with points {points.shape} does not fit a capacity of "
                f"{self.capacity} and a design space of {len(self.space)} parameters"
            )
        self.points = points
        self.scores = np.array(tensors[f"{prefix}_scores"].numpy())
        self.best = np.array(tensors[f"{prefix}_best"].numpy())
        self.last = np.array(tensors[f"{prefix}_last"].numpy())
        self.clock = int(values[f"{prefix}_clock"])


def _share(weights: Array) -> Array:
    """Weights (m,) divided by their sum; equal shares when all are 0."""
    total = weights.sum()
    if total > 0:
        return np.asarray(weights / total)
    return np.full(len(weights), 1.0 / max(len(weights), 1))


def _finite(values: Array) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if not np.isfinite(values).all():
        raise RoboAdvError(
            "scores and returns of levels must be finite; the students have diverged"
        )
    return values
