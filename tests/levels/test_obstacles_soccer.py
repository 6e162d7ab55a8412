"""Obstacles on the pitch: solid for ball and players, and never in the way of the start."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from robo_adv.envs.posts import MOST
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend
from robo_adv.levels.feasible import repair
from robo_adv.levels.space import Value

POST: dict[str, Value] = {"obstacle_count": 1, "obstacle0_x": 0.3, "obstacle0_y": 0.0,
                          "obstacle0_radius": 0.1}  # fmt: skip


def game_with(*values: dict[str, Value], **options: Any) -> KickAndDefend:
    game = KickAndDefend(len(values), threads=1, obstacles=2, **options)
    levels = [game.design_space.level(v) for v in values]
    game.reset(range(len(values)), levels=levels)
    return game


def still(game: KickAndDefend) -> dict[str, Any]:
    return {p: np.zeros((game.num_envs, game.action_size(p))) for p in game.players}


def test_a_ball_bounces_back_off_an_obstacle_as_early_as_it_is_thick() -> None:
    game = game_with(POST, {**POST, "obstacle0_radius": 0.05}, {**POST, "obstacle_count": 0})
    game.qpos[:, :3] = (0.0, 0.0, game.scale.ball_radius)
    game.qvel[:, :6] = (2.0, 0.0, 0.0, 0.0, 2.0 / game.scale.ball_radius, 0.0)
    farthest = np.zeros(3)
    for _ in range(8):
        game.step(still(game))
        farthest = np.maximum(farthest, game.qpos[:, 0])
    reached = 0.3 - game.scale.ball_radius - np.array([0.1, 0.05])
    assert farthest[:2] == pytest.approx(reached, abs=0.02) and farthest[2] > 0.5


@pytest.mark.parametrize("player", ["kicker", "keeper"])
def test_an_obstacle_stops_a_player_who_feels_it(player: str) -> None:
    game = game_with(POST, {**POST, "obstacle_count": 0})
    game.qpos[:, :2] = (-1.0, 1.3)  # the ball is far away
    game.pitch = replace(game.pitch, area_depth=10.0)  # the keeper may leave its goal
    q, v = game._q[player].start, game._v[player].start
    game.qpos[:, q : q + 3] = (-0.2, 0.0, 0.0)
    force = np.zeros((2, 2))
    action = still(game)
    action[player][:, 0] = 1.0
    for _ in range(12):
        game.length[:] = 0
        costs = game.step(action).costs
        mine, other = costs[player], costs[{"kicker": "keeper", "keeper": "kicker"}[player]]
        force = np.maximum(force, [mine["obstacle_force"], other["obstacle_force"]])
        if game.qpos[1, q] > 0.5:
            break
    assert game.qpos[0, q] < 0.3 - 0.1 - 0.09 + 0.01 and abs(game.qvel[0, v]) < 0.5
    assert force[0, 0] > 10.0 and not force[0, 1] and not force[1].any()


@pytest.mark.parametrize("body", ["omni", "ant"])
def test_ball_kicker_and_keeper_start_clear_of_obstacles_and_of_each_other(body: str) -> None:
    n = 100
    game = KickAndDefend(n, threads=1, obstacles=MOST, body=body)
    space, posts = game.design_space, game.posts
    points = repair(space, space.sample(np.random.default_rng(0), n)).points
    points[:20, space.names.index("obstacle_count")] = 1.0
    points = repair(space, points).points
    game.reset(range(n), levels=[space.decode(u) for u in points])
    notes = game.notes()
    assert (notes["repairs"] > 0).any() and not notes["impossible"].any()
    everyone = np.arange(n)
    there, radius = (
        posts.present(game.params, everyone),
        posts.column(game.params, "radius", everyone),
    )
    centres = posts.centres(game.params, everyone)
    places = [(game.qpos[:, :2], game.scale.ball_radius)]
    places += [(game.body.position(game.qpos[:, game._q[p]]), game._reach) for p in game.players]
    for place, mine in places:
        gap = np.linalg.norm(centres - place[:, None], axis=2) - radius - mine
        assert gap[there].min() > 0.0
    apart = np.linalg.norm(places[0][0] - places[1][0], axis=1)
    assert apart.min() > game._reach + game.scale.ball_radius
    step = game.step(still(game))
    for p in game.players:
        assert not step.costs[p]["obstacle_force"].any()


def test_a_ball_in_an_obstacle_moves_to_its_side_and_is_counted() -> None:
    level = {**POST, "obstacle0_x": -0.2, "start_spread": 0.0}
    game = game_with(level, {**level, "obstacle_count": 0})
    assert game.notes()["repairs"].tolist() == [1.0, 0.0]
    assert game.qpos[1, :2].tolist() == [-0.2, 0.0]
    away = np.linalg.norm(game.qpos[0, :2] - [-0.2, 0.0])
    assert away == pytest.approx(0.1 + game.scale.ball_radius + 0.02, abs=1e-5)


def test_a_ball_is_not_moved_into_the_kicker_nor_left_in_it() -> None:
    near: dict[str, Value] = {"ball_start_x": -0.6, "start_spread": 1.5}
    game = game_with(*[near] * 100)
    kicker = game.body.position(game.qpos[:, game._q["kicker"]])
    apart = np.linalg.norm(game.qpos[:, :2] - kicker, axis=1)
    assert game.notes()["repairs"].any()
    assert apart.min() > game._reach + game.scale.ball_radius


def test_obstacles_cannot_seal_the_goal_at_any_corner_of_the_design_space() -> None:
    """All of them side by side, and the ball between any two, are narrower than the pitch."""
    game = KickAndDefend(1, threads=1, obstacles=MOST)
    space, pitch = game.design_space, game.pitch
    thick = sum(2.0 * space[f"obstacle{i}_radius"].high for i in range(MOST))
    assert thick + (MOST + 1) * 2.0 * game.scale.ball_radius < 2.0 * pitch.side_y
    for i, (x, r) in itertools.product(range(MOST), itertools.product(("low", "high"), repeat=2)):
        place, radius = space[f"obstacle{i}_x"], space[f"obstacle{i}_radius"]
        edge = getattr(place, x) + getattr(radius, r) * (1 if x == "high" else -1)
        assert -0.85 + game._reach < edge < pitch.goal_x - pitch.area_depth


def test_both_players_see_the_obstacles_from_where_they_are() -> None:
    game = game_with(POST, {})
    for p in game.players:
        seen, layout = game.observe(p, slice(None)), game.layouts[p]
        own = game.body.position(game.qpos[:, game._q[p]])
        place = seen[0, layout["obstacle0_relative"]] + own[0]
        assert np.allclose(place, [0.3, 0.0], atol=1e-6)
        assert seen[0, layout["obstacle0_radius"]] == pytest.approx(0.1)
        assert not seen[1, layout.index(["obstacle*"])].any()
        assert seen[0, layout["obstacle1_present"]] == 0.0
