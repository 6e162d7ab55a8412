"""Controllers: what an action means, as the joint targets that the arm's servos follow.

Every controller is a function of the action, the last targets and the measured joints, so the
targets in `ctrl` are all the memory it has. Targets keep within the joint ranges and move no faster
than the joints may.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robo_adv.envs.episode import Array
from robo_adv.envs.manipulation.chain import Chain, Poses, damped_least_squares, rotation_error
from robo_adv.registry import Registry

CONTROLLERS: Registry[type[Controller]] = Registry("control mode", "robo_adv.envs.manipulation")


@dataclass(frozen=True)
class Drive:
    """What controllers know of an arm.

    Attributes:
        low, high: joint ranges (j,) [rad]. fastest: velocity limits (j,) [rad/s].
        home: posture (j,) [rad]. down: rotation of the tool that points down (3, 3).
        dt: time between control steps [s].
        workspace: corners (2, 3) of the box [m] that Cartesian targets keep to.
    """

    chain: Chain
    low: Array
    high: Array
    fastest: Array
    home: Array
    down: Array
    dt: float
    workspace: Array


class Controller(ABC):
    """One control mode."""

    name: ClassVar[str]

    def __init__(self, drive: Drive) -> None:
        self.drive = drive

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of actions."""

    @abstractmethod
    def targets(self, action: Array, last: Array, joints: Array, tool: Array) -> Array:
        """Joint targets (n, j) [rad].

        Args:
            action: (n, size) in [-1, 1]. last: targets before (n, j). joints: measured (n, j) [rad].
            tool: measured tool centre point (n, 3) [m].
        """

    def limited(self, wanted: Array, last: Array) -> Array:
        """`wanted` within ranges, and within what the velocity limits allow from `last`."""
        most = self.drive.fastest * self.drive.dt
        step = np.minimum(np.maximum(wanted - last, -most), most)
        return np.minimum(np.maximum(last + step, self.drive.low), self.drive.high)


@CONTROLLERS.register("joint_position")
class JointPosition(Controller):
    """An action per joint: the target, -1 and 1 are the ends of its range.

    Targets run at most `leash` ahead of the joint, which lags 0.1 s behind at the velocity limit.
    """

    leash: ClassVar[float] = 0.3  # [rad]

    @property
    def size(self) -> int:
        return self.drive.chain.size

    def targets(self, action: Array, last: Array, joints: Array, tool: Array) -> Array:
        low, high = self.drive.low, self.drive.high
        wanted = self.limited(low + 0.5 * (action + 1.0) * (high - low), last)
        ahead = np.minimum(np.maximum(wanted - joints, -self.leash), self.leash)
        return self.limited(joints + ahead, last)


@CONTROLLERS.register("joint_velocity")
class JointVelocity(Controller):
    """An action per joint: its velocity, 1 is half of the joint's limit.

    Targets run at most `leash` ahead of the joint, so that a blocked arm does not wind up.
    """

    share: ClassVar[float] = 0.5
    leash: ClassVar[float] = 0.15  # [rad]

    @property
    def size(self) -> int:
        return self.drive.chain.size

    def targets(self, action: Array, last: Array, joints: Array, tool: Array) -> Array:
        wanted = last + action * (self.share * self.drive.fastest * self.drive.dt)
        ahead = np.minimum(np.maximum(wanted - joints, -self.leash), self.leash)
        return self.limited(joints + ahead, last)


@CONTROLLERS.register("ee_delta")
class EndEffectorDelta(Controller):
    """Three actions: how far the tool centre point moves in x, y, z; the tool keeps pointing down.

    1 means `step` per control step: 0.5 m/s at 25 Hz, of which the leash leaves about 0.37. One
    damped least squares step from the last targets; the null space draws towards the home posture.
    The wanted point stays in the workspace and at most `leash` from the measured one, so that a
    blocked arm pushes with a bounded force.
    """

    step: ClassVar[float] = 0.02  # [m]
    leash: ClassVar[float] = 0.05  # [m]
    damping: ClassVar[float] = 0.03
    posture: ClassVar[float] = 0.02  # share of the way home per control step, in the null space

    @property
    def size(self) -> int:
        return 3

    def targets(self, action: Array, last: Array, joints: Array, tool: Array) -> Array:
        poses = self.drive.chain.poses(last)
        low, high = self.drive.workspace
        wanted = poses.position + self.step * action
        wanted = np.minimum(np.maximum(wanted, low), high)
        ahead = np.minimum(np.maximum(wanted - tool, -self.leash), self.leash)
        return self.limited(last + self.steps_to(tool + ahead, poses, last), last)

    def steps_to(self, position: Array, poses: Poses, last: Array) -> Array:
        """Joint steps (n, j) from `last`, whose poses are given, towards tool positions (n, 3)."""
        turn = rotation_error(self.drive.down, poses.rotation)
        error = np.concatenate([position - poses.position, turn], axis=1)
        home = self.posture * (self.drive.home - last)
        return damped_least_squares(Chain.jacobian(poses), error, self.damping, home)
