"""The director against a black box: it learns on the controller, and steers by a copy's gradient."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from robo_adv.threats.access import Access
from robo_adv.threats.attack import ATTACKS, Array, Attack, View
from robo_adv.threats.attacks.director import Director
from robo_adv.threats.attacks.snooping import STEPS, imitated
from robo_adv.threats.lab import Lab


@ATTACKS.register("snooping-director")
@dataclass(frozen=True)
class SnoopingDirector(Director):
    """Directions in action space, taken by the gradient of a copy that imitates the controller; asks
    nothing of the controller but to be watched.

    Attributes:
        data: steps of the controller that the copy learns from. copy: access to it; None before
            `search`.
    """

    data: int = STEPS
    copy: Access | None = field(default=None, compare=False, repr=False)
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def passes(self) -> tuple[int, int]:  # type: ignore[override]
        return 0, 0

    def search(self, lab: Lab) -> Attack:
        if self.brain is not None:
            return self
        copied = self if self.copy is not None else replace(self, copy=imitated(lab, self.data))
        return lab.train(copied)

    def decode(self, view: View, said: Array) -> Array:
        if self.copy is None:
            return super().decode(view, said) if view.access is not None else view.clean
        return super().decode(replace(view, access=self.copy), said)
