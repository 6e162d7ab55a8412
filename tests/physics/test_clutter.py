"""Clutter: its rules case by case, and arrangements that are repaired in the open."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.episode import DRAW, Step
from robo_adv.envs.manipulation.arrange import gaps, push_apart
from robo_adv.envs.manipulation.clutter import COUNT, HALF, Clutter
from robo_adv.levels import Level
from robo_adv.rollout import play

Array = npt.NDArray[Any]


def _game(n: int, steps: int = 300) -> Clutter:
    game = Clutter(n, threads=1)
    game.clock_steps = steps
    return game


def _place(game: Clutter, offset: Array) -> None:
    """Puts the cubes at their goals, `offset` (n, 3, 2) [m] aside, with every cube upright."""
    goals = game.goal.reshape(game.num_envs, COUNT, 3)
    for k, q in enumerate(game.thing_q):
        game.qpos[:, q : q + 3] = goals[:, k]
        game.qpos[:, q : q + 2] += offset[:, k]
    game.qvel[:] = 0.0


def _still(game: Clutter) -> Step:
    return game.step({"arm": np.zeros((game.num_envs, 3))})


def _levels(game: Clutter, **values: float) -> list[Level]:
    return [game.design_space.level(values)] * game.num_envs


def test_the_arm_wins_when_every_cube_is_at_its_goal_as_the_clock_ends() -> None:
    game = _game(3, steps=2)
    game.reset([1, 2, 3])
    offset = np.zeros((3, COUNT, 2))
    offset[1, 2, 0] = game.tolerance + 0.005
    offset[2, :, 1] = game.tolerance - 0.005
    _place(game, offset)
    assert _still(game).final is None
    final = _still(game).final
    assert final is not None and final.winner.tolist() == [0, DRAW, 0]


def test_cubes_at_each_others_goals_do_not_count() -> None:
    game = _game(1, steps=1)
    game.reset([4])
    game.goal[0] = np.roll(game.goal[0].reshape(COUNT, 3), 1, axis=0).ravel()
    _place(game, np.zeros((1, COUNT, 2)))
    game.goal[0] = np.roll(game.goal[0].reshape(COUNT, 3), -1, axis=0).ravel()
    assert _still(game).winner.tolist() == [DRAW]


def test_doing_nothing_does_not_win() -> None:
    game = _game(16, steps=3)
    game.reset(range(16))
    for _ in range(2):
        _still(game)
    assert (_still(game).winner == DRAW).all()


def test_starts_and_goals_keep_their_distance_and_goals_lie_near_their_cubes() -> None:
    game = _game(200)
    game.reset(range(200))
    rows = np.arange(200)
    starts = game.achieved(slice(None)).reshape(-1, COUNT, 3)[:, :, :2]
    goals = game.goal.reshape(-1, COUNT, 3)[:, :, :2]
    least = game.least(rows)[:, None]
    for places in (starts, goals):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            apart = np.linalg.norm(places[:, a] - places[:, b], axis=1)
            assert (apart > least[:, 0] - 1e-3).all()
    away = np.linalg.norm(goals - starts, axis=2)
    mended = game.memory["repairs"] > 0
    assert mended.mean() < 0.05, "the nominal level should hardly need repairs"
    assert (away[~mended] > game.near - 1e-9).all() and (away[~mended] < game.far + 1e-9).all()


@pytest.mark.parametrize("values", [{"object_spread": 0.0}, {"object_spread": 0.3}])
@pytest.mark.parametrize("size", [0.7, 1.3])
def test_overlapping_starts_are_pushed_apart_and_counted(
    values: dict[str, float], size: float
) -> None:
    game = _game(8)
    game.reset(range(8), levels=_levels(game, object_size=size, **values))
    starts = game.achieved(slice(None)).reshape(-1, COUNT, 3)[:, :, :2]
    length = gaps(starts, starts)[1] + np.eye(COUNT)
    assert (length.min(axis=(1, 2)) > 2 * np.sqrt(2) * HALF * size).all(), "cubes overlap"
    assert (game.memory["repairs"] >= 2).all(), "a repair was not counted"
    assert not game.memory["impossible"].any()
    before = game.qpos[:, game.thing_q + 2].copy()
    _still(game)
    assert np.abs(game.qpos[:, game.thing_q + 2] - before).max() < 0.002, "cubes sprang apart"


def test_repairs_are_told_with_the_episode() -> None:
    game = _game(2, steps=2)
    space = game.design_space
    game.reset([1, 2], levels=[space.nominal, space.level({"object_spread": 0.0})])
    assert game.notes()["repairs"].tolist() == [0.0, float(game.memory["repairs"][1])]
    _still(game)
    final = _still(game).final
    assert final is not None
    assert final.notes["repairs"][0] == 0 and final.notes["repairs"][1] >= 2
    assert final.notes["impossible"].tolist() == [0.0, 0.0]
    assert game.notes()["repairs"].tolist() == [0.0, 0.0], "the next episodes are nominal"


def test_an_arrangement_that_cannot_be_repaired_is_called_impossible() -> None:
    game = _game(4, steps=1)
    game.margin = 0.165  # type: ignore[misc]  # leaves a box of 7 cm along x ...
    game.workspace = np.array([[0.3, -0.2, 0.012], [0.7, 0.2, 0.5]])  # type: ignore[misc]
    game.reset(range(4), levels=_levels(game, object_size=1.3))
    assert game.memory["impossible"].all() and (game.memory["repairs"] > 0).all()
    final = _still(game).final
    assert final is not None and final.notes["impossible"].all()


def test_a_repair_is_the_same_alone_and_among_others_and_leaves_good_places_alone() -> None:
    places = np.random.default_rng(0).uniform(0.0, 0.3, (64, COUNT, 2))
    none, least = np.zeros((64, 0, 2)), np.full(64, 0.1)
    box = np.full(2, -0.2), np.full(2, 0.5)
    whole, fine = push_apart(places, none, least, *box)
    assert fine.all()
    for i in range(0, 64, 9):
        alone, _ = push_apart(places[i : i + 1], none[:1], least[:1], *box)
        assert np.array_equal(alone[0], whole[i])
    good = (gaps(places, places)[1] + np.eye(COUNT)).min(axis=(1, 2)) > 0.1
    assert 5 < good.sum() < 60
    assert np.array_equal(whole[good], places[good])


def test_every_goal_has_its_cubes_colour() -> None:
    model = _game(1).model
    for k in range(COUNT):
        cube, goal = model.geom(f"object{k}").rgba, model.geom(f"goal{k}").rgba
        assert np.allclose(cube[:3], goal[:3])


@pytest.mark.slow
def test_the_expert_solves_nine_of_ten() -> None:
    game = Clutter(60, threads=2)
    expert = SCRIPTED["clutter-expert"](game, "arm")
    result = play(game, {"arm": expert}, np.arange(500, 560, dtype=np.uint64))
    assert result.win_rate("arm").count >= 54
