"""Attacks without knowledge of the controller: uniform, corner, Gaussian and constant noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.threats.attack import ATTACKS, Array, Perturbation, View
from robo_adv.threats.threat import Norm, Port


@ATTACKS.register("uniform")
@dataclass(frozen=True)
class Uniform(Perturbation):
    """Uniform noise in the ball, fresh in each step: the usual and weakest attack."""

    port: ClassVar[Port] = "observation"

    def propose(self, view: View) -> Array:
        return np.asarray(view.clean + view.radius * view.uniform())


@ATTACKS.register("corner")
@dataclass(frozen=True)
class Corner(Perturbation):
    """A random corner of the ball in each step: every entry moves as far as it may."""

    port: ClassVar[Port] = "observation"

    def propose(self, view: View) -> Array:
        return np.asarray(view.clean + view.radius * np.where(view.uniform() < 0, -1.0, 1.0))


@ATTACKS.register("gaussian")
@dataclass(frozen=True)
class Gaussian(Perturbation):
    """Sensor noise: Gaussian, of the budget's standard deviation, fresh in each step."""

    port: ClassVar[Port] = "observation"
    norm: ClassVar[Norm] = "std"

    def propose(self, view: View) -> Array:
        return np.asarray(view.clean + view.radius * view.normal())


@ATTACKS.register("bias")
@dataclass(frozen=True)
class Bias(Perturbation):
    """A badly calibrated sensor: one corner of the ball for the whole episode."""

    port: ClassVar[Port] = "observation"

    def propose(self, view: View) -> Array:
        return np.asarray(
            view.clean + view.radius * np.where(view.uniform(per_episode=True) < 0, -1.0, 1.0)
        )


@ATTACKS.register("action-uniform")
@dataclass(frozen=True)
class ActionUniform(Uniform):
    """Uniform noise on the actions."""

    port: ClassVar[Port] = "action"


@ATTACKS.register("action-corner")
@dataclass(frozen=True)
class ActionCorner(Corner):
    """A random corner of the ball around the action, fresh in each step."""

    port: ClassVar[Port] = "action"
