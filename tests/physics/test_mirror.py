"""Mirroring the pitch (y -> -y) and the actions mirrors the trajectory.

Rules, bodies and friction are exactly symmetric; floating point is not, and neither is MuJoCo's
collider of cylinders (the omni's shell), which stops once it is right to `ccd_tolerance`. Contacts
amplify the difference: horizon and tolerances below are part of the claim.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from robo_adv.envs.soccer.bodies.body import Mirror
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

BALL_QPOS = Mirror(np.arange(7), np.array([1.0, -1, 1, 1, -1, 1, -1]))
BALL_QVEL = Mirror(np.arange(6), np.array([1.0, -1, 1, -1, 1, -1]))


def _mirrored(game: KickAndDefend, qpos: bool) -> Mirror:
    """The mirror of the whole state: ball, kicker, keeper."""
    ball, body = (BALL_QPOS, game.body.mirror()[0]) if qpos else (BALL_QVEL, game.body.mirror()[1])
    index, sign = [ball.index], [ball.sign]
    for k in range(2):
        index.append(len(ball.index) + k * len(body.index) + body.index)
        sign.append(body.sign)
    return Mirror(np.concatenate(index), np.concatenate(sign))


def test_mirroring_twice_changes_nothing() -> None:
    for options in ({"body": "omni", "arms": 5}, {"body": "ant"}):
        game = KickAndDefend(1, threads=1, **options)
        for mirror in game.body.mirror():
            x = np.arange(1.0, len(mirror.index) + 1)
            assert np.array_equal(mirror(mirror(x)), x)


class _ExactCollider(KickAndDefend):
    """Cylinders collide to 1e-12 instead of 1e-6."""

    def build(self) -> mujoco.MjSpec:
        spec = super().build()
        spec.option.ccd_tolerance = 1e-12
        spec.option.ccd_iterations = 500
        return spec


def _worst_difference(
    options: dict[str, Any], steps: int, meet: bool, kind: type[KickAndDefend] = KickAndDefend
) -> float:
    """Largest difference of qpos [m, rad] between a world and its mirrored twin, mirrored back."""
    n = 8
    game, twin = (kind(n, threads=1, **options) for _ in range(2))
    for world in (game, twin):
        world.reset(np.arange(n))
        world._start = lambda *args: None  # type: ignore[method-assign]  # no autoreset
    if meet:  # kicker, ball and keeper
        for player, side in (("kicker", -1), ("keeper", 1)):
            start, length = game._q[player].start, game.scale.length
            game.qpos[:, start : start + 2] = (
                game.qpos[:, :2] + np.array([0.3 * side, 0.03]) * length
            )
            game.qvel[:, game._v[player].start] = -side * length
    qpos, qvel, action = _mirrored(game, True), _mirrored(game, False), game.body.mirror()[2]
    twin.qpos[:], twin.qvel[:] = qpos(game.qpos), qvel(game.qvel)
    assert np.abs(game.qpos - twin.qpos).max() > 0.1, "the start was symmetric itself"
    rng, touched, worst = np.random.default_rng(0), 0.0, 0.0
    for _ in range(steps):
        actions = {p: rng.uniform(-1, 1, (n, game.action_size(p))) for p in game.players}
        result = game.step(actions)
        other = twin.step({p: action(a) for p, a in actions.items()})
        worst = max(worst, float(np.abs(qpos(game.qpos) - twin.qpos).max()))
        touched += float(result.costs["kicker"]["collision_force"].sum())
        assert np.array_equal(result.winner, other.winner)
        for p in game.players:
            assert np.allclose(result.rewards[p], other.rewards[p], rtol=0, atol=1e-9 + 10 * worst)
    assert (touched > 0) == meet
    return worst


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"body": "omni", "arms": 0}, 1e-12),
        ({"body": "omni", "arms": 4}, 1e-12),
        ({"body": "omni", "arms": 7}, 1e-12),
        ({"body": "ant"}, 1e-7),
    ],
    ids=str,
)
def test_the_mirrored_game_runs_as_the_mirror_image(
    options: dict[str, Any], tolerance: float
) -> None:
    """Over 40 control steps of 50 ms; the ant lands and falls about in them."""
    assert _worst_difference(options, 40, meet=False) < tolerance


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"body": "omni", "arms": 0}, 0.005),
        ({"body": "omni", "arms": 4}, 0.005),
        ({"body": "ant"}, 1e-7),
    ],
    ids=str,
)
def test_the_mirror_image_holds_through_collisions(
    options: dict[str, Any], tolerance: float
) -> None:
    """Over 40 control steps. Ants have no cylinders. With arms and other actions than these, two
    omnis that stay entangled grow the collider's error until it is no mirror image any more."""
    assert _worst_difference(options, 40, meet=True) < tolerance


@pytest.mark.parametrize("arms", [0, 4, 7])
def test_with_an_exact_collider_the_mirror_image_holds_through_collisions(arms: int) -> None:
    options = {"body": "omni", "arms": arms}
    assert _worst_difference(options, 20, meet=True, kind=_ExactCollider) < 2e-4
