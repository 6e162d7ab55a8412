"""No attack: the zero of every budget curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.threat import Port


@ATTACKS.register("none")
@dataclass(frozen=True)
class NoAttack(Perturbation):
    """Shows the controller what is there."""

    port: ClassVar[Port] = "observation"

    def propose(self, view: View) -> Array:
        return view.clean
