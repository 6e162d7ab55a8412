"""Export: a finished audit as a pytest suite with which a project guards its controller in its CI."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robo_adv.agents.adversary import BEST
from robo_adv.agents.evaluation import NORMAL
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.agents.subject import TRAINED
from robo_adv.audit.gates import Gate, measured_gates
from robo_adv.audit.reference import Reference
from robo_adv.audit.service import LABEL
from robo_adv.audit.store import CLEAN
from robo_adv.audit.suite import (
    CARD,
    KEPT,
    CellCard,
    FailureCard,
    RowCard,
    Safety,
    is_plain,
    portable,
    safe_successes,
)
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, write_folder
from robo_adv.safety.statistics import Rate

TEST = "test_robot_safety.py"
FAILURES, OPPONENTS = "failures", "opponents"
CACHES = {"__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache"}
OURS = {TEST, CARD, FAILURES, OPPONENTS}
_TRAINED = f"./{OPPONENTS}/{TRAINED}"  # its bundle goes with the suite
EPISODES = 50  # of each cell that the tests play, unless an environment variable says otherwise
SUITE = '''\
"""Guards a robot controller: what a safety audit found out about it should stay so.

Written by `robo-adv audit ... --export-tests`. Who plays what, and how it is judged, stands in
safety.json beside this file; audit and export again to change it. Environment variables:

    ROBO_ADV_CONTROLLER=NAME   plays another controller, named as for `robo-adv audit`
    ROBO_ADV_EPISODES=N        plays the first N scenarios of each cell
    ROBO_ADV_STRICT=1          fails what is undecided, which otherwise is skipped
"""

from pathlib import Path

import pytest
from robo_adv.agents.guard_pytest import check, opened

GUARD = opened(Path(__file__).parent)
pytestmark = pytest.mark.filterwarnings("default::robo_adv.agents.guard_pytest.Notice")


@pytest.mark.parametrize("failure", GUARD.failures)
def test_a_recorded_failure_replays_to_the_bit(failure: str) -> None:
    check(GUARD.replays, failure)


@pytest.mark.parametrize("failure", GUARD.failures)
def test_a_known_failure_is_fixed(failure: str) -> None:
    """Expected to fail (xfail) as long as it is not; never red."""
    check(GUARD.known_failure, failure)


@pytest.mark.parametrize("cell", GUARD.cells)
def test_safe_successes_are_kept(cell: str) -> None:
    """Red when a net loss against the audit is proven over the same scenarios."""
    check(GUARD.regression, cell)


@pytest.mark.parametrize("gate", GUARD.gates)
def test_no_gate_is_met(gate: str) -> None:
    """Red when the whole 95 % interval meets the condition; skipped when a part of it does."""
    check(GUARD.gate, gate)
'''


def check_target(folder: Path) -> None:
    """Nothing but an earlier export is replaced.

    Raises:
        RoboAdvError: something else is there.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise RoboAdvError(f"--export-tests {folder} is not a folder; name a new one")
    found = {path.name for path in folder.iterdir()} - CACHES
    ours = OURS if _exported(folder) else set()
    if found <= ours:
        return
    others = sorted(found - ours)
    raise RoboAdvError(
        f"--export-tests {folder} holds what no export wrote ({', '.join(others[:5])}), and would be "
        "replaced as a whole; name a new folder, or move these files"
    )


def _exported(folder: Path) -> bool:
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and str(card.get("format", "")).startswith("robo_adv.safety/")


def finished(run: Run) -> dict[str, Any]:
    """The summary of a finished audit; nothing is played.

    Raises:
        RoboAdvError: it is not finished, or its summary cannot be read.
    """
    path = run.folder / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RoboAdvError(f"cannot read the audit's numbers in {path}: {error}") from error
    if not run.done or not isinstance(summary, dict) or "rows" not in summary:
        raise RoboAdvError(f"{run.folder} is not a finished audit; go on with it by --resume")
    return summary


def export_tests(run: Run, folder: Path, gates: Sequence[str] = ()) -> Safety:
    """Write the suite of a finished audit; an earlier export is replaced in one step.

    Args:
        gates: conditions of --fail-if; by default two that follow from the measured intervals.

    Raises:
        RoboAdvError: the run lacks something, or `folder` holds something else.
    """
    folder = folder.absolute()
    check_target(folder)
    summary = finished(run)
    safety = _safety(run, summary, folder, gates)

    def write(target: Path) -> None:
        (target / TEST).write_text(SUITE, encoding="utf-8")
        (target / CARD).write_text(safety.model_dump_json(indent=1) + "\n", encoding="utf-8")
        for card in safety.failures:
            shutil.copytree(run.folder / card.folder, target / card.folder)
        if any(row.attack == _TRAINED for row in safety.rows):
            shutil.copytree(run.folder / "adversary" / BEST, target / _TRAINED)

    write_folder(folder, write)
    return safety


def _safety(run: Run, summary: Mapping[str, Any], folder: Path, gates: Sequence[str]) -> Safety:
    config: dict[str, Any] = run.config["config"]
    if "searched" not in summary:
        raise RoboAdvError(f"{run.folder} was written by an older version of robo_adv: audit anew")
    outcomes = _outcomes(run)
    clean = outcomes[CLEAN, 0.0]
    played = [row for row in summary["rows"] if not row["skipped"]]
    left_out = [row["label"] for row in played if not is_plain(row["attack"])]
    rows = [_row(r, outcomes, summary, folder) for r in played if r["label"] not in left_out]
    episodes = min(len(clean), EPISODES)
    for gate in gates:
        list(Gate.parse(gate).cells(summary))
    return Safety(
        controller=_name(config["controller"], folder),
        controller_sha256=summary["controller_sha256"], trust=config["trust"],
        statistics=portable(config["statistics"] or "", folder),
        env=config["env"] or summary["world"], options={**summary["options"], **config["options"]},
        imports=config["imports"], player=summary["player"],
        opponent=_name(summary["opponent"], folder), success=config["success"],
        unsafe=config["unsafe"], criterion=summary["criterion"], seed=config["seed"],
        episodes=episodes, reference=Reference.load(run.folder / "reference.json"), clean=clean,
        rows=tuple(rows), failures=_failures(summary, left_out), left_out=tuple(left_out),
        gates=tuple(gates or _gates(clean[:episodes], summary)), versions=summary["versions"],
    )  # fmt: skip


def _name(name: str, folder: Path) -> str:
    """A policy's name, as seen from the suite."""
    return name if name in SCRIPTED or name == NORMAL else portable(name, folder)


def _outcomes(run: Run) -> dict[tuple[str, float], str]:
    """Per row and budget the outcomes of its first KEPT scenarios, one letter each."""
    path, out = run.folder / "episodes.jsonl", dict[tuple[str, float], str]()
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            cell = told["row"], float(told["budget"])
            letter = "U" if told["unsafe"] else "S" if told["success"] else "F"
            out[cell] = (out.get(cell, "") + letter)[:KEPT]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RoboAdvError(f"cannot read the audit's episodes in {path}: {error}") from error
    return out


def _row(
    row: Mapping[str, Any], outcomes: Mapping[tuple[str, float], str], summary: Mapping[str, Any],
    folder: Path,
) -> RowCard:  # fmt: skip
    """A row with all its cells; the one at the smallest budget is guarded, if it has safe successes."""
    label, attack = row["label"], row["attack"]
    if row["port"] == "opponent":
        attack = _TRAINED if attack == TRAINED else _name(attack, folder)
    cells: list[CellCard] = []
    for number in row["cells"][1:]:
        told = outcomes[label, float(number["budget"])]
        guarded = not cells and bool(safe_successes(told[:EPISODES]).any())
        cells.append(CellCard(budget=number["budget"], outcomes=told, guarded=guarded))
    return RowCard(
        label=label, port=row["port"], attack=attack, norm=row["norm"], unit=row["unit"],
        slices=row["slices"], schedule=row["schedule"], parameters=row["parameters"],
        found=summary["searched"].get(label, {}), cells=tuple(cells),
    )  # fmt: skip


def _failures(summary: Mapping[str, Any], left_out: Sequence[str]) -> tuple[FailureCard, ...]:
    """The recorded failures but those of rows that are left out, and the most likely one in service."""
    found = [
        FailureCard(folder=entry["bundle"], row=entry["row"], budget=entry["budget"],
                    scenario=entry["scenario"], outcome=entry["outcome"])
        for entry in summary["failures"]
        if entry["reproduced"] and entry["row"] not in left_out
    ]  # fmt: skip
    likely = summary.get("failure_search", {}).get("most_likely")
    if likely and likely["replay"]["reproduced"]:
        replay = likely["replay"]
        found.append(
            FailureCard(folder=replay["bundle"], row=LABEL, budget=0.0, scenario=likely["scenario"],
                        outcome=replay["outcome"], level=likely["level"])
        )  # fmt: skip
    return tuple(found)


def _gates(clean: str, summary: Mapping[str, Any]) -> list[str]:
    judged = not summary["criterion"]["unsafe"].startswith("nothing (")
    unsafe = Rate(clean.count("U"), len(clean)) if judged else None
    return measured_gates(Rate(clean.count("S"), len(clean)), unsafe)
