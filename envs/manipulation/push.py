"""Push-v0: push a cube over the table to a place."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robo_adv.envs.clear import clear_places
from robo_adv.envs.episode import Array, Bools, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.costs import ARM_COSTS, THING_COSTS
from robo_adv.envs.manipulation.obstacles import ObstacleTask
from robo_adv.envs.manipulation.scene import Thing
from robo_adv.envs.manipulation.task import upright
from robo_adv.levels import Parameter
from robo_adv.levels.feasible import Constraint

HALF = 0.025  # [m] half the cube's edge
AIR = 0.01  # [m] between the cube and an obstacle at the start and at the goal
BEHIND = 0.05  # [m] from the cube's centre to where the tool pushes from


@GAMES.register("Push-v0")
class Push(ObstacleTask):
    """The arm pushes a cube of 5 cm to a place on the table, its gripper closed.

    Rules: the cube starts in a region of 0.16 x 0.3 m; its goal lies 0.1 to 0.2 m away in any
    direction. After 4 s (100 control steps) the arm wins when the cube's centre is within 5 cm of
    the goal (the tolerance of gymnasium-robotics' FetchPush). Reward `sparse`: -1 per step away from
    the goal, 0 at it. Reward `dense` adds how near the cube is to the goal and the tool to the place
    behind the cube, both as 1 / (1 + distance / length), which is steepest where it matters.

    Version history: v0, first release.
    """

    id = "Push-v0"
    clock = 4.0
    things = (Thing("object", "box", (HALF, HALF, HALF), 0.2),)
    costs = ARM_COSTS | THING_COSTS
    tolerance: ClassVar[float] = 0.05  # [m]
    task_numbers = 5
    task_parameters = (
        Parameter("object_x", 0.44, 0.56, 0.50, "m", role="task"),
        Parameter("object_y", -0.12, 0.12, 0.0, "m", role="task"),
        Parameter("object_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("goal_distance", 0.5, 1.25, 1.0, "x nominal", role="task"),
    )
    extent: ClassVar[Array] = np.array([0.08, 0.15])  # half sizes of the start region [m]
    near: ClassVar[float] = 0.10  # [m] goal distances are uniform between these
    far: ClassVar[float] = 0.20
    beyond: ClassVar[float] = 0.06  # [m] how far from the workspace goals may lie
    post_height = (0.03, 0.05)  # the hand, 3.7 cm above the tool centre point, passes over them
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"goal": 0.3, "near": 1.0, "approach": 0.5}},
    }

    def constraints(self) -> tuple[Constraint, ...]:
        """With three posts or more, they make no ring that the cube cannot be pushed out of."""
        mine = super().constraints()
        if self.posts.count < 3:
            return mine
        largest = self.design_space["object_size"].high
        return (*mine, self.posts.gap("the cube", 2.0 * np.sqrt(2.0) * HALF * largest, spare=2))

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        pose = np.zeros((len(ids), 1, 7))
        pose[:, 0, :2] = self._start_places(ids, u)[0]
        pose[:, 0, 2] = HALF * self.level(ids, "object_size")
        pose[:, 0, 3:] = upright(0.5 * np.pi * (u[:, 2] - 0.5))  # every yaw of a cube
        return pose

    def goals(self, ids: Ints, u: Array) -> Array:
        start, start_moved, start_found = self._start_places(ids, u)
        place = self._goal_places(ids, u, start)
        if self.posts.count:
            place, moved, found = self._clear_goals(ids, place, start)
            self.note_repairs(
                ids, np.stack([start_moved, moved], 1), np.stack([start_found, found], 1)
            )
        goal = np.zeros((len(ids), 3))
        goal[:, :2] = place
        goal[:, 2] = HALF * self.level(ids, "object_size")
        return goal

    def _goal_places(self, ids: Ints, u: Array, start: Array) -> Array:
        """Goals (n, 2) [m] as the level asks for them, for cubes that start at `start` (n, 2)."""
        distance = (self.near + (self.far - self.near) * u[:, 3]) * self.level(ids, "goal_distance")
        angle = 2.0 * np.pi * u[:, 4]
        offset = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        low, high = self.workspace[0, :2] + 0.06, self.workspace[1, :2] - 0.06
        # A goal beyond the region is mirrored at the cube, which keeps its distance.
        outside = (start + offset < low) | (start + offset > high)
        place = start + np.where(outside, -offset, offset)
        # Long ways of edited levels end where the tool can still push the cube; nominal ones do anyway.
        low, high = self.workspace[0, :2] - self.beyond, self.workspace[1, :2] + self.beyond
        return np.asarray(np.minimum(np.maximum(place, low), high))

    def _start_places(self, ids: Ints, u: Array) -> tuple[Array, Bools, Bools]:
        """Starts (n, 2) [m], which ones were moved (n,), and which ones are clear (n,)."""
        wanted = self.near_centre(ids, "object", u[:, :2], self.extent)
        if not self.posts.count:
            return wanted, np.zeros(len(ids), dtype=bool), np.ones(len(ids), dtype=bool)
        low, high = self.workspace[0, :2] + BEHIND, self.workspace[1, :2] - BEHIND
        place, found = clear_places(wanted, *self.discs(ids, self._room(ids)), low, high)
        return place, (place != wanted).any(axis=1), found

    def _clear_goals(self, ids: Ints, wanted: Array, start: Array) -> tuple[Array, Bools, Bools]:
        """As `_start_places`, for goals (n, 2); the start is one disc more."""
        centres, radii = self.discs(ids, self._room(ids))
        centres = np.concatenate([centres, start[:, None]], axis=1)
        radii = np.concatenate([radii, np.full((len(ids), 1), self.tolerance)], axis=1)
        low, high = self.workspace[0, :2] - self.beyond, self.workspace[1, :2] + self.beyond
        place, found = clear_places(wanted, centres, radii, low, high)
        return place, (place != wanted).any(axis=1), found

    def _room(self, ids: Ints) -> Array:
        """Room (n, 1) [m] around posts: half the cube's diagonal, and some air."""
        return np.asarray(np.sqrt(2.0) * HALF * self.level(ids, "object_size")[:, None] + AIR)

    def achieved(self, ids: Ints | slice) -> Array:
        return self.thing_position(ids)

    def reward_terms(self, player: str) -> Terms:
        place = self.thing_position(slice(None))
        away = self.goal - place
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.02)
        behind = np.linalg.norm(self.poses.position - (place - BEHIND * away), axis=1)
        terms = self.goal_terms(place, self.goal)
        near = 1.0 / (1.0 - 10.0 * terms["distance"])
        return terms | {"approach": 1.0 / (1.0 + 20.0 * behind), "near": near}
