"""Reach-v0: bring the tool to a point and keep it there."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.task import TALL_WORKSPACE, ManipulationTask
from robo_adv.levels import Parameter


@GAMES.register("Reach-v0")
class Reach(ManipulationTask):
    """The arm brings its tool centre point to a point in the air.

    Rules: the goal is uniform in a box of 0.3 x 0.5 x 0.35 m in front of the arm; after 2 s (50
    control steps) the arm wins when the tool centre point is within 2 cm of it. Reward `sparse`:
    -1 per step away from the goal, 0 at it. Reward `dense` adds the distance.

    Version history: v0, first release.
    """

    id = "Reach-v0"
    clock = 2.0
    workspace = TALL_WORKSPACE
    tolerance: ClassVar[float] = 0.02  # [m]
    task_parameters = (
        Parameter("goal_x", 0.38, 0.58, 0.48, "m", role="task"),
        Parameter("goal_y", -0.15, 0.15, 0.0, "m", role="task"),
        Parameter("goal_z", 0.15, 0.35, 0.25, "m", role="task"),
        Parameter("goal_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
    )
    extent: ClassVar[Array] = np.array([0.15, 0.25, 0.175])  # half sizes of the goals' box [m]
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"goal": 0.2, "distance": 2.0, "effort": 0.01}},
    }

    def goals(self, ids: Ints, u: Array) -> Array:
        low, high = self.workspace
        return np.clip(
            self.near_centre(ids, "goal", u, self.extent),
            low + self.tolerance,
            high - self.tolerance,
        )

    def achieved(self, ids: Ints | slice) -> Array:
        return self.poses.position[ids]

    def reward_terms(self, player: str) -> Terms:
        terms = self.goal_terms(self.poses.position, self.goal)
        return terms | {"effort": -np.linalg.norm(self.tool_velocity, axis=1)}
