"""Contacts between players are seen at every substep, with the force that plain MuJoCo computes."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from physics.worlds import parked, place, push, stand_still, still
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

Array = npt.NDArray[np.float64]
BODIES = ({"body": "omni", "arms": 0}, {"body": "omni", "arms": 6}, {"body": "ant"})
every_body = pytest.mark.parametrize("options", BODIES, ids=str)


def _collision(options: dict[str, Any]) -> KickAndDefend:
    game = parked(2, **options)
    game._start = lambda *args: None  # type: ignore[method-assign]
    length = game.scale.length
    gap = {"omni": 0.45, "ant": 2.2}[str(options["body"])]
    place(game, 0, "kicker", (1.3 * length - gap / 2, 0.01 * length))
    place(game, 0, "keeper", (1.3 * length + gap / 2, 0.0))
    speed = 1.5 * np.sqrt(length)
    push(game, 0, "kicker", (speed, 0.0))  # simulation 1 is left alone
    push(game, 0, "keeper", (-speed, 0.0))
    return game


def _forces(model: mujoco.MjModel, data: mujoco.MjData) -> Array:
    """World forces (c, 3) [N] of the contacts between the two players on the keeper."""
    roots = model.body_rootid[model.geom_bodyid]
    owner = [model.body(int(root)).name.split("_")[0] for root in roots]
    out = []
    for c, contact in enumerate(data.contact):
        first, second = (owner[g] for g in contact.geom)
        if {first, second} == {"kicker", "keeper"}:
            force = np.zeros(6)
            mujoco.mj_contactForce(model, data, c, force)
            world = contact.frame.reshape(3, 3).T @ force[:3]
            out.append(world if first == "kicker" else -world)
    return np.array(out).reshape(-1, 3)


@every_body
def test_collision_costs_are_the_forces_of_plain_mujoco_over_all_substeps(
    options: dict[str, Any],
) -> None:
    game = _collision(options)
    model, data = game.batch.get_model(0), game.batch.get_data(0)
    hits, last_only = 0, True
    for _ in range(12):
        result = game.step(still(game))
        peak, net, impulse, at_end = 0.0, 0.0, 0.0, 0.0
        for _ in range(game.substeps):
            mujoco.mj_step(model, data)
            forces = _forces(model, data)
            at_end = float(np.linalg.norm(forces, axis=1).max(initial=0.0))
            total = float(np.linalg.norm(forces.sum(axis=0)))
            peak, net, impulse = max(peak, at_end), max(net, total), impulse + total
        hits += peak > 0
        last_only &= bool(np.isclose(peak, at_end))
        for player in game.players:
            costs = result.costs[player]
            assert np.isclose(costs["collision_force"][0], peak, rtol=1e-9, atol=1e-9)
            assert np.isclose(costs["collision_net_force"][0], net, rtol=1e-9, atol=1e-9)
            expected = impulse * game.scale.timestep
            assert np.isclose(costs["collision_impulse"][0], expected, rtol=1e-9, atol=1e-9)
            assert costs["collision_force"][1] == 0.0, "a simulation without contact pays"
    assert hits > 0, "the robots did not meet"
    assert not last_only, "the last substep would have been enough, so the check says little"


@every_body
def test_players_that_do_not_touch_feel_no_force(options: dict[str, Any]) -> None:
    costs = stand_still(parked(1, **options)).costs["keeper"]
    assert costs["collision_force"][0] == costs["collision_impulse"][0] == 0.0


@every_body
def test_players_do_not_pass_through_each_other(options: dict[str, Any]) -> None:
    game = _collision(options)
    for _ in range(12):
        game.step(still(game))
        x = [game.body.position(game.qpos[:, game._q[p]])[0, 0] for p in game.players]
        assert x[0] < x[1]


def test_the_net_force_is_smaller_than_the_largest_when_contacts_oppose_each_other() -> None:
    """Sensor semantics (facts/engine.md, trap 3): a peak must not be a sum of opposing forces."""
    game = _collision({"body": "omni", "arms": 6})
    differs = False
    for _ in range(12):
        costs = game.step(still(game)).costs["kicker"]
        differs |= not np.isclose(costs["collision_force"][0], costs["collision_net_force"][0])
    assert differs
