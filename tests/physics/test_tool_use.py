"""ToolUse: its rules, the physics of every tool, and an object that is truly out of reach."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.episode import DRAW, Step
from robo_adv.envs.manipulation.chain import Chain, damped_least_squares, rotation_error
from robo_adv.envs.manipulation.tool_use import GRIPPER_REACH, RADIUS, ToolUse
from robo_adv.envs.manipulation.tools import BOXES, DENSITY, HIDDEN, TALL, THICK, TOOLS, WIDE
from robo_adv.levels import Level
from robo_adv.rollout import play

Array = npt.NDArray[Any]
every_tool = pytest.mark.parametrize("tool", TOOLS)


def _game(n: int, steps: int = 250) -> ToolUse:
    game = ToolUse(n, threads=1)
    game.clock_steps = steps
    return game


def _all_tools(game: ToolUse, **values: float) -> list[Level]:
    return [game.design_space.level({"tool": tool, **values}) for tool in TOOLS]


def _still(game: ToolUse) -> Step:
    return game.step({"arm": np.zeros((game.num_envs, 4))})


def _model(tool: str, **values: float) -> mujoco.MjModel:
    game = _game(2)
    space = game.design_space
    game.reset([1, 2], levels=[space.nominal, space.level({"tool": tool, **values})])
    return game.batch.get_model(1)


def test_the_arm_wins_when_the_puck_is_at_the_goal_as_the_clock_ends() -> None:
    game = _game(3, steps=2)
    game.reset([1, 2, 3])
    q = game.thing_q[0]
    game.qpos[:, q : q + 3] = game.goal
    game.qpos[:, q + 1] += np.array([0.0, game.tolerance - 0.005, game.tolerance + 0.005])
    game.qpos[:, game.thing_q[1] + 1] = -0.5  # the tool out of the way
    assert _still(game).final is None
    final = _still(game).final
    assert final is not None and final.winner.tolist() == [0, 0, DRAW]


def test_a_puck_that_is_left_where_it_lies_is_a_draw() -> None:
    game = _game(8, steps=3)
    game.reset(range(8))
    for _ in range(2):
        _still(game)
    assert (_still(game).winner == DRAW).all()


def test_nothing_overlaps_at_the_start_with_any_tool() -> None:
    for corner in (0.0, 1.0):
        game = _game(len(TOOLS))
        values = {
            name: game.design_space[name].low + corner * (p.high - p.low)
            for name in ("object_x", "object_y", "tool_y", "object_size")
            if (p := game.design_space[name])
        }
        game.reset(range(len(TOOLS)), levels=_all_tools(game, **values))
        for i, tool in enumerate(TOOLS):
            model, data = game.batch.get_model(i), game.batch.get_data(i)
            mujoco.mj_forward(model, data)
            table = model.geom("table").id
            apart = [c.dist for c in data.contact[: data.ncon] if table not in c.geom]
            assert not apart, tool


@every_tool
def test_mass_and_inertia_are_those_that_mujoco_finds_for_the_same_boxes(tool: str) -> None:
    spec = mujoco.MjSpec()
    body = spec.worldbody.add_body(name="tool")
    body.add_freejoint()
    for size, place, yaw in zip(*TOOLS[tool].boxes(), strict=True):
        if size[0] != HIDDEN:
            half = [np.cos(0.5 * yaw), 0.0, 0.0, np.sin(0.5 * yaw)]
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=place, quat=half, density=DENSITY
            )
    expected, got = spec.compile().body("tool"), _model(tool).body("handle")
    assert np.allclose(got.mass, expected.mass, rtol=1e-9)
    assert np.allclose(got.ipos, expected.ipos, atol=1e-9)
    assert np.allclose(_tensor(got), _tensor(expected), rtol=1e-6, atol=1e-10)


def _tensor(body: Any) -> Array:
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, body.iquat)
    axes = turn.reshape(3, 3)
    return np.asarray(axes @ np.diag(body.inertia) @ axes.T)


def test_the_rake_weighs_what_its_boxes_weigh_on_paper() -> None:
    outline = TOOLS["rake"]
    handle = outline.reach + 2 * THICK + 0.05
    volume = handle * 2 * WIDE * 2 * TALL
    volume += (outline.left + outline.right) * 2 * THICK * 2 * TALL
    body = _model("rake").body("handle")
    assert np.isclose(body.mass[0], DENSITY * volume)
    assert np.isclose(body.ipos[1], 0.0)  # it is symmetric
    assert np.isclose(_model("rake", tool_mass=2.0).body("handle").mass[0], 2 * DENSITY * volume)


@every_tool
def test_bounds_enclose_every_box(tool: str) -> None:
    model = _model(tool)
    for name in BOXES:
        geom = model.geom(name).id
        size = model.geom_size[geom]
        assert np.isclose(model.geom_rbound[geom], np.linalg.norm(size))
        assert np.allclose(model.geom_aabb[geom].ravel(), [0, 0, 0, *size])


def _dragged(side: float) -> Array:
    """Where pucks (tools, 2) [m] end that lay in every tool's way when it was drawn back by 0.1 m:
    7 cm to the left (1) or right (-1) of the handle, 4 cm before a head at 0.33 m."""
    game = _game(len(TOOLS))
    game.reset([7] * len(TOOLS), levels=_all_tools(game, tool_spread=0.0))
    puck, tool = game.thing_q
    game.qpos[:, puck] = game.qpos[:, tool] + 0.33 - 0.04 - RADIUS
    game.qpos[:, puck + 1] = game.qpos[:, tool + 1] + side * 0.07
    for _ in range(10):
        game.qvel[:, game.thing_v[1]] = -0.6  # friction takes some of it within the step
        _still(game)
    return game.thing_position(slice(None))[:, :2].copy()


def test_every_tool_moves_a_puck_in_its_own_way() -> None:
    ends = np.concatenate([_dragged(1.0), _dragged(-1.0)], axis=1)
    for i, one in enumerate(TOOLS):
        for j, other in enumerate(TOOLS):
            assert i >= j or np.abs(ends[i] - ends[j]).max() > 1e-3, f"{one} is a {other}"
    left, right = ends[:, 0], ends[:, 2]
    hook, mirrored = list(TOOLS).index("hook"), list(TOOLS).index("right-hook")
    assert left[hook] < left[mirrored] - 0.02, "a bar on the left pulls what lies there"
    assert right[mirrored] < right[hook] - 0.02, "a bar on the right pulls what lies there"


def test_the_policy_can_tell_every_tool_from_every_other() -> None:
    game = _game(len(TOOLS))
    seen = game.reset([7] * len(TOOLS), levels=_all_tools(game))["arm"]
    shapes = seen[:, game.layouts["arm"]["tool_shape"]]
    assert len(np.unique(shapes, axis=0)) == len(TOOLS)
    assert np.allclose(shapes, np.stack([tool.to_row() for tool in TOOLS.values()]))


def test_training_and_held_out_tools_are_all_tools_once() -> None:
    training = ToolUse.training_tools()
    assert set(training) | set(ToolUse.HELD_OUT) == set(TOOLS)
    assert not set(training) & set(ToolUse.HELD_OUT)
    assert len(training) >= 3 and len(ToolUse.HELD_OUT) >= 2


def test_the_gripper_pointing_down_gets_no_further_than_stated() -> None:
    game = _game(1)
    drive = game.controller.drive
    x = np.array([GRIPPER_REACH - 0.01, GRIPPER_REACH + 0.01, GRIPPER_REACH + 0.02])
    height = TALL
    goal = np.stack([x, 0 * x, 0 * x + height], axis=1)
    joints = np.tile(drive.home, (3, 1))
    for _ in range(400):
        poses = drive.chain.poses(joints)
        turn = rotation_error(drive.down, poses.rotation)
        error = np.concatenate([np.clip(goal - poses.position, -0.05, 0.05), turn], axis=1)
        joints = joints + damped_least_squares(Chain.jacobian(poses), error, 0.03)
        joints = np.clip(joints, drive.low, drive.high)
    missed = np.linalg.norm(drive.chain.poses(joints).position - goal, axis=1)
    missed += np.linalg.norm(rotation_error(drive.down, drive.chain.poses(joints).rotation), axis=1)
    assert missed[0] < 0.002 and (missed[1:] > 0.008).all()
    # Both links stretched, from the shoulder (0.333 m up) to the wrist (0.088 m behind the tool).
    links = np.hypot(0.316, 0.0825) + np.hypot(0.384, 0.0825)
    wrist = height + 0.1034 + 0.107
    assert np.sqrt(links**2 - (0.333 - wrist) ** 2) + 0.088 == pytest.approx(
        GRIPPER_REACH, abs=0.012
    )


def test_every_puck_lies_beyond_the_reach_of_the_gripper() -> None:
    game = _game(1)
    space, spread = game.design_space, game.extent[0]
    nearest = space["object_x"].low - spread - RADIUS * space["object_size"].high
    finger = 0.009  # [m] half its thickness
    assert nearest > GRIPPER_REACH + finger
    assert game.workspace[1, 0] + finger < nearest - 0.1


def test_an_arm_that_goes_straight_for_the_puck_cannot_touch_it() -> None:
    game = _game(6)
    obs = game.reset(range(6), levels=[game.design_space.level({"object_x": 0.88})] * 6)["arm"]
    game.qpos[:, game.thing_q[1] : game.thing_q[1] + 2] = -0.1, 0.5  # the tool out of the way
    game.refresh()
    before = game.thing_position(slice(None)).copy()
    layout = game.layouts["arm"]
    for _ in range(100):
        gap = obs[:, layout["object_relative"]]
        action = np.concatenate([np.clip(gap / 0.02, -1, 1), -np.ones((6, 1))], axis=1)
        obs = game.step({"arm": action}).obs["arm"]
    assert game.poses.position[:, 0].min() > 0.65, "the probe did not go for it"
    assert np.allclose(game.thing_position(slice(None))[:, :2], before[:, :2], atol=1e-4)


@pytest.mark.slow
def test_the_expert_solves_nine_of_ten_with_the_tools_for_training() -> None:
    game = ToolUse(60, threads=2)
    tools = [game.training_tools()[j % len(game.training_tools())] for j in range(60)]
    levels = [game.design_space.level({"tool": tool}) for tool in tools]
    expert = SCRIPTED["tool-use-expert"](game, "arm")
    result = play(game, {"arm": expert}, np.arange(500, 560, dtype=np.uint64), levels)
    assert result.win_rate("arm").count >= 54
