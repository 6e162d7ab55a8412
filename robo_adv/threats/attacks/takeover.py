"""Action-robust MDPs (Tessler, Efroni and Mannor 2019): an adversary shares the actuators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.threat import Norm, Port


def opposite(view: View) -> Array:
    """The corner of the action space farthest from the controller's action (n, a)."""
    middle = 0.5 * (view.low + view.high)
    return np.where(view.clean > middle, view.low, view.high)


@ATTACKS.register("nr-mdp")
@dataclass(frozen=True)
class NoisyRobust(Perturbation):
    """NR-MDP: the action is mixed with that of an adversary that opposes the controller:
    (1 - budget) action + budget adversary."""

    port: ClassVar[Port] = "action"
    norm: ClassVar[Norm] = "mixing"

    def propose(self, view: View) -> Array:
        return opposite(view)


@ATTACKS.register("pr-mdp")
@dataclass(frozen=True)
class ProbabilisticRobust(Perturbation):
    """PR-MDP: in a share of the steps the adversary's action is executed instead."""

    port: ClassVar[Port] = "action"
    norm: ClassVar[Norm] = "probability"

    def propose(self, view: View) -> Array:
        return opposite(view)
