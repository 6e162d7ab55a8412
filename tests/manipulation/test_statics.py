"""Forces, falls, slides and grasps against closed forms."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from manipulation.worlds import (
    GRAVITY,
    Walled,
    act,
    calm,
    height,
    peaks,
    put_thing,
    rest,
    set_levels,
)
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.manipulation.chain import Chain
from robo_adv.envs.manipulation.control import EndEffectorDelta
from robo_adv.envs.manipulation.costs import sensor_slice
from robo_adv.envs.manipulation.pick_and_place import HALF, PickAndPlace
from robo_adv.envs.manipulation.push import HALF as PUSH_HALF
from robo_adv.envs.manipulation.push import Push
from robo_adv.envs.manipulation.reach import Reach


@pytest.mark.parametrize("control", ["ee_delta", "joint_velocity"])
def test_an_arm_that_is_told_nothing_stands_still_in_any_posture(control: str) -> None:
    """Its weight is carried in full: targets equal the joints, so servos must give nothing."""
    game = calm(Reach, 5, control=control)
    postures = np.random.default_rng(0).uniform(-0.4, 0.4, (5, 7)) + np.array(game.arm.home)
    postures[0] = game.arm.home
    game.qpos[:, game.arm_q] = game.ctrl[:, game.arm_u] = postures
    game.refresh()
    if control == "ee_delta":
        game.controller.drive.home[:] = postures[1]  # so that the null space draws nowhere
        game.qpos[:, game.arm_q] = game.ctrl[:, game.arm_u] = postures[1]
        game.controller.drive.down[:] = game.chain.poses(postures[1:2]).rotation[0]
        game.refresh()
    before = game.poses.position.copy()
    costs = peaks(rest(game, 50))
    assert np.abs(game.poses.position - before).max() < 1e-6
    assert np.abs(game.qvel).max() < 1e-6
    assert costs["torque_excess"].max() == costs["table_force"].max() == 0.0


def test_an_arm_that_pushes_gives_the_force_that_its_servos_torques_say() -> None:
    """tau + J^T F = 0 at rest, over all contacts; servos within their limits, weight carried."""
    game = calm(Walled)
    q = game.qpos[:, game.arm_q].copy()
    tool = game.poses.position.copy()
    for _ in range(60):  # to the wall
        act(game, [0.4, 0.0, 0.0])
        if game.push()[0, -1] > 0:
            break
    q = game.qpos[:, game.arm_q].copy()
    assert game.poses.position[0, 0] - tool[0, 0] > 0.005
    jacobian = Chain.jacobian(game.poses)[0, :3]
    stiffness = np.array(game.arm.stiffness)
    step = np.linalg.pinv(jacobian) @ np.array([0.008, 0.0, 0.0])
    game.ctrl[:, game.arm_u] = q + step
    game.batch.step(nstep=2000)
    torque = stiffness * (game.ctrl[0, game.arm_u] - game.qpos[0, game.arm_q])
    assert (np.abs(torque) < np.array(game.arm.torque_limits)).all(), "a servo saturates"
    model, data = game.batch.get_model(0), game.batch.get_data(0)
    mujoco.mj_forward(model, data)
    balance, total = np.zeros(model.nv), np.zeros(3)
    for c, contact in enumerate(data.contact):
        local, jac = np.zeros(6), np.zeros((3, model.nv))
        mujoco.mj_contactForce(model, data, c, local)
        force = contact.frame.reshape(3, 3).T @ local[:3]  # on the second geom
        geom = contact.geom[1]
        on_arm = force if geom != model.geom("wall").id else -force
        body = model.geom_bodyid[geom if geom != model.geom("wall").id else contact.geom[0]]
        mujoco.mj_jac(model, data, jac, None, contact.pos, body)
        balance += jac.T @ on_arm
        total += on_arm
    assert total[0] < -20.0, "it does not push"
    np.testing.assert_allclose(balance[game.arm_v], -torque, atol=0.02 * np.abs(torque).max())
    measured = data.sensordata[sensor_slice(model, "wall_contact", 3)]
    assert np.linalg.norm(measured) == pytest.approx(np.linalg.norm(total), rel=1e-6)


WALLS = {
    "ahead": ([1.0, 0.0, 0.0], ([0.54, 0.0, 0.25], [0.02, 0.2, 0.2])),
    "aside": ([0.0, 1.0, 0.0], ([0.47, 0.18, 0.25], [0.2, 0.02, 0.2])),
    "below": ([0.0, 0.0, -1.0], ([0.47, 0.0, 0.10], [0.2, 0.2, 0.02])),
}


@pytest.mark.parametrize("where", WALLS)
def test_a_blocked_arm_pushes_no_harder_than_its_leash_allows(where: str) -> None:
    """Servos K and a wanted point `leash` ahead give about leash / (J K^-1 J^T) along the way;
    a contact nearer to the arm than the tool centre point is stiffer by up to a quarter."""
    direction, wall = WALLS[where]
    game: Walled = calm(type("Blocked", (Walled,), {"wall": wall}))
    act(game, direction, 15)  # runs into the wall
    pushes = []
    for _ in range(40):
        act(game, direction)
        pushes.append(game.push().max())
    compliance = Chain.jacobian(game.poses)[0, :3]
    compliance = compliance @ np.diag(1.0 / np.array(game.arm.stiffness)) @ compliance.T
    along = np.array(direction)
    bound = EndEffectorDelta.leash / (along @ compliance @ along)
    assert 50.0 < max(pushes) < 1.25 * bound, (max(pushes), bound)
    assert max(pushes[-5:]) < 1.1 * max(pushes[:5]), "it winds up"
    blocked = game.poses.position.copy()
    act(game, -along, 10)  # and it comes off at once
    assert game.push().max() == 0.0
    assert (blocked[0] - game.poses.position[0]) @ along > 0.05


def test_an_object_falls_as_high_as_it_was_dropped() -> None:
    """Within the way of one substep at the end, v dt, and one at the start."""
    game = calm(Push, 4)
    drop = np.array([0.02, 0.05, 0.1, 0.3])
    place = np.tile([0.5, 0.3, 0.0], (4, 1))
    place[:, 2] = PUSH_HALF + drop
    put_thing(game, place)
    costs = peaks(rest(game, 20))
    speed = np.sqrt(2 * GRAVITY * drop)
    np.testing.assert_allclose(costs["fall_height"], drop, atol=1.1 * speed.max() * game.timestep)
    assert (np.abs(costs["fall_height"] - drop) <= 1.1 * speed * game.timestep).all()
    assert np.abs(height(game) - PUSH_HALF).max() < 1e-3, "it does not lie on the table"
    assert costs["off_table"].max() == 0.0


def test_an_object_hits_the_table_at_the_speed_of_its_fall_and_then_weighs_m_g() -> None:
    game = calm(Push, 1)
    put_thing(game, [0.5, 0.3, PUSH_HALF + 0.2])
    model, data = game.batch.get_model(0), game.batch.get_data(0)
    fastest, v = 0.0, game.thing_v[0] + 2
    for _ in range(300):
        mujoco.mj_step(model, data)
        fastest = min(fastest, float(data.qvel[v]))
    assert fastest == pytest.approx(-np.sqrt(2 * GRAVITY * 0.2), rel=0.02)
    cube, weight = model.geom("object").id, 0.0
    for c, contact in enumerate(data.contact):
        if cube in contact.geom:
            force = np.zeros(6)
            mujoco.mj_contactForce(model, data, c, force)
            weight += force[0]
    assert weight == pytest.approx(model.body("object").mass[0] * GRAVITY, rel=0.01)


def test_a_force_on_an_object_gives_it_its_impulse() -> None:
    """0.5 N upwards beyond its weight, for 0.2 s: v = F t / m."""
    game = calm(Push, 1)
    put_thing(game, [0.5, 0.3, PUSH_HALF])
    rest(game, 3)
    body = game.model.body("object").id
    mass = float(game.model.body_mass[body])
    push = game.batch.bind("xfrc_applied")
    push[:, body, 2] = mass * GRAVITY + 0.5
    rest(game, 5)
    assert game.qvel[0, game.thing_v[0] + 2] == pytest.approx(0.5 * 0.2 / mass, rel=0.02)


def test_a_sliding_object_slows_down_at_mu_g() -> None:
    """At a quarter of the timestep; over the whole slide. Contacts at the nominal one chatter."""
    friction = np.array([0.2, 0.4, 0.7])
    game = calm(Push, 3, refine=4)
    set_levels(game, [{"object_friction": float(f)} for f in friction])
    put_thing(game, [0.35, 0.3, PUSH_HALF])
    rest(game, 5)
    start, speed = game.thing_position(slice(None))[:, 0].copy(), 0.8
    game.qvel[:, game.thing_v[0]] = speed
    rest(game, 20)
    way = game.thing_position(slice(None))[:, 0] - start
    assert np.abs(game.qvel[1:, game.thing_v[0]]).max() < 0.01, "it still slides"
    way[0] += game.qvel[0, game.thing_v[0]] ** 2 / (2 * friction[0] * GRAVITY)
    np.testing.assert_allclose(way, speed**2 / (2 * friction * GRAVITY), rtol=0.06)


def test_a_grasp_holds_what_friction_holds_and_no_more() -> None:
    """Two fingers of force N each hold 2 mu N: one at 0.7 of it stays, one at 1.4 falls."""
    rows = [(mu, share) for mu in (0.3, 0.7, 1.2) for share in (0.7, 1.4)]
    game = calm(PickAndPlace, len(rows))
    set_levels(game, [{"object_friction": mu} for mu, _ in rows])
    game.goal[:] = [0.5, 0.0, 0.25]
    expert = SCRIPTED["pick-and-place-expert"](game, "arm")
    obs = game.observe("arm", slice(None))
    for _ in range(60):
        obs = game.step({"arm": expert.act(obs)}).obs["arm"]
    assert np.abs(height(game) - 0.25).max() < 0.02, "not lifted"
    squeeze = 0.5 * game.arm.gripper.stiffness * HALF  # type: ignore[union-attr]  # per finger
    body = game.model.body("object").id
    weight = float(game.model.body_mass[body]) * GRAVITY
    pull = np.array([share * 2 * mu * squeeze for mu, share in rows])
    game.batch.bind("xfrc_applied")[:, body, 2] = weight - pull
    act(game, [0.0, 0.0, 0.0, -1.0], 20)
    held = height(game) - game.poses.position[:, 2] > -0.02
    assert held.tolist() == [True, False] * 3, np.round(height(game), 3)


def test_an_object_that_slips_out_of_the_gripper_falls() -> None:
    game = calm(PickAndPlace, 2)
    game.goal[:] = [0.5, 0.0, 0.25]
    expert = SCRIPTED["pick-and-place-expert"](game, "arm")
    obs = game.observe("arm", slice(None))
    for _ in range(60):
        obs = game.step({"arm": expert.act(obs)}).obs["arm"]
    fall = height(game)[0] - HALF
    action = np.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, -1.0]])  # one opens, one holds
    costs = peaks(act(game, action, 20))["fall_height"]
    assert costs[0] == pytest.approx(fall, rel=0.1)
    assert costs[1] == 0.0
