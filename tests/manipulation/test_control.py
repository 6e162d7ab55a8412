"""Controllers do what an action says, to stated accuracies, within what the joints may.

Joint servos lag 0.1 s behind their targets (damping over stiffness), so a tool that moves at v is
0.1 s x v behind what was commanded. Bounds are about 1.3 times what was measured.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from manipulation.worlds import act, calm, peaks, rest, set_levels
from robo_adv.envs.manipulation.chain import rotation_error
from robo_adv.envs.manipulation.control import CONTROLLERS, EndEffectorDelta, JointVelocity
from robo_adv.envs.manipulation.reach import Reach

Array = npt.NDArray[np.float64]

N = 32
LAG = 0.1  # [s] of the servos
STEP = 0.02  # [m] that a full action of `ee_delta` asks for, in a control step
SHARE = 0.5  # of its velocity limit that a full action of `joint_velocity` asks of a joint
DISTANCE = 0.08  # [m] of a commanded move
FINAL, FINAL_MEAN = 5e-3, 2.5e-3  # [m] how far from its end the tool may stop
ON_THE_WAY = {0.25: 5e-3, 0.5: 10e-3}  # [m] by size of the action
DRIFT = 2e-3  # [m/s] of a tool that is told nothing, away from home
TILT = 2e-3  # [rad]


def somewhere(game: Reach, seed: int = 0) -> None:
    """Bring every tool to a random point at least 9 cm inside the workspace, and let it rest."""
    low, high = game.workspace
    goal = np.random.default_rng(seed).uniform(low + 0.09, high - 0.09, (game.num_envs, 3))
    for _ in range(50):
        way = (goal - game.poses.position) / STEP
        act(game, np.clip(0.5 * way, -1.0, 1.0))
    rest(game, 10)
    assert np.linalg.norm(game.poses.position - goal, axis=1).max() < 0.01, "it is elsewhere"


def directions(n: int, seed: int = 1) -> Array:
    found = np.random.default_rng(seed).normal(size=(n, 3))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


@pytest.mark.parametrize("size", ON_THE_WAY)
def test_a_tool_moves_as_far_as_it_is_told_from_anywhere_in_any_direction(size: float) -> None:
    """8 cm at 2 cm x size per step: 5 mm at the end at most, 2.5 mm on average, and on the way."""
    game, along = calm(Reach, N), directions(N)
    somewhere(game)
    start, speed = game.poses.position.copy(), size * STEP / game.control_dt
    for k in range(round(DISTANCE / STEP / size)):
        act(game, size * along)
        behind = speed * max((k + 1) * game.control_dt - LAG, 0.0)
        off = np.linalg.norm(game.poses.position - (start + behind * along), axis=1)
        assert off.max() < ON_THE_WAY[size], f"{1e3 * off.max():.1f} mm off after {k + 1} steps"
    rest(game, 10)
    off = np.linalg.norm(game.poses.position - (start + DISTANCE * along), axis=1)
    assert off.max() < FINAL, f"{1e3 * off.max():.1f} mm from the end"
    assert off.mean() < FINAL_MEAN, f"{1e3 * off.mean():.1f} mm from the end on average"
    tilt = np.linalg.norm(rotation_error(game.controller.drive.down, game.poses.rotation), axis=1)
    assert tilt.max() < TILT, f"the tool tilts by {tilt.max():.4f} rad"


def test_a_tool_that_is_told_nothing_creeps_by_millimetres_per_second() -> None:
    """The draw towards home leaks through the damped inverse: about 1 mm/s away from home, 0 at it."""
    game = calm(Reach, N)
    home = game.poses.position.copy()
    rest(game, 50)
    assert np.linalg.norm(game.poses.position - home, axis=1).max() < 1e-5
    somewhere(game)
    before = game.poses.position.copy()
    rest(game, 50)
    drift = np.linalg.norm(game.poses.position - before, axis=1) / (50 * game.control_dt)
    assert drift.max() < DRIFT, f"{1e3 * drift.max():.1f} mm/s"


@pytest.mark.parametrize("axis", range(3))
def test_the_leash_sets_the_tools_top_speed(axis: int) -> None:
    """Full actions ask for 0.5 m/s along an axis. The wanted point keeps within the leash of a tool
    that lags, so it gets leash / (lag + one control step - one timestep) = 0.37 m/s."""
    game = calm(Reach, 2)
    action = np.zeros((2, 3))
    action[:, axis] = 1.0, -1.0
    act(game, -action, 10)
    act(game, action, 8)
    expected = EndEffectorDelta.leash / (LAG + game.control_dt - game.timestep)
    assert 0.36 < expected < 0.38 < STEP / game.control_dt
    assert game.tool_velocity[:, axis] * action[:, axis] == pytest.approx(expected, rel=0.02)
    assert np.abs(np.delete(game.tool_velocity, axis, axis=1)).max() < 0.05 * expected


@pytest.mark.parametrize("size", [0.2, 0.5])
def test_joints_turn_at_the_commanded_velocities(size: float) -> None:
    """Random velocities of all joints at once: within 0.5 % of each joint's limit after 0.48 s, and
    at rest within 0.001 rad of where they were told to go."""
    game, rng = calm(Reach, N, control="joint_velocity"), np.random.default_rng(2)
    action = rng.uniform(-size, size, (N, 7))
    start = np.array(game.arm.home) + rng.uniform(-0.2, 0.2, (N, 7))
    put(game, start)
    drive, steps = game.controller.drive, 12
    costs = peaks(act(game, action, steps))
    commanded = action * SHARE * drive.fastest
    off = np.abs(game.qvel[:, game.arm_v] - commanded) / drive.fastest
    assert off.max() < 5e-3, off.max(axis=0)
    assert costs["joint_velocity_excess"].max() == 0.0
    rest(game, 25)
    end = start + commanded * steps * game.control_dt
    assert ((end > drive.low) & (end < drive.high)).all(), "a range cuts the move short"
    np.testing.assert_allclose(game.qpos[:, game.arm_q], end, atol=1e-3)


def test_the_leash_slows_the_wrist_down_at_full_velocity_commands() -> None:
    """1 means half of a joint's limit. Joints 1 to 4 turn so fast; the wrist's, whose limits are
    higher, get leash / (lag + one control step - one timestep), 0.42 of theirs."""
    game = calm(Reach, 14, control="joint_velocity")
    action = np.concatenate([np.eye(7), -np.eye(7)])
    act(game, action, 12)
    turned = np.abs(game.qvel[:, game.arm_v][action != 0.0].reshape(2, 7))
    fastest = SHARE * game.controller.drive.fastest
    leashed = JointVelocity.leash / (LAG + game.control_dt - game.timestep)
    expected = np.minimum(fastest, leashed)
    assert (expected < fastest).tolist() == [False] * 4 + [True] * 3
    np.testing.assert_allclose(turned, [expected, expected], rtol=0.02)


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_joints_reach_the_commanded_positions(spread: float) -> None:
    """Within 0.001 rad after 0.8 s and 1e-4 rad after 1.2 s, from home to up to 0.5 rad away."""
    game = calm(Reach, N, control="joint_position")
    low, high = game.controller.drive.low, game.controller.drive.high
    offset = np.random.default_rng(3).uniform(-spread, spread, (N, 7))
    wanted = np.clip(np.array(game.arm.home) + offset, low, high)
    action = 2.0 * (wanted - low) / (high - low) - 1.0
    costs = peaks(act(game, action, 20))
    assert np.abs(game.qpos[:, game.arm_q] - wanted).max() < 1e-3
    assert costs["joint_velocity_excess"].max() == 0.0
    act(game, action, 10)
    assert np.abs(game.qpos[:, game.arm_q] - wanted).max() < 1e-4


@pytest.mark.parametrize("control", CONTROLLERS)
def test_targets_never_leave_the_ranges_nor_outrun_the_velocity_limits(control: str) -> None:
    """Full actions that change sign at random, from random postures, some at the ends of a range."""
    game, rng = calm(Reach, N, control=control), np.random.default_rng(4)
    drive = game.controller.drive
    low, high, most = drive.low, drive.high, drive.fastest * game.control_dt
    posture = np.clip(np.array(game.arm.home) + rng.uniform(-0.5, 0.5, (N, 7)), low, high)
    posture[:14] = np.array(game.arm.home)
    posture[np.arange(14), np.arange(14) % 7] = np.concatenate([low, high])
    put(game, posture)
    last, fastest, at_an_end = posture, np.zeros(7), np.zeros(7, dtype=bool)
    for _ in range(8):
        action = np.sign(rng.normal(size=(N, game.action_size("arm"))))
        for _ in range(6):
            act(game, action)
            targets = game.ctrl[:, game.arm_u].copy()
            assert ((targets >= low) & (targets <= high)).all()
            assert (np.abs(targets - last) <= most * (1.0 + 1e-9)).all()
            torque = np.abs(game.batch.bind("qfrc_actuator")[:, game.arm_v])
            assert (torque <= np.array(game.arm.torque_limits) * (1.0 + 1e-9)).all()
            fastest = np.maximum(fastest, (np.abs(targets - last) / most).max(axis=0))
            at_an_end |= ((targets == low) | (targets == high)).any(axis=0)
            last = targets
    assert fastest.max() > 0.999 and at_an_end.any(), "the limits were never tried"


def test_targets_go_no_faster_while_the_world_is_another() -> None:
    """Weak servos and sticky joints lag more; what the controller asks keeps its limits."""
    game = calm(Reach, 2, control="joint_velocity")
    set_levels(game, [{"actuator_gain": 0.4, "joint_damping": 4.0}, {"actuator_gain": 1.6}])
    before = game.ctrl[:, game.arm_u].copy()
    for _ in range(20):
        act(game, [1.0, 0.2, 0.0, 0.3, 1.0, -1.0, 1.0])
        targets = game.ctrl[:, game.arm_u].copy()
        most = SHARE * game.controller.drive.fastest * game.control_dt
        assert (np.abs(targets - before) <= most * (1.0 + 1e-9)).all()
        assert (np.abs(targets - game.qpos[:, game.arm_q]) <= JointVelocity.leash + most).all()
        before = targets


def put(game: Reach, posture: Array) -> None:
    """Joints and their targets at angles (N, 7) [rad], at rest."""
    game.qpos[:, game.arm_q] = game.ctrl[:, game.arm_u] = posture
    game.qvel[:] = 0.0
    game.refresh()
