"""RARL's adversaries (Pinto et al. 2017), learned: one on the actuators, one that pushes bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robo_adv.threats.attack import ATTACKS
from robo_adv.threats.learned import LearnedPerturbation, LearnedPush
from robo_adv.threats.threat import Port


@ATTACKS.register("action-adversary")
@dataclass(frozen=True)
class ActionAdversary(LearnedPerturbation):
    """Learns how far to move each action within the budget, from what the controller sees."""

    port: ClassVar[Port] = "action"


@ATTACKS.register("force-adversary")
@dataclass(frozen=True)
class ForceAdversary(LearnedPush):
    """Learns where to push in each step, from what the controller sees."""
