"""Chain: forward kinematics, Jacobians and damped least squares for a batch of serial arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import mujoco
import numpy as np

from robo_adv.envs.episode import Array
from robo_adv.errors import RoboAdvError


@dataclass(frozen=True)
class Poses:
    """Where a batch of chains is, in world coordinates.

    Attributes:
        position: of the tool centre point (n, 3) [m]. rotation: of the tool frame (n, 3, 3).
        anchors: a point of each joint's axis (n, j, 3) [m]. axes: unit vectors (n, j, 3).
    """

    position: Array
    rotation: Array
    anchors: Array
    axes: Array


Terms = list[tuple[int, float]]


@dataclass(frozen=True)
class _Link:
    """A fixed transform, then a turn about the z axis that it ends in (joint >= 0)."""

    position: Array  # (3,)
    rotation: Array  # (3, 3)
    joint: int  # column of q, -1 for none

    @cached_property
    def terms(self) -> tuple[Terms, ...]:
        """Of the position and of the rotation's columns: which entries are not 0, and their
        values. Most entries of real arms are 0."""
        vectors = (self.position, *self.rotation.T)
        return tuple([(k, float(w)) for k, w in enumerate(v) if abs(w) > 1e-15] for v in vectors)


@dataclass(frozen=True)
class _Body:
    """One body of the file: its fixed transform, then its hinge if it has one."""

    position: Array  # (3,)
    rotation: Array  # (3, 3)
    joint: int
    axis: Array  # (3,)
    anchor: Array  # (3,)


class Chain:
    """The joints from the world to a tool centre point, of a compiled model.

    Args:
        model: holds the arm. joints: names of its hinge joints, base first.
        body: the body that carries the tool. offset: of the tool centre point in that body (3,) [m].

    Raises:
        RoboAdvError: a joint is not a hinge or does not lie between the world and the body.
    """

    def __init__(
        self, model: mujoco.MjModel, joints: Sequence[str], body: str, offset: Sequence[float]
    ) -> None:
        self.size = len(joints)
        columns = {model.joint(name).id: i for i, name in enumerate(joints)}
        links, found, at = [], set(), model.body(body).id
        while at:
            links.append(_body(model, at, columns))
            found.add(links[-1].joint)
            at = int(model.body_parentid[at])
        missing = [name for i, name in enumerate(joints) if i not in found]
        if missing:
            raise RoboAdvError(f"joints {missing} do not lie between the world and {body!r}")
        self._links = _z_links(links[::-1], np.asarray(offset, dtype=np.float64))

    def poses(self, q: Array) -> Poses:
        """Poses at joint angles (n, j) [rad]."""
        n = len(q)
        # Simulations last: every operation below runs over n numbers in a row.
        # Contiguous, since NumPy computes sines of strided numbers by another routine.
        angles = np.ascontiguousarray(q.T)
        sine, cosine = np.sin(angles), np.cos(angles)
        position = np.zeros((3, n))
        columns = [np.repeat(unit[:, None], n, axis=1) for unit in np.eye(3)]
        anchors, axes = np.empty((self.size, 3, n)), np.empty((self.size, 3, n))
        for link in self._links:
            position = position + _sum(columns, link.terms[0])
            x, y, z = (_sum(columns, terms) for terms in link.terms[1:])
            j = link.joint
            columns = [x, y, z]
            if j >= 0:
                anchors[j], axes[j] = position, z
                columns = [cosine[j] * x + sine[j] * y, cosine[j] * y - sine[j] * x, z]
        rotation = np.stack(columns, axis=1)  # (3, 3, n)
        return Poses(
            np.ascontiguousarray(position.T),
            np.ascontiguousarray(rotation.transpose(2, 0, 1)),
            np.ascontiguousarray(anchors.transpose(2, 0, 1)),
            np.ascontiguousarray(axes.transpose(2, 0, 1)),
        )

    @staticmethod
    def velocity(poses: Poses, speed: Array) -> Array:
        """Velocities (n, 3) [m/s] of the tool centre point at joint speeds (n, j) [rad/s]; summed
        joint by joint, since NumPy's order of sums may depend on n."""
        arm = poses.position[:, None, :] - poses.anchors
        parts = _cross(poses.axes, arm) * speed[:, :, None]
        out = parts[:, 0].copy()
        for j in range(1, parts.shape[1]):
            out += parts[:, j]
        return out

    @staticmethod
    def jacobian(poses: Poses) -> Array:
        """(n, 6, j): linear [m/rad] over angular [rad/rad] velocity of the tool per joint."""
        arm = poses.position[:, None, :] - poses.anchors
        return np.concatenate([_cross(poses.axes, arm), poses.axes], axis=2).transpose(0, 2, 1)


def _body(model: mujoco.MjModel, body: int, columns: dict[int, int]) -> _Body:
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.body_quat[body])
    joint, axis, anchor = -1, np.array([0.0, 0.0, 1.0]), np.zeros(3)
    first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
    mine = [j for j in range(first, first + count) if j in columns]
    if mine:
        if count > 1 or model.jnt_type[mine[0]] != mujoco.mjtJoint.mjJNT_HINGE:
            name = model.body(body).name
            raise RoboAdvError(f"body {name!r} must have exactly one joint, a hinge, to be driven")
        joint, axis = columns[mine[0]], model.jnt_axis[mine[0]].copy()
        anchor = model.jnt_pos[mine[0]].copy()
    return _Body(model.body_pos[body].copy(), rotation.reshape(3, 3), joint, axis, anchor)


def _z_links(bodies: list[_Body], offset: Array) -> list[_Link]:
    """The chain with every joint turned into one about z, and what is fixed folded together."""
    out: list[_Link] = []
    position, rotation = np.zeros(3), np.eye(3)  # from the last joint's frame to here
    for body in bodies:
        position = position + rotation @ body.position
        rotation = rotation @ body.rotation
        if body.joint < 0:
            continue
        to_axis = _turn_z_to(body.axis)
        out.append(_Link(position + rotation @ body.anchor, rotation @ to_axis, body.joint))
        rotation = to_axis.T
        position = -rotation @ body.anchor
    return [*out, _Link(position + rotation @ offset, rotation, -1)]


def _turn_z_to(axis: Array) -> Array:
    """A rotation (3, 3) that takes z to the unit vector `axis`."""
    quaternion, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_quatZ2Vec(quaternion, axis)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def rotation_error(wanted: Array, found: Array) -> Array:
    """Rotation vectors (n, 3) [rad], in world coordinates, that turn `found` into `wanted`
    (n, 3, 3); exact to first order: half the sum of the crossed columns (sin of the angle)."""
    found, wanted = np.broadcast_arrays(found, wanted)
    crossed = _cross(found.transpose(0, 2, 1), wanted.transpose(0, 2, 1))
    return np.asarray(0.5 * crossed.sum(axis=1))


def _sum(columns: list[Array], terms: Terms) -> Array:
    """The weighted sum (3, n) of columns (3, n).

    Written out, since the order of sums in a matrix product may depend on n, and an episode must not
    depend on its neighbours."""
    if not terms:
        return np.zeros_like(columns[0])
    (first, weight), *rest = terms
    out = columns[first] * weight
    for k, weight in rest:
        out += columns[k] * weight
    return out


def _cross(a: Array, b: Array) -> Array:
    """Cross products over the last axis; np.cross is several times slower on small arrays."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


def damped_least_squares(
    jacobian: Array, error: Array, damping: float, posture: Array | None = None
) -> Array:
    """Joint steps (n, j) that follow `error` (n, 6): J^T (J J^T + damping^2 1)^-1 error.

    Wampler 1986 and Nakamura & Hanafusa 1986; `posture` (n, j) is followed in the null space of the
    damped inverse, so far as the tool does not notice.
    """
    # Sums are written out over joints: a matrix product's order of sums may depend on n.
    joints = jacobian.shape[2]
    gram = np.zeros((len(jacobian), 6, 6))
    gram[:, np.arange(6), np.arange(6)] = damping**2
    for j in range(joints):
        column = jacobian[:, :, j]
        gram += column[:, :, None] * column[:, None, :]
        if posture is not None:
            error = error - column * posture[:, j, None]
    solved = np.linalg.solve(gram, error[:, :, None])[:, :, 0]
    step = np.zeros((len(jacobian), joints)) if posture is None else posture.copy()
    for k in range(6):
        step += jacobian[:, k] * solved[:, k, None]
    return step
