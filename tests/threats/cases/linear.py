"""Linear closed loops as Gymnasium environments, with their policies from inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import nn

from robo_adv.policy import State
from robo_adv.threats.access import Access
from robo_adv.threats.attack import Perturbation, View
from robo_adv.threats.exact import LinearLoop
from robo_adv.threats.mlp import MLP
from robo_adv.threats.threat import Norm, Port

Array = npt.NDArray[Any]
HORIZON = 12
WEIGHT = np.array([1.0, -0.5, 0.0])
# A lightly damped oscillator that drives a slow third state; the loop is stable.
LOOP = LinearLoop(
    a=np.array([[1.0, 0.3, 0.0], [-0.3, 0.95, 0.1], [0.0, 0.2, 0.9]]),
    b=np.array([[0.0], [0.3], [0.1]]),
    k=np.array([[0.4, 1.1, -0.5]]),
)


class LinearSystem(gymnasium.Env[Any, Any]):
    """x+ = A x + B u + noise; the return is `bonus` for each step and how far weight^T x fell.

    It observes the sensors C x and the share of time left, so the end is one of its rules: an attacker
    that learns must not look beyond it.
    """

    metadata = {"render_modes": []}

    def __init__(
        self, loop: LinearLoop = LOOP, weight: Array = WEIGHT, horizon: int = HORIZON,
        noise: float = 0.01, bonus: float = 0.0, spread: float = 0.1,
    ) -> None:  # fmt: skip
        self.loop, self.weight, self.horizon = loop, weight, horizon
        self.noise, self.bonus, self.spread = noise, bonus, spread
        size = len(loop.sensors) + 1
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = spaces.Box(-1e3, 1e3, (loop.b.shape[1],), np.float64)

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        n = len(self.loop.a)
        self.x, self.steps = self.np_random.uniform(-self.spread, self.spread, n), 0
        return self._observed(), {}

    def _observed(self) -> Array:
        return np.append(self.loop.sensors @ self.x, 1.0 - self.steps / self.horizon)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        before = self.x
        push = self.noise * self.np_random.normal(size=len(before))
        self.x = self.loop.a @ before + self.loop.b @ action + push
        self.steps += 1
        reward = self.bonus - float(self.weight @ (self.x - before))
        return self._observed(), reward, self.steps >= self.horizon, False, {}


class LinearPolicy:
    """u = -K y of the sensors y; the clock behind them is not looked at."""

    def __init__(self, loop: LinearLoop = LOOP) -> None:
        self.weights = np.hstack([-loop.k, np.zeros((len(loop.k), 1))])  # (m, d + 1)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        # Summed entry by entry: a matrix product's last bits depend on the number of rows.
        total = sum(observation[:, [k]] * column for k, column in enumerate(self.weights.T))
        return np.asarray(total), state

    @property
    def access(self) -> Access:
        """A network of one layer."""
        actions, entries = self.weights.shape
        layer = nn.Linear(entries, actions, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.as_tensor(self.weights))
        return Access(mean=MLP.of([layer]))


@dataclass(frozen=True)
class Played(Perturbation):
    """Adds given perturbations (T, d) to the sensors, step by step; a mutant may ask for more."""

    port: ClassVar[Port] = "observation"
    deltas: tuple[tuple[float, ...], ...] = ()
    times: float = 1.0

    def propose(self, view: View) -> Array:
        table = np.array(self.deltas)
        table = np.hstack([table, np.zeros((len(table), view.clean.shape[1] - table.shape[1]))])
        return np.asarray(view.clean + self.times * table[view.step.astype(int)])


@dataclass(frozen=True)
class PlayedInL2(Played):
    """The same where the budget is a length."""

    norm: ClassVar[Norm] = "l2"


def as_tuples(deltas: Array) -> tuple[tuple[float, ...], ...]:
    """(T, d) as an attack's parameter."""
    return tuple(tuple(float(x) for x in row) for row in deltas)
