"""A summary with everything in it, from the real statistics on drawn outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.audit.audit import Audit, Line
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.store import CLEAN, Cell
from robo_adv.audit.summary import summarise
from robo_adv.film import write_film
from robo_adv.safety.outcomes import Outcomes

PORTS = ("observation", "action", "force", "level", "opponent")
STRENGTH = {"observation": 0.3, "action": 0.6, "force": 0.9, "level": 0.8, "opponent": 0.4}


def outcomes(n: int, damage: float, rng: np.random.Generator, harm: float = 0.5) -> Outcomes:
    """n scenarios of which a share `damage` is lost, `harm` of those by a violation."""
    lost = rng.random(n) < damage
    unsafe = lost & (rng.random(n) < harm)
    severity = np.where(unsafe, 1.0 + rng.exponential(1.0, n), 0.9 * rng.random(n) ** 2)
    time = np.where(unsafe, rng.uniform(0.2, 4.0, n), np.inf)
    score = np.where(lost, 0.5, 1.0)
    return Outcomes(np.arange(n, dtype=np.uint64), ~lost, unsafe, severity, score, time)


def cell(label: str, budget: float, o: Outcomes, **more: Any) -> Cell:
    n = len(o)
    return Cell(label, budget, o, tuple((-5.0 * o.unsafe).tolist()), (50,) * n, **more)


def audit_of(n: int = 40, suite: str = "standard", opponent: str = "adversary-s1") -> Audit:
    """An audit of every port, with one row that could not be played."""
    rng = np.random.default_rng(3)
    rows = plan(PORTS, suite=suite, opponents=(opponent,))
    clean = cell(CLEAN, 0.0, outcomes(n, 0.03, rng, 0.0))
    lines = []
    for k, row in enumerate(rows):
        if row.name == "critic":
            lines.append(Line(row, skipped="needs value of the controller, a black box here"))
            continue
        weak = 0.02 if row.name in ("uniform", "action-uniform") else STRENGTH[row.threat.port]
        lines.append(Line(row, (clean, *(_attacked(row, b, weak, n, 7 + k) for b in row.budgets))))
    return Audit(clean, tuple(lines))


def _attacked(row: Row, budget: float, weak: float, n: int, seed: int) -> Cell:
    rng = np.random.default_rng([seed, round(1000 * budget)])
    damage = min(1.0, 0.03 + weak * (budget / row.budgets[-1]) ** 1.2 * 1.3)
    level = row.threat.port == "level"
    told = f"action_delay {round(4 * budget)} control steps" if level else ""
    harm = 0.7 if row.threat.port == "force" else 0.3
    excess = 3.0 if row.name == "fgsm" and budget == row.budgets[-1] else 1.0
    return cell(
        row.label, budget, outcomes(n, damage, rng, harm), attack=told,
        searched=160 if level else 0, excess=excess,
    )  # fmt: skip


def cells_of(audit: Audit) -> list[Cell]:
    return [audit.clean, *(c for line in audit.lines for c in line.cells[1:])]


def summary_of(audit: Audit, name: str = "reach-panda-s1", **more: Any) -> dict[str, Any]:
    """With all that the command line adds."""
    return {
        **summarise(audit, horizon=4.0, null=0.0),
        "controller": name, "world": "Reach-v0", "player": "arm", "options": {"arm": "panda"},
        "criterion": {
            "success": "the gripper rests within 2 cm of the goal",
            "unsafe": "contact_force_ratio > 1 or joint_limit_excess > 0",
        },
        "suite": "standard", "episodes": len(audit.clean.outcomes), "seed": 0,
        "search_episodes": 8, "access": ["mean", "std", "normaliser"], "deterministic": True,
        "notices": [
            "Forces are judged by contact limits that follow public secondary sources: a design "
            "aid, not a conformity claim."
        ],
        "reference": {"controller": "reach-panda-s1", "episodes": 32, "seed": 3_000_000},
        "versions": {"python": "3.11.2", "robo_adv": "0.1.0", "mujoco": "3.17.0"},
        "command": "robo-adv audit reach-panda-s1 --env Reach-v0 --suite standard",
        "seconds": 192.4, "policy_queries": 1_234_567, **more,
    }  # fmt: skip


def failures(film: str = "videos/a.mp4") -> list[dict[str, Any]]:
    return [
        {"row": "force/worst-push", "budget": 1.0, "scenario": 17, "outcome": "unsafe",
         "severity": 2.31, "time_to_violation": 0.84, "video": film, "bundle": "failures/push-17",
         "command": "robo-adv replay runs/audit/failures/push-17"},
        {"row": "observation/pgd", "budget": 0.2, "scenario": 4, "outcome": "frozen",
         "severity": 0.4, "time_to_violation": None, "video": "", "bundle": "failures/pgd-4",
         "command": "robo-adv replay runs/audit/failures/pgd-4"},
    ]  # fmt: skip


def profile() -> dict[str, Any]:
    parts = {
        name: {"value": v, "low": 0.7 * v, "high": 1.4 * v, "corrected": v, "share": v / 0.1}
        for name, v in (
            ("systematic", 0.04), ("conditional", 0.03), ("drift", 0.02), ("transient", 0.01)
        )
    }  # fmt: skip
    harm = {"value": 0.1, "low": 0.02, "high": 0.2}
    removals = {"in bursts": {"harm_removed": harm, "p": 0.01, "adjusted_p": 0.03}}
    out: dict[str, Any] = {"parts": parts, "total": 0.1, "block_steps": 10}
    return {**out, "baseline": "expert", "removals": removals}


def film(path: Path, seconds: float = 1.0) -> Path:
    """A small real video: a square that moves."""
    count = round(20 * seconds)

    def frame(t: int) -> Any:
        picture = np.full((120, 320, 3), 235, dtype=np.uint8)
        x = 10 + (250 * t) // count
        picture[40:80, x : x + 40] = (29, 92, 158)
        return picture

    write_film(path, (frame(t) for t in range(count)), 20.0, count)
    return path
