"""PGD on the action difference, also called MAD (Zhang et al. 2020): projected gradient ascent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.gradient import action_difference, ascend
from robo_adv.threats.threat import Port


@ATTACKS.register("pgd")
@dataclass(frozen=True)
class PGD(Perturbation):
    """Maximal action difference: 20 sign-gradient steps from a random start, the best point kept.

    Attributes:
        steps: gradient steps. step: their length in radii; 2.5 / steps (Madry et al. 2018) by default.
        start: which random start, of several.
    """

    steps: int = 20
    step: float | None = None
    start: int = 0
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)
    passes: ClassVar[tuple[int, int]] = (22, 20)

    def propose(self, view: View) -> Array:
        step = 2.5 / self.steps if self.step is None else self.step
        return ascend(view, action_difference(view), view.uniform(self.start), step, self.steps)
