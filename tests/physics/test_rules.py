"""Every rule of KickAndDefend, provoked one by one with hand-set states, and their precedence."""

from __future__ import annotations

import numpy as np
import pytest

from physics.worlds import parked, place, place_ball, stand_still
from robo_adv.envs.episode import DRAW, ONGOING
from robo_adv.envs.soccer.kick_and_defend import KEEPER, KICKER, KickAndDefend

BODIES = ("omni", "ant")
every_body = pytest.mark.parametrize("body", BODIES)


def _metres(game: KickAndDefend) -> tuple[float, float, float]:
    """Metres per metre of the small pitch, a ball speed, and how far it goes in a control step."""
    speed = 2.0 * game.scale.length  # fast enough for every rule about speed
    return game.scale.length, speed, speed * game.control_dt


@every_body
def test_nothing_happens_while_nothing_moves(body: str) -> None:
    result = stand_still(parked(1, body=body))
    assert result.winner.tolist() == [ONGOING]
    assert not result.terminated.any() and not result.truncated.any() and result.final is None


@every_body
def test_a_ball_between_the_posts_is_a_goal_and_pays_both_players(body: str) -> None:
    game = parked(3, body=body, reward={"kicker": "sparse", "keeper": "sparse"})
    length, speed, step = _metres(game)
    half = game.pitch.goal_half_width
    for row, y in enumerate((-0.95 * half, 0.0, 0.95 * half)):
        place_ball(game, row, (2.0 * length - step / 2, y), (speed, 0.0))
    result = stand_still(game)
    assert result.winner.tolist() == [KICKER] * 3
    assert result.terminated.all() and not result.truncated.any()
    assert result.rewards["kicker"].tolist() == [1.0] * 3
    assert result.rewards["keeper"].tolist() == [-1.0] * 3


@every_body
def test_a_ball_on_its_way_to_the_goal_is_not_yet_a_goal(body: str) -> None:
    game = parked(1, body=body)
    length, speed, step = _metres(game)
    place_ball(game, 0, (2.0 * length - 2 * step, 0.0), (speed, 0.0))
    assert stand_still(game).winner.tolist() == [ONGOING]
    assert stand_still(game).winner.tolist() == [ONGOING] or game.qpos[0, 0] <= 2.0 * length
    assert stand_still(game).winner.tolist() == [KICKER]


@every_body
def test_a_ball_beside_a_post_or_above_the_bar_is_out(body: str) -> None:
    game = parked(3, body=body)
    length, speed, step = _metres(game)
    y_post = 1.05 * game.pitch.goal_half_width
    for row, (y, z) in enumerate(((y_post, 0.0), (-y_post, 0.0), (0.0, 0.3))):
        at = (2.0 * length - step / 2, y)
        place_ball(game, row, at, (speed, 0.0), above=z * length)
    assert stand_still(game).winner.tolist() == [KEEPER] * 3


@every_body
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_where_the_ball_crossed_is_interpolated_within_the_step(body: str, side: float) -> None:
    game = parked(2, body=body)
    length, speed, step = _metres(game)
    x = 2.0 * length - 0.05 * step  # crosses early in the step
    y = game.pitch.goal_half_width
    place_ball(game, 0, (x, side * (y - 0.3 * step)), (speed, side * speed))
    place_ball(game, 1, (x, side * (y + 0.3 * step)), (speed, -side * speed))
    winner = stand_still(game).winner
    assert winner.tolist() == [KICKER, KEEPER]


@every_body
def test_the_interpolation_uses_the_level_s_goal(body: str) -> None:
    game = parked(3, body=body)
    space, (length, speed, step) = game.design_space, _metres(game)
    half = game.pitch.goal_half_width
    wide = space.level({"goal_half_width": 1.4 * half})
    narrow = space.level({"goal_half_width": 0.6 * half})
    game.reset(np.arange(3), levels=[space.nominal, wide, narrow])
    place(game, slice(None), "keeper", (1.3 * length, 0.8 * length))
    for row, y in enumerate((0.8, 1.2, 0.8)):
        place_ball(game, row, (2.0 * length - step / 2, -y * half), (speed, 0.0))
    assert stand_still(game).winner.tolist() == [KICKER, KICKER, KEEPER]


@every_body
def test_a_ball_over_a_side_line_or_the_back_line_is_out(body: str) -> None:
    game = parked(3, body=body)
    length, speed, step = _metres(game)
    place_ball(game, 0, (0.0, 1.5 * length - step / 2), (0.01, speed))
    place_ball(game, 1, (0.0, -1.5 * length + step / 2), (0.01, -speed))
    place_ball(game, 2, (-2.25 * length - 0.01, 0.0))
    assert stand_still(game).winner.tolist() == [KEEPER] * 3


@every_body
@pytest.mark.parametrize(("option", "winner"), [("loses", KICKER), ("draw", DRAW)])
def test_a_keeper_that_leaves_its_area_loses_or_draws(body: str, option: str, winner: int) -> None:
    game = parked(6, body=body, keeper_out=option, reward={"kicker": "sparse", "keeper": "sparse"})
    length = game.scale.length
    outside = ((0.95, 0.0), (2.23, 0.0), (1.5, 1.05), (1.5, -1.05))
    inside = ((1.05, 0.9), (2.13, -0.9))
    for row, (x, y) in enumerate((*outside, *inside)):
        place(game, row, "keeper", (x * length, y * length))
    result = stand_still(game)
    assert result.winner.tolist() == [winner] * 4 + [ONGOING] * 2
    assert result.terminated.tolist() == [True] * 4 + [False] * 2
    pay = 1.0 if option == "loses" else 0.0
    assert result.rewards["kicker"].tolist() == [pay] * 4 + [0.0] * 2
    assert result.rewards["keeper"].tolist() == [-pay] * 4 + [0.0] * 2


@every_body
def test_a_ball_that_moves_back_fast_is_saved(body: str) -> None:
    game = parked(5, body=body)
    limit = game.scale.save_speed
    for row, speed in enumerate(
        ((-1.5, 0.0), (-0.3, -1.5), (-0.7, 0.0), (1.5, 0.0), (0.1, 1.5))
    ):  # fmt: skip
        place_ball(game, row, (0.0, 0.0), (speed[0] * limit, speed[1] * limit))
    assert stand_still(game).winner.tolist() == [KEEPER, KEEPER, ONGOING, ONGOING, ONGOING]


def test_an_episode_in_which_both_players_have_fallen_goes_to_the_keeper() -> None:
    game = parked(4, body="ant")
    upside_down = (0.0, 1.0, 0.0, 0.0)
    for row, fallen in enumerate((("kicker", "keeper"), ("kicker",), ("keeper",), ())):
        for player in fallen:
            start = game._q[player].start
            game.qpos[row, start + 3 : start + 7] = upside_down
    result = stand_still(game)
    assert result.winner.tolist() == [KEEPER, ONGOING, ONGOING, ONGOING]
    assert result.costs["kicker"]["fall"].tolist() == [1, 1, 0, 0]
    assert result.costs["keeper"]["fall"].tolist() == [1, 0, 1, 0]


@every_body
def test_the_clock_is_observed_and_terminates_for_the_keeper(body: str) -> None:
    game = parked(2, body=body)
    game.length[:] = (game.clock_steps - 1, game.clock_steps - 2)
    result = stand_still(game)
    assert result.winner.tolist() == [KEEPER, ONGOING]
    assert result.terminated.tolist() == [True, False] and not result.truncated.any()
    assert result.final is not None
    for player in game.players:
        clock = game.layouts[player]["clock"]
        assert result.final.obs[player][0, clock] == 0.0
        assert np.isclose(result.obs[player][1, clock], 1.0 / game.clock_steps)
        assert result.obs[player][0, clock] == 1.0


@every_body
def test_an_episode_lasts_as_long_as_the_body_s_clock_says(body: str) -> None:
    game = parked(1, body=body)
    assert np.isclose(game.clock_steps * game.control_dt, game.scale.clock)


@every_body
def test_the_first_rule_that_matches_decides(body: str) -> None:
    """Goal, out, keeper out, saved, clock: every pair that disagrees, with keeper_out = draw."""
    game = parked(7, body=body, keeper_out="draw")
    length, speed, step = _metres(game)
    goal = ((2.0 * length - step / 2, 0.0), (speed, 0.0))
    miss = ((2.0 * length - step / 2, -1.2 * game.pitch.goal_half_width), (speed, 0.0))
    back = ((0.0, 0.0), (-speed / 2, 0.0))
    outside = (0.5 * length, 1.2 * length)
    late = game.clock_steps - 1
    for row, (ball, keeper_out, length_so_far) in enumerate(
        (
            (goal, True, 0),
            (goal, False, late),
            (miss, True, 0),
            (miss, True, late),
            (back, True, 0),
            (None, True, late),
            (goal, True, late),
        )
    ):
        if ball:
            place_ball(game, row, *ball)
        if keeper_out:
            place(game, row, "keeper", outside)
        game.length[row] = length_so_far
    expected = [KICKER, KICKER, KEEPER, KEEPER, DRAW, DRAW, KICKER]
    assert stand_still(game).winner.tolist() == expected
