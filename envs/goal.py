"""GoalGame: games of one player that is asked to reach a goal, with rewards that can be relabelled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import Array, Bools
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError

ACHIEVED, DESIRED = "achieved_goal", "desired_goal"
GOAL_TERMS = ("goal", "distance")


class GoalGame(Game):
    """A game of one player whose layout begins with the slices `achieved_goal` and `desired_goal`.

    With them in front, a flat observation is what `gymnasium.spaces.flatten` makes of the Dict
    observation {achieved_goal, desired_goal, observation}, so both faces feed the same network.

    Two reward terms are functions of the goals, `goal` (0 at the goal, -1 elsewhere) and `distance`
    (minus `goal_distance`); hindsight relabelling recomputes them with `compute_reward`. The player
    wins when its goal is reached as the episode ends; anything else is a draw.
    """

    @abstractmethod
    def success(self, achieved: Array, desired: Array) -> Bools:
        """Whether goals (n, g) are reached (n,)."""

    @abstractmethod
    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """How far goals (n, g) are from being reached (n,) [m]."""

    def goal_terms(self, achieved: Array, desired: Array) -> dict[str, Array]:
        """The reward terms (n,) that depend on the goals alone.

        Goals are rounded to the precision of observations first, so that a reward is the same whether
        it was computed from the state or from an observation.
        """
        achieved, desired = (x.astype(np.float32).astype(np.float64) for x in (achieved, desired))
        return {
            "goal": self.success(achieved, desired).astype(np.float64) - 1.0,
            "distance": -self.goal_distance(achieved, desired),
        }

    def compute_reward(
        self, achieved: npt.ArrayLike, desired: npt.ArrayLike, info: Any = None
    ) -> Array:
        """Rewards (n,) had `desired` (n, g) been the goals; (g,) gives a scalar array.

        Terms that do not depend on the goals are taken from `info["reward_terms"]` (one dict, or one
        per row).

        Raises:
            RoboAdvError: the weights have such terms and `info` lacks them.
        """
        a, d = np.asarray(achieved, dtype=np.float64), np.asarray(desired, dtype=np.float64)
        if a.shape != d.shape or a.ndim not in (1, 2):
            raise RoboAdvError(f"goals have shapes {a.shape} and {d.shape}, expected (n, g) twice")
        weights = self.weights[self.players[0]]
        terms = self.goal_terms(np.atleast_2d(a), np.atleast_2d(d))
        reward = np.zeros(len(np.atleast_2d(a)))
        for name, weight in weights.items():
            if name in GOAL_TERMS:
                reward += weight * terms[name]
            elif weight:
                reward += self._given(name, info, len(reward))
        return reward if a.ndim == 2 else reward[0]

    def _given(self, name: str, info: Any, n: int) -> Array:
        """Weighted term `name` (n,) from infos."""
        infos = [info] * n if isinstance(info, Mapping) else list(info if info is not None else [])
        try:
            return np.array([float(np.ravel(i["reward_terms"][name])[0]) for i in infos[:n]])
        except (KeyError, TypeError, IndexError) as error:
            raise RoboAdvError(
                f"reward term {name!r} of {self.id} does not depend on the goal and info has no "
                "reward_terms to take it from; use reward='sparse' for relabelling"
            ) from error
