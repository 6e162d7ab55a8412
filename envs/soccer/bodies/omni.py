"""`omni`: a holonomic wheeled robot of RoboCup small-size dimensions with k visible arms.

Sizes and masses follow the RoboCup Small Size League rules (robot within a cylinder 0.18 m wide
and 0.15 m high; ball a golf ball, 43 mm and 46 g: https://robocup-ssl.github.io/ssl-rules/) and
typical team robots of about 2.5 kg, 2 m/s and a few m/s^2. The arms are not league equipment: they
make the robot's visible state k-dimensional, so that k = 0..8 dials the surface that an adversarial
policy can use (Gleave et al. 2020 conjectured that low-dimensional opponents cannot be adversarial).
"""

from __future__ import annotations

from functools import cached_property

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.layout import Slice
from robo_adv.envs.soccer.bodies.body import BODIES, Array, Body, Mirror, Scale
from robo_adv.errors import RoboAdvError

RADIUS = 0.09  # [m] half of the league's 0.18 m
HEIGHT = 0.15  # [m]
MASS = 2.5  # [kg] chassis
MAX_SPEED = 2.0  # [m/s] per axis
MAX_FORCE = 12.5  # [N] per axis, 5 m/s^2
SPEED_GAIN = 25.0  # [N s/m]
MAX_SPIN = 6.0  # [rad/s]
SPIN_GAIN = 0.2  # [N m s/rad]
MAX_TORQUE = 0.4  # [N m]
ARM_LENGTH = 0.11  # [m]
ARM_RADIUS = 0.012  # [m]
ARM_MASS = 0.06  # [kg]
ARM_RANGE = 1.4  # [rad] to either side of straight out
ARM_HEIGHT = 0.0215  # [m] the ball's centre
MAX_ARMS = 8


@BODIES.register("omni")
class Omni(Body):
    """A disc on three planar joints (x, y, heading) with `arms` hinged arms around it.

    Actions (3 + k): velocity [MAX_SPEED] along the pitch's x and y, spin [MAX_SPIN], and the target
    angle of each arm [ARM_RANGE]. Drives are velocity servos with a force limit; arms are position
    servos. qpos = x, y, heading, arm angles; it cannot fall.
    """

    scale = Scale(
        length=1.0,
        ball_radius=0.0215,
        ball_mass=0.046,
        timestep=0.01,
        substeps=5,
        clock=6.0,
        speed_limit=1.5,
        save_speed=0.5,
    )
    root = "chassis"

    def __init__(self, arms: int = 4) -> None:
        if isinstance(arms, bool) or not isinstance(arms, int) or not 0 <= arms <= MAX_ARMS:
            raise RoboAdvError(f"body 'omni' takes arms = 0..{MAX_ARMS}, got {arms!r}")
        self.arms = arms
        self.actions = 3 + arms

    def spec(self) -> mujoco.MjSpec:
        spec = mujoco.MjSpec()
        spec.compiler.degree = False
        body = spec.worldbody.add_body(name=self.root)
        for name, axis, kind in (
            ("x", (1, 0, 0), mujoco.mjtJoint.mjJNT_SLIDE),
            ("y", (0, 1, 0), mujoco.mjtJoint.mjJNT_SLIDE),
            ("heading", (0, 0, 1), mujoco.mjtJoint.mjJNT_HINGE),
        ):
            body.add_joint(name=name, type=kind, axis=axis)
        body.add_geom(
            name="shell",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=(RADIUS, 0.47 * HEIGHT, 0),
            pos=(0, 0, 0.53 * HEIGHT),
            mass=MASS,
        )
        # Shows the heading. A site: massless, never collides, and keeps its own colour.
        body.add_site(
            name="front",
            type=mujoco.mjtGeom.mjGEOM_BOX,
            size=(0.3 * RADIUS, 0.16 * RADIUS, 0.002),
            pos=(0.62 * RADIUS, 0, HEIGHT),
            rgba=(1, 1, 1, 1),
        )
        for i in range(self.arms):
            self._add_arm(body, i)
        self._add_actuators(spec)
        return spec

    def _add_arm(self, body: mujoco.MjsBody, i: int) -> None:
        angle = 2 * np.pi * (i + 0.5) / self.arms
        arm = body.add_body(
            name=f"arm_{i}",
            pos=(0.9 * RADIUS * np.cos(angle), 0.9 * RADIUS * np.sin(angle), ARM_HEIGHT),
            quat=(np.cos(angle / 2), 0, 0, np.sin(angle / 2)),
        )
        arm.add_joint(
            name=f"arm_{i}",
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=(0, 0, 1),
            range=(-ARM_RANGE, ARM_RANGE),
            limited=True,
            armature=1e-3,
            damping=[0.02, 0, 0],
        )
        arm.add_geom(
            name=f"arm_{i}",
            type=mujoco.mjtGeom.mjGEOM_CAPSULE,
            fromto=(0, 0, 0, ARM_LENGTH, 0, 0),
            size=(ARM_RADIUS, 0, 0),
            mass=ARM_MASS,
        )

    def _add_actuators(self, spec: mujoco.MjSpec) -> None:
        for joint, gain, top, force in (
            ("x", SPEED_GAIN, MAX_SPEED, MAX_FORCE),
            ("y", SPEED_GAIN, MAX_SPEED, MAX_FORCE),
            ("heading", SPIN_GAIN, MAX_SPIN, MAX_TORQUE),
        ):
            _servo(spec, joint, gain * top, (0, 0, -gain), force)
        for i in range(self.arms):
            _servo(spec, f"arm_{i}", 0.6 * ARM_RANGE, (0, -0.6, -0.03), 0.6)

    @property
    def noise(self) -> int:
        return self.arms

    def start(self, x: Array, y: Array, heading: Array, u: Array) -> Array:
        arms = 0.2 * (2 * u[:, : self.arms] - 1)
        return np.column_stack([x, y, heading, arms])

    def own(self, qpos: Array, qvel: Array) -> list[Array]:
        heading = qpos[:, 2:3]
        return [
            qpos[:, :2],
            np.cos(heading),
            np.sin(heading),
            qpos[:, 3:],
            qvel[:, :2],
            0.2 * qvel[:, 2:3],
            0.1 * qvel[:, 3:],
        ]

    @cached_property
    def own_layout(self) -> list[Slice]:
        return [
            Slice("own_position", 2, "m"),
            Slice("own_heading", 2, "cos, sin"),
            Slice("own_arms", self.arms, "rad"),
            Slice("own_velocity", 2, "m/s"),
            Slice("own_spin", 1, "5 rad/s"),
            Slice("own_arm_velocity", self.arms, "10 rad/s"),
        ]

    def visible(self, qpos: Array) -> list[Array]:
        heading = qpos[:, 2:3]
        return [qpos[:, :2], np.cos(heading), np.sin(heading), qpos[:, 3:]]

    @cached_property
    def visible_layout(self) -> list[Slice]:
        return [
            Slice("position", 2, "m"),
            Slice("heading", 2, "cos, sin"),
            Slice("arms", self.arms, "rad"),
        ]

    def position(self, qpos: Array) -> Array:
        return qpos[:, :2]

    def velocity(self, qvel: Array) -> Array:
        return qvel[:, :2]

    def fallen(self, qpos: Array) -> npt.NDArray[np.bool_]:
        return np.zeros(len(qpos), dtype=bool)

    def mirror(self) -> tuple[Mirror, Mirror, Mirror]:
        # Arm i stands at 2 pi (i + 1/2) / k, so its mirror image is arm k - 1 - i.
        index = np.concatenate([np.arange(3), 3 + np.arange(self.arms)[::-1]]).astype(np.int64)
        sign = np.concatenate([[1.0, -1.0, -1.0], -np.ones(self.arms)])
        both = Mirror(index, sign)
        return both, both, both


def _servo(
    spec: mujoco.MjSpec, joint: str, gain: float, bias: tuple[float, float, float], force: float
) -> None:
    """An affine servo, force = gain * ctrl + bias . (1, length, velocity), limited to +-force."""
    spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        gainprm=[gain] + [0] * 9,
        biasprm=[*bias] + [0] * 7,
        ctrlrange=(-1, 1),
        ctrllimited=True,
        forcerange=(-force, force),
        forcelimited=True,
    )
