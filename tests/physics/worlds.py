"""Hand-set states of KickAndDefend."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import Step
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

Array = npt.NDArray[np.float64]


def parked(num_envs: int, **options: Any) -> KickAndDefend:
    """Nothing moves: kicker at the back, keeper at the side of its area, ball in the middle."""
    game = KickAndDefend(num_envs, threads=1, **options)
    game.reset(np.arange(num_envs))
    game.qvel[:] = 0.0
    length = game.scale.length
    place_ball(game, slice(None), (0.0, 0.0))
    place(game, slice(None), "kicker", (-1.8 * length, -1.2 * length))
    place(game, slice(None), "keeper", (1.3 * length, 0.8 * length))
    return game


def place(game: KickAndDefend, row: Any, player: str, at: tuple[float, float]) -> None:
    """Put a player's root body at (x, y) [m]."""
    start = game._q[player].start
    game.qpos[row, start : start + 2] = at


def push(game: KickAndDefend, row: Any, player: str, speed: tuple[float, float]) -> None:
    """Give a player's root body a planar velocity [m/s]."""
    start = game._v[player].start
    game.qvel[row, start : start + 2] = speed


def place_ball(
    game: KickAndDefend,
    row: Any,
    at: tuple[float, float],
    speed: tuple[float, float] = (0.0, 0.0),
    above: float = 0.0,
) -> None:
    """Put the ball at (x, y), `above` the floor [m], with a planar velocity [m/s]."""
    game.qpos[row, :3] = (*at, game.scale.ball_radius + above)
    game.qvel[row, :2] = speed


def still(game: KickAndDefend) -> dict[str, Array]:
    """Zero actions of both players."""
    return {p: np.zeros((game.num_envs, game.action_size(p))) for p in game.players}


def stand_still(game: KickAndDefend) -> Step:
    """One control step with zero actions."""
    return game.step(still(game))
