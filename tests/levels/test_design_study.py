"""The study that compares generators, and the pictures of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from levels.quick import select_by_few
from robo_adv.agents import cells, design, design_pictures
from robo_adv.agents.design import DesignConfig, read_record, space_of
from robo_adv.agents.design_pictures import apart, film, pictures, spread, telling
from robo_adv.agents.design_study import SEEN, DesignStudy, collect, outcomes, run_cell
from robo_adv.agents.parts import part
from robo_adv.cli import main
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import REPORTED, Episodes, scenarios
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads

TESTS = Path(__file__).resolve().parents[1]
PPO = PPOConfig(num_envs=8, n_steps=16, batch_size=64, n_epochs=1, net_arch=(16,))


@pytest.fixture(scope="module")
def paired_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, DesignConfig]:
    """A short run with two students."""
    config = DesignConfig(
        options={"obstacles": 1}, generator="paired", parameters={"warmup": 0.0}, steps=6400,
        episodes=16, ppo=PPO, threads=Threads(1, 1, 1), checkpoint_every=6400,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        select_by_few(patch)
        run = Run.create("Reach-v0", "design", config, 0, tmp_path_factory.mktemp("design"))
        design.train(config, run, quiet=True)
    return run, config


def test_a_run_shows_its_levels_and_how_they_changed(
    paired_run: tuple[Run, DesignConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(design_pictures, "EACH", 3)
    names = pictures(*paired_run)
    assert names == ["progress.png", "parameters.png", "levels.png"]
    for name in names:
        image = matplotlib.image.imread(str(paired_run[0].folder / name))
        assert min(image.shape[:2]) > 200
        assert image[..., :3].std() > 0.05, "something is drawn"


def test_the_film_shows_both_students_where_they_differ_most(
    paired_run: tuple[Run, DesignConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(design_pictures, "FILMED", 1)
    run, config = paired_run
    rounds, space = read_record(run), space_of(config)
    last = rounds[-1]
    lead = np.subtract(last["returns"][1], last["returns"][0])
    best = telling(rounds, space, 1)[0]
    assert best == space.decode(last["points"][0][int(np.argmax(lead))])
    made = film(run, config, tmp_path / "students.mp4", width=160, height=120, shadows=False)
    assert (made.width, made.height) == (320, 120)
    assert len(made.takes) == 2
    assert made.takes[0][0].seed in range(REPORTED, REPORTED + design_pictures.CANDIDATES)
    for first, second in zip(*made.takes, strict=True):
        np.testing.assert_array_equal(first.states[0], second.states[0])
        assert not np.array_equal(first.states[-1], second.states[-1])


def test_the_film_prefers_levels_that_the_shown_antagonist_alone_solves() -> None:
    def episodes(winner: list[int], returns: list[float]) -> Episodes:
        some, n = np.array(returns), len(returns)
        return Episodes(
            ("arm",), scenarios(0, n), np.array(winner), some, some > 9, some > 9, {"arm": some}, {}
        )

    protagonist = episodes([0, -1, -1, -1], [5.0, 1.0, 1.0, 4.0])
    antagonist = episodes([0, 0, -1, 0], [5.0, 2.0, 8.0, 6.0])
    assert apart(protagonist, antagonist, "arm").tolist() == [3, 1, 2, 0]


def test_a_run_of_one_student_has_no_film() -> None:
    alone = [{"returns": [[1.0]], "points": [[[0.5]]]}]
    with pytest.raises(RoboAdvError, match="this run has one student"):
        telling(alone, space_of(DesignConfig()), 1)


def test_the_gallery_goes_from_the_best_to_the_worst_level() -> None:
    line = {"points": [[[k / 10] for k in range(10)]], "success": [[k % 2 for k in range(10)]],
            "returns": [[float(k) for k in range(10)]]}  # fmt: skip
    shown, rates = spread(line)
    assert rates == sorted(rates, reverse=True)
    assert shown[0][0] == 0.9
    assert shown[-1][0] == 0.0


def test_a_part_is_done_once_and_another_config_is_refused(tmp_path: Path) -> None:
    calls = []

    def train(config: Any, run: Run, *, resume: bool) -> Path:
        calls.append(resume)
        if len(calls) > 1:
            run.finish({})
        return run.folder

    config = DesignConfig()
    for _ in range(3):
        part(tmp_path / "cell", "Reach-v0", "design", config, train)
    assert calls == [False, True], "begun, gone on with, then left as it is"
    with pytest.raises(RoboAdvError, match="another config"):
        part(tmp_path / "cell", "Reach-v0", "design", replace(config, seed=9), train)


@pytest.mark.slow
def test_a_study_trains_every_cell_once_and_tabulates_what_the_students_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = DesignStudy(
        tasks=("reach",), generators=("uniform", "paired"), seeds=(1, 2), steps=8000,
        suites=("corners",), episodes=2, folder=tmp_path / "study", jobs=1,
    )  # fmt: skip
    select_by_few(monkeypatch)
    for cell in study.cells():
        run_cell(study, *cell)
    seen = study.place("reach", "paired", 2) / SEEN
    before, trained = seen.read_text(), []
    monkeypatch.setattr(design, "train", lambda *a, **k: trained.append(a))
    run_cell(study, "reach", "paired", 2)
    assert not trained
    assert seen.read_text() == before
    flips = json.loads(before)
    flips["corners"]["success"] = ["11"] * 32 + ["00"] * 32
    seen.write_text(json.dumps(flips))
    success = outcomes(study, "reach", "paired", "corners", "success")
    assert success is not None
    assert success.shape == (2, 64, 2)
    rows = {row["generator"]: row for row in collect(study)["rows"]}
    assert rows["paired"]["by_seed"][1] == 0.5
    assert rows["paired"]["mean"]["value"] == pytest.approx(success.mean())
    assert rows["paired"]["gain_mean"]["value"] == pytest.approx(
        success.mean() - rows["uniform"]["mean"]["value"]
    )
    arguments = ["study", "design", "--tasks", "reach", "--generators", "uniform", "paired",
                 "--seeds", "1", "2", "--steps", "8000", "--suites", "corners", "--episodes", "2",
                 "--folder", str(study.folder), "--collect"]  # fmt: skip
    assert main.run(arguments) == 0
    out = capsys.readouterr().out
    assert "reach, suite corners: success in %, 2 training seeds, 8,000 environment steps" in out
    assert (study.folder / "table.png").exists()


@pytest.mark.slow
def test_ctrl_c_of_a_study_says_one_sentence_and_stops_all_processes(tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from levels.sleepy import run; run"
    arguments = ["study", "design", "--tasks", "reach", "--generators", "uniform", "--seeds", "1",
                 "2", "3", "--jobs", "2", "--folder", str(tmp_path)]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", f"{program}({arguments})"], start_new_session=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    begun, late = tmp_path / "reach" / "uniform-s1" / "begun", time.monotonic() + 400
    try:
        while not begun.exists():  # the other process may still be starting
            assert process.poll() is None
            assert time.monotonic() < late, "no process has begun"
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # what a terminal does
        said = process.communicate(timeout=100)[1].strip()
    finally:
        with suppress(ProcessLookupError):  # none is left
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130
    assert said.startswith("robo-adv: stopped; all that is done is kept: the same command goes on")
    assert len(said.splitlines()) == 1
    assert begun.with_name("stopped").exists(), "work hears of it, and a training saves its state"
    assert not (tmp_path / "reach" / "uniform-s3").exists(), "what has not begun is not begun"


def test_a_process_that_heard_ctrl_c_begins_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_interrupted", threading.Event())
    begun: list[int] = []

    def work(task: str, what: str, seed: int) -> None:
        begun.append(seed)
        if seed == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    try:
        cells._stoppable(work, ("reach", "uniform", 1))
        for seed in (2, 3):
            with pytest.raises(KeyboardInterrupt):
                cells._stoppable(work, ("reach", "uniform", seed))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert begun == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tasks", "catch"], "unknown task 'catch'"),
        (["--generators", "pared"], "did you mean"),
        (["--collect", "--folder", "nowhere"], "no finished cell"),
    ],
)
def test_a_study_that_cannot_be_made_says_why(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["study", "design", *arguments]) == 2
    assert words in capsys.readouterr().err
