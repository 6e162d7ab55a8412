"""Snooping (Inkawhich et al. 2020): attacks on a copy of the controller, learned by watching it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from robo_adv.threats.access import Access
from robo_adv.threats.attack import ATTACKS, Array, Attack, Perturbation, View
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.fit import Copy, imitate
from robo_adv.threats.lab import Lab
from robo_adv.threats.threat import Port

STEPS = 20_000  # of the controller, from which it is copied


def imitated(lab: Lab, steps: int = STEPS) -> Access:
    """Access to a copy of the controller, learned from what it does: with it any attack that needs the
    mean action and the normaliser can be prepared against a black box."""
    return access_to(imitate(lab.transitions(steps), lab.rng))


def access_to(copy: Copy) -> Access:
    """A copy as access to the controller."""
    return Access(mean=copy.mean, normaliser=copy.normaliser)


@ATTACKS.register("snooping")
@dataclass(frozen=True)
class Snooping(Perturbation):
    """Maximal action difference (PGD) of a copy that imitates the controller; asks nothing of the
    controller but to be watched. Before `search` there is no copy, and a random corner is shown.

    Attributes:
        data: steps of the controller that the copy learns from. steps: gradient steps.
        copy: the copy.
    """

    data: int = STEPS
    steps: int = 20
    copy: Copy | None = field(default=None, compare=False, repr=False)
    port: ClassVar[Port] = "observation"

    def search(self, lab: Lab) -> Attack:
        if self.copy is not None:
            return self
        return replace(self, copy=imitate(lab.transitions(self.data), lab.rng))

    def propose(self, view: View) -> Array:
        if self.copy is None:
            return np.asarray(view.clean + view.radius * np.where(view.uniform() < 0, -1.0, 1.0))
        return PGD(self.steps).propose(replace(view, access=access_to(self.copy)))

    @property
    def told(self) -> str:
        """What was found, in words."""
        if self.copy is None:
            return "no copy yet"
        return (
            f"copy from {self.copy.steps} steps, {self.copy.error:.1%} of the variance unexplained"
        )
