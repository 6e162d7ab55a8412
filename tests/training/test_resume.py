"""Training is a function of its config: twice, stopped or killed, it gives the same to the bit."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_adv.agents import adversary, design, protagonist, selfplay
from robo_adv.cli import main
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.loop import Interrupted
from training.tiny import (
    FLAGS,
    ONE_THREAD,
    OPTIONS,
    PPO,
    Killed,
    assert_same_run,
    disturb_generators,
    metrics,
    new_run,
    resume_state,
    stop_after,
    tiny_bundle,
)

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Recipe:
    """A way to train: its config, and its `train`."""

    config: Any
    train: Callable[..., Path]

    def run(self, root: Path, **changes: Any) -> Run:
        config = dataclasses.replace(self.config, **changes)
        run = new_run(root, config)
        self.train(config, run, quiet=True)
        return run

    def resume(self, folder: Path) -> Run:
        disturb_generators()
        run = Run.open(folder)
        self.train(self.config, run, resume=True, quiet=True)
        return run


def _protagonist(*opponents: str) -> Recipe:
    config = protagonist.ProtagonistConfig(
        options=OPTIONS, opponents=opponents, steps=7 * PPO.rollout, ppo=PPO, threads=ONE_THREAD,
        checkpoint_every=2 * PPO.rollout, seed=3,
    )  # fmt: skip
    return Recipe(config, protagonist.train)


def _selfplay(**changes: Any) -> Recipe:
    config = selfplay.SelfPlayConfig(
        options=OPTIONS, steps=14 * PPO.rollout, ppo=PPO, threads=ONE_THREAD, turn=3, past=2,
        checkpoint_every=4 * PPO.rollout, seed=5, **changes,
    )  # fmt: skip
    return Recipe(config, selfplay.train)


def _design(generator: str, rounds: int, **parameters: Any) -> Recipe:
    steps = 8 * 25 * (2 if generator in ("paired", "repaired") else 1)
    config = design.DesignConfig(
        game="KickAndDefend-v0", player="kicker", opponents=("zero",), options=OPTIONS,
        generator=generator, parameters=parameters, steps=rounds * steps, episodes=8, ppo=PPO,
        threads=ONE_THREAD, checkpoint_every=2 * steps, seed=4,
    )  # fmt: skip
    return Recipe(config, design.train)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    config = adversary.AdversaryConfig(
        victim=str(tiny_bundle(tmp_path_factory.mktemp("victim") / "kicker")), ppo=PPO,
        steps=7 * PPO.rollout, threads=ONE_THREAD, checkpoint_every=2 * PPO.rollout,
    )  # fmt: skip
    return {
        "random": _protagonist("random"),
        "pool": _protagonist("random", "zero", "track-ball"),
        "adversary": Recipe(config, adversary.train),
        "selfplay": _selfplay(),
        "alternation": _selfplay(latest_only=True),
        "paired": _design("paired", 5, student_kl=0.5, kl_every=2, warmup=0.2),
        "repaired": _design("repaired", 5, warmup=0.0, capacity=4, replay=0.9),
        "accel": _design("accel", 7, capacity=4, replay=0.9),
    }


@pytest.fixture(scope="module")
def whole_runs() -> dict[str, Run]:
    """Uninterrupted runs by recipe, made when first asked for."""
    return {}


@pytest.fixture
def whole(
    name: str,
    recipes: dict[str, Recipe],
    whole_runs: dict[str, Run],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    if name not in whole_runs:
        whole_runs[name] = recipes[name].run(tmp_path_factory.mktemp(name))
    return whole_runs[name]


@pytest.mark.parametrize("name", ["pool", "selfplay", "adversary", "paired"])
def test_training_twice_gives_the_same_weights_and_another_seed_does_not(
    name: str, whole: Run, recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    disturb_generators()
    assert_same_run(whole, recipes[name].run(tmp_path))
    if name == "pool":
        with pytest.raises(AssertionError):
            assert_same_run(whole, recipes[name].run(tmp_path, seed=77))


@pytest.mark.parametrize(
    ("name", "iterations", "how"),
    [
        ("random", 5, "killed"),
        ("pool", 3, "interrupted"),
        ("adversary", 5, "killed"),
        ("adversary", 3, "interrupted"),
        ("selfplay", 5, "killed"),  # falls back to a checkpoint in the middle of a turn
        ("selfplay", 2, "interrupted"),  # the second player has not begun
        ("selfplay", 4, "interrupted"),  # stops in the middle of a turn
        ("selfplay", 11, "interrupted"),
        ("alternation", 9, "interrupted"),  # at the end of a turn
        (
            "paired",
            7,
            "killed",
        ),  # within a round: the protagonist has played, the antagonist has not
        ("repaired", 6, "interrupted"),
        ("accel", 3, "killed"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    name: str, iterations: int, how: str, whole: Run, recipes: dict[str, Recipe], tmp_path: Path
) -> None:
    recipe = recipes[name]
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, iterations, how)
        stopped = new_run(tmp_path, recipe.config)
        with pytest.raises((Killed, Interrupted)):
            recipe.train(recipe.config, stopped, quiet=True)
    assert not stopped.done
    assert_same_run(whole, recipe.resume(stopped.folder))
    assert design.read_record(whole) == design.read_record(stopped)
    assert stopped.done


def test_a_run_that_is_stopped_at_every_iteration_still_equals_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(_selfplay().config, steps=8 * PPO.rollout)
    recipe = Recipe(config, selfplay.train)
    whole, stopped = recipe.run(tmp_path), new_run(tmp_path, config)
    for k in range(7):
        with monkeypatch.context() as patch:
            stop_after(patch, 1, "interrupted")
            with pytest.raises(Interrupted):
                recipe.train(config, stopped, resume=k > 0, quiet=True)
    assert_same_run(whole, recipe.resume(stopped.folder))


def test_resuming_from_the_command_line_takes_the_config_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "--steps", "640", "--checkpoint-every", "256", "--opponents", "random",
                 "zero", *FLAGS, "--runs", str(tmp_path)]  # fmt: skip
    assert main.run(arguments) == 0
    (whole,) = (tmp_path / "KickAndDefend-v0" / "protagonist").iterdir()
    with monkeypatch.context() as patch:
        stop_after(patch, 3, "interrupted")
        assert main.run(arguments) == 130
    (folder,) = set((tmp_path / "KickAndDefend-v0" / "protagonist").iterdir()) - {whole}
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        f"stopped at 384 of 640 steps and saved; go on with `robo-adv train --resume {folder}`"
        in last
    )
    assert main.run(["train", "--resume", str(folder)]) == 0
    assert_same_run(Run.open(whole), Run.open(folder))
    assert main.run(["train", "--resume", str(folder)]) == 2
    assert "is finished; train it on with --steps N, above 640" in capsys.readouterr().err


def test_a_finished_run_that_trains_on_equals_a_longer_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def arguments(steps: int, root: str) -> list[str]:
        return ["train", "--steps", str(steps), "--checkpoint-every", "256", "--opponents", "zero",
                *FLAGS, "--runs", str(tmp_path / root)]  # fmt: skip

    assert main.run(arguments(768, "long")) == main.run(arguments(512, "short")) == 0
    (whole,) = (tmp_path / "long" / "KickAndDefend-v0" / "protagonist").iterdir()
    (folder,) = (tmp_path / "short" / "KickAndDefend-v0" / "protagonist").iterdir()
    assert main.run(["train", "--resume", str(folder), "--steps", "256"]) == 2
    assert "trains for 512 steps, got --steps 256" in capsys.readouterr().err
    assert main.run(["train", "--resume", str(folder), "--steps", "768"]) == 0
    assert_same_run(Run.open(whole), Run.open(folder))


_BOOT = "from training.tiny import shrink; shrink(); from robo_adv.cli.main import main; main()"
_ARGUMENTS = ["train", "--checkpoint-every", "512", "--opponents", "random", *FLAGS]
_STEPS = 40 * PPO.rollout


def _process(*arguments: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", _BOOT, *arguments], stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip


def _wait_for(process: subprocess.Popen[str], root: Path, steps: int) -> Run:
    """The process's run, once its metrics reach `steps`."""
    for _ in range(6000):
        for folder in (root / "KickAndDefend-v0" / "protagonist").glob("*"):
            done = Run(folder, {}).metrics()
            if done and done[-1]["steps"] >= steps:
                return Run(folder, {})
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    raise AssertionError("the training did not get going in two minutes")


def test_kill_9_loses_at_most_one_interval_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    arguments = [*_ARGUMENTS, "--steps", str(_STEPS), "--runs"]
    process = _process(*arguments, str(tmp_path / "killed"))
    try:
        run = _wait_for(process, tmp_path / "killed", 7 * PPO.rollout)
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not run.done, "the training was over before it could be killed"
    assert run.metrics()[-1]["steps"] - _saved_steps(run) < 512 + PPO.rollout
    assert main.run(["train", "--resume", str(run.folder)]) == 0
    assert main.run([*arguments, str(tmp_path / "whole")]) == 0
    (whole_folder,) = (tmp_path / "whole" / "KickAndDefend-v0" / "protagonist").iterdir()
    assert_same_run(Run.open(whole_folder), run)


def _saved_steps(run: Run) -> int:
    return int(resume_state(run)[1]["values"]["steps"])


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    recipe = _protagonist("zero")
    run = recipe.run(tmp_path)
    other = dataclasses.replace(recipe.config, ppo=dataclasses.replace(PPO, net_arch=(32,)))
    with pytest.raises(RoboAdvError, match="does not fit"):
        protagonist.train(other, run, resume=True, quiet=True)


def test_metrics_of_a_run_name_every_iteration_once(tmp_path: Path) -> None:
    run = _protagonist("zero").run(tmp_path)
    steps = [line["steps"] for line in metrics(run)]
    assert steps == [PPO.rollout * (k + 1) for k in range(7)]
    scored = [line["steps"] for line in metrics(run) if "score" in line]
    assert scored == [PPO.rollout * k for k in (2, 4, 6, 7)]


def test_resume_state_holds_no_pickle_and_no_code(tmp_path: Path) -> None:
    run = _protagonist("zero").run(tmp_path)
    suffixes = {path.suffix for path in (run.folder / "checkpoints").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    tensors, _ = resume_state(run)
    assert all(isinstance(value, torch.Tensor) for value in tensors.values())
