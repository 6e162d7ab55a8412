"""One bad sensor: the whole budget on the sensor that the controller can least do without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, Attack, Perturbation, View
from robo_adv.threats.lab import Lab
from robo_adv.threats.threat import Norm, Port


@ATTACKS.register("single-sensor")
@dataclass(frozen=True)
class SingleSensor(Perturbation):
    """A constant offset or fresh noise on one sensor alone, which gets the whole budget; the worst of
    all sensors and of these two faults.

    Attributes:
        sensors: names of the sensors, in the order of `View.groups`; '' for one that is left alone.
        sensor: the chosen one. steady: whether its fault is an offset, drawn for each episode.
    """

    sensors: tuple[str, ...] = ("",)
    sensor: int = 0
    steady: bool = True
    port: ClassVar[Port] = "observation"
    norm: ClassVar[Norm] = "l2"

    def search(self, lab: Lab) -> Attack:
        tried: Sequence[SingleSensor] = [
            replace(self, sensor=k, steady=steady)
            for k, name in enumerate(self.sensors)
            for steady in (True, False)
            if name
        ]
        return tried[int(np.argmax(lab.judge(tried)))] if tried else self

    def propose(self, view: View) -> Array:
        mine = (view.groups == self.sensor) & (np.atleast_2d(view.radius).max(axis=0) > 0)
        sign = np.where(view.uniform(per_episode=self.steady) < 0, -1.0, 1.0)
        return np.asarray(view.clean + view.radius * sign * mine / np.sqrt(max(mine.sum(), 1)))

    @property
    def told(self) -> str:
        """What was found, in words."""
        fault = "a constant offset" if self.steady else "noise"
        return f"{fault} of {self.sensors[self.sensor]}"
