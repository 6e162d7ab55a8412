"""The ball rolls, slows down by the level's rolling friction, stops, and cannot pass a robot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from physics.worlds import parked, place, place_ball, push
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

Array = npt.NDArray[np.float64]
every_body = pytest.mark.parametrize("body", ["omni", "ant"])
GRAVITY = 9.81


def _roll(game: KickAndDefend, seconds: float) -> None:
    """Physics alone: no rules, no resets."""
    game.ctrl[:] = 0.0
    game.batch.step(nstep=round(seconds / game.scale.timestep))


@every_body
def test_a_ball_at_rest_stays_at_rest(body: str) -> None:
    game = parked(1, body=body)
    before = game.qpos[0, :3].copy()
    _roll(game, 2.0)
    assert np.allclose(game.qpos[0, :3], before, atol=1e-3 * game.scale.ball_radius)


@every_body
def test_a_pushed_ball_first_slides_then_rolls_then_stops(body: str) -> None:
    game = parked(1, body=body)
    length, radius = game.scale.length, game.scale.ball_radius
    speed = 0.8 * np.sqrt(length)
    place_ball(game, 0, (0.0, -0.3 * length), (speed, 0.0))
    _roll(game, 0.6)
    rolling = game.qvel[0, 0]
    spin = np.linalg.norm(game.qvel[0, 3:6])
    assert 0.3 * speed < rolling < 5 / 7 * speed * 1.02, "a sliding ball rolls at 5/7 of its speed"
    assert np.isclose(rolling, spin * radius, rtol=0.15), "it slips"  # soft contacts creep by 10 %
    _roll(game, 8.0)
    assert np.linalg.norm(game.qvel[0, :3]) < 0.02 * speed
    assert abs(game.qpos[0, 1] + 0.3 * length) < 0.01 * length, "it did not roll straight"


@every_body
def test_rolling_friction_brakes_as_its_formula_says(body: str) -> None:
    """A rolling sphere with rolling friction c [m] decelerates by c g / (1.4 r).

    MuJoCo's soft constraints give 60 to 90 % of it; doubling c must nearly double it.
    """
    game = parked(3, body=body)
    space, radius = game.design_space, game.scale.ball_radius
    nominal = float(space["ball_rolling_friction"].nominal)
    factors = np.array([0.5, 1.0, 2.0])
    levels = [space.level({"ball_rolling_friction": f * nominal}) for f in factors]
    game.reset(np.arange(3), levels=levels)
    length = game.scale.length
    speed = 0.6 * np.sqrt(length)
    place(game, slice(None), "kicker", (-1.8 * length, -1.2 * length))
    for row in range(3):
        place_ball(game, row, (0.0, -0.3 * length), (speed, 0.0))
        game.qvel[row, 3:6] = (0.0, speed / radius, 0.0)
        game.qpos[row, 3:7] = (1.0, 0.0, 0.0, 0.0)
    _roll(game, 0.5)
    braking = (speed - game.qvel[:, 0]) / 0.5
    expected = factors * nominal * GRAVITY / (1.4 * radius)
    assert (braking > 0.5 * expected).all() and (braking < 1.05 * expected).all(), braking
    assert np.allclose(braking[1:] / braking[:-1], 2.0, rtol=0.1), braking


def test_a_ball_cannot_pass_a_robot() -> None:
    game = parked(6, body="omni", arms=0)
    place(game, slice(None), "keeper", (1.3, 0.0))
    for row, speed in enumerate((1.0, 1.5, 2.0, 3.0, 4.0, 5.0)):
        place_ball(game, row, (0.9, 0.02 * (row % 3 - 1)), (speed, 0.0))
    shell = 0.09 + game.scale.ball_radius
    nearest = np.full(6, np.inf)
    for _ in range(150):
        _roll(game, game.scale.timestep)
        keeper = game.qpos[:, game._q["keeper"]][:, :2]
        nearest = np.minimum(nearest, np.linalg.norm(game.qpos[:, :2] - keeper, axis=1))
    assert (nearest < shell + 0.01).all(), "the ball did not reach the robot"
    assert (nearest > 0.6 * shell).all(), "the ball went into the robot"
    assert (game.qpos[:, 0] < 1.3 + 0.09).all(), "the ball passed the robot"


@every_body
def test_a_kicked_ball_moves_and_the_kicker_is_slowed(body: str) -> None:
    game = parked(1, body=body)
    length = game.scale.length
    gap = {"omni": 0.15, "ant": 1.1}[body]
    place(game, 0, "kicker", (0.0, 0.0))
    start = game._q["kicker"].start
    if body == "omni":
        place_ball(game, 0, (gap, 0.0))
        game.qpos[0, start + 2] = np.pi / 4  # an arm straight ahead
    else:  # feet stand on the diagonals
        game.qpos[0, start + 3 : start + 7] = (np.cos(np.pi / 8), 0.0, 0.0, np.sin(np.pi / 8))
        place_ball(game, 0, (gap, 0.0))
    push(game, 0, "kicker", (1.5 * np.sqrt(length), 0.0))
    _roll(game, 0.3)
    assert game.qvel[0, 0] > 0.2, "the ball was not kicked"
