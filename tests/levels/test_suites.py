"""Suites of levels: what they hold, that they stay what they are, and files of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from levels.freeze_suites import variants
from robo_adv.assets import SUITES as FOLDER
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.feasible import Constraint, margins
from robo_adv.levels.suite_files import (
    KINDS,
    changed,
    digests,
    has_presets,
    load_suite,
    make_suite,
    presets,
    published,
    read_suite,
    save_suite,
)
from robo_adv.levels.suites import (
    CONFIRM,
    FAR,
    NEAR,
    RESERVED,
    SUITES,
    LevelSuite,
    corners,
    iid,
    nominal,
    shell,
    solved_map,
    sweeps,
    widen,
)

SPACE = DesignSpace(
    (
        Parameter("mass", 0.25, 4.0, 1.0, "x nominal", "log"),
        Parameter("gain", 0.5, 1.5, 1.0, "x nominal"),
        Parameter("place", -0.2, 0.2, 0.0, "m"),
        Parameter("noise", 0.0, 2.0, 0.0, "x nominal"),
        Parameter("air", 0.2, 0.9, 0.5, "share of goals"),
        Parameter("delay", 0, 4, 0, "control steps", "int"),
        Parameter("tool", 0.0, 0.0, "hook", "shape", "choice", options=("hook", "rake", "fork")),
        Parameter("flat", 1.0, 1.0, 1.0, "m"),
    )
)
GAMES = [pytest.param(game, options, id=f"{game} {options}") for game, options in variants()]


@cache
def _space(game: str, obstacles: int) -> DesignSpace:
    options: dict[str, Any] = {"obstacles": obstacles} if obstacles else {}
    return make_game(game, 1, threads=1, **options).design_space


def _units(suite: LevelSuite, space: DesignSpace) -> Any:
    return np.array([space.encode(level) for level in suite.levels])


# What ships.


@pytest.mark.parametrize(("game", "options"), GAMES)
def test_suites_are_those_that_were_frozen(game: str, options: dict[str, int]) -> None:
    """Fails when a design space changed: `python tests/levels/freeze_suites.py`, and say so in the
    changelog, since published numbers are no longer comparable."""
    space = _space(game, options.get("obstacles", 0))
    assert digests(game, space) == published(space)


@pytest.mark.parametrize(("game", "options"), GAMES)
def test_every_level_of_every_suite_is_possible(game: str, options: dict[str, int]) -> None:
    space = _space(game, options.get("obstacles", 0))
    for name in KINDS:
        suite = make_suite(name, game, space)
        wide = widen(space, suite.beyond) if suite.beyond else space
        for text, margin in margins(wide, _units(suite, wide)).items():
            broken = [suite.labels[j] for j in np.flatnonzero(margin < -1e-9)]
            assert not broken, f"{name}: {text}: {broken}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-v*.json")), ids=lambda p: p.stem)
def test_presets_are_eight_to_fourteen_described_levels_all_of_which_can_be_played(
    path: Path,
) -> None:
    card, game = read_suite(path), path.stem
    most = 4 if (game, {"obstacles": 4}) in variants() else 0
    assert card.game == game and card.name == "presets"
    assert all(level.note for level in card.levels)
    assert len(presets(game, _space(game, most))) == len(card.levels) <= 14
    assert len(presets(game, _space(game, 0))) >= 8


def test_presets_with_obstacles_are_there_when_the_game_has_them() -> None:
    without, two = (presets("Reach-v0", _space("Reach-v0", k)).labels for k in (0, 2))
    assert set(two) - set(without) == {"one-post", "two-posts"}


# Recipes.


def test_the_two_random_sets_share_no_level_and_no_scenario() -> None:
    a, b = iid(SPACE, "iid-a", SUITES), iid(SPACE, "iid-b", CONFIRM)
    assert len(a) == len(b) == 500
    assert not {level.hash for level in a.levels} & {level.hash for level in b.levels}
    assert not set(a.seeds(8).ravel()) & set(b.seeds(8).ravel())
    assert a.levels[:7] == iid(SPACE, "iid-a", SUITES, 7).levels


def test_random_levels_are_uniform_within_the_bounds() -> None:
    units = _units(iid(SPACE, "iid-a", SUITES), SPACE)[:, :5]
    assert (units >= 0).all() and (units <= 1).all()
    assert np.abs(units.mean(axis=0) - 0.5).max() < 0.05
    assert np.abs(units.std(axis=0) - np.sqrt(1 / 12)).max() < 0.02


def test_what_had_to_be_repaired_is_counted() -> None:
    light = Constraint("light enough", ("mass",), lambda values: 2.0 - values["mass"])
    space = replace(SPACE, constraints=(light,))
    heavy = sum(float(level["mass"]) > 2.0 for level in iid(SPACE, "iid-a", SUITES).levels)
    suite = iid(space, "iid-a", SUITES)
    assert suite.repaired == heavy > 100
    assert all(float(level["mass"]) <= 2.0 for level in suite.levels)
    left_out = sweeps(space).left_out
    assert left_out == len(sweeps(SPACE)) - len(sweeps(space)) > 0


def test_scenarios_of_few_episodes_are_the_first_of_many() -> None:
    for suite in (iid(SPACE, "iid-b", CONFIRM), sweeps(SPACE)):
        assert (suite.seeds(8)[:, :3] == suite.seeds(3)).all()
        assert suite.seeds(1000).max() < suite.first + RESERVED
    own, shared = iid(SPACE, "iid-a", SUITES).seeds(4), sweeps(SPACE).seeds(4)
    assert len(np.unique(own)) == own.size  # a sample: independent
    assert (shared == shared[0]).all()  # compared with each other: paired


def test_bounds_move_outwards_without_becoming_impossible() -> None:
    wide = widen(SPACE, 0.3)
    ends = {p.name: (p.low, p.high) for p in wide}
    assert ends["mass"] == pytest.approx((0.25 / 16**0.3, 4.0 * 16**0.3))
    assert ends["gain"] == pytest.approx((0.2, 1.8))
    assert ends["place"] == pytest.approx((-0.32, 0.32))
    assert ends["noise"] == pytest.approx((0.0, 2.6))  # never negative
    assert ends["air"] == pytest.approx((0.02, 1.0))  # positive stays positive, a share a share
    assert ends["delay"] == (0, 4) and ends["flat"] == (1.0, 1.0)
    assert wide["tool"] == SPACE["tool"] and wide.nominal == SPACE.nominal


def test_levels_of_the_shell_lie_a_tenth_to_three_tenths_beyond_the_bounds() -> None:
    suite = shell(SPACE)
    assert suite.left_out == 0  # nothing to repair, so nothing is drawn anew
    numbers = [p for p in SPACE if p.kind in ("float", "log") and p.high > p.low]
    units = np.array([[p.encode(level[p.name]) for p in numbers] for level in suite.levels])
    beyond = np.maximum(-units, units - 1.0)
    assert beyond.max(axis=1).min() >= NEAR - 1e-9 and beyond.max() <= FAR + 1e-9
    hit = [p.name for p, most in zip(numbers, beyond.max(axis=0), strict=True) if most >= NEAR]
    assert hit == [p.name for p in numbers]
    for level in suite.levels:
        assert float(level["noise"]) >= 0.0 < float(level["mass"]) and level["delay"] in range(5)
        assert 0.0 < float(level["air"]) <= 1.0 and level["tool"] in SPACE["tool"].options


def test_a_game_plays_levels_beyond_its_bounds_as_they_are() -> None:
    game = make_game("Reach-v0", 8, threads=1)
    suite = shell(game.design_space)
    game.reset(range(8), levels=suite.levels[:8])
    for name, column in game.params.items():
        assert column.tolist() == [level[name] for level in suite.levels[:8]]
    damping = game.batch.expand("dof_damping")[:, game.arm_v]  # type: ignore[attr-defined]
    nominal_damping = game.model.dof_damping[game.arm_v]  # type: ignore[attr-defined]
    asked = np.array([level["joint_damping"] for level in suite.levels[:8]], dtype=float)
    assert damping == pytest.approx(asked[:, None] * nominal_damping)
    assert asked.min() < 0.25 or asked.max() > 4.0


def test_corners_hold_every_pair_and_triple_of_ends_equally_often() -> None:
    space = DesignSpace(tuple(Parameter(f"p{k}", 0.0, 1.0, 0.5, "m") for k in range(12)))
    units = _units(corners(space), space)
    assert units.shape == (64, 12) and set(units.ravel()) == {0.0, 1.0}
    signs = 2.0 * units - 1.0
    assert (signs.sum(axis=0) == 0).all()
    assert (signs.T @ signs == 64 * np.eye(12)).all()
    triples = np.einsum("ia,ib,ic->abc", signs, signs, signs)
    a, b, c = np.ogrid[:12, :12, :12]
    assert (triples[(a != b) & (b != c) & (a != c)] == 0).all()


def test_corners_of_few_parameters_are_all_of_them() -> None:
    space = DesignSpace(tuple(Parameter(f"p{k}", 0.0, 1.0, 0.5, "m") for k in range(3)))
    assert len(corners(space)) == 8


def test_a_sweep_changes_one_parameter_over_its_whole_range() -> None:
    suite = sweeps(SPACE)
    for level, (name,) in zip(suite.levels, suite.varied, strict=True):
        assert all(level[p] == SPACE.nominal[p] for p in SPACE.names if p != name)
    of = {name: [level[name] for level, v in zip(suite.levels, suite.varied, strict=True)
                 if v == (name,)] for name in SPACE.names}  # fmt: skip
    assert len(of["mass"]) == len(of["place"]) == 11 and of["delay"] == [0, 1, 2, 3, 4]
    assert of["tool"] == ["hook", "rake", "fork"] and of["flat"] == [1.0]
    assert (of["mass"][0], of["mass"][-1]) == pytest.approx((0.25, 4.0))


def test_what_a_sweep_moves_is_there_to_be_moved() -> None:
    """Nominally there is no obstacle, so a sweep of its place would change nothing."""
    suite = sweeps(_space("Push-v0", 4))
    for level, (name,) in zip(suite.levels, suite.varied, strict=True):
        if name.startswith("obstacle") and name != "obstacle_count":
            assert level["obstacle_count"] == int(name[len("obstacle")]) + 1
        elif name != "obstacle_count":
            assert level["obstacle_count"] == 0


def test_a_map_is_a_grid_of_two_parameters() -> None:
    suite = solved_map(SPACE, "mass", "delay", 9)
    assert len(suite) == 9 * 5
    assert len({(level["mass"], level["delay"]) for level in suite.levels}) == 45
    assert {level["gain"] for level in suite.levels} == {1.0}
    with pytest.raises(RoboAdvError, match="two parameters, got 'mass' twice"):
        solved_map(SPACE, "mass", "mass")
    with pytest.raises(RoboAdvError, match="did you mean 'mass'"):
        solved_map(SPACE, "mas", "delay")


def test_a_space_that_nothing_can_leave_has_no_shell() -> None:
    with pytest.raises(RoboAdvError, match="none of delay can leave its own; leave out"):
        shell(SPACE.only(["delay"]))


# Files.


@pytest.mark.parametrize("name", ["presets", "shell", "sweeps", "corners"])
def test_a_written_suite_is_read_as_it_was(name: str, tmp_path: Path) -> None:
    space, path = _space("Reach-v0", 2), tmp_path / "suite.json"
    suite = make_suite(name, "Reach-v0", space)
    save_suite(suite, path, "Reach-v0", space, {"obstacles": 2})
    again = load_suite(path, "Reach-v0", space)
    assert again.levels == suite.levels and again.digest == suite.digest
    assert again.varied == (suite.varied or ((),) * len(suite))
    assert again.episodes == suite.episodes


def test_a_file_may_name_only_what_differs_from_nominal(tmp_path: Path) -> None:
    path = _write(tmp_path, levels=[{"name": "heavy", "values": {"mass": 3}}])
    suite = make_suite(str(path), "Park-v0", SPACE)
    assert suite.labels == ("heavy",) and suite.levels == (SPACE.level({"mass": 3.0}),)


def _write(folder: Path, **fields: Any) -> Path:
    card = {"format": "robo_adv.levels/1", "name": "mine",
            "levels": [{"name": "one", "values": {"mass": 2.0}}]}  # fmt: skip
    path = folder / "mine.json"
    path.write_text(json.dumps({**card, **fields}))
    return path


def _level(**values: Any) -> list[dict[str, Any]]:
    return [{"name": "one", "values": values}]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"levels": _level(mas=1.0)}, "level 'one': unknown level parameter 'mas'; did you mean"),
        ({"levels": _level(mass=5.0)}, r"level 'one': parameter 'mass' is 5, outside \[0.25, 4\]"),
        ({"levels": _level(mass="x")}, "needs a finite number, got 'x'"),
        ({"levels": _level(mass=float("nan"))}, "needs a finite number, got nan"),
        ({"levels": _level(mass=True)}, "is not a suite of levels"),
        ({"levels": _level(tool="saw")}, "unknown value of parameter 'tool' 'saw'"),
        ({"levels": _level(delay=1.5)}, "'delay' takes whole numbers, got 1.5"),
        ({"levels": []}, "is not a suite of levels .*levels: "),
        ({"levels": _level() + _level()}, "two levels are called 'one'"),
        ({"levels": _level(mass=20.0), "beyond": 0.3}, "moved outwards by 0.3 of the range"),
        ({"format": "robo_adv.levels/0"}, "format: .*robo_adv.levels/1"),
        ({"game": "Push-v0"}, "holds levels of Push-v0, the controller plays Park-v0"),
        ({"space": "0123456789ab"}, "written for another design space .*0123456789ab"),
        ({"episodes": 0}, "episodes: "),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"name": "../x"}, "name: "),
    ],
    ids=str,
)  # fmt: skip
def test_a_broken_or_foreign_file_is_refused_with_the_reason(
    fields: dict[str, Any], text: str, tmp_path: Path
) -> None:
    path = _write(tmp_path, **fields)
    with pytest.raises(RoboAdvError, match=text) as error:
        load_suite(path, "Park-v0", SPACE)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"levels": 3}', "\0", "[" * 100_000], ids=range(6)
)
def test_what_is_no_json_suite_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(RoboAdvError, match=r"is not (JSON|a suite of levels)"):
        load_suite(path, "Park-v0", SPACE)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: make_suite("iid", "Reach-v0", SPACE), "did you mean 'iid-b' or.*or a JSON file"),
        (lambda: make_suite("gone.json", "Reach-v0", SPACE), "cannot read the levels gone.json"),
        (lambda: make_suite("presets", "Park-v0", SPACE), "no presets ship for Park-v0 .*Reach-v0"),
        (lambda: nominal(SPACE).seeds(0), "must lie in 1..1000, got 0"),
    ],
)  # fmt: skip
def test_unknown_suites_are_refused(call: Callable[[], object], text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        call()


def test_a_suite_that_is_not_the_published_one_is_announced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = _space("Reach-v0", 0)
    suite = nominal(space)
    assert has_presets("Reach-v0") and changed(suite, space) == ""
    monkeypatch.setattr(
        "robo_adv.levels.suite_files.published", lambda space: {"nominal": "0" * 12}
    )
    assert "do not compare numbers" in changed(suite, space)
