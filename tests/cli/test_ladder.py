"""`robo-adv ladder` and `robo-adv leaderboard` end to end, on a cart and trainings of a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.point import add_point, point_bundle
from robo_adv.agents import attackers, named
from robo_adv.audit.engine import Engine, Played
from robo_adv.audit.ladder import FGSM, NOISE, PGD, SUITES, Rung, Suite, learned
from robo_adv.audit.plan import Row
from robo_adv.cli.main import run

SMALL = ["--episodes", "4", "--search-episodes", "2", "--threads", "1"]
TINY = Suite("tiny-v0", {
    "observation": (
        *NOISE, FGSM, PGD, Rung("snooping", "snooping", "black-box", "action", {"data": 64}),
        learned("director", "director", 64), learned("director-cost", "director", 64, 1, "cost"),
        replace(learned("sa-rl-cost", "sa-rl", 64, 1, "cost"), instead="director-cost"),
    ),
    "force": (Rung("random-push", "random-push", "noise"),),
    "level": (Rung("level-random", "level-random", "black-box", "return", {"tries": 2}, 0, 2),),
})  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        add_point(patch)
        patch.setitem(SUITES, "tiny-v0", TINY)
        small = replace(attackers.GAMES, num_envs=8, n_steps=8, batch_size=32, net_arch=(16,))
        for name, value in (("GAMES", small), ("CHECKPOINTS", 1), ("SELECTION", 2)):
            patch.setattr(attackers, name, value)
        yield


@pytest.fixture(scope="module")
def victim(_tiny: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(point_bundle(tmp_path_factory.mktemp("victim") / "cart"))


@pytest.fixture(scope="module")
def climbed(victim: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a whole ladder."""
    root = tmp_path_factory.mktemp("ladder")
    assert ladder(victim, "--save-card", "--runs", str(root)) == 0
    (folder,) = root.glob("*/ladder/*")
    return folder


def ladder(controller: str, *arguments: str) -> int:
    return run(["ladder", controller, "--suite", "tiny-v0", *SMALL, *arguments])


def card(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "robustness.json").read_text())
    return found


def timeless(found: Any) -> Any:
    """A card without wall times and the command."""
    if isinstance(found, dict):
        return {k: timeless(v) for k, v in found.items() if k not in ("seconds", "command")}
    return [timeless(v) for v in found] if isinstance(found, list) else found


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of an error."""
    capsys.readouterr()
    assert run(["ladder", *arguments]) == 2
    _, err = capsys.readouterr()
    assert err.startswith("robo-adv: error: ") and "Traceback" not in err
    return err


def test_a_ladder_writes_a_card_a_report_and_every_episode(climbed: Path, victim: str) -> None:
    found = card(climbed)
    (at,) = found["budgets"]
    assert [rung["name"] for rung in at["rungs"]] == [
        "uniform", "corner", "fgsm", "pgd-20", "snooping", "director", "director-cost",
    ]  # fmt: skip
    assert at["skipped"] == {"sa-rl-cost": "stands in for director-cost where that cannot be tried"}
    assert found["suite"] == "tiny-v0" and found["controller_sha256"] and found["measure"]
    assert (climbed / "report.html").is_file() and (climbed / "DONE").is_file()
    lines = (climbed / "episodes.jsonl").read_text().splitlines()
    assert len(lines) == 4 * (1 + 7 + 5)  # the clean cell, rungs, and probes of the sanity rules
    saved = json.loads((Path(victim) / "robustness-observation.json").read_text())
    assert saved == found


def test_the_cost_of_every_rung_is_counted_with_its_training(climbed: Path) -> None:
    (at,) = card(climbed)["budgets"]
    lines = [json.loads(text) for text in (climbed / "episodes.jsonl").read_text().splitlines()]
    played = {
        rung["name"]: sum(e["length"] for e in lines if f"/{rung['name']}@" in e["row"])
        for rung in at["rungs"]
    }
    rungs = {rung["name"]: rung for rung in at["rungs"]}
    assert rungs["pgd-20"]["env_steps"] == played["pgd-20"]
    assert rungs["pgd-20"]["queries"] == 43 * played["pgd-20"]
    assert rungs["snooping"]["env_steps"] == played["snooping"] + 64
    trained = json.loads(
        (climbed / "attackers/director/director-0.15/seed-0/summary.json").read_text()
    )
    assert rungs["director"]["env_steps"] == played["director"] + trained["played"]
    assert rungs["director"]["queries"] == 3 * rungs["director"]["env_steps"]


def test_a_resumed_ladder_plays_nothing_again(
    climbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(climbed, folder)

    def play(self: Engine, row: Row | None = None, budget: float = 0.0) -> Played:
        raise AssertionError(f"{row} is played again")

    monkeypatch.setattr(Engine, "play", play)
    assert run(["ladder", "--resume", str(folder)]) == 0
    assert card(folder) == card(climbed)


def test_an_interrupted_ladder_goes_on_and_ends_alike(
    climbed: Path, victim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole = Engine.play

    def stop(self: Engine, row: Row | None = None, budget: float = 0.0) -> Played:
        if row is not None and row.name == "pgd":
            raise KeyboardInterrupt
        return whole(self, row, budget)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "play", stop)
        assert ladder(victim, "--runs", str(tmp_path)) == 130
    (folder,) = tmp_path.glob("*/ladder/*")
    assert f"robo-adv ladder --resume {folder}" in capsys.readouterr().err
    assert not (folder / "robustness.json").exists()
    assert run(["ladder", "--resume", str(folder)]) == 0
    assert timeless(card(folder)) == timeless(card(climbed))


def test_a_black_box_climbs_the_black_box_ladder_and_says_so(tmp_path: Path) -> None:
    assert ladder("brake", "--env", "Point-v0", "--runs", str(tmp_path)) == 0
    (folder,) = tmp_path.glob("*/ladder/*")
    (at,) = card(folder)["budgets"]
    assert [rung["name"] for rung in at["rungs"]] == ["uniform", "corner", "snooping", "sa-rl-cost"]
    assert at["skipped"]["director"] == "needs mean of the controller, a black box here"
    assert any("black-box ladder" in notice for notice in card(folder)["notices"])
    assert "nothing is certified" in at["certificate"]["told"]


def test_in_a_foreign_world_the_return_is_measured_and_sensor_ranges_are_minded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dice.py").write_text(
        "import numpy as np\ndef throw(seen): return np.random.uniform(-2, 2, (len(seen), 1))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    pendulum = ["--env", "Pendulum-v1", "--unit", "raw", "--attacks", "uniform", "corner"]
    assert ladder("dice:throw", *pendulum, "--budget", "1.5", "--runs", str(tmp_path)) == 0
    (folder,) = tmp_path.glob("*/ladder/*")
    found = card(folder)
    assert found["measure"] == "return" and found["clean"]["numbers"]["returns"]["value"] < 0
    assert found["budgets"][0]["rungs"][0]["numbers"]["share"] is None
    told = " ".join(found["notices"])
    assert "averages over its own random numbers" in told
    assert "2 of 3 readings can move by more than half of the range" in told


def test_several_budgets_are_a_curve_and_each_has_a_training_of_its_own(
    victim: str, tmp_path: Path
) -> None:
    names = ["--attacks", "corner", "director"]
    assert ladder(victim, *names, "--budget", "0.1", "0.5", "--runs", str(tmp_path)) == 0
    (folder,) = tmp_path.glob("*/ladder/*")
    assert [one["budget"] for one in card(folder)["budgets"]] == [0.1, 0.5]
    assert card(folder)["partial"]
    assert len(list((folder / "attackers" / "director").iterdir())) == 2


def test_ports_are_compared_in_one_table(
    victim: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert ladder(
        victim, "--ports", "force", "level", "--budgets", "force=0.5,1", "--runs", str(tmp_path),
        "--json",
    ) == 0  # fmt: skip
    data = json.loads(capsys.readouterr().out)
    assert [one["port"] for one in data["ports"]] == ["force", "level"]
    assert [line["budget"] for line in data["ports"][0]["budgets"]] == [0.5, 1.0]
    assert data["ports"][1]["unit_meaning"].startswith("share of the way")
    (folder,) = tmp_path.glob("*/ladder/*")
    assert (folder / "report.html").is_file() and (folder / "force" / "cells").is_dir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--suite", "standard"], "unknown suite of the ladder 'standard'; did you mean 'standard-v0'"),
        (["--attacks", "pdg-20"], "did you mean 'pgd-20'"),
        (["--budget", "0.2", "0.1"], "numbers above 0 that rise"),
        (["--budget", "-1"], "numbers above 0 that rise"),
        (["--unit", "weight"], "unknown unit at port 'observation' 'weight'"),
        (["--port", "level", "--budget", "2"], "at most 1, got 2"),
        (["--budgets", "force=1"], "--budgets belongs to --ports"),
        (["--ports", "force", "--budget", "1"], "--ports takes --budgets"),
        (["--ports", "forse"], "did you mean 'force'"),
        (["--ports", "force", "--budgets", "level=1"], "which --ports does not"),
        (["--ports", "force", "level", "--attacks", "random-push"], "names no rung at port level"),
        (["--ports", "force", "--attacks", "corner"], "unknown rung at these ports 'corner'"),
        (["--attacks", "corner", "--save-card"], "whole suites only"),
        (["--episodes", "1"], "episodes of at least 2"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    victim: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], told: str
) -> None:
    usual = [] if "--suite" in arguments else ["--suite", "tiny-v0"]
    assert told in refused(capsys, victim, *usual, *arguments, "--runs", str(tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


def test_the_unit_policy_needs_a_normaliser(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "brake", "--env", "Point-v0", "--suite", "tiny-v0", "--unit", "policy")
    assert "none can be seen in brake; use --unit sigma" in told
    assert "is none" in refused(capsys, "brake", "--env", "Point-v0", "--save-card")
    assert "needs a controller" in refused(capsys)


def test_a_run_of_something_else_is_not_gone_on_with(
    climbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "leave out --unit" in refused(capsys, "--resume", str(climbed), "--unit", "raw")
    folder = tmp_path / "edited"
    shutil.copytree(climbed, folder)
    config = json.loads((folder / "config.json").read_text())
    config["config"]["budgets"] = "much"
    (folder / "config.json").write_text(json.dumps(config))
    assert "is not a ladder's config: budgets" in refused(capsys, "--resume", str(folder))


def test_the_leaderboard_shows_the_zoos_cards_and_those_of_runs(
    climbed: Path, victim: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in ("one", "two", "old"):
        shutil.copytree(victim, tmp_path / "zoo" / name)
    monkeypatch.setattr(named, "ZOO", tmp_path / "zoo")
    other = card(climbed) | {"suite": "tiny-v1"}
    (tmp_path / "zoo" / "two" / "robustness-observation.json").write_text(json.dumps(other))
    old = card(climbed) | {"controller_sha256": "0" * 64}
    (tmp_path / "zoo" / "old" / "robustness-observation.json").write_text(json.dumps(old))
    capsys.readouterr()
    arguments = ["leaderboard", "--suite", "tiny-v0", "--cards", str(climbed), "--json"]
    assert run(arguments) == 0
    data = json.loads(capsys.readouterr().out)
    (table,) = data["tables"]
    assert [place["name"] for place in table["places"]] == [victim, "one"]
    assert data["apart"].keys() == {"old"}
    assert "other weights" in data["apart"]["old"]
    assert run(["zoo", "show", "one"]) == 0
    assert "best of suite" in capsys.readouterr().out
    assert run(["leaderboard", "--suite", "tiny-v0", "--format", "markdown"]) == 0
    assert "| one | Point-v0 |" in capsys.readouterr().out
    assert run(["leaderboard", "--json"]) == 0
    every = json.loads(capsys.readouterr().out)["tables"]
    assert [table["terms"]["suite"] for table in every] == ["tiny-v0", "tiny-v1"]
    two = str(tmp_path / "zoo" / "two")
    assert run(["leaderboard", "--suite", "tiny-v1", "--cards", two, "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert len(table["places"]) == 2  # by the zoo's name, and by its folder
    (tmp_path / "zoo" / "one" / "robustness-observation.json").unlink()
    assert run(["leaderboard", "--cards", str(tmp_path / "zoo" / "one")]) == 2
    assert "no robustness card lies beside" in capsys.readouterr().err
    assert run(["leaderboard", "--budget", "9"]) == 2
    assert "no whole card with budget 9" in capsys.readouterr().err
