"""`robo-adv study imitate`: who learns what from how few demonstrations? One resumable command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.agents import imitation_study as study_of
from robo_adv.agents.cells import Cell
from robo_adv.agents.imitation_pictures import figures
from robo_adv.agents.imitation_study import ImitationStudy, compute, prepare, run_cell
from robo_adv.agents.imitation_table import collect
from robo_adv.agents.imitation_threats import TEACHER, audit_cell, cells, collect_threats
from robo_adv.audit.plan import SUITES
from robo_adv.cli.study_cells import run_shown
from robo_adv.cli.study_design import percent
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.runs import versions

_KEPT = (
    "stopped; all that is done is kept: the same command goes on, with --collect it only prints what "
    "there is"
)


@dataclass(frozen=True)
class StudyImitate:
    """Compare imitation learners: record demonstrations, train every cell of a grid, play the
    scenarios, print a table. It says first how much there is to compute; what is finished is kept."""

    tasks: tuple[str, ...] = ("reach", "kick", "hopper")
    """reach, push, kick, hopper, half-cheetah or pendulum."""
    learners: tuple[str, ...] = study_of.SCREEN
    """Learners at every number of demonstrations."""
    demos: tuple[int, ...] = (2, 11)
    """Numbers of demonstrations."""
    every: int = 1
    """Keep one step of so many of each demonstration (Ho and Ermon: 20)."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds."""
    controls: tuple[str, ...] = study_of.CONTROLS
    """What is no imitation, at the largest number of demonstrations."""
    ablation: tuple[str, ...] = study_of.ABLATION
    """Regularisers of GAIL's discriminator, one at a time, at the smallest number of demonstrations."""
    ablation_task: str = "pendulum"
    """Task of the ablation."""
    corrupted: tuple[str, ...] = ()
    """Learners of corrupted demonstrations, at the largest number: bc-noise, gail-wrong ..."""
    steps: int = 0
    """Environment steps per training, 0 for the task's; bc and dagger have numbers of their own."""
    episodes: int = 100
    """Scenarios on which everybody is scored."""
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Trainings side by side, one core each."""
    threats: tuple[str, ...] = ()
    """Audit these variants beside their teacher (at the largest number of demonstrations)."""
    suite: str = "quick"
    """Of the audits."""
    audit_episodes: int = 50
    """Scenarios per cell of an audit."""
    collect: bool = False
    """Only print the table of what is done."""
    folder: Path = Path("runs") / "imitation-study"
    """Where the study lives."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        study = ImitationStudy(
            self.tasks, self.learners, self.demos, self.seeds, self.controls, self.ablation,
            self.ablation_task, self.corrupted, self.steps, self.every, self.episodes, self.folder,
            self.jobs,
        )  # fmt: skip
        self._check_audits(study)
        try:
            if not self.collect:
                _train(study, console)
                self._audit(study, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_KEPT) from None
        result = collect(study)
        _print(console, result)
        if rows := collect_threats(study, self.threats):
            result["threats"] = rows
            _print_threats(console, rows)
        for name in figures(result, study.folder):
            console.print(f"picture: {study.folder / name}")
        return Outcome({**result, "versions": versions()}, study.folder)

    def _check_audits(self, study: ImitationStudy) -> None:
        """Raises RoboAdvError for audits of what is not trained, before anything is."""
        trained = {name for _, name, count in study.rows() if count == max(study.demos)}
        for name in self.threats:
            if name not in trained:
                raise unknown(f"variant that is trained at {max(study.demos)} demos", name, trained)
        if self.suite not in SUITES:
            raise unknown("suite of audits", self.suite, SUITES)
        if self.audit_episodes < 1:
            raise RoboAdvError(f"audit_episodes must be at least 1, got {self.audit_episodes}")

    def _audit(self, study: ImitationStudy, console: Console) -> None:
        """Audit the teachers, who set the budgets, then the students."""
        if not self.threats:
            return
        teachers: list[Cell] = [(task, TEACHER, 0) for task in study.tasks]
        work = partial(audit_cell, study, self.suite, self.audit_episodes)
        for some in (teachers, list(cells(study, self.threats))):
            run_shown(console, some, work, study.jobs, "audited")


def _train(study: ImitationStudy, console: Console) -> None:
    with console.status("demonstrations, and a short trial of each learner"):
        prepare(study)
        todo = compute(study)
    console.print(
        f"{todo['cells']:.0f} trainings to do, {todo['steps'] / 1e6:,.1f}M environment steps, about "
        f"{todo['hours']:.1f} h with {study.jobs} jobs; stop and repeat the command as you like"
    )
    run_shown(console, list(study.cells()), partial(run_cell, study), study.jobs, "done")


def _print(console: Console, result: Mapping[str, Any]) -> None:
    """A table per task, and the interquartile means over tasks."""
    rows = result["rows"]
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        table = Table("variant", "demos", "score in %", "by seed", mine[0]["unit"], box=None)
        for row in mine:
            seeds = ", ".join(f"{100 * x:.0f}" for x in row["by_seed"])
            table.add_row(row["variant"], str(row["demos"]), percent(row["score"]), seeds,
                          _plain(row["imitator"]))  # fmt: skip
        console.print(
            f"\n{task}: score (R - random) / (expert - random); random {_plain(mine[0]['random'])}, "
            f"expert {_plain(mine[0]['expert'])}"
        )
        console.print(table)
    if result["over_tasks"]:
        table = Table("variant", "demos", "score in %", box=None)
        for row in result["over_tasks"]:
            table.add_row(row["variant"], str(row["demos"]), percent(row["iqm"]))
        console.print("\ninterquartile mean over tasks and training seeds")
        console.print(table)


def _print_threats(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table per task: safe success without attack and under each attack, and who loses more."""
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        table = Table("variant", "attack", "safe success in %", "teacher", "loses more than teacher",
                      box=None)  # fmt: skip
        for row in mine:
            table.add_row(
                row["variant"], row["attack"], percent(row["safe_success"]),
                f"{100 * row['expert']:.0f}", percent(row["loses_more"], "+"),
            )  # fmt: skip
        console.print(
            f"\n{task}: safe success, without attack and as mean over an attack's budgets"
        )
        console.print(table)


def _plain(value: Mapping[str, Any]) -> str:
    number, low, high = (float(value[name]) for name in ("value", "low", "high"))
    return f"{number:.3g} [{low:.3g}, {high:.3g}]"
