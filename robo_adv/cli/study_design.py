"""`robo-adv study design`: which generator of levels makes the best student? One resumable command."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.agents import design_study
from robo_adv.agents.design_study import BASELINE, DesignStudy, collect, compute, run_cell
from robo_adv.agents.design_threats import Threats, audit_cell, collect_threats, first_of
from robo_adv.agents.study_pictures import study_figures
from robo_adv.cli.study_cells import run_shown
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.levels.generator import GENERATORS
from robo_adv.levels.statistics import MEANINGS
from robo_adv.runs import versions


@dataclass(frozen=True)
class StudyDesign:
    """Compare generators of levels at equal environment steps: train every cell of a grid, play the
    suites, print a table. It says first how much there is to compute; finished cells are kept."""

    tasks: tuple[str, ...] = ("reach", "kick")
    """reach, push or kick, each with two obstacles."""
    generators: tuple[str, ...] = design_study.SCREEN
    """Generators, see `robo-adv list`."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Training seeds."""
    steps: int = 0
    """Environment steps per training, of all students together; 0 for the task's."""
    suites: tuple[str, ...] = ("nominal", "iid-b", "shell", "corners")
    """Suites that the students play."""
    episodes: int = 4
    """Episodes per level."""
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Trainings side by side, one core each."""
    threats: bool = False
    """Audit the students, too: do curricula make them degrade less under attack?"""
    collect: bool = False
    """Only print the table of what is done."""
    folder: Path = Path("runs") / "design-study"
    """Where the study lives."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        for name in self.generators:
            GENERATORS[name]
        study = DesignStudy(
            self.tasks, self.generators, self.seeds, self.steps, self.suites, self.episodes,
            self.folder, self.jobs,
        )  # fmt: skip
        try:
            if not self.collect:
                _run(study, console)
                if self.threats:
                    _audit(study, console)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "stopped; all that is done is kept: the same command goes on, with --collect it only "
                "prints what there is"
            ) from None
        result = collect(study)
        for task in study.tasks:
            for suite in study.suites:
                print_rows(console, task, suite, result["rows"])
        if rows := collect_threats(study):
            result["threats"] = rows
            print_threats(console, rows)
        pictures = study_figures(result, study.folder)
        for name in pictures:
            console.print(f"picture: {study.folder / name}")
        return Outcome({**result, "versions": versions()}, study.folder)


def _audit(study: DesignStudy, console: Console) -> None:
    """Audit every student, those that set the budgets first."""
    cells, work = list(study.cells()), partial(audit_cell, study, Threats())
    first = [c for c in cells if study.place(*c) == first_of(study, c[0])]
    if missing := {c[0] for c in cells} - {c[0] for c in first}:
        raise RoboAdvError(
            f"--threats takes budgets from a uniformly trained student, and {', '.join(missing)} has "
            f"none: add {BASELINE} to --generators"
        )
    for some in (first, [c for c in cells if c not in first]):
        run_shown(console, some, work, study.jobs, "audited")


def print_threats(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table per task: safe success, mean over the audit's budgets, per attack and generator."""
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        names = list(dict.fromkeys(row["attack"] for row in mine))
        table = Table("generator", *names, box=None)
        for generator in dict.fromkeys(row["generator"] for row in mine):
            found = {row["attack"]: row for row in mine if row["generator"] == generator}
            table.add_row(generator, *(percent(found[n]["safe_success"]) for n in names))
        console.print(
            f"\n{task}: safe success in %, without attack and as mean over the budgets of an attack"
        )
        console.print(table)


def _run(study: DesignStudy, console: Console) -> None:
    with console.status("a short trial of each task"):
        todo = compute(study)
    console.print(
        f"{todo['cells']:.0f} trainings to do, {todo['steps'] / 1e6:,.1f}M environment steps, about "
        f"{todo['hours']:.1f} h with {study.jobs} jobs; stop and repeat the command as you like"
    )
    run_shown(console, list(study.cells()), partial(run_cell, study), study.jobs, "done")


def print_rows(
    console: Console, task: str, suite: str, rows: Sequence[Mapping[str, Any]]
) -> None:  # fmt: skip
    """A table of one task and suite, the best mean first."""
    mine = [row for row in rows if row["task"] == task and row["suite"] == suite]
    if not mine:
        return
    names = [name for name in MEANINGS if name in mine[0]]
    table = Table("generator", *names, "gain over uniform", "unsafe", "seeds", box=None)
    for row in sorted(mine, key=lambda row: -row["mean"]["value"]):
        gain = row.get("gain_mean")
        table.add_row(
            row["generator"], *(percent(row[name]) for name in names),
            "" if gain is None else percent(gain, "+"), percent(row["unsafe"]),
            ", ".join(f"{100 * x:.0f}" for x in row["by_seed"]),
        )  # fmt: skip
    console.print(
        f"\n{task}, suite {suite}: success in %, {mine[0]['seeds']} training seeds, "
        f"{mine[0]['steps']:,} environment steps each"
    )
    console.print(table)


def percent(value: Mapping[str, Any], sign: str = "") -> str:
    """For example `54 [51, 57]`; the bare number where one seed gives no interval."""
    number, low, high = (100 * float(value[name]) for name in ("value", "low", "high"))
    if not math.isfinite(high - low):
        return f"{number:{sign}.0f}"
    return f"{number:{sign}.0f} [{low:{sign}.0f}, {high:{sign}.0f}]"
