"""Audits of the students of studies: all of a task in the same scenarios, by the same budgets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from robo_adv.agents.audit import audit
from robo_adv.agents.subject import AuditConfig
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run

PORTS = ("observation", "action", "force", "level")


def audited(folder: Path, config: AuditConfig) -> None:
    """Audit a student in `folder`, unless that was done, or go on with it.

    Raises:
        RoboAdvError: the audit that sets the budgets (`config.reference`) is not there yet.
    """
    if (folder / "DONE").exists():
        return
    if config.reference is not None and not config.reference.exists():
        raise RoboAdvError(
            f"there is no {config.reference}: the student whose nominal episodes set the budgets of "
            "all is audited first"
        )

    def start(world: str) -> Run:
        started = (folder / "config.json").exists()
        return Run.open(folder) if started else Run.at(folder, world, "audit", config, config.seed)

    audit(config, start)


def safe_success(folder: Path) -> dict[str, float]:
    """Per attack of a finished audit the safe success, mean over its budgets, and without attack
    (`none`); nothing where it is not finished."""
    path = folder / "summary.json"
    if not path.exists():
        return {}
    summary = json.loads(path.read_text("utf-8"))
    found = {"none": float(summary["clean"]["safe_success"]["rate"])}
    for row in summary["rows"]:
        rates = [c["safe_success"]["rate"] for c in row["cells"] if c["budget"] > 0]
        if rates:
            found[row["label"]] = float(np.mean(rates))
    return found
