"""The critic attack (Pattanaik et al. 2018, in the form of Zhang et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.gradient import Objective, ascend, minus_first
from robo_adv.threats.threat import Port


@ATTACKS.register("critic")
@dataclass(frozen=True)
class Critic(Perturbation):
    """Shows what the controller's own value function rates worst: 10 sign-gradient steps down V."""

    steps: int = 10
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("value",)
    passes: ClassVar[tuple[int, int]] = (11, 10)

    def propose(self, view: View) -> Array:
        assert view.access is not None and view.access.value is not None
        objective = Objective(view.access.value, minus_first)
        return ascend(view, objective, view.uniform(), 2.5 / self.steps, self.steps)


@ATTACKS.register("q-critic")
@dataclass(frozen=True)
class QCritic(Perturbation):
    """The same with a critic of actions: min Q(x, pi(z)), where Q judges the true state."""

    steps: int = 10
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("q", "mean")
    passes: ClassVar[tuple[int, int]] = (11, 10)

    def propose(self, view: View) -> Array:
        assert view.access is not None
        q: Any = view.access.q
        mean: Any = view.access.mean
        clean = torch.as_tensor(view.clean, dtype=torch.float32)
        objective = Objective(lambda z: q(clean, mean(z)), minus_first)
        return ascend(view, objective, view.uniform(), 2.5 / self.steps, self.steps)
