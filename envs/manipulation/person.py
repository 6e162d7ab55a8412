"""A person's forearm and hand that move through the workspace and yield when they are pushed.

Two capsules with the effective masses of the contact limits. The forearm slides in x, y, z and turns
about z on position servos of limited force; the hand hangs on it by springs, so that a blow to it
meets the hand's mass and not the whole arm's. Gravity is compensated. They touch the robot only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Ints
from robo_adv.envs.manipulation.scene import contact_sensor
from robo_adv.safety.contact_limits import Limits
from robo_adv.safety.contact_model import reduced_mass

PARTS = ("hand", "forearm")
SKIN = (0.87, 0.67, 0.54, 1.0)
SLEEVE = (0.25, 0.41, 0.62, 1.0)
BIT = 2  # collision bit between the person and the robot
RADIUS = np.array([0.032, 0.042])  # [m] of PARTS
HALF = np.array([0.050, 0.120])  # [m] half lengths of the capsules' segments
REACH = 0.205  # [m] from the forearm's middle to the hand's
DAMPING_RATIO = 0.05  # of the contact springs; the closed form of the blow assumes none
# Constraints of low impedance are springs that act side by side. With MuJoCo's usual 0.9 and more, a
# forearm wedged between two links met forces of 2 kN, though nothing pushed it with more than 0.14 kN.
IMPEDANCE = 0.05
# Servos [N/m, N s/m; N m/rad, N m s/rad]: damping over stiffness is the lag, undone by LEAD.
SLIDE, TURN, TORQUE = (1000.0, 100.0), (30.0, 3.0), 8.0
LEAD = 0.1  # [s]
WRIST = (2000.0, 20.0)  # [N/m, N s/m] slow against a blow of about 10 ms
SHOULDER = np.array([0.55, 1.15])  # (x, y) [m] that the forearm points away from
_GEOM, _JOINT = mujoco.mjtGeom, mujoco.mjtJoint


@dataclass(frozen=True)
class Stance:
    """Where a batch of persons is and how it moves; the last axis but one runs over PARTS.

    Attributes:
        centre, velocity: of the parts (n, 2, 3) [m], [m/s]. along: unit vectors (n, 1, 3) of the
            forearm. spin: turning about z (n,) [rad/s].
    """

    centre: Array
    velocity: Array
    along: Array
    spin: Array

    def ends(self) -> tuple[Array, Array]:
        """End points (n, 2, 3) of the capsules' segments."""
        offset = HALF[:, None] * self.along
        return self.centre - offset, self.centre + offset

    def velocity_at(self, point: Array) -> Array:
        """Velocity (n, ..., 2, 3) of the parts at points (n, ..., 2, 3) that move with them."""
        middle = (slice(None), *[None] * (point.ndim - 3))
        arm, out = point - self.centre[middle], self.velocity[middle] + np.zeros_like(point)
        spin = self.spin.reshape(-1, *[1] * (point.ndim - 2))
        out[..., 0] -= spin * arm[..., 1]
        out[..., 1] += spin * arm[..., 0]
        return out


class Person:
    """The bodies, joints and servos of the person in a batch.

    Args:
        model: the compiled scene. limits: masses and stiffnesses.
        robot_mass: effective mass of the robot [kg], for the energy model.
        tool: body of the robot that the contact springs are made for; against others they differ by
            what those weigh less or more.
    """

    def __init__(
        self, model: mujoco.MjModel, limits: Limits, robot_mass: float, tool: str
    ) -> None:  # fmt: skip
        joints = [model.joint(f"human_{name}") for name in ("x", "y", "z", "yaw", "dx", "dy", "dz")]
        self.q: Ints = np.array([j.qposadr[0] for j in joints], dtype=np.int64)
        self.v: Ints = np.array([j.dofadr[0] for j in joints], dtype=np.int64)
        servos = [model.actuator(f"human_{name}").id for name in ("x", "y", "z", "yaw")]
        self.u: Ints = np.array(servos, dtype=np.int64)
        self.geoms = [model.geom(f"human_{part}").id for part in PARTS]
        self.mass = reduced_mass(limits.column("mass", PARTS), robot_mass)
        bodies = [model.geom_bodyid[geom] for geom in self.geoms]
        weight = model.body_invweight0[:, 0]  # [1/kg]
        self._weight: Array = weight[bodies] + weight[model.body(tool).id]
        self.stiffness = 1000.0 * limits.column("stiffness", PARTS)  # [N/m]

    def pose(self, hand: Array) -> Array:
        """Joint targets (n, 4) that bring the hand's middle to (n, 3) [m]."""
        away = hand[:, :2] - SHOULDER
        yaw = np.arctan2(away[:, 1], away[:, 0])
        x, y = hand[:, 0] - REACH * np.cos(yaw), hand[:, 1] - REACH * np.sin(yaw)
        return np.stack([x, y, hand[:, 2], yaw], axis=1)

    def stance(self, qpos: Array, qvel: Array) -> Stance:
        """Where the parts are at states (n, nq), (n, nv)."""
        q, v = qpos[:, self.q], qvel[:, self.v]
        cosine, sine, spin = np.cos(q[:, 3]), np.sin(q[:, 3]), v[:, 3]

        def turned(x: Array, y: Array, z: Array) -> Array:
            return np.stack([cosine * x - sine * y, sine * x + cosine * y, z], axis=1)

        arm = turned(REACH + q[:, 4], q[:, 5], q[:, 6])
        carried = np.stack([-spin * arm[:, 1], spin * arm[:, 0], np.zeros_like(spin)], axis=1)
        hand_speed = v[:, :3] + carried + turned(v[:, 4], v[:, 5], v[:, 6])
        return Stance(
            np.stack([q[:, :3] + arm, q[:, :3]], axis=1),
            np.stack([hand_speed, v[:, :3]], axis=1),
            np.stack([cosine, sine, np.zeros_like(sine)], axis=1)[:, None],
            spin,
        )

    def solref(self, stiffness: Array) -> Array:
        """MuJoCo's direct contact parameters (n, 2, 2) for contact stiffnesses (n,) x nominal.

        -K w and -2 zeta sqrt(K w): MuJoCo's springs give accelerations, which it divides by the
        bodies' inverse weights w [1/kg] to get a force, so that a force is K times the depth
        (MuJoCo documentation, "Solver parameters")."""
        ratio = stiffness[:, None] * self.stiffness * self._weight
        return np.stack([-ratio, -2.0 * DAMPING_RATIO * np.sqrt(ratio)], axis=2)


def add_person(spec: mujoco.MjSpec, root: str, limits: Limits, force: float) -> None:
    """Adds the person, lets it touch the subtree of body `root`, and measures what happens."""
    for geom in _colliding(spec.body(root)):
        geom.contype |= BIT
    forearm = spec.worldbody.add_body(name="human_forearm", gravcomp=1.0)
    for axis, name in zip(np.eye(3), "xyz", strict=True):
        forearm.add_joint(name=f"human_{name}", type=_JOINT.mjJNT_SLIDE, axis=list(axis))
    forearm.add_joint(name="human_yaw", type=_JOINT.mjJNT_HINGE, axis=[0, 0, 1])
    hand = forearm.add_body(name="human_hand", pos=[REACH, 0, 0], gravcomp=1.0)
    for axis, name in zip(np.eye(3), "xyz", strict=True):
        hand.add_joint(
            name=f"human_d{name}", type=_JOINT.mjJNT_SLIDE, axis=list(axis), stiffness=WRIST[0],
            damping=WRIST[1],
        )  # fmt: skip
    for k, (part, body) in enumerate(zip(PARTS, (hand, forearm), strict=True)):
        body.add_geom(
            name=f"human_{part}", type=_GEOM.mjGEOM_CAPSULE, mass=limits[part].mass.value,
            fromto=[-HALF[k], 0, 0, HALF[k], 0, 0], size=[RADIUS[k], 0, 0], contype=0,
            conaffinity=BIT, priority=1, friction=[0.5, 0.005, 0.0001], group=3, rgba=list(SKIN),
            solimp=[IMPEDANCE, IMPEDANCE, 0.001, 0.5, 2],
        )  # fmt: skip
        contact_sensor(spec, f"human_{part}_largest", ("subtree", root), ("body", body.name))
        contact_sensor(spec, f"human_{part}_net", ("subtree", root), ("body", body.name), net=True)
    _dress(forearm, hand)
    for name, (stiffness, damping), most in (
        *((axis, SLIDE, force) for axis in "xyz"), ("yaw", TURN, TORQUE),
    ):  # fmt: skip
        servo = spec.add_actuator(name=f"human_{name}")
        servo.target, servo.trntype = f"human_{name}", mujoco.mjtTrn.mjTRN_JOINT
        servo.gaintype = mujoco.mjtGain.mjGAIN_FIXED
        servo.biastype = mujoco.mjtBias.mjBIAS_AFFINE
        servo.gainprm[0] = stiffness
        servo.biasprm[:3] = [0.0, -stiffness, -damping]
        servo.forcelimited, servo.forcerange = True, [-most, most]


def _colliding(body: Any) -> Iterator[Any]:
    """Geoms of a body and of those below it that can collide."""
    for b in (body, *body.find_all(mujoco.mjtObj.mjOBJ_BODY)):
        yield from (g for g in b.geoms if g.contype or g.conaffinity)


def _dress(forearm: Any, hand: Any) -> None:
    """What a viewer sees, without physics: a sleeve, a palm, four fingers and a thumb."""

    def show(body: Any, start: Array, end: Array, radius: float, colour: tuple[float, ...]) -> None:
        body.add_geom(
            type=_GEOM.mjGEOM_CAPSULE, fromto=[*start, *end], size=[radius, 0, 0], mass=0.0,
            contype=0, conaffinity=0, group=1, rgba=list(colour),
        )  # fmt: skip

    show(forearm, np.array([-0.14, 0, 0]), np.array([0.03, 0, 0]), 0.044, SLEEVE)
    show(forearm, np.array([-0.02, 0, 0]), np.array([0.13, 0, 0]), 0.034, SKIN)
    hand.add_geom(
        type=_GEOM.mjGEOM_ELLIPSOID, pos=[-0.03, 0, 0], size=[0.05, 0.036, 0.018], mass=0.0,
        contype=0, conaffinity=0, group=1, rgba=list(SKIN),
    )  # fmt: skip
    for k, (side, length) in enumerate(
        ((-0.024, 0.055), (-0.008, 0.066), (0.008, 0.07), (0.024, 0.06))
    ):
        spread = 0.25 * side
        start, end = (
            np.array([0.005, side, 0]),
            np.array([length, side + spread, -0.008 - 0.001 * k]),
        )
        show(hand, start, end, 0.0085, SKIN)
    show(hand, np.array([-0.045, 0.024, -0.004]), np.array([0.0, 0.05, -0.012]), 0.010, SKIN)
