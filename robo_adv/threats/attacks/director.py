"""Director and actor (PA-AD, Sun et al. 2022): PPO says where the action is to go, a gradient step
takes the observation there.

The direction lives in the action space, which is small; the best perturbation for a direction d is,
to first order, the corner eps sign(J^T d) of the ball, J the Jacobian of the controller's mean
action. (The published code steps away from the direction.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from robo_adv.threats.attack import ATTACKS, Array, View
from robo_adv.threats.gradient import Function, Objective, ascend, single_step
from robo_adv.threats.learned import Aim, LearnedPerturbation
from robo_adv.threats.threat import Port


@ATTACKS.register("director")
@dataclass(frozen=True)
class Director(LearnedPerturbation):
    """Learns a direction in action space; one backward pass of the controller does the rest. With the
    aim `stealth` the largest entry of the direction says how far to go, so that it can do nothing.

    Attributes:
        ascent: sign-gradient steps towards the direction; 1 goes straight to a corner. Further restarts
            take 3 and 1 in turn: which one is stronger depends on the controller (docs/ladder.md).
    """

    ascent: int = 1
    turns: ClassVar[tuple[int, ...]] = (1, 3)
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)

    @property
    def passes(self) -> tuple[int, int]:  # type: ignore[override]
        return (1, 1) if self.ascent == 1 else (self.ascent + 1, self.ascent)

    def variant(self, restart: int) -> Director:
        return replace(self, ascent=self.turns[restart % 2]) if restart else self

    def outputs(self, entries: int, actions: int, bodies: int) -> int:
        return actions

    def decode(self, view: View, said: Array) -> Array:
        assert view.access is not None and view.access.mean is not None
        objective = along(view.access.mean, torch.as_tensor(said, dtype=torch.float32))
        start = 0.0 * view.clean
        if self.ascent == 1:
            wanted = single_step(view, objective, start)
        else:
            wanted = ascend(view, objective, start, 2.0 / self.ascent, self.ascent)
        if self.aim != "stealth":
            return wanted
        strength = np.abs(said).max(axis=1, keepdims=True)
        return np.asarray(view.clean + strength * (wanted - view.clean))


@ATTACKS.register("cost-director")
@dataclass(frozen=True)
class CostDirector(Director):
    """The director, paid for what the criterion calls unsafe instead of for lost return."""

    aim: Aim = "cost"


@ATTACKS.register("stealth-director")
@dataclass(frozen=True)
class StealthDirector(Director):
    """The same, but held to leave 0.9 of the return: unsafe where the return shows nothing."""

    aim: Aim = "stealth"


def along(mean: Function, direction: torch.Tensor) -> Objective:
    """How far actions go along directions (n, a)."""
    return Objective(mean, lambda out: ((out * direction).sum(dim=1), direction.clone()))
