"""Strike: a learned attack on observations that also learns when to act (few steps of an episode).

Lin et al. 2017 strike where the controller cares most, by a threshold on its preferences; here PPO
learns the moment together with the direction, and sees how many strikes are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, View
from robo_adv.threats.attacks.director import Director


@ATTACKS.register("strike")
@dataclass(frozen=True)
class Strike(Director):
    """The director, with one more number that says whether to act in this step at all; for schedules
    `at-most:M`, which count only the steps that were changed."""

    above: ClassVar[float] = 0.5  # so that an untrained attacker waits in two of three steps

    def outputs(self, entries: int, actions: int, bodies: int) -> int:
        return actions + 1

    def decode(self, view: View, said: Array) -> Array:
        wanted = super().decode(view, np.ascontiguousarray(said[:, 1:]))
        return np.where(said[:, :1] > self.above, wanted, view.clean)
