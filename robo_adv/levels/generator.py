"""Generator: proposes the levels that students train on, and hears how the students fared.

Generators see nothing but points of the unit cube of a DesignSpace. A round is `ask`, all students'
episodes (and gradient steps, if the batch is to be learned from), `tell`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.space import DesignSpace
from robo_adv.registry import Registry
from robo_adv.runs import plain

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Levels of one round.

    Attributes:
        points: (S, n, P) in [0, 1], n levels per student; S = 1 when all students play the same.
        episodes: K, how often each student plays each of them.
        source: where they come from, one word for the round: random, replay, mutant, design ...
        learn: whether the students take a gradient step on what they play.
    """

    points: Array
    episodes: int = 1
    source: str = "random"
    learn: bool = True

    @property
    def levels(self) -> int:
        """n, levels per student."""
        return int(self.points.shape[1])


@dataclass(frozen=True)
class Outcomes:
    """What became of a batch: one number per student, level and episode, each (S, n, K).

    Attributes:
        points: (S, n, P) as they were played, after repair, S = number of students.
        repaired: (S, n) where the proposed point was not feasible.
        returns: undiscounted. success: 0 or 1. lengths: control steps.
        discounted: return discounted from the first step on.
        first_value: the critic's value of the first observation.
        positive_value_loss: mean over the steps of max(generalised advantage, 0).
    """

    points: Array
    repaired: Bools
    returns: Array
    success: Array
    lengths: Array
    discounted: Array
    first_value: Array
    positive_value_loss: Array


@dataclass
class Generator(ABC):
    """Base of all generators; its fields are hyper-parameters, `begin` makes what changes.

    A generator is one file of `robo_adv.levels.generators` with `@GENERATORS.register(name)` on a
    dataclass. It draws from `self.rng` alone.

    Attributes:
        students: how many students it needs (the first is the protagonist).
    """

    students: ClassVar[int] = 1
    space: DesignSpace = field(init=False, repr=False)
    rng: np.random.Generator = field(init=False, repr=False)

    def begin(self, space: DesignSpace, seed: int) -> None:
        """Start on a design space.

        Raises:
            RoboAdvError: the space is empty.
        """
        if not len(space):
            raise RoboAdvError("the design space is empty: there is nothing to generate")
        self.space, self.rng = space, np.random.default_rng(seed)

    @abstractmethod
    def ask(self, episodes: int, progress: float) -> Batch:
        """The levels of the next round.

        Args:
            episodes: how many episodes each student plays in a round; n * K of the batch must be
                this number.
            progress: share of the run's environment steps that are done, in [0, 1].
        """

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        """Learn from what became of the batch that `ask` gave last; returns metrics to log."""
        return {}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything that continues it bit by bit: tensors, and plain JSON values."""
        return {}, {"space": self.space.digest, "rng": self.rng.bit_generator.state}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            RoboAdvError: the state belongs to another design space.
        """
        if values["space"] != self.space.digest:
            raise RoboAdvError(
                f"the generator was trained on another design space (digest {values['space']}) than "
                f"this one ({self.space.digest}: {', '.join(self.space.names)}); use the same game, "
                "options and parameters"
            )
        self.rng.bit_generator.state = values["rng"]

    def parameters(self) -> dict[str, Any]:
        """Hyper-parameters as plain values."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.init}

    def check(self, **bounds: tuple[float, float]) -> None:
        """Refuse hyper-parameters outside [low, high]; call it in `__post_init__`.

        Raises:
            RoboAdvError: which, what it is, and what it may be.
        """
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            whole = isinstance(getattr(type(self), name, None), int)
            if whole and math.isfinite(value) and value != int(value):
                raise RoboAdvError(f"{name} must be a whole number, got {value:g}")
            if not low <= value <= high:
                raise RoboAdvError(f"{name} must lie in [{low:g}, {high:g}], got {value:g}")


GENERATORS: Registry[type[Generator]] = Registry("generator", "robo_adv.levels.generators")


def make_generator(name: str, parameters: Mapping[str, Any] | None = None) -> Generator:
    """A registered generator with some hyper-parameters set.

    Raises:
        UnknownNameError: no such generator, or no such hyper-parameter. RoboAdvError: out of range.
    """
    kind = GENERATORS[name]
    known = [f.name for f in fields(kind) if f.init]
    for parameter in parameters or {}:
        if parameter not in known:
            raise unknown(f"hyper-parameter of generator {name!r}", parameter, known)
    return kind(**(parameters or {}))


def shared(points: Array, episodes: int, source: str, learn: bool = True) -> Batch:
    """A batch of points (n, P) that all students play."""
    return Batch(points[None], episodes, source, learn)


def levels_of(episodes: int, each: int) -> int:
    """How many levels make up a round of `episodes` when each is played `each` times.

    Raises:
        RoboAdvError: it does not divide.
    """
    if episodes % each:
        raise RoboAdvError(
            f"{episodes} episodes per round cannot be split into levels of {each} episodes each; "
            f"choose a multiple of {each}"
        )
    return episodes // each
