"""The design study: which generator of levels makes the best student, at equal environment steps?

A grid of tasks, generators and training seeds. Each cell is a training of its own and then plays the
task's suites; both are kept, so the study can be stopped at any time, spread over processes and made
larger later.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents import design
from robo_adv.agents.cells import Cell
from robo_adv.agents.generalisation import LevelsConfig, play_suite, prepare
from robo_adv.agents.parts import part
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels.measures import gain, over_seeds
from robo_adv.levels.suite_files import make_suite
from robo_adv.levels.suites import LevelSuite
from robo_adv.runs import Run, plain, write_text
from robo_adv.training.learner import Threads

Array = npt.NDArray[Any]
BASELINE = "uniform"
SEEN = "levels.json"  # what a cell's student did on the suites
MEASURES = ("mean", "cvar10", "cvar1", "iqm", "solved")


@dataclass(frozen=True)
class Task:
    """Attributes:
    steps: of all students of a training together.
    """

    game: str
    options: dict[str, Any]
    steps: int


TASKS: dict[str, Task] = {
    "reach": Task("Reach-v0", {"obstacles": 2}, 500_000),
    "kick": Task("KickAndDefend-v0", {"obstacles": 2}, 1_000_000),
    "push": Task("Push-v0", {"obstacles": 2}, 4_000_000),
}
SCREEN = ("nominal", "uniform", "plr", "accel", "sfl", "minimax", "paired", "repaired")


@dataclass(frozen=True)
class DesignStudy:
    """Attributes:
    steps: per training, 0 for the task's. suites: on which students are compared.
    episodes: per level. jobs: trainings side by side, each on one core.
    """

    tasks: tuple[str, ...] = ("reach", "kick")
    generators: tuple[str, ...] = SCREEN
    seeds: tuple[int, ...] = (1, 2, 3)
    steps: int = 0
    suites: tuple[str, ...] = ("nominal", "iid-b", "shell", "corners")
    episodes: int = 4
    folder: Path = Path("runs") / "design-study"
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        for name in self.tasks:
            if name not in TASKS:
                raise unknown("task", name, TASKS)
        if min(self.jobs, self.episodes) < 1 or self.steps < 0:
            raise RoboAdvError("jobs and episodes must be at least 1, and steps at least 0")

    def cells(self) -> Iterator[Cell]:
        """(task, generator, seed): all of them, one seed of everything before the next."""
        for seed in self.seeds:
            for task in self.tasks:
                for generator in self.generators:
                    yield task, generator, seed

    def steps_of(self, task: str) -> int:
        """Environment steps of a training."""
        return self.steps or TASKS[task].steps

    def place(self, task: str, generator: str, seed: int) -> Path:
        """The folder of a cell."""
        return self.folder / task / f"{generator}-s{seed}"

    def config(self, task: str, generator: str, seed: int) -> design.DesignConfig:
        """What a cell trains."""
        what, steps = TASKS[task], self.steps_of(task)
        return replace(
            design.preset(what.game, generator), options=what.options, steps=steps,
            seed=seed, threads=Threads(1, 1, 1), checkpoint_every=max(1, steps // 8),
        )  # fmt: skip


def compute(study: DesignStudy) -> dict[str, float]:
    """What is left to do, before it is done: cells, environment steps, and hours by a short trial of
    each task (plain PPO, one core)."""
    left: dict[str, int] = {}
    for task, generator, seed in study.cells():
        if not (study.place(task, generator, seed) / "DONE").exists():
            left[task] = left.get(task, 0) + 1
    hours = 0.0
    for task, cells in left.items():
        trial = design.Design(replace(study.config(task, "uniform", 0), steps=1))
        began = time.process_time()
        trial.iterate()
        hours += cells * study.steps_of(task) / trial.steps * (time.process_time() - began) / 3600
    steps = sum(cells * study.steps_of(task) for task, cells in left.items())
    return {"cells": float(sum(left.values())), "steps": float(steps), "hours": hours / study.jobs}


def run_cell(study: DesignStudy, task: str, generator: str, seed: int) -> None:
    """Train one cell, then let its student play the suites; what is done already is not done again."""
    config = study.config(task, generator, seed)
    folder = part(
        study.place(task, generator, seed), config.game, "design", config, design.train, quiet=True
    )
    seen = _read(folder)
    missing = [name for name in study.suites if not _played(seen, name, study.episodes)]
    if not missing:
        return
    opponent = config.opponents[0] if config.opponents else ""  # the one it was trained against
    bench = prepare(LevelsConfig(controller=str(folder), threads=1, opponent=opponent))
    for suite in suites_of(config, missing):
        alone = len(suite) == 1  # then its own number of episodes makes the rate precise
        played = play_suite(bench, suite, 0 if alone else study.episodes)
        seen[suite.name] = {
            "digest": suite.digest, "asked": study.episodes, "opponent": opponent,
            "success": ["".join("01"[int(x)] for x in row) for row in played.success],
            "unsafe": ["".join("01"[int(x)] for x in row) for row in played.unsafe],
        }  # fmt: skip
        write_text(folder / SEEN, json.dumps(seen, indent=1) + "\n")


def suites_of(config: design.DesignConfig, names: Sequence[str]) -> list[LevelSuite]:
    """Suites of the task's whole design space."""
    space = design.space_of(config)
    return [make_suite(name, config.game, space) for name in names]


def _read(folder: Path) -> dict[str, Any]:
    path = folder / SEEN
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def _played(seen: Mapping[str, Any], name: str, episodes: int) -> bool:
    known = seen.get(name, {})
    return known.get("asked") == episodes and "opponent" in known


def outcomes(study: DesignStudy, task: str, generator: str, suite: str, what: str) -> Array | None:
    """`success` or `unsafe` (S, L, K) of the seeds that are done; None where none is."""
    found = []
    for seed in study.seeds:
        seen = _read(study.place(task, generator, seed))
        if _played(seen, suite, study.episodes):
            found.append([[float(x) for x in row] for row in seen[suite][what]])
    return np.array(found) if found else None


def collect(study: DesignStudy) -> dict[str, Any]:
    """The table: per task, suite, generator and measure an estimate over training seeds and levels,
    and its gain over uniform levels.

    Raises:
        RoboAdvError: nothing is done yet.
    """
    rows = [
        row
        for task in study.tasks
        for suite in study.suites
        for generator in study.generators
        if (row := _row(study, task, suite, generator)) is not None
    ]
    if not rows:
        raise RoboAdvError(f"no finished cell in {study.folder}; train it first")
    result = {"study": plain(replace(study, folder=Path(study.folder.name))), "rows": rows}
    Run(study.folder, {}).write_json("table.json", result)
    return result


def _row(study: DesignStudy, task: str, suite: str, generator: str) -> dict[str, Any] | None:
    success = outcomes(study, task, generator, suite, "success")
    if success is None:
        return None
    single = success.shape[1] == 1
    names = ("mean",) if single else MEASURES
    base = outcomes(study, task, BASELINE, suite, "success")
    gains = {}
    if base is not None and generator != BASELINE and min(len(base), len(success)) > 1:
        gains = {f"gain_{name}": gain(success, base, name).to_json() for name in names}
    unsafe = outcomes(study, task, generator, suite, "unsafe")
    assert unsafe is not None
    return {
        "task": task, "suite": suite, "generator": generator, "seeds": len(success),
        "steps": study.steps_of(task), "by_seed": success.mean(axis=(1, 2)).tolist(),
        **{name: over_seeds(success, name).to_json() for name in names},
        "unsafe": over_seeds(unsafe, "mean").to_json(),
        **gains,
    }  # fmt: skip
