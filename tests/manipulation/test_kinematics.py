"""Chains against MuJoCo, against the Panda's published tables, and against another IK library."""

from __future__ import annotations

from typing import Any

import mink
import mujoco
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.envs.manipulation.arms import panda
from robo_adv.envs.manipulation.chain import Chain, damped_least_squares, rotation_error
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[np.float64]

# Franka Control Interface documentation, modified Denavit-Hartenberg parameters; the flange last.
DH_A = (0.0, 0.0, 0.0, 0.0825, -0.0825, 0.0, 0.088, 0.0)  # [m]
DH_D = (0.333, 0.0, 0.316, 0.0, 0.384, 0.0, 0.0, 0.107)  # [m]
HALF_PI = np.pi / 2
DH_ALPHA = (0.0, -HALF_PI, HALF_PI, HALF_PI, -HALF_PI, HALF_PI, HALF_PI, 0.0)
LOW = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
HIGH = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
VELOCITY = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
TORQUE = (87.0, 87.0, 87.0, 87.0, 12.0, 12.0, 12.0)
MASS = (4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522)  # Gaz et al. 2019


def panda_chain() -> tuple[Chain, mujoco.MjModel]:
    arm = panda()
    model = arm.spec().compile()
    return Chain(model, arm.joints, arm.hand, arm.tcp), model


def postures(n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(LOW, HIGH, (n, 7))


def of_mujoco(
    model: mujoco.MjModel, joints: tuple[str, ...], body: str, offset: Array, q: Array
) -> tuple[Array, Array, Array]:
    """Tool position (3,), rotation (3, 3) and Jacobian (6, j) at joint angles (j,)."""
    data = mujoco.MjData(model)
    data.qpos[[model.joint(name).qposadr[0] for name in joints]] = q
    mujoco.mj_forward(model, data)
    number = model.body(body).id
    rotation = data.xmat[number].reshape(3, 3).copy()
    tool = data.xpos[number] + rotation @ offset
    linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    mujoco.mj_jac(model, data, linear, angular, tool, number)
    columns = [model.joint(name).dofadr[0] for name in joints]
    return tool, rotation, np.concatenate([linear, angular])[:, columns]


def check_against_mujoco(
    model: mujoco.MjModel, joints: tuple[str, ...], body: str, offset: Array, q: Array
) -> None:
    chain = Chain(model, joints, body, offset.tolist())
    poses = chain.poses(q)
    jacobian = chain.jacobian(poses)
    for row, angles in enumerate(q):
        tool, rotation, expected = of_mujoco(model, joints, body, offset, angles)
        np.testing.assert_allclose(poses.position[row], tool, atol=1e-12)
        np.testing.assert_allclose(poses.rotation[row], rotation, atol=1e-12)
        np.testing.assert_allclose(jacobian[row], expected, atol=1e-12)


def test_the_pandas_chain_is_that_of_mujoco() -> None:
    arm = panda()
    _, model = panda_chain()
    check_against_mujoco(model, arm.joints, arm.hand, np.array(arm.tcp), postures(20))


def test_the_pandas_flange_is_where_its_published_table_says() -> None:
    arm = panda()
    model = arm.spec().compile()
    flange = Chain(model, arm.joints, "link8", (0.0, 0.0, 0.0))
    q = postures(50, seed=1)
    poses = flange.poses(q)
    for row, angles in enumerate(q):
        pose = np.eye(4)
        for a, d, alpha, theta in zip(DH_A, DH_D, DH_ALPHA, [*angles, 0.0], strict=True):
            pose = pose @ modified_dh(a, d, alpha, theta)
        np.testing.assert_allclose(poses.position[row], pose[:3, 3], atol=1e-9)
        np.testing.assert_allclose(poses.rotation[row], pose[:3, :3], atol=1e-9)


def modified_dh(a: float, d: float, alpha: float, theta: float) -> Array:
    """Craig's transform: along and about the last x axis, then along and about z."""
    ca, sa, ct, s = np.cos(alpha), np.sin(alpha), np.cos(theta), np.sin(theta)
    return np.array(
        [
            [ct, -s, 0.0, a],
            [s * ca, ct * ca, -sa, -d * sa],
            [s * sa, ct * sa, ca, d * ca],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def test_the_pandas_limits_and_masses_are_those_published() -> None:
    arm = panda()
    model = arm.spec().compile()
    ranges = np.array([model.joint(name).range for name in arm.joints])
    torques = np.array([model.jnt_actfrcrange[model.joint(name).id] for name in arm.joints])
    np.testing.assert_array_equal(ranges.T, [LOW, HIGH])
    np.testing.assert_array_equal(arm.velocity_limits, VELOCITY)
    np.testing.assert_array_equal(torques.T, [np.negative(TORQUE), TORQUE])
    assert [model.body(f"link{i}").mass[0] for i in range(1, 8)] == pytest.approx(list(MASS))
    assert model.opt.gravity.tolist() == [0.0, 0.0, -9.81]


numbers = st.floats(-1.0, 1.0, allow_nan=False)
vectors = st.tuples(numbers, numbers, numbers)
axes = vectors.filter(lambda v: float(np.linalg.norm(v)) > 0.1)
links = st.tuples(vectors, axes, numbers, axes, vectors)


def skew_arm(parts: list[Any]) -> mujoco.MjSpec:
    """A serial arm whose joints have any axis and any anchor; a fixed body after each of them."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    body = spec.worldbody
    for i, (position, turn_axis, turn, axis, anchor) in enumerate(parts):
        quaternion = np.zeros(4)
        unit = np.array(turn_axis) / np.linalg.norm(turn_axis)
        mujoco.mju_axisAngle2Quat(quaternion, unit, 3.0 * turn)
        body = body.add_body(name=f"link{i}", pos=list(position), quat=quaternion.tolist())
        body.add_joint(name=f"hinge{i}", axis=list(axis), pos=list(anchor))
        body.add_geom(size=[0.1, 0, 0])
        body = body.add_body(name=f"after{i}", pos=[0.1, 0.0, 0.0], quat=quaternion.tolist())
    return spec


@given(st.lists(links, min_size=1, max_size=7), vectors, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_chains_of_joints_with_any_axis_and_anchor_are_those_of_mujoco(
    parts: list[Any], offset: tuple[float, float, float], seed: int
) -> None:
    model = skew_arm(parts).compile()
    joints = tuple(f"hinge{i}" for i in range(len(parts)))
    q = np.random.default_rng(seed).uniform(-3.0, 3.0, (3, len(parts)))
    check_against_mujoco(model, joints, f"after{len(parts) - 1}", np.array(offset), q)


def test_a_chain_does_not_depend_on_the_batch() -> None:
    chain, _ = panda_chain()
    q = postures(256)
    whole = chain.poses(q)
    for rows in (slice(0, 1), slice(7, 12), slice(255, 256)):
        part = chain.poses(q[rows])
        assert np.array_equal(part.position, whole.position[rows])
        assert np.array_equal(chain.jacobian(part), chain.jacobian(whole)[rows])


def test_joints_that_do_not_carry_the_tool_are_named() -> None:
    model = panda().spec().compile()
    with pytest.raises(RoboAdvError, match=r"joint7.*do not lie between the world and 'link6'"):
        Chain(model, panda().joints, "link6", (0.0, 0.0, 0.0))


def test_a_slide_cannot_be_driven() -> None:
    model = panda().spec().compile()
    with pytest.raises(RoboAdvError, match="hinge"):
        Chain(model, ("joint1", "finger_joint1"), "left_finger", (0.0, 0.0, 0.0))


@given(axes, st.floats(-1.5, 1.5), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_rotation_error_is_the_axis_times_the_sine_of_the_angle(
    axis: tuple[float, float, float], angle: float, seed: int
) -> None:
    unit = np.array(axis) / np.linalg.norm(axis)
    found = rotation(np.random.default_rng(seed).normal(size=4))
    half = np.array([np.cos(angle / 2), *(np.sin(angle / 2) * unit)])
    wanted = rotation(half) @ found
    got = rotation_error(wanted[None], found[None])[0]
    np.testing.assert_allclose(got, np.sin(angle) * unit, atol=1e-12)


def rotation(quaternion: Array) -> Array:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion / np.linalg.norm(quaternion))
    return matrix.reshape(3, 3)


def test_a_damped_step_minimises_what_its_formula_says() -> None:
    """J^T (J J^T + c^2)^-1 e is the minimiser of |J x - e|^2 + c^2 |x|^2: an augmented lstsq."""
    chain, _ = panda_chain()
    jacobian = chain.jacobian(chain.poses(postures(20)))
    rng = np.random.default_rng(2)
    error, posture = rng.normal(size=(20, 6)), rng.normal(size=(20, 7))
    for damping in (0.01, 0.1, 1.0):
        got = damped_least_squares(jacobian, error, damping)
        drawn = damped_least_squares(jacobian, error, damping, posture)
        for row in range(20):
            stacked = np.concatenate([jacobian[row], damping * np.eye(7)])
            right = np.concatenate([error[row], np.zeros(7)])
            expected = np.linalg.lstsq(stacked, right, rcond=None)[0]
            np.testing.assert_allclose(got[row], expected, atol=1e-8)
            # The posture is where the damping pulls to instead of zero.
            right = np.concatenate([error[row], damping * posture[row]])
            expected = np.linalg.lstsq(stacked, right, rcond=None)[0]
            np.testing.assert_allclose(drawn[row], expected, atol=1e-8)


def test_the_posture_is_followed_without_moving_the_tool() -> None:
    chain, _ = panda_chain()
    home = np.array([panda().home])
    jacobian = chain.jacobian(chain.poses(home))
    posture = np.array([[0.1, 0.0, -0.1, 0.0, 0.05, 0.0, 0.0]])
    step = damped_least_squares(jacobian, np.zeros((1, 6)), 0.03, posture)
    assert np.linalg.norm(jacobian[0] @ step[0]) < 0.01 * np.linalg.norm(jacobian[0] @ posture[0])
    assert np.linalg.norm(step) > 0.01


def test_steps_at_a_singular_posture_stay_bounded() -> None:
    """The gain of the damped inverse is at most 1 / (2 c); the plain one grows without bound."""
    chain, _ = panda_chain()
    straight = -np.arctan(0.0825 / 0.316) - np.arctan(
        0.0825 / 0.384
    )  # shoulder, elbow, wrist in line
    stretched = np.array([[0.0, 0.3, 0.0, straight - 0.01, 0.0, 0.7, 0.0]])
    jacobian = chain.jacobian(chain.poses(stretched))
    damping, errors = 0.03, 0.02 * np.concatenate([np.eye(6), -np.eye(6)])
    steps = damped_least_squares(np.repeat(jacobian, 12, axis=0), errors, damping)
    assert (np.linalg.norm(steps, axis=1) <= 0.02 / (2 * damping) + 1e-12).all()
    plain = np.linalg.pinv(jacobian[0]) @ errors.T
    assert np.linalg.norm(plain, axis=0).max() > 5 * np.linalg.norm(steps, axis=1).max()


def test_steps_are_those_of_mink() -> None:
    """The same step from mink's quadratic programme, to 2 % of the step's length (both are one
    Gauss-Newton step; the rotation error is exact there and of first order here)."""
    chain, _ = panda_chain()
    arm = panda()
    spec = arm.spec()
    spec.body(arm.hand).add_site(name="tcp", pos=list(arm.tcp))
    with_site = spec.compile()
    damping, dt = 0.03, 1.0
    rng = np.random.default_rng(3)
    for _ in range(5):
        q = np.array(arm.home) + rng.uniform(-0.2, 0.2, 7)
        poses = chain.poses(q[None])
        move, turn = rng.uniform(-0.01, 0.01, 3), rng.uniform(-0.02, 0.02, 3)
        quaternion = np.zeros(4)
        mujoco.mju_axisAngle2Quat(quaternion, turn / np.linalg.norm(turn), np.linalg.norm(turn))
        wanted = rotation(quaternion) @ poses.rotation[0]
        target = np.eye(4)
        target[:3, :3], target[:3, 3] = wanted, poses.position[0] + move
        error = np.concatenate([move, rotation_error(wanted[None], poses.rotation)[0]])
        mine = damped_least_squares(chain.jacobian(poses), error[None], damping)[0]

        configuration = mink.Configuration(with_site)
        full = configuration.q.copy()
        columns = [with_site.joint(name).qposadr[0] for name in arm.joints]
        full[columns] = q
        configuration.update(full)
        task = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=1.0)
        task.set_target(mink.SE3.from_matrix(target))
        # mink's damping is the weight of |v dt|^2 itself.
        velocity = mink.solve_ik(
            configuration, [task], dt, solver="daqp", damping=damping**2, limits=[]
        )
        theirs = velocity[[with_site.joint(name).dofadr[0] for name in arm.joints]] * dt
        np.testing.assert_allclose(mine, theirs, atol=0.02 * float(np.linalg.norm(theirs)))
