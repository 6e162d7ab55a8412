"""The scene's looks: the whole pitch is in view, and nothing that is only seen touches anything."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from robo_adv.envs.game import make_game

GAMES: list[dict[str, Any]] = [{"arms": 0}, {"arms": 8}, {"body": "ant"}]
every_game = pytest.mark.parametrize("options", GAMES, ids=str)


@every_game
@pytest.mark.parametrize("aspect", [4 / 3, 16 / 9])
@pytest.mark.parametrize("camera", ["side", "top", "behind"])
def test_every_camera_sees_the_whole_pitch_and_the_goal(
    options: dict[str, Any], aspect: float, camera: str
) -> None:
    game = make_game("KickAndDefend-v0", 1, threads=1, **options)
    pitch, model = game.pitch, game.model  # type: ignore[attr-defined]
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    c = model.camera(camera).id
    corners = np.array(
        [(x, y, 0.0) for x in (pitch.back_x, pitch.goal_x) for y in (-pitch.side_y, pitch.side_y)]
        + [
            (pitch.goal_x + pitch.goal_depth, y, pitch.goal_height)
            for y in (-pitch.goal_half_width, pitch.goal_half_width)
        ]
    )
    seen = (corners - data.cam_xpos[c]) @ data.cam_xmat[c].reshape(3, 3)
    assert (seen[:, 2] < 0).all()  # in front
    half = np.tan(np.radians(model.cam_fovy[c]) / 2)
    x, y = seen[:, 0] / -seen[:, 2] / (half * aspect), seen[:, 1] / -seen[:, 2] / half
    assert np.abs(x).max() < 0.98
    # Captions take the top and the bottom of the picture.
    assert y.max() < 1 - 2 * 0.11 and y.min() > -(1 - 2 * 0.07)


@every_game
def test_only_floor_ball_and_robots_can_touch(options: dict[str, Any]) -> None:
    model = make_game("KickAndDefend-v0", 1, threads=1, **options).model
    solid = {
        model.geom(g).name
        for g in range(model.ngeom)
        if model.geom_bodyid[g] == 0 and (model.geom_contype[g] or model.geom_conaffinity[g])
    }
    assert solid == {"floor"}


@every_game
def test_there_is_one_sky_and_it_is_the_pitch_s_own(options: dict[str, Any]) -> None:
    model = make_game("KickAndDefend-v0", 1, threads=1, **options).model
    skies = [
        model.texture(t).name
        for t in range(model.ntex)
        if model.tex_type[t] == mujoco.mjtTexture.mjTEXTURE_SKYBOX
    ]
    assert skies[0] == "sky"  # the renderer draws the first one
