"""The verbs end to end on tiny settings, their exit codes, and one JSON line on stdout."""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import pytest
from training.tiny import FLAGS, GAME, shrink, tiny_bundle

from robo_adv.cli import main
from robo_adv.envs.game import GAMES
from robo_adv.runs import Run

TINY = ["--episodes", "8"]


@pytest.fixture(autouse=True)
def _short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch.setattr)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def kicker(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bundle(tmp_path_factory.mktemp("policies") / "kicker"))


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    """The one JSON line that a verb leaves on stdout."""
    assert main.run([*arguments, "--json"]) == code
    out = capsys.readouterr().out
    assert out.endswith("\n") and out.count("\n") == 1, "stdout is not exactly one line"
    data: dict[str, Any] = json.loads(out, parse_constant=_no_constant)
    assert data["exit_code"] == code
    return data


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def test_a_list_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["list", "kickk"]) == 0
    assert (
        capsys.readouterr().out == "nothing contains 'kickk'; `robo-adv list` shows all there is\n"
    )


def test_python_m_robo_adv_is_the_console_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["python -m robo_adv", "list", "kick"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("robo_adv", run_name="__main__")
    assert stopped.value.code == 0 and "KickAndDefend-v0" in capsys.readouterr().out


def test_list_names_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    data = _json(capsys, "list")
    assert list(data["game"]) == list(GAMES)
    assert {"omni", "ant"} <= data["body"].keys()
    assert {"zero", "random", "chase-ball", "stay-in-goal"} <= data["scripted policy"].keys()
    assert data["mask"].keys() == {"initial", "zeros", "noise"}
    assert all(text for kind in ("game", "body", "mask") for text in data[kind].values())
    assert _json(capsys, "list", "NOISE")["mask"].keys() == {"noise"}


@pytest.mark.parametrize("flag", ["-h", "--help", None])
def test_the_overview_names_every_verb(
    capsys: pytest.CaptureFixture[str], flag: str | None
) -> None:
    assert main.run([flag] if flag else []) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in main.VERBS)


@pytest.mark.parametrize("verb", sorted(main.VERBS))
def test_every_verb_explains_its_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.run([verb, "--help"])
    assert stopped.value.code == 0
    assert f"robo-adv {verb}" in capsys.readouterr().out


def test_evaluate_reports_every_opponent_under_every_mask(
    capsys: pytest.CaptureFixture[str], runs: Path, kicker: str
) -> None:
    data = _json(
        capsys, "evaluate", kicker, "--opponents", "zero", "random", "--masks", "none", "initial",
        "zeros", "noise", *TINY,
    )  # fmt: skip
    assert data["player"] == "kicker"
    rows = [(row["opponent"], row["mask"]) for row in data["rows"]]
    assert rows == [
        (o, m) for o in ("zero", "random") for m in ("none", "initial", "zeros", "noise")
    ]
    for row in data["rows"]:
        rates = [row[f"{name}_rate"] for name in ("win", "loss", "draw")]
        assert sum(rate["count"] for rate in rates) + row["diverged"] == row["episodes"] == 8
        assert all(rate["low"] <= rate["rate"] <= rate["high"] for rate in rates)
        assert row["costs"].keys() == GAMES[GAME].costs.keys()
    run = Run.open(Path(data["folder"]))
    assert run.done and run.folder.is_relative_to("runs")
    summary = json.loads((run.folder / "summary.json").read_text())
    assert summary["rows"] == data["rows"]
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "DONE", "command.txt", "config.json", "summary.json", "versions.json"
    ]  # fmt: skip


def test_evaluate_gives_the_same_numbers_twice(
    capsys: pytest.CaptureFixture[str], runs: Path, kicker: str
) -> None:
    arguments = ["evaluate", kicker, "--opponents", "random", "--stochastic", *TINY]
    first, second = (_json(capsys, *arguments)["rows"] for _ in range(2))
    assert first == second
    other = _json(capsys, *arguments, "--seed", "5")["rows"]
    assert other != first


def test_verbs_print_a_table_the_run_folder_and_the_next_command(
    capsys: pytest.CaptureFixture[str], runs: Path, kicker: str
) -> None:
    assert main.run(["evaluate", kicker, "--opponents", "zero", *TINY]) == 0
    out = capsys.readouterr().out
    assert "win rate [95 %]" in out and "run folder: runs" in out
    assert out.rstrip().splitlines()[-1] == f"next: robo-adv attack {kicker} --port opponent"


@pytest.mark.parametrize(
    ("condition", "code", "word"),
    [
        ("win_rate>0.9", 0, "HOLDS"),  # a kicker that stands still never wins
        ("loss_rate<0.5", 0, "HOLDS"),
        ("win_rate<0.5", 1, "FAILS"),
        ("loss_rate>=0.5", 1, "FAILS"),
        ("win_rate<0.2", 3, "OPEN"),
    ],
)
def test_fail_if_decides_the_exit_code(
    condition: str, code: int, word: str, capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    arguments = ["evaluate", "zero", "--set", "arms=0", "--opponents", "zero", *TINY]
    assert main.run([*arguments, "--fail-if", condition]) == code
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(word)]
    assert len(lines) == 1 and "zero, mask none" in lines[0]
    if word == "OPEN":
        more = int(lines[0].split("; about ")[1].split()[0])
        again = ["evaluate", "zero", "--set", "arms=0", "--opponents", "zero", "--episodes"]
        assert main.run([*again, str(8 + more), "--fail-if", condition]) == 1
        capsys.readouterr()
    _json(capsys, *arguments, "--fail-if", condition, code=code)


def test_one_failing_row_fails_and_an_open_one_is_not_hidden_by_one_that_holds(
    capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    """A keeper that stands in its goal wins; one that acts at random may leave its area."""
    arguments = ["evaluate", "zero", "--player", "keeper", "--set", "arms=0", "--masks", "none",
                 "zeros", "--opponents", "zero", *TINY, "--fail-if"]  # fmt: skip
    assert main.run([*arguments, "win_rate>0.5"]) == 1
    assert capsys.readouterr().out.count("FAILS") == 2
    assert main.run([*arguments, "win_rate<0.8"]) == 3
    assert capsys.readouterr().out.count("OPEN") == 2


def test_matrix_plays_everyone_against_everyone(
    capsys: pytest.CaptureFixture[str], runs: Path, kicker: str
) -> None:
    data = _json(
        capsys,
        "matrix",
        "--kickers",
        kicker,
        "chase-ball",
        "--keepers",
        "zero",
        "track-ball",
        *TINY,
    )
    assert data["player"] == "kicker"
    assert data["win_rate"].keys() == {kicker, "chase-ball"}
    for row in data["win_rate"].values():
        assert row.keys() == {"zero", "track-ball"}
        assert all(cell["episodes"] == 8 and cell["low"] <= cell["high"] for cell in row.values())
    assert Run.open(Path(data["folder"])).done


def test_a_kicker_is_trained_evaluated_and_attacked(
    capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    trained = _json(
        capsys, "train", "--steps", "256", "--checkpoint-every", "128", "--opponents", "zero",
        "random", *FLAGS,
    )  # fmt: skip
    (bundle,) = trained["bundles"]
    assert trained["metrics"]["steps"] == 256
    assert _json(capsys, "evaluate", trained["folder"], "--opponents", "zero", *TINY)["rows"]
    attack = ["attack", bundle, "--steps", "256", "--checkpoint-every", "128", *FLAGS[2:]]
    attacked = _json(capsys, *attack)
    card = json.loads((Path(attacked["bundles"][0]) / "policy.json").read_text())
    assert (card["player"], card["provenance"]["victim"]) == ("keeper", bundle)
    row = _json(capsys, "evaluate", bundle, "--opponents", attacked["folder"], *TINY)["rows"][0]
    assert row["opponent"] == attacked["folder"]


def test_selfplay_leaves_one_bundle_per_player(
    capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    data = _json(capsys, "train", "--recipe", "selfplay", "--steps", "256", *FLAGS)
    assert [Path(name).name for name in data["bundles"]] == ["keeper", "kicker"]
    kicker, keeper = data["bundles"][1], data["bundles"][0]
    assert _json(capsys, "evaluate", kicker, "--opponents", keeper, *TINY)["rows"]


@contextmanager
def _broken_pipe() -> Iterator[TextIO]:
    """Stdout is a buffered pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield stream
    with suppress(BrokenPipeError):
        stream.close()


def test_a_table_whose_reader_goes_away_is_no_error() -> None:
    with _broken_pipe():
        assert main.run(["list"]) == 0


def test_a_long_json_line_whose_reader_goes_away_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("robo_adv.cli.list._everything", lambda: {"x": {"y": "z" * 100_000}})
    with _broken_pipe():
        assert main.run(["list", "--json"]) == 0


def test_a_short_json_line_whose_reader_goes_away_is_no_error() -> None:
    with _broken_pipe() as stream:
        assert main.run(["list", "zeros", "--json"]) == 0
        stream.flush()  # as the interpreter does at its end
