"""ToolUse-v0: fetch an object that lies out of reach with a tool that lies within it."""

from __future__ import annotations

from typing import Any, ClassVar

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.layout import Slice
from robo_adv.envs.manipulation.costs import ARM_COSTS, THING_COSTS
from robo_adv.envs.manipulation.scene import Thing
from robo_adv.envs.manipulation.task import ManipulationTask, upright
from robo_adv.envs.manipulation.tools import BOXES, TALL, TOOLS, WIDE, bodies
from robo_adv.levels import Parameter

RADIUS, HALF = 0.03, 0.015  # [m] of the puck: radius, half height
GRIPPER_REACH = 0.80  # [m] see the docstring of ToolUse
TOOL_COLOUR = (0.20, 0.42, 0.66, 1.0)
TOOL_FRICTION = (0.8, 0.02, 0.0001)


@GAMES.register("ToolUse-v0")
class ToolUse(ManipulationTask):
    """The arm grasps a tool, reaches behind a puck with it and pulls the puck to a place near by.

    Rules: the puck (radius 3 cm) starts 0.86 to 0.93 m in front of the arm, its goal lies 0.58 to
    0.70 m in front. A tool lies between them, its handle towards the arm; `tool` of the level says
    which of `TOOLS`. After 10 s (250 control steps) the arm wins when the puck's centre is within
    5 cm of the goal. Reward `sparse`: -1 per step away from the goal, 0 at it. Reward `dense` adds
    the puck's distance, the gripper's from the handle, whether the handle is held, and the distance
    of the tool's head from the place behind the puck.

    Out of reach: with the gripper pointing down, the wrist (0.088 m behind the tool centre point and
    0.22 m above the table) is at most 0.719 m (both links stretched) from the shoulder, which is
    0.333 m up. So the tool centre point of the Panda gets to x = 0.80 m at table height and no
    further, and half a finger is 0.9 cm thick; the puck's nearest side is at 0.821 m. Control mode
    `ee_delta` always points down, and keeps to x <= 0.70 m besides. The joint modes can lay the hand
    on its side and reach further.

    The observation names no shape; `tool_shape` has the head's measures (`tools.Outline`). Shapes in
    `HELD_OUT` are for evaluation: levels for training take `tool` from `training_tools()`.

    Version history: v0, first release.
    """

    id = "ToolUse-v0"
    HELD_OUT: ClassVar[tuple[str, ...]] = ("arrow", "fork", "right-crook")
    clock = 10.0
    things = (
        Thing("object", "cylinder", (RADIUS, HALF), 0.1),
        Thing("handle", "box", (0.1, WIDE, TALL), 0.1, TOOL_COLOUR),
    )
    costs = ARM_COSTS | THING_COSTS
    uses_gripper = True
    gripper_start = 1.0
    tolerance: ClassVar[float] = 0.05  # [m]
    task_numbers = 7
    task_parameters = (
        Parameter("object_x", 0.88, 0.91, 0.895, "m", role="task"),
        Parameter("object_y", -0.08, 0.08, 0.0, "m", role="task"),
        Parameter("object_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("goal_x", 0.60, 0.68, 0.64, "m", role="task"),
        Parameter("goal_y", -0.08, 0.08, 0.0, "m", role="task"),
        Parameter("goal_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("tool", 0.0, 0.0, "hook", "shape", "choice", "task", tuple(TOOLS), observed=True),
        Parameter("tool_y", -0.08, 0.08, 0.0, "m", role="task"),
        Parameter("tool_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("tool_mass", 0.5, 2.0, 1.0, "x nominal", "log"),
    )
    extent: ClassVar[Array] = np.array(
        [0.02, 0.08]
    )  # half sizes of the regions of puck and goal [m]
    tool_extent: ClassVar[Array] = np.array([0.03, 0.06, 0.15])  # of the grip [m, m] and yaw [rad]
    tool_x: ClassVar[float] = 0.38  # [m] where the grip lies
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {
            "arm": {"goal": 0.2, "distance": 2.0, "approach": 0.5, "grasp": 0.2, "behind": 0.5}
        },
    }

    @classmethod
    def training_tools(cls) -> tuple[str, ...]:
        """The shapes that levels for training may have."""
        return tuple(name for name in TOOLS if name not in cls.HELD_OUT)

    def __init__(self, num_envs: int = 1, **keywords: Any) -> None:
        self.shapes = bodies(list(TOOLS.values()))
        self.shape = np.zeros(num_envs, dtype=np.int64)  # row of `shapes` per simulation
        super().__init__(num_envs, **keywords)
        self.apply_levels(np.arange(num_envs))  # from here on, one code writes the tools

    # Scene and levels.

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        """The tool's other boxes; every box gets its true size and place from the level."""
        body = spec.body("handle")
        first = spec.geom("handle")
        for name in BOXES[1:]:
            body.add_geom(
                name=name, type=first.type, size=[0.01, 0.01, TALL], mass=0.0, priority=1,
                rgba=list(TOOL_COLOUR), condim=4, solref=[0.01, 1.0],
            )  # fmt: skip
        for name in BOXES:
            spec.geom(name).friction = list(TOOL_FRICTION)
        # Off its frame, lest MuJoCo compile in short cuts that only hold for frames that coincide.
        body.explicitinertial, body.mass, body.inertia = True, 0.1, [1e-4, 2e-4, 2.5e-4]
        body.ipos, body.iquat = [0.1, 0.01, 0.0], [0.9, 0.1, 0.1, 0.1]
        goal = spec.geom("goal0")  # a disc, which the puck does not hide
        goal.type, goal.size = mujoco.mjtGeom.mjGEOM_CYLINDER, [self.tolerance, 0.0006, 0.0]
        spec.worldbody.add_geom(
            name="reach_line", type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.002, 0.45, 0.0004],
            pos=[GRIPPER_REACH, 0.0, 0.0004], contype=0, conaffinity=0, rgba=[0.75, 0.2, 0.2, 1.0],
        )  # fmt: skip

    def apply_levels(self, ids: Ints) -> None:
        names = list(TOOLS)
        self.shape[ids] = [names.index(str(self.levels[i]["tool"])) for i in ids]
        super().apply_levels(ids)

    def apply_thing(self, ids: Ints, thing: Thing) -> None:
        """The puck as every object; the tool has a mass and a shape of its own."""
        if thing.name != "handle":
            return super().apply_thing(ids, thing)
        expand, shapes, row = self.batch.expand, self.shapes, self.shape[ids]
        body, mass = self.model.body("handle").id, self.level(ids, "tool_mass")
        expand("body_mass")[ids, body] = mass * shapes.mass[row]
        expand("body_inertia")[ids, body] = mass[:, None] * shapes.inertia[row]
        expand("body_ipos")[ids, body] = shapes.centre[row]
        expand("body_iquat")[ids, body] = shapes.axes[row]
        expand("body_sameframe")[ids, body] = 0  # MuJoCo's short cuts for coinciding frames
        for k, name in enumerate(BOXES):
            geom = self.model.geom(name).id
            size = shapes.size[row, k]
            expand("geom_size")[ids, geom] = size
            expand("geom_pos")[ids, geom] = shapes.place[row, k]
            expand("geom_quat")[ids, geom] = shapes.quaternion[row, k]
            expand("geom_aabb")[ids, geom] = np.concatenate([np.zeros_like(size), size], axis=1)
            expand("geom_rbound")[ids, geom] = np.linalg.norm(size, axis=1)
            expand("geom_sameframe")[ids, geom] = 0

    # Starts and goals.

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        pose = np.zeros((len(ids), 2, 7))
        pose[:, 0, :2] = self.near_centre(ids, "object", u[:, :2], self.extent)
        pose[:, 0, 2] = HALF * self.level(ids, "object_size")
        pose[:, 0, 3] = 1.0
        aside = self.level(ids, "tool_spread")[:, None] * self.tool_extent * (2.0 * u[:, 4:] - 1.0)
        pose[:, 1, 0] = self.tool_x + aside[:, 0]
        pose[:, 1, 1] = self.level(ids, "tool_y") + aside[:, 1]
        pose[:, 1, 2] = TALL
        pose[:, 1, 3:] = upright(aside[:, 2])
        return pose

    def goals(self, ids: Ints, u: Array) -> Array:
        height = HALF * self.level(ids, "object_size")
        place = self.near_centre(ids, "goal", u[:, 2:4], self.extent)
        return np.concatenate([place, height[:, None]], axis=1)

    def begin(self, ids: Ints, u: Array) -> None:
        super().begin(ids, u)
        self.mocap[ids, self.marker_ids[0], 2] = 0.0006  # the disc lies on the table

    def achieved(self, ids: Ints | slice) -> Array:
        return self.thing_position(ids)

    # What the policy sees and what it is paid for.

    def extra_slices(self) -> list[Slice]:
        return [Slice("tool_shape", self.shapes.outline.shape[1], "m")]

    def extra_observation(self, ids: Ints | slice) -> list[Array]:
        return [self.shapes.outline[self.shape[ids]]]

    def reward_terms(self, player: str) -> Terms:
        puck, grip = self.thing_position(slice(None)), self.thing_position(slice(None), 1)
        gap = np.linalg.norm(self.poses.position - grip, axis=1)
        behind = np.linalg.norm(self.head() - puck, axis=1)
        return self.goal_terms(puck, self.goal) | {
            "approach": -gap, "grasp": self._held(gap), "behind": -behind,
        }  # fmt: skip

    def head(self) -> Array:
        """Where the puck's centre would be if it lay in the tool's head (N, 3) [m]: against a bar, on
        the side that has one, beside the handle."""
        reach, left = self.shapes.outline[self.shape, :2].T
        radius = RADIUS * self.params["object_size"]
        along = reach - radius
        aside = np.where(left > 0, 1.0, -1.0) * (WIDE + radius)
        q = self.thing_q[1]
        w, x, y, z = self.qpos[:, q + 3 : q + 7].T
        cosine, sine = 1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z)
        out = self.thing_position(slice(None), 1).copy()
        out[:, 0] += cosine * along - sine * aside
        out[:, 1] += sine * along + cosine * aside
        return out

    def _held(self, gap: Array) -> Array:
        """1 where the fingers close on the handle: it is between them and keeps them open."""
        opening = self.qpos[:, self.finger_q].mean(axis=1)
        closing = self.ctrl[:, self.gripper_u] < opening - 0.005
        held = (gap < 0.04) & closing & (np.abs(opening - WIDE) < 0.4 * WIDE)
        return np.asarray(held, dtype=np.float64)
