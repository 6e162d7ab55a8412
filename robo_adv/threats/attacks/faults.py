"""Faults of sensors and actuators: delay, dropout, a stuck sensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.threat import Norm, Port


@ATTACKS.register("delay")
@dataclass(frozen=True)
class Delay(Perturbation):
    """What is seen is as many steps old as the budget says."""

    port: ClassVar[Port] = "observation"
    norm: ClassVar[Norm] = "steps"

    def propose(self, view: View) -> Array:
        return np.asarray(view.history[:, -1])


@ATTACKS.register("dropout")
@dataclass(frozen=True)
class Dropout(Perturbation):
    """A sensor reads zero in a share of the steps, each sensor on its own."""

    port: ClassVar[Port] = "observation"
    norm: ClassVar[Norm] = "probability"

    def propose(self, view: View) -> Array:
        return np.zeros_like(view.clean)


@ATTACKS.register("stuck")
@dataclass(frozen=True)
class Stuck(Perturbation):
    """A share of the sensors keeps its first reading for the whole episode."""

    port: ClassVar[Port] = "observation"
    norm: ClassVar[Norm] = "probability"
    per_episode: ClassVar[bool] = True

    def propose(self, view: View) -> Array:
        return view.first


@ATTACKS.register("action-delay")
@dataclass(frozen=True)
class ActionDelay(Delay):
    """What is done was decided as many steps ago as the budget says."""

    port: ClassVar[Port] = "action"
