"""Controllers on suites of levels: results do not depend on the batch, and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.agents.generalisation import (
    LevelsConfig,
    Played,
    generalise,
    play_suite,
    prepare,
    suites_of,
    summary,
)
from robo_adv.cli import main
from robo_adv.levels.suites import iid, sweeps
from robo_adv.runs import Run

ZOO = "zoo:reach-panda-s1"
LEVELS = [
    {"name": "nominal", "values": {}, "note": "as it was trained"},
    {"name": "late", "values": {"action_delay": 4, "observation_delay": 4}},
    {"name": "noisy", "values": {"sensor_noise": 2.0, "goal_spread": 0.5}},
]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    card = {"format": "robo_adv.levels/1", "name": "mine", "episodes": 3, "levels": LEVELS}
    Path("mine.json").write_text(json.dumps(card))
    return "mine.json"


def _played(width: int, file: str, episodes: int = 0) -> tuple[list[Played], dict[str, Any]]:
    config = LevelsConfig(ZOO, (file,), episodes=episodes, width=width, threads=1)
    bench = prepare(config)
    played = generalise(config, bench, suites_of(config, bench))
    return played, summary(config, bench, played)


def test_results_are_the_same_whatever_the_batch_and_begin_alike_with_more_episodes(
    file: str,
) -> None:
    (narrow,), told = _played(2, file)
    (wide,), told_wide = _played(32, file)
    (more,), _ = _played(32, file, episodes=5)
    for name in ("success", "returns", "unsafe", "severity"):
        first = getattr(narrow, name)
        assert first.shape == (3, 3)
        assert np.array_equal(first, getattr(wide, name))
        assert np.array_equal(first, getattr(more, name)[:, :3])
    assert json.dumps(told) == json.dumps(told_wide)


def test_every_level_is_played_as_it_says(file: str) -> None:
    (one,), told = _played(32, file)
    assert one.success[0].all() and not one.success[1].any()
    assert told["suites"][0]["successes"] == one.success.sum(axis=1).tolist()
    assert told["suites"][0]["measures"]["mean"]["value"] == pytest.approx(one.success.mean())
    level = one.to_json()["levels"][1]
    assert level["name"] == "late" and level["values"]["action_delay"] == 4
    assert len(level["success"]) == len(level["costs"]["table_force"]) == 3


def test_random_levels_are_drawn_again_alike() -> None:
    bench = prepare(LevelsConfig(ZOO, width=32, threads=1))
    few, more = (iid(bench.space, "iid-a", 7_000_000, n) for n in (4, 8))
    first, second = play_suite(bench, few, 2), play_suite(bench, more, 2)
    assert np.array_equal(first.returns, second.returns[:4])
    assert len(np.unique(first.returns)) == first.returns.size


def test_a_kicker_is_played_against_the_zoos_keepers() -> None:
    config = LevelsConfig("zoo:kicker-omni4-s1", ("nominal",), episodes=4, width=4, threads=1)
    bench = prepare(config)
    assert bench.player == "kicker" and bench.opponent == "normal"
    (one,) = generalise(config, bench, suites_of(config, bench))
    assert one.success.shape == (1, 4)


def test_a_controller_that_knows_no_obstacles_is_refused_where_there_are_some() -> None:
    assert main.run(["evaluate", ZOO, "--levels", "nominal", "--set", "obstacles=2"]) == 2


def test_a_sweep_of_one_parameter_has_a_worst_point() -> None:
    bench = prepare(LevelsConfig(ZOO, width=32, threads=1))
    suite = sweeps(bench.space.only(["action_delay"]))
    one = play_suite(bench, suite, 4)
    told = summary(LevelsConfig(ZOO), bench, [one])["suites"][0]["sweeps"]
    assert list(told) == ["action_delay"] and told["action_delay"]["worst_at"] == 4


# The command line.


def test_a_run_has_tables_pictures_and_every_episode(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--levels", file, "nominal", "--map", "action_delay", "observation_delay"]
    arguments += ["--grid", "2", "--episodes-per-level", "2", "--json"]
    assert main.run(["evaluate", ZOO, *arguments]) == 0
    out, err = capsys.readouterr()
    data = json.loads(out.splitlines()[-1])
    folder = Path(data["folder"])
    assert Run.open(folder).done and [s["name"] for s in data["suites"]] == [
        "mine", "nominal", "map-action_delay-observation_delay"
    ]  # fmt: skip
    assert json.loads((folder / "summary.json").read_text())["suites"] == data["suites"]
    assert {p.name for p in (folder / "levels").iterdir()} == {
        "mine.json", "nominal.json", "map-action_delay-observation_delay.json"
    }  # fmt: skip
    page = (folder / "report.html").read_text()
    pictures = list((folder / "pictures").glob("*.png"))
    assert len(pictures) == 2 and all(f"pictures/{p.name}" in page for p in pictures)
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    assert "as it was trained" in err and "next: robo-adv" in err


def test_suites_are_listed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["levels", "Push-v0", "presets", "shell", "--set", "obstacles=1", "--out", "levels"]
    assert main.run([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data["suites"]) == {"presets", "shell"} and data["options"]["obstacles"] == 1
    written = json.loads(Path("levels/shell.json").read_text())
    assert len(written["levels"]) == data["suites"]["shell"]["levels"] == 200
    assert written["space"] == data["space"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--levels", "iid"], "unknown suite of levels 'iid'"),
        (["--levels", "mine.json", "--masks", "initial"], "--masks does not go with --levels"),
        (["--levels", "nominal", "--episodes", "20"], "--episodes does not go with --levels"),
        (["--map", "action_delay"], "--map takes pairs of parameters, got action_delay"),
        (["--map", "action_delay", "mass"], "unknown level parameter 'mass'"),
        (["--map", "goal_x", "goal_y", "--grid", "1"], "--grid is at least 2"),
        (
            ["--levels", "nominal", "--episodes-per-level", "0"],
            "--episodes-per-level is at least 1",
        ),
        (["--levels", "nominal", "--episodes-per-level", "2000"], "must lie in 1..1000, got 2000"),
        (["--levels", "nominal", "--opponents", "zero"], "has one player"),
        (["--levels", "absent.json"], "cannot read the levels absent.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_with_levels_is_refused_and_nothing_is_left(
    arguments: list[str], text: str, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["evaluate", ZOO, *arguments]) == 2
    assert text in capsys.readouterr().err
    assert [p.name for p in Path().iterdir()] == ["mine.json"]
