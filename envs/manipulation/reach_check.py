"""Whether an arm can do the tasks at all: its tool points down at home and reaches the workspace."""

from __future__ import annotations

import numpy as np

from robo_adv.envs.episode import Array
from robo_adv.envs.manipulation.arms import Arm
from robo_adv.envs.manipulation.chain import Chain, damped_least_squares, rotation_error
from robo_adv.envs.manipulation.control import Drive
from robo_adv.errors import RoboAdvError

WAYPOINTS, SETTLING = 4, 40  # steps along the straight line from home, and at its end at most
MOST = 0.3  # [rad] per joint and step
DAMPING = 0.05
NEAR = 0.003  # [m] good enough to stop
ARM = 0.3  # [m/rad] what a tilt counts
TILT = 0.1  # [rad] by which the tool may miss straight down


def check_arm(arm: Arm, drive: Drive, tolerance: float) -> None:
    """Called when a task is made; takes a few milliseconds.

    Raises:
        RoboAdvError: the home posture is outside the joint ranges, the tool does not point down in
            it, or a corner of the workspace is more than `tolerance` [m] or 0.1 rad out of reach.
    """
    where = f"arm {arm.file.name}"
    for i in np.flatnonzero((drive.home < drive.low) | (drive.home > drive.high)):
        raise RoboAdvError(
            f"{where}: home puts joint {arm.joints[i]!r} at {drive.home[i]:.3f} rad, outside its "
            f"range [{drive.low[i]:.3f}, {drive.high[i]:.3f}]"
        )
    along = drive.down @ np.asarray(arm.tcp, dtype=np.float64)
    length = float(np.linalg.norm(along))
    if length > 1e-6 and -along[2] < np.cos(TILT) * length:
        raise RoboAdvError(
            f"{where}: at home the tool points along {np.round(along / length, 2).tolist()} and "
            "not down [0, 0, -1]; choose other home angles, or another tcp"
        )
    corners = workspace_corners(drive.workspace)
    gap, tilt = reach_gaps(drive, corners)
    far = (gap > tolerance) | (tilt > TILT)
    if far.any():
        parts = [
            f"{np.round(corner, 3).tolist()} missed by {100.0 * g:.1f} cm and {t:.2f} rad"
            for corner, g, t in zip(corners[far], gap[far], tilt[far], strict=True)
        ]
        raise RoboAdvError(
            f"{where} cannot reach {far.sum()} of the 8 corners of the workspace with its tool "
            f"pointing down: {'; '.join(parts)}. It must come within {100.0 * tolerance:g} cm: move "
            "its base, or choose a task with a smaller workspace"
        )


def workspace_corners(workspace: Array) -> Array:
    """Corners (8, 3) of a box given by its lowest and highest corner (2, 3)."""
    picks = np.indices((2, 2, 2)).reshape(3, 8).T
    return np.take_along_axis(workspace, picks, axis=0)


def reach_gaps(drive: Drive, targets: Array) -> tuple[Array, Array]:
    """How far the tool, pointing down, stays from targets (n, 3) [m]: gaps (n,) [m], tilts (n,)
    [rad]; by inverse kinematics within the joint ranges, straight from home."""
    q = np.tile(drive.home, (len(targets), 1))
    poses = drive.chain.poses(q)
    first = poses.position.copy()
    gap = tilt = np.full(len(targets), np.inf)
    for k in range(WAYPOINTS + SETTLING):
        share = min((k + 1) / WAYPOINTS, 1.0)
        turn = rotation_error(drive.down, poses.rotation)
        offset = first + share * (targets - first) - poses.position
        error = np.concatenate([offset, turn], axis=1)
        step = damped_least_squares(Chain.jacobian(poses), error, DAMPING)
        step *= MOST / np.maximum(np.abs(step).max(axis=1, keepdims=True), MOST)
        q = np.clip(q + step, drive.low, drive.high)
        poses = drive.chain.poses(q)
        if share == 1.0:
            now = np.linalg.norm(targets - poses.position, axis=1)
            turned = np.linalg.norm(rotation_error(drive.down, poses.rotation), axis=1)
            better = now + ARM * turned < gap + ARM * tilt
            gap, tilt = np.where(better, now, gap), np.where(better, turned, tilt)
            if max(gap.max(), ARM * tilt.max()) < NEAR:
                break
    return gap, tilt
