"""LearnedGenerator: what all generators with a designer share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.designer import Designer, Proposal
from robo_adv.levels.edits import distance
from robo_adv.levels.generator import (
    Array,
    Batch,
    Bools,
    Generator,
    Ints,
    Outcomes,
    Tensors,
    levels_of,
    shared,
)
from robo_adv.levels.heads import HeadName
from robo_adv.levels.space import DesignSpace
from robo_adv.training.state import with_prefix

Measure = Literal["return", "success"]
RECENT = 0.1  # weight of the newest round in the students' recent success
DESIGN, UNIFORM, NOMINAL = 0, 1, 2  # where a level comes from


@dataclass
class LearnedGenerator(Generator):
    """A designer is paid the `reward` of its levels; uniform and nominal ones are mixed in, from
    which it does not learn. Head and learning rate were chosen
    on the landscape of tests/levels/landscape.py (300 rounds of 16 levels); entropy bonuses of 0 to
    0.1 were equal there.

    Attributes:
        each: K, how often each student plays a level.
        measure: what rewards are made of: the return of an episode, or its success.
        head: family of the designer's distribution: beta or tanh-gaussian.
        latent: how many random numbers a design is made from. hidden: width of its two layers.
        summary: whether it also sees the run's progress and the students' recent success.
        learning_rate, epochs, memory, clip: PPO on the last `memory` designs.
        entropy, final_entropy: weight of the entropy bonus at the start and end, linear between.
        normalise: whether rewards are divided by their running standard deviation.
        uniform, nominal: their expected shares of each round. warmup: share of the run without
            designs.
    """

    pays: ClassVar[str] = "regret"

    each: int = 4
    measure: Measure = "return"
    head: HeadName = "beta"
    latent: int = 8
    hidden: int = 32
    summary: bool = False
    learning_rate: float = 1e-3
    epochs: int = 8
    memory: int = 64
    clip: float = 0.2
    entropy: float = 0.05
    final_entropy: float = 0.01
    normalise: bool = True
    uniform: float = 0.2
    nominal: float = 0.1
    warmup: float = 0.1
    designer: Designer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(
            each=(1, np.inf), latent=(0, np.inf), hidden=(1, np.inf), learning_rate=(0, 1),
            epochs=(1, np.inf), memory=(1, np.inf), clip=(0, 1), entropy=(0, np.inf),
            final_entropy=(0, np.inf), uniform=(0, 1), nominal=(0, 1 - self.uniform), warmup=(0, 1),
        )  # fmt: skip
        check_option("measure", self.measure, Measure)
        check_option("head", self.head, HeadName)

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        context = self.latent + (1 + self.students if self.summary else 0)
        self.designer = Designer(
            context, len(space), self.rng, head=self.head, hidden=self.hidden,
            learning_rate=self.learning_rate, epochs=self.epochs, memory=self.memory,
            clip=self.clip, normalise=self.normalise,
        )  # fmt: skip
        self._recent = np.full(self.students, 0.5)
        self._progress = 0.0
        self._sources = np.empty(0, dtype=np.int64)
        self._proposal = Proposal(np.empty((0, context)), np.empty((0, len(space))), np.empty(0))

    @abstractmethod
    def reward(self, outcomes: Outcomes) -> Array:
        """What the designer is paid per level (n,); metrics call it `pays`."""

    def ask(self, episodes: int, progress: float) -> Batch:
        n = levels_of(episodes, self.each)
        self._progress = progress
        self._sources = self._mix(n, progress)
        points = self.space.sample(self.rng, n)
        points[self._sources == NOMINAL] = self.space.nominal_point
        designed = self._sources == DESIGN
        self._proposal = self.designer.propose(self._context(int(designed.sum())), self.rng)
        points[designed] = self._proposal.points
        return shared(points, self.each, "design" if designed.any() else "random")

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        reward, designed = self.reward(outcomes), self._sources == DESIGN
        if not np.isfinite(reward).all():
            raise RoboAdvError(
                "the students' returns are not finite: they have diverged; lower their learning rate"
            )
        out = {self.pays: float(reward.mean())} | self._shares()
        if designed.any():
            out[f"design_{self.pays}"] = float(reward[designed].mean())
            out["design_distance"] = self._distance(outcomes.points[0], designed)
            weight = self.entropy + self._progress * (self.final_entropy - self.entropy)
            out |= self.designer.learn(self._proposal, reward[designed], weight)
        success = outcomes.success.mean(axis=(1, 2))
        self._recent += RECENT * (success - self._recent)
        return out

    def measured(self, outcomes: Outcomes) -> Array:
        """(S, n, K) numbers that rewards are made of."""
        return outcomes.returns if self.measure == "return" else outcomes.success

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        designer, numbers = self.designer.state()
        tensors |= {f"designer.{k}": v for k, v in designer.items()}
        asked = {f.name: getattr(self._proposal, f.name) for f in fields(Proposal)}
        tensors |= {f"asked.{k}": torch.as_tensor(v.copy()) for k, v in asked.items()}
        known = {"recent": self._recent.tolist(), "progress": self._progress}
        return tensors, values | numbers | known | {"sources": self._sources.tolist()}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        self.designer.load_state(with_prefix(tensors, "designer."), values)
        asked = with_prefix(tensors, "asked.")
        self._proposal = Proposal(**{k: v.numpy().copy() for k, v in asked.items()})
        self._recent, self._progress = np.array(values["recent"]), float(values["progress"])
        self._sources = np.array(values["sources"], dtype=np.int64)

    def _mix(self, n: int, progress: float) -> Ints:
        """Sources (n,), drawn one by one."""
        design = 0.0 if progress < self.warmup else 1.0 - self.uniform - self.nominal
        chance = self.rng.random(n)
        sources = np.where(chance < self.nominal, NOMINAL, UNIFORM)
        return np.where(chance >= 1.0 - design, DESIGN, sources)

    def _context(self, n: int) -> Array:
        known = [self._progress, *self._recent] if self.summary else []
        random = self.rng.standard_normal((n, self.latent))
        return np.hstack([random, np.tile(known, (n, 1))])

    def _shares(self) -> dict[str, float]:
        names = {"design": DESIGN, "uniform": UNIFORM, "nominal": NOMINAL}
        return {f"share_{k}": float((self._sources == v).mean()) for k, v in names.items()}

    def _distance(self, points: Array, designed: Bools) -> float:
        """Mean distance between two designs."""
        designs = points[designed]
        if len(designs) < 2:
            return 0.0
        pairs = len(designs) * (len(designs) - 1)
        return float(distance(self.space, designs, designs).sum() / pairs)


def check_option(name: str, value: str, options: Any) -> None:
    """Refuse a word that the Literal `options` does not have (UnknownNameError)."""
    if value not in get_args(options):
        raise unknown(name, value, get_args(options))
