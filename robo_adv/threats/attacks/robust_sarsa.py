"""Robust Sarsa and RS+MAD (Zhang et al. 2020): down a critic that was learned from the controller."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import ClassVar

import numpy as np
import torch

from robo_adv.threats.attack import ATTACKS, Array, Attack, Perturbation, View
from robo_adv.threats.gradient import Function, Objective, ascend
from robo_adv.threats.lab import Lab, Transitions
from robo_adv.threats.sarsa import Critic, Member, SarsaFit, fit_critics
from robo_adv.threats.threat import Port

Tensor = torch.Tensor
SAMPLE = 1024  # states at which the two parts of RS+MAD are measured


@ATTACKS.register("robust-sarsa")
@dataclass(frozen=True)
class RobustSarsa(Perturbation):
    """Shows what makes the controller act worst by a critic learned from its own steps, the worst of a
    family of critics: 10 sign-gradient steps down Q(x, mu(z)), where Q judges the true state x.

    Attributes:
        steps: gradient steps. data: steps of the controller that critics learn from.
        gammas, boxes, weights: of the family of critics, one for each triple. fit: how they learn.
        mixes: shares of the action difference in what is raised, tried with the best critics.
        critic: the one in use; None before `search`. mix: likewise.
        units: what Q and the action difference are divided by when they are mixed.
    """

    steps: int = 10
    data: int = 60_000
    gammas: tuple[float, ...] = (0.9, 0.99)
    boxes: tuple[float, ...] = (0.05, 0.2)
    weights: tuple[float, ...] = (1.0, 10.0)
    fit: SarsaFit = SarsaFit()
    mixes: tuple[float, ...] = ()
    critic: Critic | None = field(default=None, compare=False, repr=False)
    mix: float = 0.0
    units: tuple[float, float] = (1.0, 1.0)
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)
    passes: ClassVar[tuple[int, int]] = (12, 10)
    kept: ClassVar[int] = 2  # critics with which mixes are tried

    def search(self, lab: Lab) -> Attack:
        if self.critic is not None:
            return self
        assert lab.access is not None and lab.access.mean is not None
        mean: Function = lab.access.mean
        seen = lab.transitions(self.data)
        family = [Member(*each) for each in product(self.gammas, self.boxes, self.weights)]
        tried = [
            replace(self, critic=critic, units=units(critic, mean, seen, lab))
            for critic in fit_critics(seen, mean, family, lab.rng, self.fit)
        ]
        marks = lab.judge(tried)
        if self.mixes:
            best = [tried[k] for k in np.argsort(-marks, kind="stable")[: self.kept]]
            mixed = [replace(one, mix=mix) for one in best for mix in self.mixes]
            tried, marks = tried + mixed, np.concatenate([marks, lab.judge(mixed)])
        return tried[int(np.argmax(marks))]

    def propose(self, view: View) -> Array:
        assert view.access is not None and view.access.mean is not None
        objective = mixed(view, view.access.mean, self)
        return ascend(view, objective, view.uniform(), 2.5 / self.steps, self.steps)

    @property
    def told(self) -> str:
        """Which member of the family it is, in words."""
        if self.critic is None:
            return "no critic yet"
        told = f"critic of {self.critic.member}"
        return told + (f", {self.mix:.0%} action difference" if self.mix else "")


@ATTACKS.register("rs-mad")
@dataclass(frozen=True)
class RobustSarsaMad(RobustSarsa):
    """The same, and mixtures of it with the action difference, of which the worst is kept: (1 - r) (-Q)
    + r |mu(z) - mu(x)|^2, both in units of their mean change over random corners of the ball."""

    mixes: tuple[float, ...] = (0.1, 0.3, 0.6)


def mixed(view: View, mean: Function, attack: RobustSarsa) -> Objective:
    """(1 - r) (-Q(x, mu(z))) + r |mu(z) - mu(x)|^2 in units; without a critic the difference alone."""
    clean = torch.as_tensor(view.clean, dtype=torch.float32)
    with torch.no_grad():
        wanted = mean(clean)
    critic, mix = attack.critic, attack.mix if attack.critic is not None else 1.0
    worse, away = (1.0 - mix) / attack.units[0], mix / attack.units[1]

    def head(out: Tensor) -> tuple[Tensor, Tensor]:
        moved = out - wanted
        value, slope = away * moved.square().sum(dim=1), 2.0 * away * moved
        if critic is None or not worse:
            return value, slope
        q, down = critic.value_and_slope(clean, out)
        return value - worse * q, slope - worse * down

    return Objective(mean, head)


def units(critic: Critic, mean: Function, seen: Transitions, lab: Lab) -> tuple[float, float]:
    """Mean change of Q and of the action over random corners of the ball around states."""
    rows = seen.observation.reshape(-1, seen.observation.shape[-1])
    clean = torch.as_tensor(lab.rng.choice(rows, min(SAMPLE, len(rows)), replace=False)).float()
    sign = torch.as_tensor(lab.rng.choice([-1.0, 1.0], clean.shape)).float()
    reach = torch.as_tensor(lab.threat.budget * lab.scale).float()
    with torch.no_grad():
        before, after = mean(clean), mean(clean + reach * sign)
    change = critic.value_and_slope(clean, after)[0] - critic.value_and_slope(clean, before)[0]
    away = (after - before).square().sum(dim=1)
    return max(float(change.abs().mean()), 1e-9), max(float(away.mean()), 1e-9)
