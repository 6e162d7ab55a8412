"""A controller with masked gradients: a pole balanced by feedback through a fine staircase.

It is made of tanh units so steep that they are saturated, in 32-bit numbers, almost everywhere: the
gradient is exactly zero there, while the output follows the plain feedback within half a stair. Many
sensors measure the same two numbers, so that noise averages out and a coordinated error does not.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import nn

from robo_adv.policy import State
from robo_adv.threats.access import Access
from robo_adv.threats.mlp import MLP

Array = npt.NDArray[Any]
COPIES, HORIZON, FALLEN = 8, 200, 0.1  # sensors of each kind, steps, [rad]
DT, STIFFNESS = 0.05, 9.8  # [s], [1/s^2]
GAINS = np.repeat([18.7 / COPIES, 5.97 / COPIES], COPIES)  # linear-quadratic regulator, (16,)
STAIR, REACH, STEEPNESS = 0.5, 8.0, 1e4
EPS = 0.14  # [rad] and [rad/s]


class Balance(gymnasium.Env[Any, Any]):
    """A linearised inverted pendulum pushed at its base; 1 for each step until it has fallen."""

    metadata = {"render_modes": []}

    def __init__(self, horizon: int = HORIZON) -> None:
        size = 2 * COPIES
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = spaces.Box(-REACH, REACH, (1,), np.float32)
        self.horizon = horizon

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.angle, self.rate = self.np_random.uniform(-0.02, 0.02, 2)
        self.steps = 0
        return self._observed(), {}

    def _observed(self) -> Array:
        return np.repeat([self.angle, self.rate], COPIES).astype(np.float32)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        push = STIFFNESS * self.angle + float(action[0])
        self.angle, self.rate = self.angle + DT * self.rate, self.rate + DT * push
        self.steps += 1
        fallen = abs(self.angle) > FALLEN
        return self._observed(), 1.0, fallen, self.steps >= self.horizon, {"cost": float(fallen)}


class Feedback:
    """-K y as a network (n, 16) -> (n, 1): plain, or as a staircase that automatic differentiation
    finds flat."""

    def __init__(self, masked: bool = True) -> None:
        edges = np.arange(-REACH + STAIR / 2, REACH, STAIR)  # between the stairs
        layers: list[tuple[Array, Array]] = [(-GAINS[None], np.zeros(1))]
        if masked:
            steep = STEEPNESS * np.ones((len(edges), 1))
            layers = [(-steep * GAINS, -STEEPNESS * edges),
                      (np.full((1, len(edges)), STAIR / 2), np.zeros(1))]  # fmt: skip
        modules: list[nn.Module] = []
        for weight, bias in layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.as_tensor(weight))
                linear.bias.copy_(torch.as_tensor(bias))
            modules += [linear, nn.Tanh()]
        found = MLP.of(modules[:-1])
        assert found is not None
        self.network = found

    @property
    def access(self) -> Access:
        """Its mean action, differentiable."""
        return Access(mean=self.network)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return self.network(torch.as_tensor(observation)).numpy(), state
