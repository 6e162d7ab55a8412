"""A game's physics is plain MuJoCo: a loop of `mj_step` over one MjData gives the same bits."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

CONTROLS = 50
BODIES = ({"body": "omni", "arms": 0}, {"body": "omni", "arms": 4}, {"body": "ant"})


@pytest.mark.parametrize("options", BODIES, ids=str)
def test_a_game_is_in_lockstep_with_plain_mujoco_also_on_edited_levels(
    options: dict[str, Any],
) -> None:
    game = KickAndDefend(3, threads=2, **options)
    game._start, start = lambda *args: None, game._start  # type: ignore[method-assign]  # no autoreset
    space = game.design_space
    rng = np.random.default_rng(0)
    levels = [space.nominal, *(space.decode(rng.uniform(0.1, 0.9, len(space))) for _ in range(2))]
    start(np.arange(3), np.arange(3, dtype=np.uint64), levels)
    # Into each other and the ball, so that contacts are part of what is compared.
    kicker, keeper = game._q["kicker"].start, game._q["keeper"].start
    near = {"omni": 0.14, "ant": 1.0}[str(options["body"])]
    game.qpos[:, kicker : kicker + 2] = game.qpos[:, :2] + [-near, 0.7 * near]
    game.qpos[:, keeper : keeper + 2] = game.qpos[:, :2] + [near, 0.7 * near]
    speed = np.sqrt(game.scale.length)
    game.qvel[:, game._v["kicker"].start] = speed
    game.qvel[:, game._v["keeper"].start] = -speed
    models = [game.batch.get_model(i) for i in range(3)]
    plain = [mujoco.MjData(model) for model in models]
    for i, data in enumerate(plain):
        data.qpos[:], data.qvel[:] = game.qpos[i], game.qvel[i]
    touched = 0
    for _ in range(CONTROLS):
        actions = {p: rng.uniform(-1.2, 1.2, (3, game.action_size(p))) for p in game.players}
        result = game.step(actions)
        for i, (model, data) in enumerate(zip(models, plain, strict=True)):
            for p in game.players:
                data.ctrl[game.ctrl_slice(p)] = np.clip(actions[p][i], -1.0, 1.0)
            for k in range(game.substeps):
                mujoco.mj_step(model, data)
                assert np.array_equal(data.sensordata, game.sensors[i, k])
            assert np.array_equal(data.qpos, game.qpos[i])
            assert np.array_equal(data.qvel, game.qvel[i])
            touched += int(result.costs["kicker"]["collision_force"][i] > 0)
    assert touched > 0, "no contact between the robots, so the check would say little"
    assert not np.array_equal(game.qpos[0], game.qpos[1])
