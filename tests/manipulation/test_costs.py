"""Every cost is provoked with the magnitude that geometry gives, and silent when the arm is careful."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from manipulation.worlds import act, calm, peaks, put_thing, rest, set_levels
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.episode import Terms
from robo_adv.envs.manipulation.pick_and_place import PickAndPlace
from robo_adv.envs.manipulation.push import HALF, Push
from robo_adv.envs.manipulation.reach import Reach
from robo_adv.envs.manipulation.task import ManipulationTask

Array = npt.NDArray[np.float64]
Violation = Callable[[], tuple[Terms, float, float]]  # costs, and the bounds of what is provoked


def at(game: ManipulationTask, joint: int, angle: float, speed: float = 0.0) -> None:
    """Put one joint, and its target, at an angle [rad] with a speed [rad/s]."""
    game.qpos[:, game.arm_q[joint]] = game.ctrl[:, game.arm_u[joint]] = angle
    game.qvel[:, game.arm_v[joint]] = speed
    game.refresh()


def twisted_beyond_a_range() -> tuple[Terms, float, float]:
    """150 N m about the base's axis, which gives 87; stops of MuJoCo give way a little."""
    game = calm(Reach, control="joint_velocity")
    game.batch.bind("xfrc_applied")[:, game.model.body("link1").id, 5] = 150.0
    return peaks(rest(game, 30)), 1e-3, 0.2


def thrown_faster_than_a_limit() -> tuple[Terms, float, float]:
    game = calm(Reach, control="joint_velocity")
    at(game, 0, 0.0, 3.175)  # 1 rad/s above the limit
    return peaks(rest(game, 1)), 0.9, 1.001


def pressed_on_the_table() -> tuple[Terms, float, float]:
    """Its shoulder leans forward until the fingers touch the table, and on."""
    game = calm(Reach, control="joint_velocity")
    return peaks(act(game, [0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0], 45)), 20.0, 300.0


def blocked() -> tuple[Terms, float, float]:
    """Targets run 0.15 rad ahead of the blocked shoulder: it demands 675 N m and may give 87."""
    costs, _, _ = pressed_on_the_table()
    return costs, 0.8 * (675.0 - 87.0), 1.05 * (675.0 - 87.0)


def folded_onto_itself() -> tuple[Terms, float, float]:
    game = calm(Reach, control="joint_position")
    return peaks(act(game, [0.0, -1.0, 0.0, -1.0, 0.0, -1.0, 0.0], 60)), 1.0, 5000.0


def outside_the_workspace() -> tuple[Terms, float, float]:
    """A quarter turn of the base brings the tool from y = 0 to y = 0.47, x = 0: 0.32 m outside."""
    game = calm(Reach, control="joint_position")
    low, high = game.controller.drive.low, game.controller.drive.high
    wanted = np.array(game.arm.home)
    wanted[0] = np.pi / 2
    costs = peaks(act(game, 2.0 * (wanted - low) / (high - low) - 1.0, 60))
    radius = float(np.linalg.norm(game.poses.position[0, :2]))
    limits = game.workspace
    expected = float(np.hypot(limits[0, 0], radius - limits[1, 1]))
    return costs, 0.97 * expected, 1.05 * expected


def dropped() -> tuple[Terms, float, float]:
    game = calm(Push)
    put_thing(game, [0.5, 0.3, HALF + 0.1])
    return peaks(rest(game, 10)), 0.09, 0.11


def shoved_off_the_table() -> tuple[Terms, float, float]:
    """The floor is 0.75 m below the table's top; the cube's centre comes to rest above it."""
    game = calm(Push)
    put_thing(game, [0.5, 0.62, HALF])
    return peaks(rest(game, 25)), 0.75 - HALF - 0.03, 0.75


VIOLATIONS: dict[str, Violation] = {
    "joint_position_excess": twisted_beyond_a_range,
    "joint_velocity_excess": thrown_faster_than_a_limit,
    "torque_excess": blocked,
    "table_force": pressed_on_the_table,
    "self_force": folded_onto_itself,
    "workspace_excess": outside_the_workspace,
    "fall_height": dropped,
    "off_table": shoved_off_the_table,
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violator_provokes_each_cost(name: str) -> None:
    costs, low, high = VIOLATIONS[name]()
    assert low <= costs[name][0] <= high, {k: float(v[0]) for k, v in costs.items()}


def test_every_cost_has_a_violator() -> None:
    assert set(VIOLATIONS) == set(Push.costs) == set(PickAndPlace.costs)
    assert set(Reach.costs) < set(VIOLATIONS)


CAREFUL = {
    Reach: ("reach-expert", 170),
    Push: ("push-expert", 300),
    PickAndPlace: ("pick-and-place-expert", 300),
}


@pytest.mark.parametrize("task", CAREFUL, ids=lambda task: str(task.id))
def test_a_slow_and_careful_controller_leaves_every_cost_silent(
    task: type[ManipulationTask],
) -> None:
    """The scripted expert at 0.15 m/s, until the goal is reached."""
    expert, steps = CAREFUL[task]
    game = task(6, threads=1)
    game.clock_steps = 10**6
    obs = game.reset(np.arange(6))["arm"]
    policy, taken = SCRIPTED[expert](game, "arm"), []
    for _ in range(steps):
        action = policy.act(obs)
        action[:, :3] *= 0.3
        taken.append(game.step({"arm": action}))
        obs = taken[-1].obs["arm"]
    assert game.success(game.achieved(slice(None)), game.goal).all()
    for name, value in peaks(taken).items():
        assert (value == 0.0).all(), f"{name}: {value}"


def test_a_joint_speed_between_two_control_steps_is_seen() -> None:
    """Costs are peaks over the substeps: a joint that a blow speeds up has slowed down at the end."""
    game = calm(Reach, control="joint_velocity")
    at(game, 6, game.arm.home[6], 5.0)
    (step,) = rest(game)
    assert abs(game.qvel[0, game.arm_v[6]]) < game.arm.velocity_limits[6]
    assert step.costs["arm"]["joint_velocity_excess"][0] > 1.0


def test_asking_for_the_costs_again_changes_no_number() -> None:
    """While an object falls and while it lies there; what a step reported is what one gets again."""
    game, quiet = calm(Push), calm(Push)
    for made in (game, quiet):
        put_thing(made, [0.5, 0.3, HALF + 0.1])
    falling = 0
    for _ in range(10):
        (step,), (expected,) = rest(game), rest(quiet)
        falling += int(step.costs["arm"]["fall_height"][0] > 0.0)
        for name, cost in expected.costs["arm"].items():
            for again in (step.costs["arm"], game.cost_terms("arm"), game.cost_terms("arm")):
                assert np.array_equal(again[name], cost), name
    assert falling >= 3, "it never fell"


def test_weak_servos_demand_less_torque() -> None:
    """The level's gain counts: the same push on the arm, the same excess, as long as it is held."""
    game = calm(Reach, 2, control="joint_velocity")
    set_levels(game, [{"actuator_gain": 0.5}, {"actuator_gain": 1.5}])
    game.ctrl[:, game.arm_u[6]] += 0.1
    demanded = game.arm_costs.terms()["torque_excess"]
    stiffness, limit = game.arm.stiffness[6], game.arm.torque_limits[6]
    expected = np.array([0.5, 1.5]) * stiffness * 0.1 - limit
    np.testing.assert_allclose(demanded, expected, rtol=1e-6)
