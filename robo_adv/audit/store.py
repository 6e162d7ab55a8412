"""Store: finished cells on disk, so that an interrupted audit goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.audit.engine import Played
from robo_adv.errors import RoboAdvError
from robo_adv.runs import write_text
from robo_adv.safety.outcomes import Outcomes

CLEAN = "none"  # label of the cell without a threat


@dataclass(frozen=True)
class Cell:
    """What is kept of one row at one budget.

    Attributes:
        label, budget: which. outcomes: per scenario. returns, length: per scenario [1], [steps].
        why: per scenario what was unsafe, in words. ended: per scenario `diverged` (the simulation),
            `forfeit` (the controller's action was no number), or ''.
        attack: what a search found. excess: asked for in budgets. searched: episodes of searching.
        acted: whether the threat's schedule ever let it act.
        calls: of the controller. seconds: wall time.
    """

    label: str
    budget: float
    outcomes: Outcomes
    returns: tuple[float, ...]
    length: tuple[int, ...]
    why: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    attack: str = ""
    excess: float = 0.0
    searched: int = 0
    calls: int = 0
    acted: bool = True
    seconds: float = 0.0

    @staticmethod
    def of(label: str, budget: float, played: Played, player: str, seconds: float) -> Cell:
        """From what was played, rounded as it is written, so that a resumed audit reads the same."""
        o = played.outcomes
        kept = Outcomes(
            o.seeds, o.success, o.unsafe, _rounded(o.severity), _rounded(o.score),
            _rounded(o.time_to_violation),
        )  # fmt: skip
        returns = _rounded(played.episodes.returns[player])
        episodes, setting = played.episodes, played.setting
        broken = zip(episodes.diverged, episodes.forfeit, strict=True)
        return Cell(
            label, budget, kept, tuple(float(x) for x in returns),
            tuple(int(x) for x in episodes.length), tuple(played.reasons),
            tuple("diverged" if d else "forfeit" if f else "" for d, f in broken),
            setting.told, setting.excess, setting.found.episodes if setting.found else 0,
            played.calls, setting.acted, round(seconds, 3),
        )  # fmt: skip

    def lines(self) -> Iterator[dict[str, Any]]:
        """One line per episode, for episodes.jsonl."""
        o = self.outcomes
        for j in range(len(o)):
            yield {
                "row": self.label, "budget": self.budget, "scenario": int(o.seeds[j]),
                "success": bool(o.success[j]), "unsafe": bool(o.unsafe[j]),
                "severity": _number(o.severity[j]), "score": float(o.score[j]),
                "time_to_violation": _number(o.time_to_violation[j]),
                "return": self.returns[j], "length": self.length[j],
                "why": self.why[j] if self.why else "", "ended": self.ended[j] if self.ended else "",
            }  # fmt: skip


class Store:
    """Cells in `folder/cells/`, one file each, written in one step.

    Args:
        key: of everything that all cells depend on. Cells of another key are not found.
    """

    def __init__(self, folder: Path, key: str = "") -> None:
        self.folder, self.key = folder / "cells", key

    def identity(self, about: str) -> str:
        """Of a cell: of the key, and of what only this cell depends on."""
        return hashlib.sha256(f"{self.key}\n{about}".encode()).hexdigest()[:16]

    def find(self, label: str, budget: float, about: str = "") -> Cell | None:
        """A finished cell, or None; a file that cannot be read, or that holds a cell of another
        identity, counts as not finished."""
        path = self._path(label, budget)
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            head, rows = lines[0], lines[1:]
            whole = len(rows) == head["episodes"] and head["identity"] == self.identity(about)
            return _cell(head, rows) if whole else None
        except (OSError, ValueError, KeyError, IndexError, TypeError, RoboAdvError):
            return None

    def write(self, cell: Cell, about: str = "") -> None:
        """Keep a finished cell."""
        head = {
            "row": cell.label, "budget": cell.budget, "episodes": len(cell.outcomes),
            "attack": cell.attack, "excess": _number(cell.excess), "searched": cell.searched,
            "calls": cell.calls, "acted": cell.acted, "seconds": cell.seconds,
            "identity": self.identity(about),
        }  # fmt: skip
        text = "".join(json.dumps(line) + "\n" for line in (head, *cell.lines()))
        write_text(self._path(cell.label, cell.budget), text)

    def _path(self, label: str, budget: float) -> Path:
        readable = "".join(c if c.isalnum() or c in "-." else "_" for c in label)[:60]
        digest = hashlib.sha256(label.encode()).hexdigest()[:6]
        return self.folder / f"{readable}-{digest}@{budget!r}.jsonl"


def _cell(head: dict[str, Any], rows: list[dict[str, Any]]) -> Cell:
    def column(name: str, kind: Any = np.float64) -> Any:
        return np.array([_back(row[name]) for row in rows], dtype=kind)

    outcomes = Outcomes(
        column("scenario", np.uint64), column("success", np.bool_), column("unsafe", np.bool_),
        column("severity"), column("score"), column("time_to_violation"),
    )  # fmt: skip
    return Cell(
        head["row"], head["budget"], outcomes, tuple(float(row["return"]) for row in rows),
        tuple(int(row["length"]) for row in rows), tuple(str(row["why"]) for row in rows),
        tuple(str(row["ended"]) for row in rows), head["attack"], _back(head["excess"]),
        head["searched"], head["calls"], head["acted"], head["seconds"],
    )  # fmt: skip


def _rounded(values: Any) -> Any:
    """To 9 significant digits."""
    return np.array([float(f"{value:.9g}") for value in values])


def _number(value: float) -> float | str:
    """JSON has no infinity."""
    return float(value) if np.isfinite(value) else "inf"


def _back(value: Any) -> Any:
    return float("inf") if value == "inf" else value
