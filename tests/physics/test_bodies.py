"""Bodies have the sizes and ranges that their files state, and do not touch themselves."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from physics.worlds import parked
from robo_adv.envs.soccer.bodies import omni
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

BODIES = ({"body": "omni", "arms": 0}, {"body": "omni", "arms": 8}, {"body": "ant"})
every_body = pytest.mark.parametrize("options", BODIES, ids=str)


def _geoms(game: KickAndDefend, player: str) -> list[int]:
    model = game.model
    root = model.body(f"{player}_{game.body.root}").id  # the ant has bodies without a name
    return [g for g in range(model.ngeom) if model.body_rootid[model.geom_bodyid[g]] == root]


def _may_touch(model: mujoco.MjModel, a: int, b: int) -> bool:
    kind, affinity = model.geom_contype, model.geom_conaffinity
    return bool((kind[a] & affinity[b]) | (kind[b] & affinity[a]))


@every_body
def test_robots_touch_each_other_the_ball_and_the_floor_but_not_themselves(
    options: dict[str, Any],
) -> None:
    game = parked(1, **options)
    model, floor, ball = game.model, game.model.geom("floor").id, game.model.geom("ball").id
    mine, theirs = _geoms(game, "kicker"), _geoms(game, "keeper")
    assert len(mine) == len(theirs) > 0
    assert not any(_may_touch(model, a, b) for side in (mine, theirs) for a in side for b in side)
    for other in (*theirs, floor, ball):
        assert all(_may_touch(model, a, other) for a in mine), model.geom(other).name
    for decoration in range(model.ngeom):
        if decoration not in (*mine, *theirs, floor, ball):
            others = (*mine, *theirs, floor, ball)
            assert not any(_may_touch(model, decoration, g) for g in others)


def test_arms_that_overlap_make_no_contact() -> None:
    game = parked(1, body="omni", arms=8)
    model = game.batch.get_model(0)
    data = game.batch.get_data(0)
    start = game._q["kicker"].start
    data.qpos[start + 3 : start + 11] = 1.3 * np.array([1, -1] * 4)
    mujoco.mj_forward(model, data)
    mine = set(_geoms(game, "kicker"))
    assert not any(set(contact.geom.tolist()) <= mine for contact in data.contact)


def test_arms_have_the_range_that_the_body_states() -> None:
    game = parked(1, body="omni", arms=4)
    for i in range(4):
        joint = game.model.joint(f"kicker_arm_{i}")
        assert np.allclose(joint.range, (-omni.ARM_RANGE, omni.ARM_RANGE))


def test_an_arm_goes_where_its_action_says() -> None:
    game = parked(1, body="omni", arms=4)
    action = np.zeros((1, 7))
    wanted = np.array([0.5, -0.5, 0.9, -0.9])
    action[0, 3:] = wanted
    for _ in range(20):
        game.step({"kicker": action, "keeper": np.zeros((1, 7))})
    start = game._q["kicker"].start
    assert np.allclose(game.qpos[0, start + 3 : start + 7], wanted * omni.ARM_RANGE, atol=0.05)


def test_the_omni_drives_as_fast_as_it_states() -> None:
    game = parked(1, body="omni", arms=4)
    action = np.zeros((1, 7))
    action[0, 0] = 1.0
    steps = 30
    for _ in range(steps):
        game.step({"kicker": action, "keeper": np.zeros((1, 7))})
    start = game._v["kicker"].start
    assert np.isclose(game.qvel[0, start], omni.MAX_SPEED, rtol=0.03)


@every_body
def test_players_weigh_what_the_level_says(options: dict[str, Any]) -> None:
    game = parked(3, **options)
    space = game.design_space
    levels = [space.nominal, space.level({"kicker_mass": 2.0}), space.level({"keeper_mass": 0.5})]
    game.reset(np.arange(3), levels=levels)
    masses = [
        {p: model.body(f"{p}_{game.body.root}").subtreemass[0] for p in game.players}
        for model in (game.batch.get_model(i) for i in range(3))
    ]
    assert np.isclose(masses[1]["kicker"], 2.0 * masses[0]["kicker"])
    assert np.isclose(masses[2]["keeper"], 0.5 * masses[0]["keeper"])
    assert np.isclose(masses[1]["keeper"], masses[0]["keeper"])
    assert np.isclose(masses[2]["kicker"], masses[0]["kicker"])
