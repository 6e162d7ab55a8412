"""The loop every recipe shares: iterate, log, checkpoint, resume, stop cleanly on Ctrl-C."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter

from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, write_with
from robo_adv.training.progress import Progress

Tensors = dict[str, torch.Tensor]
RESUME = Path("checkpoints") / "resume.safetensors"


class Trainee(Protocol):
    """What the loop trains: one learner, or several that take turns."""

    @property
    def steps(self) -> int:
        """Environment steps so far."""

    def iterate(self) -> dict[str, float]:
        """One rollout and update; metrics with `wins` and `episodes`."""

    def score(self) -> dict[str, float]:
        """Evaluate on the selection scenarios; `score` decides which checkpoint is best."""

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Write the policy bundle (or bundles) into `folder`."""

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Everything needed to continue bit by bit."""

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        """Continue from `state`."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the state was saved; the message says how to go on."""


def save_state(path: Path, trainee: Trainee, best: float, seconds: float = 0.0) -> None:
    """Write the resume state, and how long the run took so far [s], as one safetensors file, in one
    step."""
    tensors, values = trainee.state()
    header = {
        "state": json.dumps({"best": best, "values": values}, separators=(",", ":")),
        "seconds": f"{seconds:.3f}",  # beside the state, which is the same on every machine
    }
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    write_with(path, lambda temporary: _save(contiguous, temporary, header))


def _save(tensors: Tensors, path: Path, header: dict[str, str]) -> None:
    try:
        save_file(tensors, path, metadata=header)
    except SafetensorError as error:  # the library reports a full disk as its own error
        raise OSError(str(error)) from error


def load_state(path: Path, trainee: Trainee) -> tuple[float, float]:
    """Continue from `save_state`; returns the best score and the run's wall time [s] so far.

    Raises:
        RoboAdvError: no such file, or not a state of this trainee.
    """
    if not path.exists():
        raise RoboAdvError(f"nothing to resume: {path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["state"])
            seconds = float(file.metadata().get("seconds", 0.0))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        trainee.load_state(tensors, header["values"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RoboAdvError(f"{path} is not a resume state: {error}") from error
    return float(header["best"]), seconds


def train(
    trainee: Trainee,
    run: Run,
    steps: int,
    *,
    checkpoint_every: int,
    resume: bool = False,
    label: str = "training",
    quiet: bool = False,
    outcome: str = "wins",
    note: Callable[[Mapping[str, float]], str] = lambda metrics: "",
    again: str = "train",
) -> dict[str, float]:
    """Train up to `steps` environment steps; returns the best checkpoint's selection metrics.

    Args:
        outcome: what progress calls a win: `wins` against opponents, `success` of a lone player.
        note: what progress says beside it, from an iteration's metrics.
        again: the verb whose --resume goes on.

    Checkpoints come at the same steps whatever happens, so a run that was killed and resumed equals
    an uninterrupted one, bit by bit.

    Raises:
        Interrupted: Ctrl-C; the state is saved. RoboAdvError: nothing to resume, or a full disk.
    """
    best, before = float("-inf"), 0.0
    if resume:
        if (run.folder / RESUME).exists():  # else it was killed before the first checkpoint
            best, before = load_state(run.folder / RESUME, trainee)
        run.truncate_metrics(trainee.steps)
    due, began = _next_due(trainee.steps, checkpoint_every), time.monotonic() - before
    shown = Progress(steps, trainee.steps, label, not quiet, outcome=outcome)
    rate = "success_rate" if outcome == "success" else "win_rate"
    with _stop_flag() as stopped, shown as progress, \
            SummaryWriter(str(run.folder / "tensorboard")) as board:  # fmt: skip
        while trainee.steps < steps:
            metrics = trainee.iterate()
            wins = metrics.get("wins", 0)
            progress.update(trainee.steps, wins, metrics["episodes"], note(metrics))
            finished = trainee.steps >= steps
            checkpoint = finished or trainee.steps >= due
            if checkpoint:
                due = _next_due(trainee.steps, checkpoint_every)
                scores = trainee.score()
                metrics.update(scores)
                trainee.save(run.folder / "checkpoints" / "last", scores)
                if scores["score"] > best:
                    best = scores["score"]
                    trainee.save(run.folder / "checkpoints" / "best", scores)
            stop, seconds = stopped() and not finished, time.monotonic() - began
            _log(run, board, {"steps": trainee.steps, **metrics}, seconds, rate)
            if checkpoint or stop:
                save_state(run.folder / RESUME, trainee, best, seconds)
            if stop:
                raise Interrupted(
                    f"stopped at {trainee.steps:,} of {steps:,} steps and saved; go on with "
                    f"`robo-adv {again} --resume {run.folder}`"
                )
    return {"best_score": best, "steps": float(trainee.steps)}


def _next_due(steps: int, every: int) -> int:
    return (steps // every + 1) * every


def _log(
    run: Run, board: SummaryWriter, metrics: Mapping[str, float], seconds: float, rate: str
) -> None:
    """Log an iteration; the speed is that of the whole run, which took `seconds` so far."""
    steps = int(metrics["steps"])
    speed = round(steps / max(seconds, 1e-9), 3)
    run.log({**metrics, "steps_per_second": speed, "seconds": round(seconds, 3)})
    for name, value in metrics.items():
        if name != "steps":
            board.add_scalar(name, value, steps)
    if metrics.get("episodes"):
        board.add_scalar(rate, metrics.get("wins", 0) / metrics["episodes"], steps)


@contextmanager
def _stop_flag() -> Iterator[Callable[[], bool]]:
    """Ctrl-C asks for a stop after the iteration; a second one stops at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not the main thread
        yield lambda: False
        return
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
