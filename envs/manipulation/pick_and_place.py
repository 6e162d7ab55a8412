"""PickAndPlace-v0: grasp a cube and hold it at a point, on the table or in the air."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.costs import ARM_COSTS, THING_COSTS
from robo_adv.envs.manipulation.scene import Thing
from robo_adv.envs.manipulation.task import TALL_WORKSPACE, ManipulationTask, upright
from robo_adv.levels import Parameter
from robo_adv.levels.feasible import Constraint

HALF = 0.02  # [m] half the cube's edge
PLAY = 0.005  # [m] as far as poses are known: `interface.REFERENCE_NOISE`


@GAMES.register("PickAndPlace-v0")
class PickAndPlace(ManipulationTask):
    """The arm brings a cube of 4 cm to a point; half of the goals are up to 0.25 m in the air.

    Rules: cube and goal start in a region of 0.2 x 0.3 m, at least 0.1 m apart. After 4 s (100
    control steps) the arm wins when the cube's centre is within 5 cm of the goal. Reward `sparse`: -1
    per step away from the goal, 0 at it. Reward `dense` pays for a tool near the cube, for holding
    the cube, and for how near a held cube is to the goal.

    Version history: v0, first release.
    """

    id = "PickAndPlace-v0"
    clock = 4.0
    workspace = TALL_WORKSPACE
    things = (Thing("object", "box", (HALF, HALF, HALF), 0.1),)
    costs = ARM_COSTS | THING_COSTS
    uses_gripper = True
    gripper_start = 1.0
    tolerance: ClassVar[float] = 0.05  # [m]
    task_numbers = 7
    task_parameters = (
        Parameter("object_x", 0.45, 0.55, 0.50, "m", role="task"),
        Parameter("object_y", -0.10, 0.10, 0.0, "m", role="task"),
        Parameter("object_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("object_yaw", 0.0, 1.0, 0.3, "x quarter turn", role="task"),
        Parameter("air_share", 0.0, 1.0, 0.5, "share of goals", role="task"),
        Parameter("goal_height", 0.1, 0.35, 0.25, "m", role="task"),
    )
    extent: ClassVar[Array] = np.array([0.10, 0.15])  # half sizes of the region [m]
    apart: ClassVar[float] = 0.10  # [m]
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"approach": 0.5, "grasp": 0.5, "carry": 1.0, "effort": 0.1}},
    }

    def constraints(self) -> tuple[Constraint, ...]:
        """The open gripper is wider than the cube at its largest yaw, by `PLAY` on both sides."""
        assert self.arm.gripper is not None
        opening = 2.0 * self.arm.gripper.opening

        def margin(values: Mapping[str, Array]) -> Array:
            yaw = 0.25 * np.pi * values["object_yaw"]
            width = 2.0 * HALF * values["object_size"] * (np.cos(yaw) + np.sin(yaw))
            return np.asarray(opening - width - 2.0 * PLAY)

        names = ("object_size", "object_yaw")
        return (Constraint("the cube fits into the open gripper", names, margin),)

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        pose = np.zeros((len(ids), 1, 7))
        pose[:, 0, :2] = self.near_centre(ids, "object", u[:, :2], self.extent)
        pose[:, 0, 2] = HALF * self.level(ids, "object_size")
        yaw = self.level(ids, "object_yaw") * 0.5 * np.pi * (u[:, 2] - 0.5)
        pose[:, 0, 3:] = upright(yaw)
        return pose

    def goals(self, ids: Ints, u: Array) -> Array:
        start = self.near_centre(ids, "object", u[:, :2], self.extent)
        place = np.array([0.5, 0.0]) + self.extent * (2.0 * u[:, 3:5] - 1.0)
        offset = place - start
        length = np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-6)
        near = length < self.apart
        place = np.where(near, start + self.apart * offset / length, place)
        size = HALF * self.level(ids, "object_size")
        air = u[:, 5] < self.level(ids, "air_share")
        top = np.maximum(self.level(ids, "goal_height"), size)
        height = np.where(air, size + u[:, 6] * (top - size), size)
        return np.concatenate([place, height[:, None]], axis=1)

    def achieved(self, ids: Ints | slice) -> Array:
        return self.thing_position(ids)

    def reward_terms(self, player: str) -> Terms:
        place = self.thing_position(slice(None))
        gap = np.linalg.norm(self.poses.position - place, axis=1)
        held = self._held(gap)
        terms = self.goal_terms(place, self.goal)
        # Only a held cube earns anything by being near the goal: where pushing it there pays too,
        # pushing to the goals on the table (two thirds of them) is where learning stays.
        carry = held / (1.0 - 10.0 * terms["distance"])
        approach = 1.0 / (1.0 + 20.0 * gap)
        # Effort keeps actions from sitting at -1 where the table stops the tool anyway and exploration
        # would need many standard deviations to lift it.
        effort = -self.action_square() / self.action.shape[1]
        return terms | {"approach": approach, "grasp": held, "carry": carry, "effort": effort}

    def _held(self, gap: Array) -> Array:
        """1 where the fingers close on the cube: it is at the tool and keeps them open."""
        opening = self.qpos[:, self.finger_q].mean(axis=1)
        width = HALF * self.params["object_size"]
        closing = self.ctrl[:, self.gripper_u] < opening - 0.005
        held = (gap < 0.02) & closing & (np.abs(opening - width) < 0.4 * width)
        return np.asarray(held, dtype=np.float64)
