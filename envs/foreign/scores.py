"""Discrete actions as scores: n numbers in [-1, 1], of which the largest chooses the action."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
SCORES = "scores"  # keyword of worlds that wraps their environment like this


class Scores(gymnasium.ActionWrapper[Any, Array, Any]):
    """An environment of n discrete actions with the action space Box(-1, 1, (n,)).

    The action with the largest score is played, the first of equal ones.

    Raises:
        RoboAdvError: the environment's actions are not discrete.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        space = env.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise RoboAdvError(f"scores choose among discrete actions, got {space}")
        self.first = int(space.start)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (int(space.n),), np.float32)

    def action(self, action: Array) -> Any:
        return self.first + int(np.argmax(action))


def one_hot(scores: Array) -> Array:
    """Scores (N, n) as played: 1 for the chosen action, -1 for the others."""
    played = np.full(scores.shape, -1.0, dtype=np.float32)
    played[np.arange(len(scores)), scores.argmax(axis=1)] = 1.0
    return played
