"""Every level asks for something possible: at the corners of the design space, and in between."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from manipulation.worlds import rest
from robo_adv.envs.game import GAMES, make_game
from robo_adv.envs.manipulation.reach_check import reach_gaps
from robo_adv.envs.manipulation.scene import TABLE
from robo_adv.envs.manipulation.task import REACHABLE, ManipulationTask
from robo_adv.levels import Level
from robo_adv.levels.space import DesignSpace

Array = npt.NDArray[np.float64]

TASKS = [name for name in GAMES if issubclass(GAMES[name], ManipulationTask)]
TOUCHING = 1e-3  # [m] overlap that contacts of things at rest may have
# How far from the workspace [m] what is brought to a goal may have to go, tolerance included: a held
# cube is where the tool is, a pushed one in front of it; tools reach further than the arm.
BEYOND = {"Push-v0": 0.06, "PickAndPlace-v0": 0.05}
OUT_OF_REACH = {"ToolUse-v0": 0.24}  # [m] its puck, on purpose


def places(space: DesignSpace, rng: np.random.Generator) -> Array:
    """Points (n, P) of the unit cube: every corner of what decides starts and goals, the rest at random
    ends; and 200 points in between."""
    names = ("start_spread", "object_size")
    mine = [
        i for i, p in enumerate(space)
        if p.kind != "choice" and (p.role == "task" or p.name in names)
    ]  # fmt: skip
    corners = np.array(list(itertools.product((0.0, 1.0), repeat=len(mine))))
    at_ends = rng.integers(0, 2, (len(corners), len(space))).astype(np.float64)
    at_ends[:, mine] = corners
    found = np.concatenate([at_ends, rng.uniform(size=(200, len(space)))])
    for i, p in enumerate(space):
        if p.kind == "choice":
            found[:, i] = rng.uniform(size=len(found))
    return found


def worlds(task: str, most: int | None = None) -> ManipulationTask:
    """One simulation per level, at most `most` of them at random; all have begun."""
    rng = np.random.default_rng(0)
    space = make_game(task, 1, threads=1).design_space
    levels: list[Level] = [space.decode(u) for u in places(space, rng)]
    if most is not None:
        levels = [levels[i] for i in rng.permutation(len(levels))[:most]]
    game = make_game(task, len(levels), threads=1)
    assert isinstance(game, ManipulationTask)
    game.reset(np.arange(len(levels)), levels=levels)
    return game


def outside(place: Array, game: ManipulationTask) -> Array:
    """How far places (n, 3) lie outside the workspace sideways (n,) [m]."""
    low, high = game.workspace[:, :2]
    return np.asarray(np.maximum(low - place[:, :2], place[:, :2] - high).max(axis=1))


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_goals_and_starts_are_on_the_table_and_within_reach(task: str) -> None:
    """For numbers drawn as ever and for the extreme ones."""
    game, rng = worlds(task), np.random.default_rng(1)
    n, ids = game.num_envs, np.arange(game.num_envs)
    table = game.model.geom(TABLE)
    edge, middle = table.size[:2], table.pos[:2]
    sizes = game.params.get("object_size", np.ones(n))
    for extreme in (False, True, True):
        shape = (n, game.task_numbers)
        u: Array = rng.uniform(size=shape)
        if extreme:
            u = np.where(u < 0.5, 0.0, 1.0 - 2.0**-53)
        goals = game.goals(ids, u).reshape(-1, 3)
        assert (goals[:, 2] > 0.0).all() and (goals[:, 2] <= game.workspace[1, 2]).all()
        off = outside(goals, game)
        assert off.max() <= BEYOND.get(task, 0.0) + 1e-9, goals[off.argmax()]
        reached = np.clip(goals, game.workspace[0], game.workspace[1])
        assert np.linalg.norm((goals - reached)[:, :2], axis=1).max() < 2.0 * game.tolerance
        some = reached[rng.permutation(len(reached))[:200]]
        gap, tilt = reach_gaps(game.controller.drive, some)
        assert gap.max() < REACHABLE and tilt.max() < 0.1
        starts = game.thing_starts(ids, u)
        for k, thing in enumerate(game.things):
            place = starts[:, k, :3]
            assert outside(place, game).max() <= OUT_OF_REACH.get(task, 0.0) + 1e-9, thing.name
            if thing.name != "handle":  # the tool's shape is the level's; contacts judge it below
                reach = float(np.hypot(thing.size[0], thing.size[1])) * sizes[:, None]
                assert (np.abs(place[:, :2] - middle) + reach < edge).all(), thing.name
                np.testing.assert_allclose(place[:, 2], thing.size[-1] * sizes, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_nothing_overlaps_at_the_start_and_nothing_jumps(task: str) -> None:
    """The only contacts are those of objects and the table, which carry three times the weight at
    most; in 0.2 s no object moves, and what the policy sees is finite."""
    game = worlds(task, most=60)
    assert np.isfinite(game.observe("arm", slice(None))).all()
    before = [game.thing_position(slice(None), k).copy() for k in range(len(game.things))]
    for i in range(game.num_envs):
        check_contacts(game, i)
    for step in rest(game, 5):
        assert np.isfinite(step.obs["arm"]).all()
        for name in ("table_force", "self_force", "hand_force", "forearm_force"):
            assert step.costs["arm"].get(name, np.zeros(1)).max() == 0.0, name
    touched = [check_contacts(game, i) for i in range(game.num_envs)]
    assert min(touched) >= 3 * len(game.things), "an object does not lie on the table"
    for k, first in enumerate(before):
        moved = np.linalg.norm(game.thing_position(slice(None), k) - first, axis=1)
        assert moved.max() < 2e-3, f"{game.things[k].name} moved by {1e3 * moved.max():.1f} mm"


def check_contacts(game: ManipulationTask, i: int) -> int:
    """Contacts of simulation i; returns how many there are."""
    model, data = game.batch.get_model(i), mujoco.MjData(game.batch.get_model(i))
    data.qpos[:], data.ctrl[:] = game.qpos[i], game.ctrl[i]
    mujoco.mj_forward(model, data)
    things = {model.body(thing.name).id for thing in game.things}
    table, pressed = model.geom(TABLE).id, 0.0
    for c, contact in enumerate(data.contact):
        bodies = {int(model.geom_bodyid[geom]) for geom in contact.geom}
        names = [model.geom(geom).name or model.body(model.geom_bodyid[geom]).name
                 for geom in contact.geom]  # fmt: skip
        assert table in contact.geom and bodies & things, f"{names} touch in {game.levels[i]}"
        assert contact.dist > -TOUCHING, f"{names} overlap by {-contact.dist:.4f} m"
        force = np.zeros(6)
        mujoco.mj_contactForce(model, data, c, force)
        pressed += force[0]
    weight = sum(float(model.body_mass[body]) for body in things) * 9.81
    assert pressed <= 3.0 * weight + 1e-9
    return int(data.ncon)
