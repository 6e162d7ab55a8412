"""`ant`: gymnasium's `ant.xml`, read from the installed package."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.layout import Slice
from robo_adv.envs.soccer.bodies.body import BODIES, Array, Body, Mirror, Scale

XML = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "ant.xml"
LEGS = np.array([0.0, 1.0, 0.0, -1.0, 0.0, -1.0, 0.0, 1.0])  # [rad] `init_qpos` of ant.xml
HEIGHT = 0.55  # [m] torso at the start, `init_qpos` of ant.xml
FALLEN_BELOW = 0.2  # [m] the lower end of Ant-v5's healthy range
NOISE = 0.1  # [rad] as in Ant-v5

# Joints: hip and ankle of front left, front right, back left, back right. Mirroring (y -> -y) swaps
# left and right. Axes are pseudo-vectors, (x, y, z) -> (-x, y, -z): hips turn the other way, while the
# ankle axis of leg 1, (-1, 1, 0), becomes that of leg 4, (1, 1, 0), so ankles keep their sign.
_JOINT_MIRROR = np.array([6, 7, 4, 5, 2, 3, 0, 1])
_ACTUATORS = np.array([6, 7, 0, 1, 2, 3, 4, 5])  # joint that actuator i of ant.xml drives


@BODIES.register("ant")
class Ant(Body):
    """Gymnasium's four-legged ant: free torso, 8 hinges, 8 torque motors (actions = torque / 150 N m).

    It weighs 0.91 kg, so the ball is scaled to it: 0.15 m radius as in Bansal et al.'s soccer scene,
    and 0.05 kg. Fallen means that the torso is below 0.2 m or upside down.
    """

    scale = Scale(
        length=6.0,
        ball_radius=0.15,
        ball_mass=0.05,
        timestep=0.01,
        substeps=5,
        clock=15.0,
        speed_limit=4.0,
        save_speed=1.0,
    )
    root = "torso"
    actions = 8

    def spec(self) -> mujoco.MjSpec:
        spec = mujoco.MjSpec.from_file(str(XML))
        for geom in list(spec.worldbody.geoms):
            spec.delete(geom)
        for light in list(spec.worldbody.lights):
            spec.delete(light)
        for number in list(spec.numerics):
            spec.delete(number)
        spec.body("torso").pos = (0, 0, 0)
        return spec

    @property
    def noise(self) -> int:
        return len(LEGS)

    def start(self, x: Array, y: Array, heading: Array, u: Array) -> Array:
        zero = np.zeros_like(x)
        legs = LEGS + NOISE * (2 * u - 1)
        turn = [np.cos(heading / 2), zero, zero, np.sin(heading / 2)]
        return np.column_stack([x, y, zero + HEIGHT, *turn, legs])

    def own(self, qpos: Array, qvel: Array) -> list[Array]:
        return [qpos[:, :3], qpos[:, 3:7], qpos[:, 7:], qvel[:, :6], 0.1 * qvel[:, 6:]]

    @property
    def own_layout(self) -> list[Slice]:
        return [
            Slice("own_position", 3, "m"),
            Slice("own_orientation", 4, "quaternion"),
            Slice("own_joints", 8, "rad"),
            Slice("own_velocity", 6, "m/s, rad/s"),
            Slice("own_joint_velocity", 8, "10 rad/s"),
        ]

    def visible(self, qpos: Array) -> list[Array]:
        return [qpos[:, :3], qpos[:, 3:7], qpos[:, 7:]]

    @property
    def visible_layout(self) -> list[Slice]:
        return [
            Slice("position", 3, "m"),
            Slice("orientation", 4, "quaternion"),
            Slice("joints", 8, "rad"),
        ]

    def position(self, qpos: Array) -> Array:
        return qpos[:, :2]

    def velocity(self, qvel: Array) -> Array:
        return qvel[:, :2]

    def fallen(self, qpos: Array) -> npt.NDArray[np.bool_]:
        upright = 1.0 - 2.0 * (qpos[:, 4] ** 2 + qpos[:, 5] ** 2)
        return (qpos[:, 2] < FALLEN_BELOW) | (upright < 0.0)

    def mirror(self) -> tuple[Mirror, Mirror, Mirror]:
        joint_sign = np.tile([-1.0, 1.0], 4)
        qpos = Mirror(
            np.concatenate([np.arange(7), 7 + _JOINT_MIRROR]),
            np.concatenate([[1, -1, 1], [1, -1, 1, -1], joint_sign]),
        )
        qvel = Mirror(
            np.concatenate([np.arange(6), 6 + _JOINT_MIRROR]),
            np.concatenate([[1, -1, 1], [-1, 1, -1], joint_sign]),
        )
        joint_to_actuator = np.argsort(_ACTUATORS)
        action = Mirror(joint_to_actuator[_JOINT_MIRROR[_ACTUATORS]], joint_sign)
        return qpos, qvel, action
