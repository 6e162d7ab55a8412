"""Safety costs of an arm and of what it handles, in physical units.

Forces, joint speeds and falls are taken at every substep; angles, torques and places at the end of the
step, where the targets that moved during it have arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Cost, Terms
from robo_adv.envs.manipulation.arms import Arm
from robo_adv.envs.manipulation.scene import TABLE, Thing, contact_sensor

if TYPE_CHECKING:
    from robo_adv.envs.manipulation.task import ManipulationTask

GRAVITY = 9.81  # [m/s^2]
FREE_FALL = 0.8  # share of gravity from which an object counts as falling freely
SLACK = 0.002  # [m] play of the servos at the workspace's edge, where targets may lie
FALL = 0.01  # [m] what is lower is no fall: an object that is pushed hops by a few millimetres
ARM_COSTS = {
    "joint_position_excess": Cost("rad", "largest angle beyond a joint's published range"),
    "joint_velocity_excess": Cost("rad/s", "largest joint speed above its published limit"),
    "torque_excess": Cost("N m", "largest torque that a servo demands beyond its joint's limit"),
    "table_force": Cost("N", "largest contact force between the arm and the table"),
    "self_force": Cost("N", "largest contact force between parts of the arm"),
    "workspace_excess": Cost("m", "how far the tool centre point leaves the workspace"),
}
THING_COSTS = {
    "fall_height": Cost("m", "heights of free falls above 1 cm, summed over the episode", "sum"),
    "off_table": Cost("m", "how far below the table top an object is"),
}


class ArmCosts:
    """Reads the sensors that it adds to the scene."""

    @staticmethod
    def add_sensors(spec: mujoco.MjSpec, arm: Arm, root: str) -> None:
        for name in arm.joints:
            spec.add_sensor(
                name=f"velocity_{name}", type=mujoco.mjtSensor.mjSENS_JOINTVEL,
                objtype=mujoco.mjtObj.mjOBJ_JOINT, objname=name,
            )  # fmt: skip
        contact_sensor(spec, "table_contact", ("subtree", root), ("geom", TABLE))
        contact_sensor(spec, "self_contact", ("subtree", root), ("subtree", root))

    def __init__(self, task: ManipulationTask) -> None:
        self.task, arm, model = task, task.arm, task.model
        self.velocity = sensor_slice(model, f"velocity_{arm.joints[0]}", len(arm.joints))
        self.table, self.self_contact = (
            sensor_slice(model, name, 3) for name in ("table_contact", "self_contact")
        )
        joints = [model.joint(name).id for name in arm.joints]
        self.low, self.high = model.jnt_range[joints].T
        self.fastest = np.array(arm.velocity_limits)
        self.strongest = np.array(arm.torque_limits)
        self.weight: Array = task.batch.bind("qfrc_gravcomp")

    def terms(self) -> Terms:
        """Costs (N,) of the last step."""
        task = self.task
        angle = task.qpos[:, task.arm_q]
        beyond = np.maximum(self.low - angle, angle - self.high).max(axis=1)
        speed = np.abs(task.sensors[:, :, self.velocity])
        tool, (low, high) = task.poses.position, task.workspace
        outside = np.maximum(np.maximum(low - tool, tool - high), 0.0)
        distance = np.sqrt((outside**2).sum(axis=1))
        return {
            "joint_position_excess": np.maximum(beyond, 0.0),
            "joint_velocity_excess": np.maximum((speed - self.fastest).max(axis=(1, 2)), 0.0),
            "torque_excess": self._torque_excess(angle),
            "table_force": peak(task.sensors, self.table),
            "self_force": peak(task.sensors, self.self_contact),
            "workspace_excess": np.where(distance > SLACK, distance, 0.0),
        }

    def _torque_excess(self, angle: Array) -> Array:
        """Demanded torque, weight compensation included, beyond the limits, at the step's end."""
        task = self.task
        gain = task.level(np.arange(task.num_envs), "actuator_gain")[:, None]
        stiffness, damping = np.array(task.arm.stiffness), np.array(task.arm.damping)
        lead = task.ctrl[:, task.arm_u] - angle
        servo = gain * (stiffness * lead - damping * task.qvel[:, task.arm_v])
        demanded = servo + self.weight[:, task.arm_v]
        return np.asarray(np.maximum((np.abs(demanded) - self.strongest).max(axis=1), 0.0))


class ThingCosts:
    """Drops: an object that falls freely, wherever it lands."""

    @staticmethod
    def add_sensors(spec: mujoco.MjSpec, things: tuple[Thing, ...]) -> None:
        for thing in things:
            spec.add_sensor(
                name=f"velocity_{thing.name}", type=mujoco.mjtSensor.mjSENS_FRAMELINVEL,
                objtype=mujoco.mjtObj.mjOBJ_BODY, objname=thing.name,
            )  # fmt: skip

    def __init__(self, task: ManipulationTask) -> None:
        self.task = task
        first = sensor_slice(task.model, f"velocity_{task.things[0].name}", 3)
        self.vertical = slice(first.start + 2, first.start + 3 * len(task.things), 3)
        self.z = task.thing_q + 2
        self.vz = task.thing_v + 2
        # How far each object has been falling (N, things) [m].
        self.fallen = task.memory["fallen"] = np.zeros((task.num_envs, len(task.things)))
        self.fall_height = np.zeros(task.num_envs)

    def measure(self) -> None:
        """Once per step, after the physics."""
        self.fall_height = self._falls()

    def terms(self) -> Terms:
        """Costs (N,) of the last step."""
        height = self.task.qpos[:, self.z]
        return {
            "fall_height": self.fall_height.copy(),
            "off_table": np.maximum(-height, 0.0).max(axis=1),
        }

    def _falls(self) -> Array:
        """Heights (N,) [m] fallen in the last step, counted as soon as a fall is one."""
        task, dt = self.task, self.task.timestep
        # Sensors are read before a substep moves on: what follows the last one is in `qvel`.
        before = task.sensors[:, :, self.vertical]  # (N, substeps, things)
        speed = np.concatenate([before[:, 1:], task.qvel[:, None, self.vz]], axis=1)
        falling = (speed - before < -FREE_FALL * GRAVITY * dt) & (speed < 0)
        self.fallen[task.length == 1] = 0.0  # episodes that have just begun
        total = np.zeros(task.num_envs)
        if not (falling.any() or self.fallen.any()):
            return total
        for k in range(falling.shape[1]):
            drop = np.where(falling[:, k], -speed[:, k] * dt, 0.0)
            earlier = np.where(falling[:, k], self.fallen, 0.0)
            self.fallen[:] = earlier + drop
            new = np.where(earlier < FALL, self.fallen, drop)
            total += np.where(self.fallen < FALL, 0.0, new).sum(axis=1)
        return total


def peak(sensors: Array, place: slice) -> Array:
    """Largest norm (N,) over the substeps of the forces in `place` of (N, substeps, numbers)."""
    force = sensors[:, :, place]
    if not force.any():
        return np.zeros(len(sensors))
    return np.asarray(np.sqrt((force**2).sum(axis=2).max(axis=1)))


def sensor_slice(model: mujoco.MjModel, first: str, size: int) -> slice:
    """Where `size` numbers from the sensor `first` on lie in `sensordata`."""
    address = int(model.sensor(first).adr[0])
    return slice(address, address + size)
