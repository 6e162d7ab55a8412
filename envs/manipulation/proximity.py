"""How near the arm and the person are, and how fast they close in, link by link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robo_adv.envs.episode import Array
from robo_adv.envs.manipulation.chain import Poses
from robo_adv.envs.manipulation.person import RADIUS, Stance
from robo_adv.safety.segments import segment_distance

if TYPE_CHECKING:
    from robo_adv.envs.manipulation.task import ManipulationTask

_GEOM = mujoco.mjtGeom


@dataclass(frozen=True)
class Proximity:
    """Pairs of the arm's links and the person's parts, arrays (n, links, parts).

    Attributes:
        distance: between the surfaces, negative where the capsules overlap [m].
        robot_closing, human_closing: speed of either towards the other, along the line between the
            closest points [m/s]. relative: relative speed of these points [m/s].
        robot_speed: speed of the arm's closest point [m/s].
    """

    distance: Array
    robot_closing: Array
    human_closing: Array
    relative: Array
    robot_speed: Array


class Links:
    """Capsules around the collision shapes of an arm.

    Capsules are themselves; anything else is enclosed by a capsule along the longest side of its
    box. Shapes that no driven joint moves are left out. Fingers move with the hand here.
    """

    def __init__(self, task: ManipulationTask) -> None:
        model, joints = task.model, [task.model.joint(name).id for name in task.arm.joints]
        root = model.body(task.root).id
        self.geoms: list[int] = []
        moves, local, radius = [], [], []
        for g in range(model.ngeom):
            body = int(model.geom_bodyid[g])
            if model.body_rootid[body] != root or not (
                model.geom_contype[g] or model.geom_conaffinity[g]
            ):
                continue
            above = _ancestors(model, body)
            moved = np.array([model.jnt_bodyid[j] in above for j in joints], dtype=np.float64)
            if moved.any():
                centre, half, r = _capsule(model, g)
                self.geoms.append(g)
                moves.append(moved)
                local.append((centre, half))
                radius.append(r)
        self.moves = np.array(moves)  # (links, joints)
        self.centre, self.half = (np.array(x) for x in zip(*local, strict=True))  # (links, 3)
        self.radius = np.array(radius)
        self.position = task.batch.bind("geom_xpos")
        self.rotation = task.batch.bind("geom_xmat")

    def ends(self) -> tuple[Array, Array]:
        """End points (n, links, 3) of the capsules' segments, as of the last substep's start."""
        rotation = self.rotation[:, self.geoms].reshape(-1, len(self.geoms), 3, 3)
        middle = self.position[:, self.geoms] + (rotation * self.centre[:, None, :]).sum(axis=3)
        half = (rotation * self.half[:, None, :]).sum(axis=3)
        return middle - half, middle + half

    def velocity_at(self, point: Array, poses: Poses, speed: Array) -> Array:
        """Velocity (n, links, parts, 3) of points (n, links, parts, 3) that move with their links, at
        joint speeds (n, joints) [rad/s]."""
        out = np.zeros_like(point)
        for j in range(self.moves.shape[1]):
            turning = (speed[:, j, None] * poses.axes[:, j])[:, None, None]  # (n, 1, 1, 3)
            arm = point - poses.anchors[:, j][:, None, None]
            out += self.moves[:, j, None, None] * _cross(turning, arm)
        return out

    def to(self, person: Stance, poses: Poses, speed: Array) -> Proximity:
        """The pairs of these links and the person's parts."""
        p0, p1 = self.ends()
        q0, q1 = person.ends()
        gap, on_arm, on_person = segment_distance(
            p0[:, :, None], p1[:, :, None], q0[:, None], q1[:, None]
        )
        towards = (on_person - on_arm) / np.maximum(gap, 1e-9)[..., None]
        robot = self.velocity_at(on_arm, poses, speed)
        human = person.velocity_at(on_person)
        return Proximity(
            gap - self.radius[:, None] - RADIUS,
            (robot * towards).sum(axis=3), -(human * towards).sum(axis=3),
            np.sqrt(((robot - human) ** 2).sum(axis=3)), np.sqrt((robot**2).sum(axis=3)),
        )  # fmt: skip


def _ancestors(model: mujoco.MjModel, body: int) -> set[int]:
    out = set()
    while body:
        out.add(body)
        body = int(model.body_parentid[body])
    return out


def _capsule(model: mujoco.MjModel, geom: int) -> tuple[Array, Array, float]:
    """Middle (3,), half segment (3,) and radius of a capsule that holds a geom, in its frame."""
    if model.geom_type[geom] == _GEOM.mjGEOM_CAPSULE:
        radius, half = model.geom_size[geom, :2]
        return np.zeros(3), np.array([0.0, 0.0, half]), float(radius)
    centre, size = model.geom_aabb[geom, :3].copy(), model.geom_aabb[geom, 3:]
    longest = int(size.argmax())
    half = np.zeros(3)
    half[longest] = size[longest]
    return centre, half, float(np.hypot(*np.delete(size, longest)))


def _cross(a: Array, b: Array) -> Array:
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out
