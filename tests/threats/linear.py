"""A linear controller, what is known of it, and a laboratory that only hands out its steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.policy import State
from robo_adv.threats.access import Access
from robo_adv.threats.attack import Attack, Perturbation, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.lab import Transitions
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]


@dataclass
class Linear:
    """Acts by a weighted sum (d, a) of what it sees; keeps that, and counts how often it was asked."""

    gains: Array
    seen: list[Array] = field(default_factory=list)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen.append(observation.copy())
        return observation @ self.gains, None

    @property
    def access(self) -> Access:
        """It as a white box."""
        gains = torch.as_tensor(self.gains, dtype=torch.float32)
        return Access(mean=lambda z: z.float() @ gains)

    def shown(
        self, attack: Attack, clean: Array, scale: Array, budget: float = 0.5,
        access: Access | None = None,
    ) -> Array:  # fmt: skip
        """What it is shown (n, d) in place of `clean`."""
        assert isinstance(attack, Perturbation)
        threat = Threat("observation", budget)
        Attacked(self, threat, attack, scale, access=access).predict(clean, None, None, True)
        return self.seen[-1]


@dataclass
class FakeLab:
    """Judges by a given function, and says that nothing moves but by chance."""

    policy: Linear
    scale: Array
    mark: Callable[[Attack], float] = lambda attack: 0.0
    access: Access | None = None
    threat: Threat = Threat("observation", 0.5)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    judged: int = 0

    def judge(self, attacks: Sequence[Attack]) -> Array:
        self.judged += len(attacks)
        return np.array([self.mark(attack) for attack in attacks])

    def transitions(self, steps: int) -> Transitions:
        rows = 4
        length = -(-steps // rows)
        seen = self.rng.uniform(-2.0, 2.0, (length, rows, len(self.scale)))
        action, _ = self.policy.predict(seen.reshape(-1, len(self.scale)))
        none = np.zeros((length, rows), dtype=bool)
        return Transitions(
            seen, action.reshape(length, rows, -1), np.zeros((length, rows)), seen, none, none
        )

    def train(self, attack: LearnedAttack) -> LearnedAttack:
        raise AssertionError("nothing here learns by reinforcement")


def view(
    clean: Array, radius: Array, first: int = 0, ask: Callable[[Array], Array] | None = None
) -> View:
    """What an attack sees in the sixth step of episodes `first`, `first` + 1 ..."""
    n, d = clean.shape
    seeds = np.arange(first, first + n, dtype=np.uint64)
    return View(
        clean, radius, np.full(d, -np.inf), np.full(d, np.inf), clean, clean[:, None],
        seeds, np.full(n, 5, np.uint64), np.zeros(d, np.int64), clean, ask=ask,
    )  # fmt: skip
