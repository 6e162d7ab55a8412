"""FGSM (Huang et al. 2017): one gradient step to a corner of the ball."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.gradient import action_difference, single_step
from robo_adv.threats.threat import Port


@ATTACKS.register("fgsm")
@dataclass(frozen=True)
class FGSM(Perturbation):
    """Raises the difference of the action along its gradient at a random point of the ball (at the
    centre that gradient is zero)."""

    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)
    passes: ClassVar[tuple[int, int]] = (2, 1)

    def propose(self, view: View) -> Array:
        return single_step(view, action_difference(view), view.uniform())
