"""Attack: proposes what to do within a threat; one file each in `robo_adv/threats/attacks/`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.registry import Registry
from robo_adv.threats.access import Access
from robo_adv.threats.lab import Lab
from robo_adv.threats.threat import Norm, Port

Array = npt.NDArray[Any]
ATTACKS: Registry[type[Attack]]


@dataclass(frozen=True)
class View:
    """What an attack sees in one step of n episodes.

    Attributes:
        clean: what the controller would see, or do (n, d). radius: how far each entry may move, (d,) or
            (n, d),
            0 where it may not; for norms without a radius one unit of the budget.
        low, high: bounds of what is possible (d,). first: `clean` at the start of the episode (n, d).
        history: the last values of `clean` (n, past, d), the newest first; as many as a budget of
            delay has steps.
        seeds, step: of the episodes (n,), from which all randomness comes.
        groups: which sensor each entry belongs to (d,).
        observation: what is there to be seen (n, d); for observation threats the same as `clean`.
        left: shares that are left of what a schedule limits (n, limits), see `Schedule.left`.
        access: of the controller.
        ask: what the controller would do (k n, a) if it saw others (k n, d) in k copies of the n
            episodes' present states; None on other ports than `observation`. Attacks count such
            questions in `passes`.
    """

    clean: Array
    radius: Array
    low: Array
    high: Array
    first: Array
    history: Array
    seeds: seeding.Seeds
    step: npt.NDArray[np.uint64]
    groups: npt.NDArray[np.int64]
    observation: Array
    left: Array = field(default_factory=lambda: np.zeros((0, 0)))
    access: Access | None = None
    ask: Callable[[Array], Array] | None = None

    def uniform(self, salt: int = 0, per_episode: bool = False) -> Array:
        """Uniform numbers (n, d) in [-1, 1), fresh in each step unless `per_episode`."""
        step = np.zeros_like(self.step) if per_episode else self.step
        u = seeding.uniform(self._salted(salt), seeding.ATTACK, self.clean.shape[1], step)
        return 2.0 * u - 1.0

    def normal(self, salt: int = 0) -> Array:
        """Standard normal numbers (n, d)."""
        return seeding.normal(self._salted(salt), seeding.ATTACK, self.clean.shape[1], self.step)

    def _salted(self, salt: int) -> seeding.Seeds:
        return seeding.derive(self.seeds, seeding.ATTACK, salt)


@dataclass(frozen=True)
class PushView:
    """What an attack that pushes sees in one step of n episodes.

    Attributes:
        seeds: of the episodes (n,). time: since they began [s] (n,). bodies: how many can be pushed.
        observation: what the controller sees (n, d). left: as in `View`.
    """

    seeds: seeding.Seeds
    time: Array
    bodies: int
    observation: Array
    left: Array


@dataclass(frozen=True)
class Attack(ABC):
    """Base of all attacks; subclasses are frozen dataclasses of their parameters.

    Attributes:
        port, norm: where it acts. needs: what of the controller's `Access` it uses.
        passes: forward and backward passes of the controller per step.
    """

    port: ClassVar[Port]
    norm: ClassVar[Norm] = "linf"
    needs: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[tuple[int, int]] = (0, 0)

    def search(self, lab: Lab) -> Attack:
        """The attack to report, chosen or trained on other scenarios; by default itself."""
        return self

    @property
    def told(self) -> str:
        """What a search found, in words; '' for attacks that do not search."""
        return ""

    def missing(self, access: Access | None) -> list[str]:
        """What it needs of the controller and does not get."""
        return [name for name in self.needs if access is None or getattr(access, name) is None]


@dataclass(frozen=True)
class Perturbation(Attack):
    """An attack that proposes, in each step, what the controller should see (or do).

    Attributes:
        per_episode: whether chances of norm `probability` are drawn once per episode.
    """

    per_episode: ClassVar[bool] = False

    @abstractmethod
    def propose(self, view: View) -> Array:
        """The wanted values (n, d); the threat decides how much of them is granted."""


@dataclass(frozen=True)
class Push(Attack):
    """An attack that pushes bodies."""

    port: ClassVar[Port] = "force"
    norm: ClassVar[Norm] = "l2"

    @abstractmethod
    def force(self, view: PushView) -> Array:
        """Directions with lengths of at most 1 (n, bodies, 3)."""


@dataclass(frozen=True)
class Blow(Push):
    """A constant horizontal force on one body, once in each period.

    Attributes:
        body: index among the threat's bodies. angle: direction [rad].
        start: when in the period [s]. duration: of a push [s]. period: [s].
    """

    body: int = 0
    angle: float = 0.0
    start: float = 0.0
    duration: float = 0.2
    period: float = 1.0

    @property
    def told(self) -> str:
        return (
            f"towards {np.degrees(self.angle):.0f} deg for {self.duration:g} s, {self.start:g} s into "
            f"each period of {self.period:g} s"
        )

    def force(self, view: PushView) -> Array:
        out = np.zeros((len(view.seeds), view.bodies, 3))
        phase = view.time % self.period
        on = (phase >= self.start) & (phase < self.start + self.duration)
        out[:, self.body] = np.array([np.cos(self.angle), np.sin(self.angle), 0.0]) * on[:, None]
        return out


@dataclass(frozen=True)
class LevelAttack(Attack):
    """An attack that chooses the world's parameters, in the cube [-1, 1]^P around the nominal level.

    Attributes:
        size: P. point: the chosen place (P,); () before `search`.
    """

    port: ClassVar[Port] = "level"
    size: int = 1
    point: tuple[float, ...] = ()

    def at(self, point: Array) -> LevelAttack:
        """The attack that has chosen `point` (P,)."""
        return replace(self, point=tuple(float(x) for x in point))


ATTACKS = Registry("attack", "robo_adv.threats.attacks")
