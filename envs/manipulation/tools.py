"""Tools that reach further than the arm: outlines, and what physics makes of them.

A tool is a straight handle along x with a head across its far end. Its frame lies at the grip, in the
middle of the handle's height. Whatever its outline, it is made of the same `BOXES` boxes, so that
every simulation of a batch can have another one; boxes that an outline lacks hide in the handle.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import MappingProxyType

import mujoco
import numpy as np

from robo_adv.envs.episode import Array

BOXES = ("handle", "bar_left", "bar_right", "lip_left", "lip_right")
BUTT = 0.05  # [m] how far the handle sticks out behind the grip
WIDE = 0.014  # [m] half width of the handle; it decides how hard the gripper grips
THICK = 0.010  # [m] half width of the bars and of the lips
TALL = 0.015  # [m] half height of all of them
DENSITY = 350.0  # [kg/m^3] light wood, as poplar
HIDDEN = 0.002  # [m] half size of a box that the outline lacks


@dataclass(frozen=True)
class Outline:
    """A tool's head, all in metres.

    Attributes:
        reach: from the grip to the near face of the head, along the handle.
        left, right: how far the head's bars reach to either side of the handle's middle line.
        slant: how much nearer to the grip the bars' ends are than their roots; below 0 farther.
        lip: length of the lips that turn back towards the grip at the ends of the bars.
    """

    reach: float = 0.33
    left: float = 0.0
    right: float = 0.0
    slant: float = 0.0
    lip: float = 0.0

    def to_row(self) -> Array:
        return np.array([getattr(self, field.name) for field in fields(self)])

    def boxes(self) -> tuple[Array, Array, Array]:
        """Half sizes (5, 3) [m], positions (5, 3) [m] and yaws (5,) [rad] of the boxes."""
        root = self.reach + THICK
        size = np.full((len(BOXES), 3), HIDDEN)
        place, yaw = np.zeros((len(BOXES), 3)), np.zeros(len(BOXES))
        place[:, 0] = 0.5 * self.reach
        size[0] = 0.5 * (root + THICK + BUTT), WIDE, TALL
        place[0, 0] = 0.5 * (root + THICK - BUTT)
        for k, (side, length) in enumerate(((1.0, self.left), (-1.0, self.right)), 1):
            if not length:
                continue
            size[k] = THICK, 0.5 * np.hypot(length, self.slant), TALL
            place[k, :2] = root - 0.5 * self.slant, 0.5 * side * length
            yaw[k] = side * np.arctan2(self.slant, length)
            if self.lip:
                size[k + 2] = 0.5 * self.lip, THICK, TALL
                end = root - self.slant - THICK
                place[k + 2, :2] = end - 0.5 * self.lip, side * (length - THICK)
        return size, place, yaw


TOOLS = MappingProxyType(
    {
        "hook": Outline(left=0.11),
        "right-hook": Outline(right=0.11),
        "rake": Outline(left=0.11, right=0.11),
        "crook": Outline(left=0.12, lip=0.05),
        "long-rake": Outline(reach=0.36, left=0.09, right=0.09),
        "arrow": Outline(left=0.11, right=0.11, slant=0.05),
        "fork": Outline(left=0.12, right=0.12, lip=0.05),
        "right-crook": Outline(reach=0.35, right=0.12, lip=0.04),
    }
)


@dataclass(frozen=True)
class Bodies:
    """Tools as rows of model fields, one row per outline; boxes in the order of `BOXES`.

    Attributes:
        size, place: (k, 5, 3) [m]. quaternion: (k, 5, 4).
        mass: (k,) [kg]. centre: of mass (k, 3) [m]. axes: quaternions of the principal axes (k, 4).
        inertia: (k, 3) [kg m^2]. outline: numbers of `Outline` (k, 5) [m].
    """

    size: Array
    place: Array
    quaternion: Array
    mass: Array
    centre: Array
    axes: Array
    inertia: Array
    outline: Array


def bodies(outlines: list[Outline]) -> Bodies:
    """Masses and inertias are sums over the boxes; where boxes overlap at a corner, both count."""
    rows = [_body(outline) for outline in outlines]
    return Bodies(*(np.stack(column) for column in zip(*rows, strict=True)))


def _body(outline: Outline) -> tuple[Array, ...]:
    size, place, yaw = outline.boxes()
    mass = np.where(size[:, 0] == HIDDEN, 0.0, 8.0 * DENSITY * size.prod(axis=1))
    total = mass.sum()
    centre = (mass[:, None] * place).sum(axis=0) / total
    tensor = np.zeros((3, 3))
    for m, s, p, angle in zip(mass, size, place - centre, yaw, strict=True):
        own = m / 3.0 * (np.sum(s**2) - s**2)  # of a box about its middle
        turn = _about_z(angle)
        tensor += turn @ np.diag(own) @ turn.T + m * (p @ p * np.eye(3) - np.outer(p, p))
    moments, axes = np.linalg.eigh(tensor)
    axes[:, 2] *= np.sign(np.linalg.det(axes))  # a rotation, not a mirror
    quaternion = np.stack([np.cos(0.5 * yaw), 0 * yaw, 0 * yaw, np.sin(0.5 * yaw)], axis=1)
    principal = np.zeros(4)
    mujoco.mju_mat2Quat(principal, axes.flatten())
    return size, place, quaternion, total, centre, principal, moments, outline.to_row()


def _about_z(angle: float) -> Array:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
