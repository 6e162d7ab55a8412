"""SA-RL (Zhang et al. 2021): PPO chooses the perturbation itself, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robo_adv.threats.attack import ATTACKS
from robo_adv.threats.learned import LearnedPerturbation
from robo_adv.threats.threat import Port


@ATTACKS.register("sa-rl")
@dataclass(frozen=True)
class StateAdversary(LearnedPerturbation):
    """Learns a place in the ball around each observation; needs nothing of the controller."""

    port: ClassVar[Port] = "observation"
