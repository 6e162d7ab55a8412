"""Push-v0: push a cube over the table to a place."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.costs import ARM_COSTS, THING_COSTS
from robo_adv.envs.manipulation.scene import Thing
from robo_adv.envs.manipulation.task import ManipulationTask, upright
from robo_adv.levels import Parameter

HALF = 0.025  # [m] half the cube's edge
BEHIND = 0.05  # [m] from the cube's centre to where the tool pushes from


@GAMES.register("Push-v0")
class Push(ManipulationTask):
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
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"goal": 0.3, "near": 1.0, "approach": 0.5}},
    }

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        pose = np.zeros((len(ids), 1, 7))
        pose[:, 0, :2] = self.near_centre(ids, "object", u[:, :2], self.extent)
        pose[:, 0, 2] = HALF * self.level(ids, "object_size")
        pose[:, 0, 3:] = upright(0.5 * np.pi * (u[:, 2] - 0.5))  # every yaw of a cube
        return pose

    def goals(self, ids: Ints, u: Array) -> Array:
        distance = (self.near + (self.far - self.near) * u[:, 3]) * self.level(ids, "goal_distance")
        angle = 2.0 * np.pi * u[:, 4]
        goal = np.zeros((len(ids), 3))
        offset = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        start = self.near_centre(ids, "object", u[:, :2], self.extent)
        low, high = self.workspace[0, :2] + 0.06, self.workspace[1, :2] - 0.06
        # A goal beyond the region is mirrored at the cube, which keeps its distance.
        outside = (start + offset < low) | (start + offset > high)
        place = start + np.where(outside, -offset, offset)
        # Long ways of edited levels end where the tool can still push the cube; nominal ones do anyway.
        low, high = self.workspace[0, :2] - self.beyond, self.workspace[1, :2] + self.beyond
        goal[:, :2] = np.minimum(np.maximum(place, low), high)
        goal[:, 2] = HALF * self.level(ids, "object_size")
        return goal

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
