"""Pushes: at random times and directions, and the worst of a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robo_adv import seeding
from robo_adv.threats.attack import ATTACKS, Array, Attack, Blow, Push, PushView
from robo_adv.threats.lab import Lab


@ATTACKS.register("random-push")
@dataclass(frozen=True)
class RandomPush(Push):
    """Horizontal pushes in random directions, one in each period at a random time.

    Attributes:
        duration: of a push [s]. period: [s].
    """

    duration: float = 0.2
    period: float = 1.0

    def force(self, view: PushView) -> Array:
        seeds, time, bodies = view.seeds, view.time, view.bodies
        count = np.floor(time / self.period).astype(np.uint64)
        u = seeding.uniform(seeds, seeding.ATTACK, 3, count)
        begin = u[:, 0] * max(self.period - self.duration, 0.0)
        phase = time - count * self.period
        on = (phase >= begin) & (phase < begin + self.duration)
        angle = 2.0 * np.pi * u[:, 1]
        out = np.zeros((len(seeds), bodies, 3))
        body = np.minimum((u[:, 2] * bodies).astype(np.int64), bodies - 1)
        out[np.arange(len(seeds)), body, 0] = on * np.cos(angle)
        out[np.arange(len(seeds)), body, 1] = on * np.sin(angle)
        return out


@ATTACKS.register("worst-push")
@dataclass(frozen=True)
class WorstPush(Push):
    """The worst of a grid of periodic pushes, as many and as long as those of `random-push`: always in
    the same direction at the same moment of the period. Chosen on search scenarios.

    Attributes:
        angles: number of directions. times: when in the period pushes begin [s]. duration: of a push
            [s]. period: [s]. bodies: how many of the threat's bodies are tried.
    """

    angles: int = 8
    times: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    duration: float = 0.2
    period: float = 1.0
    bodies: int = 1

    def force(self, view: PushView) -> Array:
        return np.zeros((len(view.seeds), view.bodies, 3))

    def search(self, lab: Lab) -> Attack:
        grid = [
            Blow(body, 2.0 * np.pi * k / self.angles, start, self.duration, self.period)
            for body in range(self.bodies)
            for k in range(self.angles)
            for start in self.times
        ]
        return grid[int(np.argmax(lab.judge(grid)))]
