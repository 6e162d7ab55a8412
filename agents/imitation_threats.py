"""Is an imitator less safe than its teacher? Both under the same threats, in the same scenarios, by
the standard deviations of the teacher's observations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.agents.imitation_study import TASKS, Cell, ImitationStudy
from robo_adv.agents.student_audits import PORTS, audited, safe_success
from robo_adv.agents.subject import AuditConfig
from robo_adv.safety.bootstrap import Estimate, bootstrap, mean

TEACHER = "expert"


def teacher(study: ImitationStudy, task: str) -> Path:
    """The folder of the audit of a task's expert."""
    return study.folder / task / "expert-audit"


def cells(study: ImitationStudy, variants: tuple[str, ...]) -> Iterator[Cell]:
    """Students that are audited: variants at the largest number of demonstrations."""
    for seed in study.seeds:
        for task in study.tasks:
            for name in variants:
                yield task, f"{name}/{max(study.demos)}", seed


def audit_cell(
    study: ImitationStudy, suite: str, episodes: int, task: str, variant: str, seed: int
) -> None:
    """Audit one student, or with the variant `expert` the teacher, who comes first."""
    what, is_teacher = TASKS[task], variant == TEACHER
    first = teacher(study, task)
    student = study.place(task, variant, seed)
    audited(
        first if is_teacher else student / "audit",
        AuditConfig(
            controller=what.expert if is_teacher else str(student / "checkpoints" / "last"),
            env=what.env, opponent=what.opponent, success=what.success, ports=PORTS, suite=suite,
            episodes=episodes, videos=0, threads=1,
            reference=None if is_teacher else first / "reference.json",
        ),
    )  # fmt: skip


def collect_threats(study: ImitationStudy, variants: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows per task, variant and attack: safe success without it and as mean over its budgets, of the
    teacher and of the students (interval over training seeds), and how much more the student loses by
    the attack than its teacher does."""
    rows: list[dict[str, Any]] = []
    for task in study.tasks:
        best = safe_success(teacher(study, task))
        for name in variants:
            places = [study.place(task, f"{name}/{max(study.demos)}", s) for s in study.seeds]
            found = [each for place in places if (each := safe_success(place / "audit"))]
            if not found or not best:
                continue
            for attack, of_teacher in best.items():
                if any(attack not in each for each in found):
                    continue
                own = np.array([each[attack] for each in found])
                lost = np.array([each["none"] - each[attack] for each in found])
                rows.append({
                    "task": task, "variant": name, "attack": attack, "seeds": len(found),
                    "expert": of_teacher, "by_seed": own.tolist(),
                    "safe_success": _over(own).to_json(),
                    "loses_more": _over(lost - (best["none"] - of_teacher)).to_json(),
                })  # fmt: skip
    return rows


def _over(values: Any) -> Estimate:
    """The mean over training seeds (S,); one alone has no interval."""
    if len(values) < 2:
        return Estimate(float(values.mean()), -np.inf, np.inf)
    return bootstrap(mean, [values], np.random.default_rng(0), reps=2000)
