"""Reach-v0: bring the tool to a point and keep it there."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robo_adv.envs.clear import AIR, clear_places, inside
from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.obstacles import OVER, PALM, ObstacleTask, room_below
from robo_adv.envs.manipulation.task import TALL_WORKSPACE
from robo_adv.levels import Parameter


@GAMES.register("Reach-v0")
class Reach(ObstacleTask):
    """The arm brings its tool centre point to a point in the air.

    Rules: the goal is uniform in a box of 0.3 x 0.5 x 0.35 m in front of the arm; after 2 s (50
    control steps) the arm wins when the tool centre point is within 2 cm of it. Reward `sparse`:
    -1 per step away from the goal, 0 at it. Reward `dense` adds the distance.

    With `obstacles=k`, up to k posts stand on the table; goals that the gripper could not get to for
    them are moved sideways or up, whichever is nearer. Goals above a post are clear.

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
        goal = np.clip(
            self.near_centre(ids, "goal", u, self.extent),
            low + self.tolerance,
            high - self.tolerance,
        )
        return self._clear(ids, goal) if self.posts.count else goal

    def _clear(self, ids: Ints, goal: Array) -> Array:
        """Goals (n, 3) moved to where the gripper, pointing down, fits between the posts."""
        low, high = self.workspace[0] + self.tolerance, self.workspace[1] - self.tolerance
        top = self.posts.column(self.params, "height", ids)
        centres, _ = self.discs(ids, 0.0)

        def radii(z: Array) -> Array:
            room = room_below(top - z[:, None])
            return np.where(room > 0.0, self.discs(ids, room)[1], 0.0)

        place = goal[:, :2]
        aside, found = clear_places(place, centres, radii(goal[:, 2]), low[:2], high[:2])
        way = np.sqrt(((aside - place) ** 2).sum(axis=1))
        out = np.concatenate([aside, goal[:, 2:]], axis=1)
        way = np.where(found, way, np.inf)
        for z in np.concatenate([top + OVER, top - PALM], axis=1).T + AIR:  # heights to rise to
            clear = (z <= high[2]) & ~inside(place[:, None], centres, radii(z))[:, 0]
            nearer = clear & (z - goal[:, 2] >= 0.0) & (z - goal[:, 2] < way)
            out[nearer, :2], out[nearer, 2] = place[nearer], z[nearer]
            way = np.where(nearer, z - goal[:, 2], way)
        moved = (out != goal).any(axis=1)
        self.note_repairs(ids, moved[:, None], np.isfinite(way)[:, None])
        return out

    def achieved(self, ids: Ints | slice) -> Array:
        return self.poses.position[ids]

    def reward_terms(self, player: str) -> Terms:
        terms = self.goal_terms(self.poses.position, self.goal)
        return terms | {"effort": -np.linalg.norm(self.tool_velocity, axis=1)}
