"""The person's body: blows have the force of the energy model, poses and velocities fit MuJoCo."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from robo_adv.envs.manipulation.person import DAMPING_RATIO, HALF, PARTS, RADIUS, Person, add_person
from robo_adv.safety.contact_limits import load_limits
from robo_adv.safety.contact_model import energy_force

Array = npt.NDArray[np.float64]
ROBOT_MASS = 8.4


def _world(timestep: float) -> tuple[mujoco.MjModel, Person]:
    """A ball of the robot's effective mass on a rail along x, and a person that nothing drives."""
    spec = mujoco.MjSpec()
    spec.option.timestep, spec.option.gravity = timestep, [0, 0, 0]
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    ball = spec.worldbody.add_body(name="ball")
    ball.add_joint(name="rail", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=[1, 0, 0])
    ball.add_geom(type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.05, 0, 0], mass=ROBOT_MASS)
    limits = load_limits()
    add_person(spec, "ball", limits, 80.0)
    model = spec.compile()
    person = Person(model, limits, ROBOT_MASS, "ball")
    model.geom_solref[person.geoms] = person.solref(np.ones(1))[0]
    model.actuator_gainprm[:], model.actuator_biasprm[:] = 0.0, 0.0
    return model, person


def _blow(part: str, speed: float, timestep: float, wrist: bool = True) -> float:
    """Peak force [N] as the ball hits the middle of a part, across it; without the wrist's springs
    if told so."""
    model, person = _world(timestep)
    if not wrist:
        model.jnt_stiffness[:], model.dof_damping[:] = 0.0, 0.0
    data = mujoco.MjData(model)
    k = PARTS.index(part)
    # The forearm points along y, so that the ball, at the origin, meets the part from the side.
    data.qpos[person.q[3]] = 0.5 * np.pi
    data.qpos[person.q[1]] = -0.205 if part == "hand" else 0.0
    data.qpos[person.q[0]] = 0.05 + RADIUS[k] + 1e-4
    data.qvel[model.joint("rail").dofadr[0]] = speed
    place = int(model.sensor(f"human_{part}_largest").adr[0])
    force = []
    for _ in range(round(0.05 / timestep)):
        mujoco.mj_step(model, data)
        force.append(np.linalg.norm(data.sensordata[place : place + 3]))
    return float(max(force))


def _damped_share() -> float:
    """Peak of the force of a damped spring that is hit, over that of the spring without damping."""
    z = DAMPING_RATIO
    t = np.linspace(0.0, np.pi, 10_000)
    w = np.sqrt(1.0 - z * z)
    x = np.exp(-z * t) * np.sin(w * t) / w
    v = np.exp(-z * t) * (np.cos(w * t) - z * np.sin(w * t) / w)
    return float((x + 2 * z * v).max())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("speed", [0.25, 1.0])
def test_a_blow_has_the_force_of_the_energy_model(part: str, speed: float) -> None:
    """The springs' damping takes 7 %, and what hangs on the other side of the wrist gives some back."""
    measured = _blow(part, speed, 0.001)
    assert np.isclose(measured, _model(part, speed), rtol=0.06)
    assert np.isclose(measured, _blow(part, speed, 0.0005), rtol=0.03)


@pytest.mark.parametrize("part", PARTS)
def test_two_free_bodies_hit_each_other_with_the_force_of_a_damped_spring(part: str) -> None:
    fine = _blow(part, 1.0, 0.0001, wrist=False)
    assert np.isclose(fine, _model(part, 1.0) * _damped_share(), rtol=0.01)
    assert np.isclose(_blow(part, 1.0, 0.001, wrist=False), fine, rtol=0.04)


def _model(part: str, speed: float) -> float:
    _, person = _world(0.001)
    k = PARTS.index(part)
    return float(energy_force(speed, person.mass[k], person.stiffness[k]))


def test_positions_and_velocities_are_those_of_mujoco() -> None:
    model, person = _world(0.001)
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    data.qpos[:], data.qvel[:] = 0.3 * rng.normal(size=(2, model.nq))
    mujoco.mj_forward(model, data)
    stance = person.stance(data.qpos[None], data.qvel[None])
    ends = stance.ends()
    for k, part in enumerate(PARTS):
        geom = model.geom(f"human_{part}").id
        axis = data.geom_xmat[geom].reshape(3, 3)[:, 2]
        assert np.allclose(stance.centre[0, k], data.geom_xpos[geom])
        assert np.allclose(np.abs(ends[1][0, k] - ends[0][0, k]), 2 * HALF[k] * np.abs(axis))
        speed = np.zeros(6)
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_GEOM, geom, speed, 0)
        assert np.allclose(stance.velocity[0, k], speed[3:])
        offset = rng.normal(size=3)
        point = stance.centre.copy()
        point[0, k] += offset
        expected = speed[3:] + np.cross(speed[:3], offset)
        assert np.allclose(stance.velocity_at(point)[0, k], expected)


def test_the_pose_brings_the_hand_to_its_place_and_points_away_from_the_shoulder() -> None:
    model, person = _world(0.001)
    wanted = np.random.default_rng(1).uniform([0.3, -0.3, 0.1], [0.7, 0.5, 0.4], (20, 3))
    qpos = np.zeros((20, model.nq))
    qpos[:, person.q[:4]] = person.pose(wanted)
    stance = person.stance(qpos, np.zeros((20, model.nv)))
    assert np.allclose(stance.centre[:, 0], wanted)
    shoulder = np.array([0.55, 1.15])
    for centre, along in zip(stance.centre, stance.along[:, 0], strict=True):
        away = (centre[0, :2] - shoulder) / np.linalg.norm(centre[0, :2] - shoulder)
        assert np.allclose(along, [*away, 0.0])
    assert Rotation.from_rotvec([0, 0, qpos[0, person.q[3]]]).apply([1, 0, 0]) == pytest.approx(
        stance.along[0, 0]
    )
