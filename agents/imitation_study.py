"""The imitation study: who learns what from how few demonstrations, and what of it is imitation?

A grid of tasks, variants of learners, numbers of demonstrations and training seeds. Each cell is a
training of its own whose last policy then plays the reported scenarios. Demonstrations, trainings and
scores are kept, so the study can be stopped at any time, spread over processes and made larger later.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.agents import imitator
from robo_adv.agents.imitators.config import OFF_POLICY, ImitatorConfig
from robo_adv.agents.imitators.measured import values
from robo_adv.agents.imitators.presets import preset
from robo_adv.agents.imitators.variants import VARIANTS
from robo_adv.agents.parts import part
from robo_adv.agents.recording import RecordConfig, record
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.imitation.corruption import mixed_episodes, noisy_actions, wrong_actions
from robo_adv.imitation.demonstrations import Demonstrations, load_demonstrations
from robo_adv.runs import write_text
from robo_adv.training.learner import Threads

Cell = tuple[str, str, int]  # task, variant/demonstrations, seed
SCORES = "values.json"  # what a cell's policy, the expert and random actions reached
_STEPWISE = ("bc", "dagger")  # learners with numbers of steps of their own


@dataclass(frozen=True)
class Task:
    """Attributes:
    expert: who demonstrates. opponent: of the other player. steps: environment steps of a training.
    successes: whether only successful episodes are shown. success: what an audit judges by, where
        the world does not tell. mixed: whose episodes the corruption `mixed` puts in.
    """

    expert: str
    steps: int
    env: str = ""
    opponent: str = ""
    successes: bool = False
    success: str = ""
    mixed: str = "random"


TASKS: dict[str, Task] = {
    "pendulum": Task("pendulum-expert", 60_000, env="Pendulum-v1", success="return>=-400"),
    "reach": Task("zoo:reach-panda-s2", 200_000, successes=True),
    "push": Task("zoo:push-panda-s2", 4_000_000, successes=True),
    "kick": Task("zoo:kicker-omni4-s2", 300_000, opponent="track-ball", successes=True),
    "hopper": Task("zoo:hopper-s2", 120_000, success="return>=1715"),
    "half-cheetah": Task("zoo:half-cheetah-s1", 1_000_000, success="return>=2150"),
}  # hopper and half-cheetah succeed with half of their expert's return
SCREEN = ("bc", "dagger", "gail", "airl", "asaf")
CONTROLS = ("gail-null", "gail-shuffled")
ABLATION = tuple(name for name, what in VARIANTS.items() if what.group == "regularisers")
CORRUPTED = tuple(name for name, what in VARIANTS.items() if what.group == "corrupted")


@dataclass(frozen=True)
class ImitationStudy:
    """Attributes:
    learners: variants that are trained at every number of demonstrations.
    controls, corrupted: variants that are trained at the largest alone. ablation: variants that are
        trained in `ablation_task` at the smallest.
    steps: per training of the learners that are paid or judge themselves, 0 for the task's; bc and
        dagger have their own. every: one step of so many of each demonstration is kept.
    episodes: on which everybody is scored. jobs: trainings side by side, each on one core.
    """

    tasks: tuple[str, ...] = ("reach", "kick", "hopper")
    learners: tuple[str, ...] = SCREEN
    demos: tuple[int, ...] = (2, 11)
    seeds: tuple[int, ...] = (1, 2, 3)
    controls: tuple[str, ...] = CONTROLS
    ablation: tuple[str, ...] = ABLATION
    ablation_task: str = "pendulum"
    corrupted: tuple[str, ...] = ()
    steps: int = 0
    every: int = 1
    episodes: int = 100
    folder: Path = Path("runs") / "imitation-study"
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)

    def __post_init__(self) -> None:
        for name in (*self.tasks, self.ablation_task):
            if name not in TASKS:
                raise unknown("task", name, TASKS)
        for name in (*self.learners, *self.controls, *self.ablation, *self.corrupted):
            if name not in VARIANTS:
                raise unknown("variant of a learner", name, VARIANTS)
        if len(set(self.seeds)) != len(self.seeds) or min(self.seeds, default=-1) < 0:
            raise RoboAdvError(f"seeds must be different numbers from 0 on, got {[*self.seeds]}")
        if not self.demos or min(self.demos) < 1 or min(self.jobs, self.every) < 1:
            raise RoboAdvError("demos, every and jobs must be at least 1")
        if self.episodes < 2 or self.steps < 0:
            raise RoboAdvError("episodes must be at least 2, and steps at least 0")

    def rows(self) -> Iterator[tuple[str, str, int]]:
        """Task, variant and number of demonstrations of every row of the table."""
        few, many = min(self.demos), max(self.demos)
        for task in self.tasks:
            for count in sorted(set(self.demos)):
                yield from ((task, name, count) for name in self.learners)
            yield from ((task, name, many) for name in (*self.controls, *self.corrupted))
        for name in self.ablation:
            yield self.ablation_task, name, few

    def cells(self) -> Iterator[Cell]:
        """All of them, one seed of everything before the next; the same one once."""
        rows = dict.fromkeys(self.rows())
        for seed in self.seeds:
            for task, name, count in rows:
                yield task, f"{name}/{count}", seed

    def place(self, task: str, variant: str, seed: int) -> Path:
        """The folder of a cell."""
        return self.folder / task / f"{variant.replace('/', '-')}-s{seed}"

    def shown(self, task: str, corruption: str = "") -> Path:
        """The folder of a task's demonstrations."""
        return self.folder / task / "demonstrations" / (corruption or "clean")

    def config(self, task: str, variant: str, seed: int) -> ImitatorConfig:
        """What a cell trains."""
        name, count = variant.split("/")
        what = VARIANTS[name]
        usual = preset(what.learner, self.env(task), str(self.shown(task, what.corruption)))
        steps = usual.steps
        if what.learner not in _STEPWISE:
            steps = self.steps or TASKS[task].steps
        config = replace(
            usual, expert=TASKS[task].expert, demos=int(count), every=self.every, steps=steps,
            seed=seed, threads=Threads(1, 1, 1),
            checkpoint_every=max(1, steps // 4),
        )  # fmt: skip
        if self.every > 1:  # windows need every step
            config = replace(config, asaf=replace(config.asaf, window=1))
        return what.applied(config)

    def env(self, task: str) -> str:
        """The id of a task's world."""
        return load_demonstrations(self.shown(task)).card.game


def prepare(study: ImitationStudy) -> None:
    """Record the demonstrations that the cells need, if they are not there in sufficient number."""
    for task in dict.fromkeys(row[0] for row in study.rows()):
        clean = _recorded(study, task)
        for name in study.corrupted:
            kind = VARIANTS[name].corruption
            folder = study.shown(task, kind)
            if task in study.tasks and not _enough(folder, len(clean)):
                corrupt(study, task, clean, kind).save(folder)


def _recorded(study: ImitationStudy, task: str) -> Demonstrations:
    folder, count = study.shown(task), max(study.demos)
    if not _enough(folder, count):
        _demonstrate(study, task, TASKS[task].expert, TASKS[task].successes).save(folder)
    return load_demonstrations(folder)


def _enough(folder: Path, count: int) -> bool:
    return folder.is_dir() and len(load_demonstrations(folder)) >= count


def _demonstrate(study: ImitationStudy, task: str, who: str, successes: bool) -> Demonstrations:
    """Episodes of somebody in a task; the first ones are the same whatever their number."""
    what, count = TASKS[task], max(study.demos)
    env = what.env
    if who != what.expert:
        card = load_demonstrations(study.shown(task)).card
        return record(RecordConfig(who, card.game, card.options, card.player, what.opponent, count))
    found = record(RecordConfig(who, env, opponent=what.opponent, episodes=count,
                                only_successful=successes))  # fmt: skip
    if len(found) < count:
        raise RoboAdvError(f"{who} succeeded in {len(found)} episodes only, {count} are needed")
    return found


def corrupt(study: ImitationStudy, task: str, clean: Demonstrations, kind: str) -> Demonstrations:
    """The demonstrations made worse: `noise` of 0.5 half ranges on half of the actions, 30 % `wrong`
    actions, 30 % of the episodes `mixed` in from somebody who acts otherwise."""
    if kind == "noise":
        return noisy_actions(clean, 0.5, 0.5)
    if kind == "wrong":
        return wrong_actions(clean, 0.3)
    others = _demonstrate(study, task, TASKS[task].mixed, False)
    return mixed_episodes(clean, others, 0.3)


def compute(study: ImitationStudy) -> dict[str, float]:
    """What is left to do, before it is done: cells, and hours by a short trial of each kind of cell
    (one iteration, one core; cloning counts a minute, of which early stopping leaves most out)."""
    left = Counter(
        (task, str(VARIANTS[variant.split("/")[0]].learner))
        for task, variant, seed in study.cells()
        if not scored(study, study.place(task, variant, seed))
    )
    seconds, steps = 0.0, 0
    for (task, learner), cells in left.items():
        if learner in _STEPWISE:
            seconds += 60.0 * cells
            continue
        config = study.config(task, f"{learner}/{max(study.demos)}", 0)
        seconds += cells * config.steps * _seconds_per_step(config)
        steps += cells * config.steps
    return {"cells": float(left.total()), "steps": float(steps),
            "hours": seconds / 3600.0 / study.jobs}  # fmt: skip


def _seconds_per_step(config: ImitatorConfig) -> float:
    """CPU time of an environment step, by the iteration after learning started."""
    trial, warm = imitator.Imitator(config), 0
    if config.learner in OFF_POLICY:
        warm = config.sac.learning_starts
    while trial.steps < warm:
        trial.iterate()
    first, began = trial.steps, time.process_time()
    trial.iterate()
    return (time.process_time() - began) / (trial.steps - first)


def run_cell(study: ImitationStudy, task: str, variant: str, seed: int) -> None:
    """Train one cell and score its last policy; what is done already is not done again."""
    config = study.config(task, variant, seed)
    folder = part(
        study.place(task, variant, seed), study.env(task), "imitate", config, imitator.train,
        quiet=True,
    )  # fmt: skip
    if scored(study, folder):
        return
    found = values(config, folder / "checkpoints" / "last", study.episodes)
    write_text(folder / SCORES, json.dumps({"episodes": study.episodes, **found}) + "\n")


def scored(study: ImitationStudy, folder: Path) -> bool:
    """Whether a cell was scored on as many episodes as the study asks for."""
    return (folder / SCORES).exists() and read_values(folder)["episodes"] >= study.episodes


def read_values(folder: Path) -> Mapping[str, Any]:
    """What a cell measured: `unit`, and per scenario `imitator`, `random` and `expert` (n,)."""
    found: dict[str, Any] = json.loads((folder / SCORES).read_text("utf-8"))
    return {
        name: np.array(value) if isinstance(value, list) else value for name, value in found.items()
    }
