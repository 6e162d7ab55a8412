"""ManipulationTask: what every task of the arm shares: scene, control, observation, costs, levels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import DRAW, ONGOING, Array, Bools, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GameOptions, check_options
from robo_adv.envs.goal import ACHIEVED, DESIRED, GoalGame
from robo_adv.envs.layout import Layout, Slice
from robo_adv.envs.manipulation import interface
from robo_adv.envs.manipulation.arms import Arm, find_arm
from robo_adv.envs.manipulation.chain import Chain, Poses
from robo_adv.envs.manipulation.control import CONTROLLERS, Controller, Drive
from robo_adv.envs.manipulation.costs import ARM_COSTS, ArmCosts, ThingCosts
from robo_adv.envs.manipulation.reach_check import check_arm
from robo_adv.envs.manipulation.scene import (
    FRICTION,
    Thing,
    add_marker,
    add_thing,
    add_wrist_camera,
    table_scene,
)
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.feasible import Constraint

# The arm keeps the names of its file. The warning is about saving the scene, which nobody does.
warnings.filterwarnings("ignore", "Attaching a spec with an empty prefix", UserWarning)

TIMESTEP = 0.004  # [s]
SUBSTEPS = 10  # a control step is 0.04 s: 25 Hz
# Boxes [m] whose corners the Panda reaches with its tool pointing down.
WORKSPACE = np.array([[0.30, -0.35, 0.012], [0.70, 0.35, 0.30]])
TALL_WORKSPACE = np.array([[0.30, -0.30, 0.012], [0.65, 0.30, 0.45]])
START_NOISE = 0.03  # [rad] joints start within this of the home posture, times `start_spread`
REACHABLE = 0.02  # [m] how near the arm must come to the corners of the workspace
ARM_PARAMETERS = (
    Parameter("joint_damping", 0.25, 4.0, 1.0, "x nominal", "log"),
    Parameter("actuator_gain", 0.4, 1.6, 1.0, "x nominal"),
    Parameter("start_spread", 0.0, 3.0, 1.0, "x nominal", role="task"),
    *interface.PARAMETERS,
)
THING_PARAMETERS = (
    Parameter("object_mass", 0.25, 4.0, 1.0, "x nominal", "log"),
    Parameter("object_friction", 0.2, 1.2, FRICTION, "1"),
    Parameter("object_size", 0.7, 1.3, 1.0, "x nominal", observed=True),  # by its height
)


@dataclass(frozen=True)
class ManipulationOptions(GameOptions):
    """Attributes:
    robot: an arm by name (`panda`, `menagerie-panda`) or `module:attribute`.
    control: `ee_delta`, `joint_velocity` or `joint_position`.
    refine: the physics timestep is divided, the number of substeps multiplied by it.
    """

    robot: str = "panda"
    control: str = "ee_delta"
    refine: int = 1

    def __post_init__(self) -> None:
        CONTROLLERS[str(self.control)]
        if not 1 <= self.refine <= 16:
            raise RoboAdvError(f"refine must lie in 1..16, got {self.refine}")


class ManipulationTask(GoalGame):
    """Base of the arm's tasks.

    The episode lasts `clock` seconds, always; the arm wins when the goal is reached at its end. The
    clock is observed, so the end terminates and never truncates. Actions are the controller's,
    then one for the gripper where the task uses it (-1 closed, 1 open).

    A task file writes `thing_starts`, `goals`, `achieved` and `reward_terms`, and its own `things`,
    `tolerance`, `task_parameters`, `task_numbers` and `goal_size`.
    """

    players = ("arm",)
    camera = "side"
    Options = ManipulationOptions
    options: ManipulationOptions
    clock: ClassVar[float] = 4.0  # [s]
    things: ClassVar[tuple[Thing, ...]] = ()
    uses_gripper: ClassVar[bool] = False
    gripper_start: ClassVar[float] = 0.0  # share of the opening
    goal_size: ClassVar[int] = 3
    tolerance: ClassVar[float] = 0.05  # [m] how near counts as reached
    marker: ClassVar[float] = 0.02  # radius of the goal's marker [m]
    task_numbers: ClassVar[int] = 3  # uniform numbers that `thing_starts` and `goals` use
    task_parameters: ClassVar[tuple[Parameter, ...]] = ()
    workspace: ClassVar[Array] = WORKSPACE
    costs: dict[str, Cost] = ARM_COSTS

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int = 0,
        reward: Mapping[str, str | Mapping[str, float]] | None = None,
        options: GameOptions | None = None,
        **option_values: Any,
    ) -> None:
        options = options or check_options(self.Options, option_values)
        assert isinstance(options, ManipulationOptions)
        self.arm: Arm = find_arm(options.robot)
        if self.uses_gripper and self.arm.gripper is None:
            raise RoboAdvError(
                f"{self.id} needs a gripper and arm {options.robot!r} has none; describe one in "
                "its Arm(gripper=...), or choose a task without grasping"
            )
        self.timestep = TIMESTEP / options.refine
        self.substeps = SUBSTEPS * options.refine
        self.clock_steps = round(self.clock / (self.timestep * self.substeps))
        self.start_numbers = len(self.arm.joints) + self.task_numbers
        self.design_space = DesignSpace(self.parameters())
        super().__init__(num_envs, threads=threads, reward=reward, options=options)
        self._find_addresses()
        self.design_space = replace(self.design_space, constraints=self.constraints())
        self.controller = self._make_controller()
        self._nominal = {
            name: getattr(self.model, name).copy()
            for name in ("body_mass", "body_inertia", "geom_friction", "geom_size", "geom_rbound",
                         "geom_aabb", "dof_damping", "actuator_gainprm", "actuator_biasprm")
        }  # fmt: skip
        self.goal = self.memory["goal"] = np.zeros((num_envs, self.goal_size))
        self.action = np.zeros((num_envs, self.action_size("arm")))  # the last one, after any delay
        self.interface = interface.Interface(
            self.memory, num_envs, self.action_size("arm"), self.layouts["arm"],
            self.layouts["arm"][DESIRED],
        )  # fmt: skip
        self.arm_costs = ArmCosts(self)
        self.thing_costs = ThingCosts(self) if self.things else None
        self.refresh()

    # What a task writes beside the hooks of Game and GoalGame.

    def parameters(self) -> tuple[Parameter, ...]:
        """Those of the design space."""
        things = THING_PARAMETERS if self.things else ()
        return (*ARM_PARAMETERS, *things, *self.task_parameters)

    def constraints(self) -> tuple[Constraint, ...]:
        """What levels must keep to be possible; the model and the arm's chain are there."""
        return ()

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        """Start poses (n, things, 7) of the objects: position [m] and quaternion; `u` is
        (n, task_numbers)."""
        return np.zeros((len(ids), 0, 7))

    def goals(self, ids: Ints, u: Array) -> Array:
        """Goals (n, goal_size) [m]; `u` is (n, task_numbers)."""
        raise NotImplementedError

    def achieved(self, ids: Ints | slice) -> Array:
        """What the goals are compared with (n, goal_size) [m]."""
        raise NotImplementedError

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        return np.asarray(np.linalg.norm(achieved - desired, axis=1))

    def success(self, achieved: Array, desired: Array) -> Bools:
        return self.goal_distance(achieved, desired) < self.tolerance

    def near_centre(self, ids: Ints, what: str, u: Array, extent: Array) -> Array:
        """Places (n, k) [m] for uniform numbers (n, k): within half sizes `extent` (k,) [m], times
        the level's `<what>_spread`, of its `<what>_x`, `<what>_y` ..."""
        axes = "xyz"[: u.shape[1]]
        centre = np.stack([self.level(ids, f"{what}_{axis}") for axis in axes], axis=1)
        spread = self.level(ids, f"{what}_spread")[:, None]
        return centre + spread * extent * (2.0 * u - 1.0)

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        """Adds to the scene, after the table, the arm and the objects."""

    def extra_slices(self) -> list[Slice]:
        """Further slices of the observation, before the clock."""
        return []

    def extra_observation(self, ids: Ints | slice) -> list[Array]:
        """Their values, each (n, size)."""
        return []

    def extra_drive(self) -> None:
        """Writes `ctrl` of actuators that are not the arm's."""

    # Scene.

    def build(self) -> mujoco.MjSpec:
        spec = table_scene(self.timestep)
        robot = self.arm.spec()
        # The parent's options win: attaching must not bring the robot's integrator along.
        robot.option.timestep = spec.option.timestep
        robot.option.integrator = spec.option.integrator
        frame = spec.worldbody.add_frame(pos=list(self.arm.base))
        spec.attach(robot, prefix="", frame=frame)
        add_wrist_camera(spec.body(self.arm.hand), self.arm.tcp)
        for thing in self.things:
            add_thing(spec, thing)
        for k in range(self.goal_size // 3):
            add_marker(spec, f"goal{k}", self.marker)
        self.root = _root(spec, self.arm.hand)
        ArmCosts.add_sensors(spec, self.arm, self.root)
        if self.things:
            ThingCosts.add_sensors(spec, self.things)
        self.extra_scene(spec)
        return spec

    def _find_addresses(self) -> None:
        model = self.model
        joints = [model.joint(name).id for name in self.arm.joints]
        self.arm_q = model.jnt_qposadr[joints].astype(np.int64)
        self.arm_v = model.jnt_dofadr[joints].astype(np.int64)
        self.arm_u = np.array([model.actuator(f"servo_{name}").id for name in self.arm.joints])
        self.thing_q = np.array(
            [model.jnt_qposadr[model.joint(t.name).id] for t in self.things], dtype=np.int64
        )
        self.thing_v = np.array(
            [model.jnt_dofadr[model.joint(t.name).id] for t in self.things], dtype=np.int64
        )
        gripper = self.arm.gripper
        fingers = [] if gripper is None else [model.joint(name).id for name in gripper.joints]
        self.finger_q = model.jnt_qposadr[fingers].astype(np.int64)
        self.gripper_u = -1 if gripper is None else int(model.actuator(gripper.actuator).id)
        self.chain = Chain(model, self.arm.joints, self.arm.hand, self.arm.tcp)
        self.mocap = self.batch.bind("mocap_pos")
        self.marker_ids = [
            int(model.body(f"goal{k}").mocapid[0]) for k in range(self.goal_size // 3)
        ]

    def _make_controller(self) -> Controller:
        joints = [self.model.joint(name).id for name in self.arm.joints]
        ranges = self.model.jnt_range[joints]
        home = np.array(self.arm.home)
        drive = Drive(
            chain=self.chain, low=ranges[:, 0].copy(), high=ranges[:, 1].copy(),
            fastest=np.array(self.arm.velocity_limits), home=home,
            down=self.chain.poses(home[None]).rotation[0], dt=self.control_dt,
            workspace=self.workspace,
        )  # fmt: skip
        check_arm(self.arm, drive, REACHABLE)
        return CONTROLLERS[self.options.control](drive)

    # Spaces.

    def action_size(self, player: str) -> int:
        joints = 3 if self.options.control == "ee_delta" else len(self.arm.joints)
        return joints + int(self.uses_gripper)

    def layout(self, player: str) -> Layout:
        n = len(self.arm.joints)
        slices = [
            Slice(ACHIEVED, self.goal_size, "m"), Slice(DESIRED, self.goal_size, "m"),
            Slice("joint_position", n, "rad"), Slice("joint_velocity", n, "rad/s"),
            Slice("tool_position", 3, "m"), Slice("tool_velocity", 3, "m/s"),
            Slice("target_lead", n, "rad"),
            Slice("gripper_opening", int(self.uses_gripper), "m"),
        ]  # fmt: skip
        for thing in self.things:
            slices += [
                Slice(f"{thing.name}_position", 3, "m"),
                Slice(f"{thing.name}_relative", 3, "m"),
                Slice(f"{thing.name}_rotation", 6, "1"),
                Slice(f"{thing.name}_velocity", 3, "m/s"),
                Slice(f"{thing.name}_turning", 3, "rad/s"),
            ]
        return Layout.of([*slices, *self.extra_slices(), Slice("clock", 1, "fraction left")])

    def pushable(self, player: str) -> tuple[str, ...]:
        return (self.arm.hand,)

    # Levels and starts.

    def apply_levels(self, ids: Ints) -> None:
        expand, nominal, rows = self.batch.expand, self._nominal, ids[:, None]
        damping, gain = self.level(ids, "joint_damping"), self.level(ids, "actuator_gain")
        v, u = self.arm_v, self.arm_u
        expand("dof_damping")[rows, v] = damping[:, None] * nominal["dof_damping"][v]
        stiffness, bias = nominal["actuator_gainprm"][u, 0], nominal["actuator_biasprm"][u, 1:3]
        expand("actuator_gainprm")[rows, u, 0] = gain[:, None] * stiffness
        expand("actuator_biasprm")[rows, u, 1:3] = gain[:, None, None] * bias
        for thing in self.things:
            self.apply_thing(ids, thing)
        self.batch.set_const(ids)

    def apply_thing(self, ids: Ints, thing: Thing) -> None:
        """Mass, inertia, friction and size of one object; inertia goes with mass x size^2."""
        batch, nominal = self.batch, self._nominal
        body, geom = self.model.body(thing.name).id, self.model.geom(thing.name).id
        mass, size = self.level(ids, "object_mass"), self.level(ids, "object_size")
        batch.expand("body_mass")[ids, body] = mass * nominal["body_mass"][body]
        inertia = (mass * size**2)[:, None] * nominal["body_inertia"][body]
        batch.expand("body_inertia")[ids, body] = inertia
        batch.expand("geom_friction")[ids, geom, 0] = self.level(ids, "object_friction")
        for name in ("geom_size", "geom_aabb"):
            batch.expand(name)[ids, geom] = size[:, None] * nominal[name][geom]
        batch.expand("geom_rbound")[ids, geom] = size * nominal["geom_rbound"][geom]

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        n, joints = len(ids), len(self.arm.joints)
        qpos = np.tile(self.model.qpos0, (n, 1))
        spread = START_NOISE * self.level(ids, "start_spread")[:, None]
        qpos[:, self.arm_q] = np.array(self.arm.home) + spread * (2.0 * u[:, :joints] - 1.0)
        if self.arm.gripper is not None:
            qpos[:, self.finger_q] = self.gripper_start * self.arm.gripper.opening
        poses = self.thing_starts(ids, u[:, joints:])
        for k, q in enumerate(self.thing_q):
            qpos[:, q : q + 7] = poses[:, k]
        return qpos, np.zeros((n, self.model.nv))

    def begin(self, ids: Ints, u: Array) -> None:
        self.ctrl[np.ix_(ids, self.arm_u)] = self.qpos[np.ix_(ids, self.arm_q)]
        if self.arm.gripper is not None:
            self.ctrl[ids, self.gripper_u] = self.gripper_start * self.arm.gripper.opening
        self.goal[ids] = self.goals(ids, u[:, len(self.arm.joints) :])
        for k, m in enumerate(self.marker_ids):
            self.mocap[ids, m] = self.goal[ids, 3 * k : 3 * k + 3]
        self._look_at(ids)
        self.interface.begin(ids, self._true_observation(ids))

    def restore(self, snapshot: Any, levels: Any) -> None:
        super().restore(snapshot, levels)
        self.refresh()
        self._observe_all()

    def refresh(self) -> None:
        """Recompute what is kept of the state; call it after writing into `qpos` by hand."""
        n, joints = self.num_envs, len(self.arm.joints)
        self.poses = Poses(
            np.zeros((n, 3)),
            np.zeros((n, 3, 3)),
            np.zeros((n, joints, 3)),
            np.zeros((n, joints, 3)),
        )
        self.tool_velocity = np.zeros((n, 3))
        self._look_at(np.arange(n))

    def _look_at(self, ids: Ints | slice) -> None:
        """Recompute poses and velocities of simulations `ids`."""
        found = self.chain.poses(self.qpos[ids][:, self.arm_q])
        for name in ("position", "rotation", "anchors", "axes"):
            getattr(self.poses, name)[ids] = getattr(found, name)
        self.tool_velocity[ids] = Chain.velocity(found, self.qvel[ids][:, self.arm_v])

    # Steps.

    def apply(self, player: str, action: Array) -> None:
        action = self.interface.delayed_action(action, self.params, self.length)
        self.action = action
        self.ctrl_before = self.ctrl.copy()
        last = self.ctrl_before[:, self.arm_u]
        joints = self.qpos[:, self.arm_q]
        size = self.controller.size
        self.ctrl[:, self.arm_u] = self.controller.targets(
            action[:, :size], last, joints, self.poses.position
        )
        if self.uses_gripper:
            assert self.arm.gripper is not None
            opening = 0.5 * (action[:, size] + 1.0) * self.arm.gripper.opening
            self.ctrl[:, self.gripper_u] = opening
        self.extra_drive()

    def control(self) -> Array:
        """Targets move evenly over the substeps, as motion generators of real arms do."""
        share = np.arange(1, self.substeps + 1) / self.substeps
        whole = self.ctrl - self.ctrl_before
        return self.ctrl_before[:, None] + share[:, None] * whole[:, None]

    def measure(self) -> None:
        self._look_at(slice(None))
        if self.thing_costs is not None:
            self.thing_costs.measure()
        if self.params["observation_delay"].any():
            everyone = np.arange(self.num_envs)
            self.interface.record(self._true_observation(everyone), self.length)

    def observe(self, player: str, ids: Ints | slice) -> Observation:
        rows = np.arange(self.num_envs)[ids] if isinstance(ids, slice) else ids
        return self.interface.seen(
            self._true_observation(rows), rows, self.params, self.length[rows], self.seeds[rows]
        )

    def _true_observation(self, ids: Ints) -> Observation:
        qpos, qvel = self.qpos[ids], self.qvel[ids]
        joints, tool = qpos[:, self.arm_q], self.poses.position[ids]
        parts = [
            self.achieved(ids), self.goal[ids], joints, qvel[:, self.arm_v], tool,
            self.tool_velocity[ids], self.ctrl[ids][:, self.arm_u] - joints,
        ]  # fmt: skip
        if self.uses_gripper:
            parts.append(qpos[:, self.finger_q].mean(axis=1, keepdims=True))
        for q, v in zip(self.thing_q, self.thing_v, strict=True):
            position = qpos[:, q : q + 3]
            parts += [position, position - tool, first_columns(qpos[:, q + 3 : q + 7]),
                      qvel[:, v : v + 3], qvel[:, v + 3 : v + 6]]  # fmt: skip
        parts += self.extra_observation(ids)
        parts.append((1.0 - self.length[ids] / self.clock_steps)[:, None])
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def verdict(self) -> Ints:
        over = self.length >= self.clock_steps
        self.reached: Bools = self.success(self.achieved(slice(None)), self.goal)
        return np.where(over, np.where(self.reached, 0, DRAW), ONGOING)

    def ending(self, i: int) -> str:
        return "" if self.reached[i] else "goal not reached"

    def cost_terms(self, player: str) -> Terms:
        out = self.arm_costs.terms()
        if self.thing_costs is not None:
            out |= self.thing_costs.terms()
        return out

    def action_square(self) -> Array:
        """Squared length (n,) of the last action, summed in order (see `chain`)."""
        total = np.zeros(self.num_envs)
        for column in self.action.T:
            total += column * column
        return total

    def thing_position(self, ids: Ints | slice, k: int = 0) -> npt.NDArray[np.float64]:
        """Position (n, 3) [m] of object k."""
        q = self.thing_q[k]
        return self.qpos[ids, q : q + 3]


def first_columns(quaternion: Array) -> Array:
    """First two columns (n, 6) of the rotation matrices of quaternions (n, 4), a representation
    without jumps (Zhou et al. 2019)."""
    w, x, y, z = quaternion.T
    return np.stack(
        [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y),
         2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], axis=1,
    )  # fmt: skip


def upright(yaw: Array) -> Array:
    """Quaternions (n, 4) of turns about z by `yaw` (n,) [rad]."""
    zero = np.zeros_like(yaw)
    return np.stack([np.cos(0.5 * yaw), zero, zero, np.sin(0.5 * yaw)], axis=1)


def _root(spec: mujoco.MjSpec, hand: str) -> str:
    """Name of the arm's first body."""
    body = spec.body(hand)
    while body.parent.name != "world":
        body = body.parent
    return str(body.name)
