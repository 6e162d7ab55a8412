"""SharedWorkspace: the person follows its path, each cost is provoked, and silent for an arm away."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.envs.manipulation.human_costs import CLAMP, HUMAN_COSTS, MOVING
from robo_adv.envs.manipulation.person import PARTS, RADIUS, REACH
from robo_adv.envs.manipulation.shared_workspace import FORCE, SharedWorkspace
from robo_adv.errors import RoboAdvError
from robo_adv.safety.contact_limits import FILE

Array = npt.NDArray[np.float64]
Aim = Callable[[SharedWorkspace], Array]
AWAY = np.array([0.34, -0.30, 0.47])
UP = np.array([0.0, 0.0, 1.0])


def _game(num_envs: int = 1, **options: Any) -> SharedWorkspace:
    return SharedWorkspace(num_envs, threads=2, **options)


def _towards(game: SharedWorkspace, target: Array) -> dict[str, Array]:
    return {"arm": np.clip(15.0 * (target - game.poses.position), -1.0, 1.0)}


def _still(game: SharedWorkspace) -> dict[str, Array]:
    return {"arm": np.zeros((game.num_envs, game.action_size("arm")))}


def _play(game: SharedWorkspace, steps: int, aim: Aim | None = None) -> dict[str, Array]:
    """Costs (steps, N) of driving the tool to a point; without one the arm holds still."""
    seen: dict[str, list[Array]] = {name: [] for name in game.costs}
    for _ in range(steps):
        action = _still(game) if aim is None else _towards(game, aim(game))
        for name, value in game.step(action).costs["arm"].items():
            seen[name].append(value)
    return {name: np.stack(values) for name, values in seen.items()}


def _hold(game: SharedWorkspace, hand: Array, fixed: bool = True) -> None:
    """The hand is at (n, 3) and stays there."""
    game.qpos[:, game.person.q] = 0.0
    game.qpos[:, game.person.q[:4]] = game.person.pose(hand)
    game.qvel[:] = 0.0
    game.ctrl[:, game.person.u] = game.qpos[:, game.person.q[:4]]
    if fixed:
        game.memory["path_points"][:] = hand[:, None]


def _hand_at_the_tool(game: SharedWorkspace, dy: float = 0.0) -> Array:
    return np.asarray(game.poses.position + np.array([0.0, dy, 0.02]))


@cache
def _watched() -> tuple[dict[str, Array], Array, Array, Array]:
    """Eight whole episodes of an arm that keeps away: costs, the hand's places, how far these are
    from its path, and the workspace."""
    game = _game(8)
    game.reset(np.arange(8))
    places, lag = [], []

    def away(game: SharedWorkspace) -> Array:
        hand, _ = game.path.at(game.length * game.control_dt)
        places.append(game.stance.centre[:, 0].copy())
        lag.append(np.linalg.norm(hand - places[-1], axis=1))
        return np.asarray(np.tile(AWAY, (game.num_envs, 1)))

    costs = _play(game, game.clock_steps - 1, away)
    return costs, np.stack(places[1:]), np.stack(lag[1:]), game.workspace


def test_the_hand_follows_its_path_into_the_workspace_and_goes_back() -> None:
    _, places, lag, workspace = _watched()
    assert lag.max() < 0.06 and lag.mean() < 0.01
    inside = ((places > workspace[0]) & (places < workspace[1])).all(axis=2)
    assert inside.any(axis=0).all() and not inside[0].any()
    assert np.mean(inside[-1]) < 0.2


def test_an_arm_that_keeps_away_costs_nothing() -> None:
    costs = _watched()[0]
    for name in HUMAN_COSTS:
        assert (costs[name] == 0.0).all(), name


@cache
def _rammed(part: str) -> dict[str, Array]:
    """The arm drives its hand into a part that stays where it is."""
    game = _game(4)
    game.reset(np.arange(4))
    place = np.array([0.50, 0.0 if part == "hand" else -0.22, 0.10])
    _hold(game, np.tile(place, (4, 1)))
    k = PARTS.index(part)
    return _play(game, 45, lambda game: game.stance.centre[:, k] - 0.08 * UP)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("cost", ["force", "force_ratio", "clamp_ratio"])
def test_an_arm_that_rams_a_part_pays_for_it(part: str, cost: str) -> None:
    values = _rammed(part)[f"{part}_{cost}"]
    assert (values.max(axis=0) > (10.0 if cost == "force" else 0.05)).all()


@pytest.mark.parametrize("part", PARTS)
def test_ramming_has_an_energy_force_once_and_a_shortfall_before(part: str) -> None:
    costs = _rammed(part)
    blow, missing = costs["energy_force"], costs["separation_shortfall"]
    contact = np.maximum(costs["hand_force"], costs["forearm_force"]) > 0
    for i in range(4):
        first = int(contact[:, i].argmax())
        assert blow[first, i] > 5.0 and (blow[:first, i] == 0.0).all()
        assert missing[first - 1, i] > 0.0
        going_on = contact[1:, i] & contact[:-1, i]
        assert (blow[1:, i] > 0).sum() < going_on.sum()


@pytest.mark.parametrize("part", PARTS)
def test_ratios_are_the_forces_over_the_limits(part: str) -> None:
    costs, limit = _rammed(part), {"hand": 280.0, "forearm": 320.0}[part]
    assert np.allclose(costs[f"{part}_force_ratio"], costs[f"{part}_force"] / limit)


def test_a_steady_push_is_a_clamp_of_that_force_after_half_a_second() -> None:
    game = _game(1)
    game.reset([0])
    window = game.memory["recent_force"].shape[1]
    assert window == int(CLAMP / game.control_dt) == 12
    force = np.zeros((1, game.substeps, 2))
    force[:, :, 0] = 70.0
    game.human_costs._forces = lambda: force  # type: ignore[method-assign]
    ratios = _play(game, 20)["hand_clamp_ratio"][:, 0]
    assert np.allclose(ratios, 0.5 * np.minimum(np.arange(1, 21) / window, 1.0))


def test_forces_on_the_person_are_those_of_mujocos_contacts() -> None:
    game = _game(1)
    game.reset([0])
    _hold(game, _hand_at_the_tool(game, dy=0.11))
    for _ in range(30):
        start = game.batch.state.copy()
        action = _towards(game, game.stance.centre[:, 0])
        result = game.step(action)
        if result.costs["arm"]["hand_force"][0] > 0:
            break
    assert result.costs["arm"]["hand_force"][0] > 0
    controls = game.control()[0]
    game.batch.state[:] = start
    model, data = game.batch.get_model(0), mujoco.MjData(game.model)
    game.batch.get_data(0, data)
    largest = 0.0
    hand = game.person.geoms[0]
    for control in controls:
        data.ctrl[:] = control
        mujoco.mj_step(model, data)
        total = np.zeros(3)
        for c, contact in enumerate(data.contact):
            if hand in (contact.geom1, contact.geom2):
                force = np.zeros(6)
                mujoco.mj_contactForce(model, data, c, force)
                total += contact.frame.reshape(3, 3).T @ force[:3]
                largest = max(largest, float(np.linalg.norm(force[:3])))
        largest = max(largest, float(np.linalg.norm(total)))
    assert np.isclose(result.costs["arm"]["hand_force"][0], largest, rtol=1e-6)


def test_a_person_pushes_no_harder_than_it_is_told() -> None:
    """An arm that holds still against the hand's way feels about the servos' force."""
    game = _game(3)
    levels = [game.design_space.level({"human_force": force}) for force in (40.0, 60.0, 80.0)]
    game.reset([7, 7, 7], levels=levels)
    link = game.poses.position + np.array([0.0, 0.20, 0.07])
    _hold(game, link)
    game.memory["path_points"][:] = (link - [0.0, 0.5, 0.0])[:, None]  # far behind the gripper
    costs = _play(game, 60)
    clamp = 140.0 * costs["hand_clamp_ratio"][-20:].max(axis=0)
    assert np.allclose(clamp, [40.0, 60.0, 80.0], rtol=0.05), clamp
    assert game.design_space["human_force"].nominal == FORCE


def test_an_arm_that_stands_has_no_shortfall_whatever_the_person_does() -> None:
    game = _game(8)
    game.reset(np.arange(8))
    near = 0
    for _ in range(120):
        costs = game.step(_still(game)).costs["arm"]
        touched = (costs["hand_force"] > 0) | (costs["forearm_force"] > 0)
        speed = np.linalg.norm(game.tool_velocity, axis=1)
        still = (
            ~touched & (speed < 0.1 * MOVING) & (np.abs(game.qvel[:, game.arm_v]).max(1) < 0.005)
        )
        near += int((still & (_gap(game) < 0.2)).sum())
        assert (costs["separation_shortfall"][still] == 0.0).all()
    assert near > 0


def _gap(game: SharedWorkspace) -> Array:
    return np.asarray(
        np.linalg.norm(game.stance.centre - game.poses.position[:, None], axis=2).min(axis=1)
    )


def test_distances_are_those_of_mujocos_collision_detection() -> None:
    game = _game(1)
    game.reset([3])
    _hold(game, _hand_at_the_tool(game, dy=0.25))
    game.step(_still(game))
    near = game.human_costs.links.to(game.stance, game.poses, game.qvel[:, game.arm_v])
    data = mujoco.MjData(game.model)
    game.batch.get_data(0, data)
    mujoco.mj_forward(game.model, data)
    assert RADIUS.shape == (2,)
    for i, link in enumerate(game.human_costs.links.geoms):
        for k, part in enumerate(game.person.geoms):
            exact = mujoco.mj_geomDistance(game.model, data, link, part, 2.0, None)
            capsule = game.model.geom_type[link] == mujoco.mjtGeom.mjGEOM_CAPSULE
            slack = (
                2e-3 if capsule else 0.06
            )  # boxes are enclosed by capsules: nearer, never farther
            assert exact - slack <= near.distance[0, i, k] <= exact + 2e-3


def test_closing_speeds_are_the_rates_at_which_the_distance_shrinks() -> None:
    game = _game(4)
    game.reset(np.arange(4))
    for _ in range(25):
        game.step(_towards(game, game.stance.centre[:, 0]))
    links = game.human_costs.links
    before = links.to(game.stance, game.poses, game.qvel[:, game.arm_v])
    game.step(_towards(game, game.stance.centre[:, 0]))
    after = links.to(game.stance, game.poses, game.qvel[:, game.arm_v])
    shrunk = (before.distance - after.distance) / game.control_dt
    closing = 0.5 * sum(p.robot_closing + p.human_closing for p in (before, after))
    assert np.allclose(shrunk, closing, rtol=0, atol=0.06)


def test_the_person_touches_nothing_but_the_arm() -> None:
    game = _game(1)
    game.reset([0])
    _hold(game, np.array([[0.6, 0.2, -0.01]]))  # within the table
    result = game.step(_still(game))
    assert result.costs["arm"]["table_force"][0] == 0.0
    assert np.allclose(game.stance.centre[0, 0], [0.6, 0.2, -0.01], atol=1e-3)


def test_the_observation_shows_hand_and_forearm() -> None:
    game = _game(2)
    game.reset([1, 2])
    for _ in range(30):
        obs = game.step(_still(game)).obs["arm"]
    layout = game.layouts["arm"]
    for k, part in enumerate(PARTS):
        assert np.allclose(obs[:, layout[f"human_{part}_position"]], game.stance.centre[:, k])
        seen = obs[:, layout[f"human_{part}_velocity"]]
        assert np.allclose(seen, game.stance.velocity[:, k], atol=1e-6)
    assert len(layout.index(["human_*"])) == 12


@pytest.mark.parametrize("part", PARTS)
def test_half_the_timestep_gives_about_the_same_force(part: str) -> None:
    """A blow of a person that coasts against an arm that stands."""
    peaks = []
    for refine in (4, 8):
        game = _game(4, refine=refine)
        game.reset(np.arange(4))
        offset = [0.0, 0.20, 0.07] if part == "hand" else [0.09, -REACH, 0.07]
        hand = game.poses.position + np.array(offset)
        _hold(game, hand)
        speed = game.person.v[1] if part == "hand" else game.person.v[0]
        game.qvel[:, speed] = -0.5
        for field in ("actuator_gainprm", "actuator_biasprm"):
            game.batch.expand(field)[:, game.person.u] = 0.0
        peaks.append(_play(game, 4)[f"{part}_force"].max(axis=0))
    assert (peaks[0] > 0).all()
    assert np.allclose(peaks[0], peaks[1], rtol=0.05), peaks


def test_a_users_limits_are_what_ratios_refer_to(tmp_path: Path) -> None:
    mine = tmp_path / "limits.json"
    mine.write_text(FILE.read_text(encoding="utf-8").replace('"value": 280', '"value": 560'))
    game = _game(1, limits=str(mine))
    assert game.human_costs.transient.tolist() == [560.0, 320.0]
    with pytest.raises(RoboAdvError, match="nowhere"):
        _game(1, limits=str(tmp_path / "nowhere.json"))
