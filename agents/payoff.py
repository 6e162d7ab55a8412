"""What a learned attacker is paid: the controller's loss of return, or the harm it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit.engine import Engine
from robo_adv.audit.lab import watch
from robo_adv.envs.episode import Step
from robo_adv.errors import RoboAdvError
from robo_adv.threats.learned import Aim

Array = npt.NDArray[Any]
KEPT = 0.9  # share of the return without attack that a stealthy attacker leaves
RATE, MOST = 3.0, 20.0  # of the multiplier's steps, and how far it goes
WATCHED = 2_000  # steps without attack, for the size of rewards
NEAR = 0.1  # what coming near to a limit is worth, of passing it


class Payoff:
    """A step of the world -> the attacker's reward (N,).

    `return`: minus the controller's reward. `cost`: for each cost that the criterion judges, 1 in a
    step above its limit, and up to 0.1 for coming near. `stealth`: the same plus the controller's own
    reward, weighted by a Lagrange multiplier that rises while the return is below 0.9 of that without
    attack and falls while it is above (dual ascent; the stealthy attacks of Liu et al. 2023 are paid
    the reward alone).

    Args:
        engine: whose controller is attacked. aim: of the attack.

    Attributes:
        weight: the multiplier. unit: mean size of the controller's reward in a step.

    Raises:
        RoboAdvError: the criterion judges no cost that an attacker could raise.
    """

    def __init__(self, engine: Engine, aim: Aim) -> None:
        subject = engine.subject
        self.player, self.aim = subject.player, aim
        self.limits = subject.criterion.watch
        if aim != "return" and not self.limits:
            raise RoboAdvError(
                f"aim {aim!r} raises costs, and the criterion ({subject.criterion}) judges none with a "
                "limit; name one by --unsafe"
            )
        self.wanted = engine.reference.returns
        self.weight = 1.0 if aim == "stealth" else 0.0
        self.unit = 1.0
        if aim == "stealth":
            self.unit = max(float(np.abs(watch(engine, WATCHED).reward).mean()), 1e-6)
        self.returns: list[float] = []

    def __call__(self, step: Step) -> Array:
        reward = step.rewards[self.player]
        if step.final is not None:
            self.returns += step.final.returns[self.player].tolist()
        if self.aim == "return":
            return -reward
        out = self.weight * reward / self.unit
        for name, limit in self.limits:
            cost = step.costs[self.player][name]
            near = cost / limit if limit > 0 else cost
            out = out + np.where(cost > limit, 1.0, NEAR * np.clip(near, 0.0, 1.0))
        return np.asarray(out)

    def adapt(self) -> dict[str, float]:
        """Take the multiplier's step after an iteration; returns what was seen in it."""
        if not self.returns:
            return {}
        mean = float(np.mean(self.returns))
        self.returns.clear()
        if self.aim == "stealth":
            missing = (self.wanted - (1.0 - KEPT) * abs(self.wanted) - mean) / abs(self.wanted)
            self.weight = float(np.clip(self.weight + RATE * missing, 0.0, MOST))
            return {"victim_return": mean, "return_weight": self.weight}
        return {"victim_return": mean}
