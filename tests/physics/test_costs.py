"""Costs are provoked one by one, with the value that physics gives, and are silent otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from physics.worlds import parked, place, push, stand_still
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

BODIES = ("omni", "ant")
every_body = pytest.mark.parametrize("body", BODIES)


def _unrestarted(game: KickAndDefend) -> KickAndDefend:
    game._start = lambda *args: None  # type: ignore[method-assign]  # keeps the last state readable
    return game


@every_body
def test_players_at_rest_cost_nothing(body: str) -> None:
    game = parked(1, body=body)
    for _ in range(3):
        result = stand_still(game)
        for player in game.players:
            assert all(value[0] == 0.0 for value in result.costs[player].values()), result.costs


@every_body
@pytest.mark.parametrize("player", ["kicker", "keeper"])
def test_speed_above_the_limit_costs_the_excess(body: str, player: str) -> None:
    game = parked(3, body=body)
    stand_still(game)
    limit = game.scale.speed_limit
    push(game, 0, player, (1.2 * limit, 1.2 * limit))
    push(game, 1, player, (-1.6 * limit, 0.0))
    push(game, 2, player, (0.6 * limit, 0.0))
    cost = game.cost_terms(player)["speed_excess"]
    assert np.allclose(cost, [(1.2 * np.sqrt(2) - 1) * limit, 0.6 * limit, 0.0])
    other = game.players[1 - game.players.index(player)]
    assert (game.cost_terms(other)["speed_excess"] == 0.0).all()


@every_body
@pytest.mark.parametrize("player", ["kicker", "keeper"])
def test_a_joint_beyond_its_limit_costs_the_angle(body: str, player: str) -> None:
    game = parked(3, body=body)
    stand_still(game)
    joint = game.model.joint(f"{player}_{'arm_1' if body == 'omni' else 'ankle_1'}")
    low, high = joint.range
    for row, angle in enumerate((high + 0.5, low - 0.25, 0.5 * (low + high))):
        game.qpos[row, joint.qposadr[0]] = angle
    before = game.cost_terms(player)["joint_limit"]
    assert np.allclose(before, [0.5, 0.25, 0.0], rtol=0, atol=1e-12)
    other = game.players[1 - game.players.index(player)]
    assert (game.cost_terms(other)["joint_limit"] == 0.0).all()


def test_a_speed_that_a_robot_still_has_after_the_step_is_what_costs() -> None:
    game = parked(1, body="omni")
    push(game, 0, "kicker", (2.5, 0.0))
    result = stand_still(game)
    speed = np.linalg.norm(game.qvel[0, game._v["kicker"]][:2])
    assert 1.5 < speed < 2.5
    assert np.isclose(result.costs["kicker"]["speed_excess"][0], speed - 1.5)


def test_a_robot_without_joints_has_no_limits_to_violate() -> None:
    result = stand_still(parked(1, body="omni", arms=0))
    assert result.costs["kicker"]["joint_limit"].tolist() == [0.0]


@pytest.mark.parametrize("player", ["kicker", "keeper"])
def test_a_fall_costs_one_while_it_lasts(player: str) -> None:
    game = _unrestarted(parked(3, body="ant"))
    start = game._q[player].start
    game.qpos[0, start + 3 : start + 7] = (0.0, 1.0, 0.0, 0.0)
    folded = np.array([0.0, 1.57, 0.0, -1.57, 0.0, -1.57, 0.0, 1.57])
    assert game.body.fallen(game.qpos[:, game._q[player]]).tolist() == [True, False, False]
    game.qpos[1, start + 2] = 0.15
    game.qpos[1, start + 7 : start + 15] = folded
    result = stand_still(game)
    fallen = game.body.fallen(game.qpos[:, game._q[player]])
    assert result.costs[player]["fall"].tolist() == fallen.astype(float).tolist()
    assert fallen[0] and not fallen[2]
    other = game.players[1 - game.players.index(player)]
    assert (result.costs[other]["fall"] == 0.0).all()


def test_a_body_that_cannot_fall_never_pays_for_it() -> None:
    game = parked(1, body="omni")
    place(game, 0, "kicker", (0.0, 0.0))
    assert stand_still(game).costs["kicker"]["fall"].tolist() == [0.0]


def test_an_episode_s_cost_is_the_largest_or_the_sum_of_its_steps() -> None:
    game = parked(1, body="omni")
    push(game, 0, "kicker", (1.8, 0.0))
    largest = 0.0
    for _ in range(game.clock_steps):
        result = stand_still(game)
        largest = max(largest, float(result.costs["kicker"]["speed_excess"][0]))
        if result.final is not None:
            break
    assert result.final is not None
    assert result.final.costs["kicker"]["speed_excess"].tolist() == [largest]
    assert game.costs["collision_impulse"].aggregate == "sum"
