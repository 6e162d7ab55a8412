"""The loop around every recipe: when it saves, what it keeps, and how it stops."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training import loop
from robo_adv.training.loop import RESUME, Interrupted, train
from robo_adv.training.progress import Progress
from training.tiny import new_run


class Counting:
    """A trainee that counts; ten steps an iteration, and scores as told."""

    def __init__(self, scores: list[float] | None = None, interrupt_at: int = -1) -> None:
        self._steps, self.scores, self.interrupt_at = 0, scores or [], interrupt_at
        self.saved: list[tuple[str, int]] = []
        self.interrupts = 1

    @property
    def steps(self) -> int:
        return self._steps

    def iterate(self) -> dict[str, float]:
        self._steps += 10
        if self._steps == self.interrupt_at:
            for _ in range(self.interrupts):
                signal.raise_signal(signal.SIGINT)
        return {"wins": 1.0, "episodes": 2.0}

    def score(self) -> dict[str, float]:
        return {"score": self.scores.pop(0) if self.scores else 0.0}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        self.saved.append((folder.name, self._steps))

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return {"steps": torch.tensor([self._steps])}, {"text": "état"}

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        assert values["text"] == "état"
        self._steps = int(tensors["steps"])


def _train(trainee: Counting, run: Run, steps: int = 100, resume: bool = False) -> dict[str, float]:
    return train(trainee, run, steps, checkpoint_every=25, resume=resume, quiet=True)


def test_checkpoints_come_at_fixed_steps_and_the_best_one_is_kept(tmp_path: Path) -> None:
    trainee = Counting(scores=[0.1, 0.4, 0.3, 0.4])
    result = _train(trainee, new_run(tmp_path, {}))
    assert [s for name, s in trainee.saved if name == "last"] == [30, 50, 80, 100]
    assert [s for name, s in trainee.saved if name == "best"] == [30, 50]
    assert result == {"best_score": 0.4, "steps": 100.0}


def test_ctrl_c_saves_at_the_end_of_the_iteration_and_says_how_to_go_on(tmp_path: Path) -> None:
    run, before = new_run(tmp_path, {}), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as stopped:
        _train(Counting(interrupt_at=40), run)
    assert str(stopped.value) == (
        f"stopped at 40 of 100 steps and saved; go on with `robo-adv train --resume {run.folder}`"
    )
    assert signal.getsignal(signal.SIGINT) is before
    trainee = Counting()
    _train(trainee, run, resume=True)
    assert [s for name, s in trainee.saved if name == "last"] == [50, 80, 100]
    assert [line["steps"] for line in run.metrics()] == list(range(10, 101, 10))


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    trainee = Counting(interrupt_at=40)
    trainee.interrupts = 2
    with pytest.raises(KeyboardInterrupt) as stopped:
        _train(trainee, new_run(tmp_path, {}))
    assert not isinstance(stopped.value, Interrupted)


def test_ctrl_c_in_the_last_iteration_lets_the_run_finish(tmp_path: Path) -> None:
    assert _train(Counting(interrupt_at=100), new_run(tmp_path, {}))["steps"] == 100


def test_the_best_score_survives_a_resume(tmp_path: Path) -> None:
    run = new_run(tmp_path, {})
    with pytest.raises(Interrupted):
        _train(Counting(scores=[0.9], interrupt_at=40), run)
    trainee = Counting(scores=[0.5, 0.6, 0.95])
    assert _train(trainee, run, resume=True)["best_score"] == 0.95
    assert [s for name, s in trainee.saved if name == "best"] == [100]


def test_a_metrics_line_that_a_kill_cut_short_is_dropped(tmp_path: Path) -> None:
    run = new_run(tmp_path, {})
    with pytest.raises(Interrupted):
        _train(Counting(interrupt_at=40), run)
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"steps": 50, "wins": 1}\n{"steps": 6')
    _train(Counting(), run, resume=True)
    assert [line["steps"] for line in run.metrics()] == list(range(10, 101, 10))


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64], ids=repr)
def test_what_is_not_a_resume_state_is_refused(tmp_path: Path, content: bytes) -> None:
    run = new_run(tmp_path, {})
    (run.folder / RESUME).parent.mkdir()
    (run.folder / RESUME).write_bytes(content)
    with pytest.raises(RoboAdvError, match="is not a resume state"):
        _train(Counting(), run, resume=True)


def test_a_run_without_a_checkpoint_starts_over_when_it_is_resumed(tmp_path: Path) -> None:
    run = new_run(tmp_path, {})
    run.log({"steps": 10})
    _train(Counting(), run, resume=True)
    assert [line["steps"] for line in run.metrics()] == list(range(10, 101, 10))


def test_a_truncated_resume_state_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path, {})
    _train(Counting(), run)
    whole = (run.folder / RESUME).read_bytes()
    for size in (4, 20, len(whole) - 1):
        (run.folder / RESUME).write_bytes(whole[:size])
        with pytest.raises(RoboAdvError, match="is not a resume state"):
            _train(Counting(), run, resume=True)


def test_a_full_disk_at_a_checkpoint_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, {})
    with pytest.raises(Interrupted):
        _train(Counting(interrupt_at=40), run)
    old = (run.folder / RESUME).read_bytes()

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_file", full)
        with pytest.raises(RoboAdvError, match=r"cannot write .*: No space left on device"):
            _train(Counting(), run, resume=True)
    assert (run.folder / RESUME).read_bytes() == old
    assert sorted(path.name for path in (run.folder / "checkpoints").iterdir()) == [RESUME.name]
    assert _train(Counting(), run, resume=True)["steps"] == 100


def test_progress_names_speed_wins_with_interval_and_time_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Progress(1000, 0, "kicker", quiet_every=0.0) as progress:
        progress.update(500, 30, 40)
    line = capsys.readouterr().err
    assert line.startswith("kicker: 500/1,000 steps  ")
    assert "wins 75.0 [58.8, 87.3] %" in line and line.rstrip().endswith("left")


def test_quiet_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000, 0, "kicker", enabled=False, quiet_every=0.0) as progress:
        progress.update(500, 30, 40)
    assert capsys.readouterr().err == ""
