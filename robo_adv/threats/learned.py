"""Learned attacks: policies trained by PPO at a port, paid for what the controller loses.

Such an attacker is one more reinforcement-learning agent. It sees what the controller would see, and
its actions lie in [-1, 1]; `decode` of its attack says what they mean at the port. The threat projects
what comes out, in training as in evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy, State, padded_rows, predict_padded
from robo_adv.threats.attack import Attack, Perturbation, Push, PushView, View
from robo_adv.threats.lab import Lab

Array = npt.NDArray[Any]
Aim = Literal["return", "cost", "stealth"]


@dataclass(frozen=True)
class LearnedAttack(Attack):
    """Base of attacks with a policy behind them.

    Attributes:
        steps: environment steps of its training. restarts: trainings from other seeds; the best is
            kept. aim: `return` lowers the controller's return; `cost` raises what its criterion calls
            unsafe; `stealth` does so while the return stays near that without attack.
        brain: the trained policy, (n, d + limits) -> (n, k) in [-1, 1]; None before `search`.

    Raises:
        RoboAdvError: no such aim, or no steps.
    """

    steps: int = 300_000
    restarts: int = 1
    aim: Aim = "return"
    brain: Policy | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.aim not in get_args(Aim):
            raise unknown("aim", self.aim, get_args(Aim))
        if self.steps < 1 or self.restarts < 1:
            raise RoboAdvError(
                f"a learned attack needs at least 1 step and 1 restart, got {self.steps}, "
                f"{self.restarts}"
            )

    def outputs(self, entries: int, actions: int, bodies: int) -> int:
        """How many numbers its policy gives, for a port of so many entries, a controller of so many
        actions and so many bodies to push."""
        return entries

    def variant(self, restart: int) -> LearnedAttack:
        """What a restart trains; by default the attack itself."""
        return self

    def held(self, brain: Policy | None) -> LearnedAttack:
        """The same attack with another policy behind it."""
        return replace(self, brain=brain)

    def search(self, lab: Lab) -> Attack:
        return self if self.brain is not None else lab.train(self)

    def decide(self, observation: Array, left: Array) -> Array:
        """What its policy says (n, k) to observations (n, d) and what is left of the schedule's limits
        (n, limits)."""
        if self.brain is None:
            raise RoboAdvError(f"{type(self).__name__} was not trained")
        parts = [observation, left] if left.size else [observation]
        seen = np.concatenate(parts, axis=1, dtype=np.float32)
        starts = np.zeros(len(seen), dtype=bool)
        said, _ = predict_padded(self.brain, seen, None, starts, True)
        return np.asarray(said, dtype=np.float64)


@dataclass(frozen=True)
class LearnedPerturbation(LearnedAttack, Perturbation):
    """A learned attack on observations or actions."""

    def propose(self, view: View) -> Array:
        return self.decode(view, self.decide(view.observation, view.left))

    def decode(self, view: View, said: Array) -> Array:
        """The proposal (n, d) that its policy's numbers (n, k) mean; by default a place in the ball."""
        return np.asarray(view.clean + view.radius * said)


@dataclass(frozen=True)
class LearnedPush(LearnedAttack, Push):
    """A learned attack that pushes bodies: its numbers are forces in units of the budget."""

    def outputs(self, entries: int, actions: int, bodies: int) -> int:
        return 3 * bodies

    def force(self, view: PushView) -> Array:
        return self.decide(view.observation, view.left).reshape(len(view.seeds), view.bodies, 3)


class Handed:
    """Stands in for an attacker's policy while it is trained: says what it was handed (n, k)."""

    def __init__(self) -> None:
        self.said: Array = np.zeros((0, 0))

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return padded_rows(self.said, len(observation)), state
