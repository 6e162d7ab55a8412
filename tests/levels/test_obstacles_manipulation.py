"""Obstacles on the table: they are where the level says and solid, and goals keep clear of them."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.clear import clear_places, inside
from robo_adv.envs.game import make_game
from robo_adv.envs.manipulation.obstacles import HAND, OVER, ObstacleTask
from robo_adv.envs.manipulation.push import Push
from robo_adv.envs.manipulation.reach import Reach
from robo_adv.levels import Level
from robo_adv.levels.feasible import repair
from robo_adv.levels.space import Value

Array = npt.NDArray[Any]
STILL: dict[str, Value] = {"start_spread": 0.0, "goal_spread": 0.0}
POST: dict[str, Value] = {"obstacle_count": 1, "obstacle0_x": 0.48, "obstacle0_y": 0.2,
                          "obstacle0_radius": 0.04, "obstacle0_height": 0.3}  # fmt: skip


def feasible(game: ObstacleTask, n: int, seed: int = 0) -> list[Level]:
    """Random levels that keep the constraints."""
    space = game.design_space
    points = repair(space, space.sample(np.random.default_rng(seed), n)).points
    return [space.decode(u) for u in points]


def reach(n: int, *values: dict[str, Value]) -> Reach:
    game = Reach(n, threads=1, obstacles=2)
    levels = [game.design_space.level({**STILL, **v}) for v in values]
    game.reset(range(n), levels=levels)
    return game


# Clear places, against brute force.


def test_a_place_moves_to_the_nearest_clear_one_and_only_when_it_must() -> None:
    rng = np.random.default_rng(0)
    n, low, high = 300, np.zeros(2), np.ones(2)
    places, centres = rng.random((n, 2)), rng.random((n, 4, 2))
    radii = rng.uniform(-0.1, 0.35, (n, 4))
    moved, found = clear_places(places, centres, radii, low, high)
    free = ~inside(places[:, None], centres, radii)[:, 0]
    assert 0.2 < free.mean() < 0.8 and found.all()
    assert np.array_equal(moved[free], places[free])
    assert not inside(moved[:, None], centres, radii).any()
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 201)] * 2), axis=-1).reshape(-1, 2)
    for i in np.flatnonzero(~free)[:60]:
        clear = grid[~inside(grid[None], centres[i : i + 1], radii[i : i + 1])[0]]
        best = np.linalg.norm(clear - places[i], axis=1).min()
        assert np.linalg.norm(moved[i] - places[i]) <= best + 1e-5


def test_a_place_without_a_way_out_stays_and_is_reported() -> None:
    places = np.array([[0.5, 0.5], [0.5, 0.5]])
    centres, radii = np.full((2, 1, 2), 0.5), np.array([[0.8], [0.1]])
    moved, found = clear_places(places, centres, radii, np.zeros(2), np.ones(2))
    assert found.tolist() == [False, True]
    assert moved[0].tolist() == [0.5, 0.5]
    assert np.hypot(*(moved[1] - 0.5)) == pytest.approx(0.1, abs=1e-5)


# Goals and starts.


def test_goals_inside_an_obstacle_move_aside_or_up_and_goals_above_it_stay() -> None:
    place = {**POST, "obstacle0_y": 0.15, "goal_y": 0.15}
    game = reach(
        5, {**place, "goal_z": 0.33}, {**place, "goal_z": 0.30}, {**place, "goal_z": 0.15},
        {**place, "goal_z": 0.15, "obstacle_count": 0},
        {**place, "goal_z": 0.15, "goal_y": 0.04},
    )  # fmt: skip
    assert game.notes()["repairs"].tolist() == [0.0, 1.0, 1.0, 0.0, 1.0]
    assert not game.notes()["impossible"].any()
    assert game.goal[0].tolist() == [0.48, 0.15, 0.33]
    assert game.goal[1] == pytest.approx([0.48, 0.15, 0.30 + OVER], abs=1e-5)
    assert game.goal[2, 2] == 0.15
    assert np.hypot(*(game.goal[2, :2] - [0.48, 0.15])) == pytest.approx(0.04 + HAND, abs=1e-5)
    assert game.goal[3].tolist() == [0.48, 0.15, 0.15]
    assert game.goal[4] == pytest.approx([0.48, 0.15 - 0.04 - HAND, 0.15], abs=1e-5)


def test_a_goal_for_which_there_is_no_clear_place_is_noted_as_impossible(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    game = reach(2, POST, POST)
    # A workspace inside the post's room.
    monkeypatch.setattr(game, "workspace", np.array([[0.44, 0.16, 0.0], [0.52, 0.24, 0.2]]))
    game.reset(range(2), levels=[
        game.design_space.level({**STILL, **POST}),
        game.design_space.level({**STILL, **POST, "obstacle_count": 0}),
    ])  # fmt: skip
    assert game.notes()["impossible"].tolist() == [1.0, 0.0]


def test_notes_of_repairs_come_with_the_end_of_the_episode() -> None:
    place = {**POST, "obstacle0_y": 0.15, "goal_y": 0.15}
    game = reach(2, {**place, "goal_z": 0.15}, {**place, "goal_z": 0.34})
    game.clock_steps = 1
    final = game.step({"arm": np.zeros((2, 3))}).final
    assert final is not None and final.notes["repairs"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("count", [2, 4])
def test_starts_and_goals_of_push_keep_clear_and_apart(count: int) -> None:
    n = 200
    game = Push(n, threads=1, obstacles=count)
    game.reset(range(n), levels=feasible(game, n))
    ids = np.arange(n)
    notes = game.notes()
    assert 0.1 < (notes["repairs"] > 0).mean() < 0.7 and not notes["impossible"].any()
    start, goal = game.thing_position(slice(None))[:, :2], game.goal[:, :2]
    corner = np.sqrt(2.0) * 0.025 * game.params["object_size"][:, None]
    for places in (start, goal):
        assert not inside(places[:, None], *game.discs(ids, corner)).any()
    assert np.linalg.norm(start - goal, axis=1)[notes["repairs"] > 0].min() > 0.0499


def test_repairs_of_push_are_the_places_that_differ_from_those_without_obstacles() -> None:
    n = 200
    game, plain = Push(n, threads=1, obstacles=2), Push(n, threads=1)
    levels = feasible(game, n)
    without = [
        plain.design_space.level({k: v for k, v in level.values.items() if k[:8] != "obstacle"})
        for level in levels
    ]
    game.reset(range(n), levels=levels)
    plain.reset(range(n), levels=without)
    start = (game.thing_position(slice(None)) != plain.thing_position(slice(None))).any(axis=1)
    goal = (game.goal != plain.goal).any(axis=1)
    repairs = game.notes()["repairs"]
    assert start.sum() > 5 and (goal & ~start).sum() > 5
    assert np.array_equal(repairs[~start], goal[~start].astype(float))
    assert (repairs[start] >= 1.0).all()


@pytest.mark.parametrize("name", ["Reach-v0", "Push-v0"])
def test_nothing_touches_an_obstacle_at_the_start_of_possible_levels(name: str) -> None:
    n = 60
    game = make_game(name, n, threads=1, obstacles=4)
    assert isinstance(game, ObstacleTask)
    game.reset(range(n), levels=feasible(game, n, seed=3))
    first = game.model.geom("obstacle0").id
    for i in range(n):
        model, data = game.batch.get_model(i), mujoco.MjData(game.batch.get_model(i))
        data.qpos[:], data.mocap_pos[:] = game.qpos[i], game.mocap[i]
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            assert max(contact.geom) < first, game.levels[i]
    assert game.step({"arm": np.zeros((n, 3))}).costs["arm"]["obstacle_force"].max() == 0.0


# Physics.


def test_an_obstacle_stops_the_arm_and_a_thinner_one_later() -> None:
    """The tool moves along y towards posts that it meets as early as they are thick; the force is
    felt as a cost. One below the fingers and one that is not there do not stop it."""
    post = {**POST, "obstacle0_y": 0.26}
    game = reach(
        4, {**post, "obstacle0_radius": 0.05}, {**post, "obstacle0_radius": 0.015},
        {**post, "obstacle0_height": 0.1}, {**post, "obstacle_count": 0},
    )  # fmt: skip
    force = np.zeros(4)
    for _ in range(24):
        costs = game.step({"arm": np.tile([0.0, 1.0, 0.0], (4, 1))}).costs["arm"]
        force = np.maximum(force, costs["obstacle_force"])
    y = game.poses.position[:, 1]
    assert y[1] - y[0] == pytest.approx(0.035, abs=0.01), y
    assert y[2] - y[1] > 0.03 and y[3] == y[2]
    assert (force[:2] > 5.0).all() and not force[2:].any()


def test_an_obstacle_stops_the_cube() -> None:
    game = Push(2, threads=1, obstacles=1)
    post: dict[str, Value] = {"obstacle_count": 1, "obstacle0_x": 0.5, "obstacle0_y": 0.1,
                              "obstacle0_radius": 0.03, "object_spread": 0.0}  # fmt: skip
    levels = [game.design_space.level({**post, "obstacle_count": k}) for k in (1, 0)]
    game.reset(range(2), levels=levels)
    game.qpos[:, game.thing_q[0] : game.thing_q[0] + 2] = (0.5, 0.0)
    game.qvel[:, game.thing_v[0] + 1] = 1.2
    for _ in range(15):
        game.step({"arm": np.zeros((2, 3))})
    y = game.thing_position(slice(None))[:, 1]
    assert y[0] < 0.1 - 0.03 - 0.02 and y[1] > 0.1


def test_the_policy_sees_where_obstacles_are_how_thick_and_which_are_not_there() -> None:
    game = Reach(2, threads=1, obstacles=2)
    levels = [game.design_space.level({**POST, "obstacle_count": k}) for k in (1, 2)]
    seen, layout = game.reset(range(2), levels=levels)["arm"], game.layouts["arm"]
    tool = seen[:, layout["tool_position"]]
    assert np.allclose(seen[:, layout["obstacle0_relative"]] + tool, [0.48, 0.2, 0.3], atol=1e-6)
    assert np.allclose(seen[:, layout["obstacle0_radius"]], 0.04)
    assert not seen[0, layout.index(["obstacle1_*"])].any()
    other = game.design_space.nominal
    place = [other["obstacle1_x"], other["obstacle1_y"], other["obstacle1_height"]]
    assert np.allclose(seen[1, layout["obstacle1_relative"]] + tool[1], place, atol=1e-6)


def test_the_experts_do_not_lose_to_obstacles_in_most_levels() -> None:
    """Without delays and noise, which defeat functions of one observation anyway."""
    still: dict[str, Value] = {"sensor_noise": 0.0, "action_delay": 0, "observation_delay": 0}
    for name, expert, least in (
        ("Reach-v0", "reach-expert", 0.95),
        ("Push-v0", "push-expert", 0.7),
    ):
        n = 30
        game = make_game(name, n, threads=1, obstacles=2)
        assert isinstance(game, ObstacleTask)
        space = game.design_space
        levels = [space.level({**level.values, **still}) for level in feasible(game, n, seed=1)]
        observation = game.reset(range(n), levels=levels)["arm"]
        policy = SCRIPTED[expert](game, "arm")
        final = None
        while final is None:
            step = game.step({"arm": policy.act(observation)})
            observation, final = step.obs["arm"], step.final
        assert (final.winner == 0).mean() >= least, name


def test_a_restored_game_goes_on_with_its_obstacles() -> None:
    n = 4
    game, other = (Push(n, threads=1, obstacles=2) for _ in range(2))
    levels = feasible(game, n)
    game.reset(range(n), levels=levels)
    action = {"arm": np.random.default_rng(0).uniform(-1, 1, (n, 3))}
    game.step(action)
    other.restore(game.snapshot(), levels)
    for _ in range(5):
        a, b = game.step(action), other.step(action)
        assert np.array_equal(a.obs["arm"], b.obs["arm"])
    assert np.array_equal(game.mocap, other.mocap)
