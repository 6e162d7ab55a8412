"""Directional attacks: one action as far up, or down, as the ball allows, for the whole episode.

The untargeted action difference has no gradient where nothing has moved yet, and may be large where it
does no harm. Fixed directions have a gradient everywhere, and one pass backwards reaches the corner
eps sign(J^T u) of the ball, to first order the farthest along u: for actions what targeted attacks on
every class are for classifiers (Croce and Hein 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch

from robo_adv.threats.attack import ATTACKS, Array, Attack, Perturbation, View
from robo_adv.threats.gradient import Function, Objective, single_step
from robo_adv.threats.lab import Lab
from robo_adv.threats.threat import Port


@ATTACKS.register("directional")
@dataclass(frozen=True)
class Directional(Perturbation):
    """Drives one action to one side in every step; the worst of all actions and sides.

    Attributes:
        entry: of the action. sign: 1 up, -1 down.
    """

    entry: int = 0
    sign: int = 1
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)
    passes: ClassVar[tuple[int, int]] = (1, 1)

    def search(self, lab: Lab) -> Attack:
        assert lab.access is not None and lab.access.mean is not None
        with torch.no_grad():
            actions = lab.access.mean(torch.zeros(1, len(lab.scale))).shape[1]
        tried: Sequence[Directional] = [
            replace(self, entry=k, sign=sign) for k in range(actions) for sign in (1, -1)
        ]
        return tried[int(np.argmax(lab.judge(tried)))]

    def propose(self, view: View) -> Array:
        assert view.access is not None and view.access.mean is not None
        mean: Function = view.access.mean

        def head(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            slope = torch.zeros_like(out)
            slope[:, self.entry] = self.sign
            return self.sign * out[:, self.entry], slope

        return single_step(view, Objective(mean, head), np.zeros_like(view.clean))

    @property
    def told(self) -> str:
        """What was found, in words."""
        return f"action {self.entry} driven {'up' if self.sign > 0 else 'down'}"
