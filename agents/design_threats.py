"""What curricula do for safety: the students of a design study under the audit's threats.

All students of a task are audited with the same scenarios and the same standard deviations, those of
the first uniformly trained student, else a student would set its own budgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.agents.design_study import BASELINE, DesignStudy
from robo_adv.agents.student_audits import PORTS, audited, safe_success
from robo_adv.agents.subject import AuditConfig
from robo_adv.safety.bootstrap import bootstrap, mean, mean_difference


@dataclass(frozen=True)
class Threats:
    """Attributes:
    suite: of the audit. episodes: scenarios per cell of an audit.
    """

    suite: str = "quick"
    episodes: int = 50


def first_of(study: DesignStudy, task: str) -> Path:
    """The folder of the student that sets the standard deviations."""
    return study.place(task, BASELINE, study.seeds[0])


def audit_cell(
    study: DesignStudy, threats: Threats, task: str, generator: str, seed: int
) -> None:  # fmt: skip
    """Audit one student; what is done already is not done again.

    Raises:
        RoboAdvError: the student that sets the standard deviations was not audited yet.
    """
    place, first = study.place(task, generator, seed), first_of(study, task)
    audited(
        place / "audit",
        AuditConfig(
            controller=str(place), ports=PORTS, suite=threats.suite, episodes=threats.episodes,
            videos=0, threads=1,
            reference=None if place == first else first / "audit" / "reference.json",
        ),
    )  # fmt: skip


def collect_threats(study: DesignStudy) -> list[dict[str, Any]]:
    """Rows: per task, generator and attack the safe success without attack and its mean over the
    budgets, with intervals over training seeds, and what it gains over uniform training."""
    rows = []
    for task in study.tasks:
        by_generator = {g: _curves(study, task, g) for g in study.generators}
        base = by_generator.get(BASELINE) or _curves(study, task, BASELINE)
        for generator, curves in by_generator.items():
            for name, values in curves.items():
                row: dict[str, Any] = {
                    "task": task, "generator": generator, "attack": name, "seeds": len(values),
                    "by_seed": values.tolist(), "safe_success": _over_seeds(values),
                }  # fmt: skip
                other = base.get(name, np.zeros(0))
                if generator != BASELINE and len(other) == len(values) > 1:
                    rng = np.random.default_rng(0)
                    found = bootstrap(mean_difference, [values, other], rng, reps=2000)
                    row["gain"] = found.to_json()
                rows.append(row)
    return rows


def _over_seeds(values: Any) -> dict[str, Any]:
    if len(values) < 2:
        return {"value": float(values.mean()), "low": "-inf", "high": "inf"}
    return bootstrap(mean, [values], np.random.default_rng(0), reps=2000).to_json()


def _curves(study: DesignStudy, task: str, generator: str) -> dict[str, Any]:
    """Per attack, and for `none`: safe success (S,) per audited student, mean over budgets."""
    found: dict[str, list[float]] = {}
    for seed in study.seeds:
        for name, rate in safe_success(study.place(task, generator, seed) / "audit").items():
            found.setdefault(name, []).append(rate)
    return {name: np.array(values) for name, values in found.items()}
