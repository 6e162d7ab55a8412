"""Lab: what an attack may do to prepare itself, on scenarios that are never reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from robo_adv.threats.access import Access
from robo_adv.threats.threat import Threat

if TYPE_CHECKING:
    from robo_adv.threats.attack import Attack
    from robo_adv.threats.learned import LearnedAttack

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Transitions:
    """Steps of the controller without attack, in the order of time within each row of a batch.

    Attributes:
        observation, next_observation: (T, N, d); the next one is the ended episode's last observation
            where an episode ended. action: what the controller did (T, N, a).
        reward: (T, N). terminated, ended: (T, N) whether the episode ended for good, or at all.
    """

    observation: Array
    action: Array
    reward: Array
    next_observation: Array
    terminated: Array
    ended: Array

    @property
    def steps(self) -> int:
        """How many environment steps these are."""
        return int(self.reward.size)


class Lab(Protocol):
    """What `Attack.search` works with; everything it asks for is counted.

    Attributes:
        rng: randomness of the search. threat: at the row's largest budget.
        access: of the controller; every function None for a black box.
    """

    rng: np.random.Generator
    threat: Threat
    access: Access | None

    @property
    def scale(self) -> Array:
        """One unit of the budget per entry (d,), of observation and action threats."""

    def judge(self, attacks: Sequence[Attack]) -> Array:
        """How badly the controller does under each attack (k,) on the search scenarios; larger is
        worse."""

    def transitions(self, steps: int) -> Transitions:
        """At least so many steps of the controller without attack."""

    def train(self, attack: LearnedAttack) -> LearnedAttack:
        """The attack with a policy that was trained at the threat's port.

        Raises:
            RoboAdvError: nothing here can train.
        """
