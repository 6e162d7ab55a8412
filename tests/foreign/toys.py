"""Small Gymnasium environments with known behaviour, and a policy for any of them."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[Any]


class Cart(gymnasium.Env[Any, Any]):
    """A point on a line: x += action / 10; over at |x| > 2, cut after 20 steps by its wrapper.

    Keywords plant what a world must notice.
    """

    metadata = {"render_modes": [], "render_fps": 20}

    def __init__(self, **faults: Any) -> None:
        self.faults = faults
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        bounds = (-np.inf, np.inf) if faults.get("endless_actions") else (-0.5, 2.0)
        self.action_space = spaces.Box(*bounds, (1,), np.float32)
        self.resets = 0

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.resets += 1
        source = np.random if self.faults.get("global_random") else self.np_random
        self.x = 0.0 if self.faults.get("always_alike") else source.uniform(-1.0, 1.0)
        self.steps, self.action = 0, 0.0
        return self.observed(), {}

    def observed(self) -> Array:
        return np.array([self.x, self.steps], dtype=np.float32)

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        self.action = float(action[0])
        self.x += 0.1 * self.action
        self.steps += 1
        info: dict[str, Any] = {}
        if "cost" in self.faults and self.steps >= self.faults["cost"]:
            info["cost"] = np.nan if self.faults.get("nan_cost") else 0.5
        if self.steps == self.faults.get("raises_at"):
            raise RuntimeError("solver broke down")
        seen = self.observed()
        if self.steps == self.faults.get("nan_at"):
            seen[0] = np.nan
        return seen, self.x, abs(self.x) > 2.0, self.steps >= self.faults.get("ends", 20), info


class Goal(gymnasium.Env[Any, Any]):
    """A goal task with Dict observations: success once the goal is within 0.3."""

    def __init__(self) -> None:
        part = spaces.Box(-10.0, 10.0, (2,), np.float64)
        self.observation_space = spaces.Dict(
            {"observation": spaces.Box(-1, 1, (3,), np.float64), "desired_goal": part,
             "achieved_goal": part}
        )  # fmt: skip
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.goal, self.at, self.steps = self.np_random.uniform(-1, 1, 2), np.zeros(2), 0
        return self.observed(), {}

    def observed(self) -> dict[str, Array]:
        return {"observation": np.array([0.1, 0.2, 0.3]), "desired_goal": self.goal,
                "achieved_goal": self.at.copy()}  # fmt: skip

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at = self.at + 0.1 * np.asarray(action, dtype=np.float64)
        self.steps += 1
        near = bool(np.linalg.norm(self.goal - self.at) < 0.3)
        return self.observed(), 0.0, False, self.steps >= 30, {"is_success": near}


class Linear:
    """tanh of a fixed linear map of observations (n, d), rounded to float32 as networks' actions."""

    def __init__(self, size: int, actions: int) -> None:
        self.weights = np.random.default_rng(0).normal(0.0, 0.5, (size, actions))

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        # Summed entry by entry: a matrix product's last bits depend on the number of rows.
        total = sum(observation[:, [k]] * row for k, row in enumerate(self.weights))
        return np.tanh(np.asarray(total)).astype(np.float32), state


def linear_for(world: Any) -> dict[str, Linear]:
    return {"agent": Linear(world.layouts["agent"].size, world.action_size("agent"))}
