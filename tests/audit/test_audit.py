"""An audit from the command line: what it writes, that it resumes, and that its failures replay."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.agents.failures import open_replay
from robo_adv.agents.subject import AuditConfig, prepare
from robo_adv.agents.worlds import make_world
from robo_adv.audit.audit import Audit, Line
from robo_adv.audit.failures import choose
from robo_adv.audit.gates import Gate
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.reference import Reference
from robo_adv.audit.replay import Replay, replay
from robo_adv.audit.store import Cell, Store
from robo_adv.cli.main import run
from robo_adv.errors import RoboAdvError
from robo_adv.safety.outcomes import Outcomes
from robo_adv.threats.threat import Threat

QUICK = [
    "audit", "zoo:reach-panda-s1", "--attacks", "corner", "pgd", "random-push", "level-grid",
    "--budgets", "observation=0.1,1", "force=0.5,2", "level=0.5,1", "--episodes", "6",
    "--search-episodes", "1", "--videos", "2", "--threads", "1", "--json",
]  # fmt: skip


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("audit")
    assert run([*QUICK, "--runs", str(root)]) == 0
    (folder,) = root.glob("*/audit/*")
    return folder


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def test_an_audit_writes_its_report_its_numbers_and_every_episode(audited: Path) -> None:
    found = summary(audited)
    labels = [row["label"] for row in found["rows"]]
    assert labels == [
        "observation/corner",
        "observation/pgd",
        "force/random-push",
        "level/level-grid",
    ]
    lines = [json.loads(line) for line in (audited / "episodes.jsonl").read_text().splitlines()]
    assert len(lines) == 6 * (1 + 4 * 2)
    for row in found["rows"]:
        for cell in row["cells"][1:]:
            mine = [e for e in lines if (e["row"], e["budget"]) == (row["label"], cell["budget"])]
            assert (
                sum(e["success"] and not e["unsafe"] for e in mine) == cell["safe_success"]["count"]
            )
            parts = [cell[name]["count"] for name in ("safe_success", "unsafe", "frozen")]
            assert sum(parts) == 6 and not cell["clipped"]
    assert "reach-panda-s1" in (audited / "report.html").read_text()
    assert (audited / "DONE").exists()


def test_scenarios_are_paired_over_all_cells(audited: Path) -> None:
    lines = [json.loads(line) for line in (audited / "episodes.jsonl").read_text().splitlines()]
    by_cell: dict[Any, list[int]] = {}
    for line in lines:
        by_cell.setdefault((line["row"], line["budget"]), []).append(line["scenario"])
    assert len(by_cell) == 9 and len({tuple(scenarios) for scenarios in by_cell.values()}) == 1


def test_every_failure_replays_to_the_bit(audited: Path, tmp_path: Path) -> None:
    found = summary(audited)["failures"]
    assert found and all(failure["reproduced"] for failure in found)
    for failure in found:
        assert run(["replay", str(audited / failure["bundle"]), "--json"]) == 0
        assert (audited / failure["video"]).stat().st_size > 5_000


def test_a_replay_of_other_actions_is_not_called_the_same(audited: Path, tmp_path: Path) -> None:
    bundle = audited / summary(audited)["failures"][0]["bundle"]
    recording = Replay.load(bundle)
    actions = {p: a.copy() for p, a in recording.actions.items()}
    actions["arm"][3, 0] += 1e-9
    world = make_world("Reach-v0", 1, options={})
    assert replay(replace(recording, actions=actions), world)[1] != recording.about.digest
    assert replay(recording, world)[1] == recording.about.digest


def test_broken_replays_are_refused_with_a_reason(audited: Path, tmp_path: Path) -> None:
    bundle = audited / summary(audited)["failures"][0]["bundle"]
    for name, content, why in (
        ("replay.npz", b"PK\x03\x04 not a zip", "plain arrays"),
        ("replay.json", b"{", "not JSON"),
        ("replay.json", b"{}", "not a replay's card"),
    ):
        broken = tmp_path / why.replace(" ", "-")
        shutil.copytree(bundle, broken)
        (broken / name).write_bytes(content)
        with pytest.raises(RoboAdvError, match=why):
            Replay.load(broken)
    with pytest.raises(RoboAdvError, match="cannot read a replay's card"):
        Replay.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "robo_adv.replay/2"}, "format: Input should be"),
        ({"scenario": -1}, "scenario: .* greater than or equal to 0"),
        ({"player": None}, "player: .* valid string"),
        ({"budget": "much"}, "budget: .* valid number"),
        ({"surprise": 1}, "surprise: Extra inputs"),
        ({"game": "Reech-v0"}, "Reech-v0"),
        ({"player": "leg"}, "unknown player"),
        ({"level": {"weight": 3.0}}, "weight"),
        ({"imports": ["antigravity"]}, "needs your modules antigravity"),
        ({"unsafe": "antigravity:geohash"}, "needs your modules antigravity"),
    ],
)
def test_an_edited_replay_is_refused_with_a_reason(
    change: dict[str, Any], why: str, audited: Path, tmp_path: Path
) -> None:
    shutil.copytree(audited / summary(audited)["failures"][0]["bundle"], tmp_path / "edited")
    card = tmp_path / "edited" / "replay.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    with pytest.raises(RoboAdvError, match=why):
        opened = open_replay(tmp_path / "edited")
        replay(opened.recording, opened.world)
    assert run(["replay", str(tmp_path / "edited"), "--json"]) == 2


def test_a_resumed_audit_keeps_finished_cells_and_gives_the_same_numbers(
    audited: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(audited, again)
    for name in ("DONE", "summary.json", "report.html", "episodes.jsonl"):
        (again / name).unlink()
    victims = sorted((again / "cells").glob("*pgd*"))
    victims[0].unlink()
    text = victims[1].read_text()
    victims[1].write_text(text[: len(text) // 2])  # cut short, as by a kill
    kept = {
        p.name: p.stat().st_mtime_ns for p in (again / "cells").iterdir() if "pgd" not in p.name
    }
    assert run(["audit", "--resume", str(again), "--json"]) == 0
    assert {n: (again / "cells" / n).stat().st_mtime_ns for n in kept} == kept
    first, second = summary(audited), summary(again)
    assert _numbers(first) == _numbers(second)
    assert (again / "episodes.jsonl").read_text() == (audited / "episodes.jsonl").read_text()


def _numbers(found: dict[str, Any]) -> str:
    """Rows and the clean cell without wall times."""
    text = json.dumps([found["clean"], found["rows"]], sort_keys=True)
    return json.dumps(_without(json.loads(text), "seconds"))


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, name) for k, v in value.items() if k != name}
    return [_without(v, name) for v in value] if isinstance(value, list) else value


def test_a_reference_is_frozen_and_refuses_another_world(audited: Path, tmp_path: Path) -> None:
    reference = Reference.load(audited / "reference.json")
    reference.save(tmp_path / "copy.json")
    assert Reference.load(tmp_path / "copy.json") == reference
    config = AuditConfig(
        "push-expert", env="Push-v0", reference=audited / "reference.json", threads=1
    )
    with pytest.raises(RoboAdvError, match="the reference was measured in Reach-v0"):
        prepare(config, make_world("Push-v0", 2, options={}))


def cell(label: str, budget: float, success: list[bool], unsafe: list[bool] | None = None) -> Cell:
    n = len(success)
    harm = np.array(unsafe or [False] * n)
    outcomes = Outcomes(
        np.arange(n, dtype=np.uint64), np.array(success), harm, 2.0 * harm,
        np.array(success, dtype=float), np.where(harm, 0.5, np.inf),
    )  # fmt: skip
    return Cell(label, budget, outcomes, (0.0,) * n, (10,) * n)


def test_a_cell_reads_what_it_writes(tmp_path: Path) -> None:
    store, made = Store(tmp_path), cell("force/worst-push", 0.5, [True, False], [False, True])
    store.write(made)
    found = store.find("force/worst-push", 0.5)
    assert found is not None and found.returns == made.returns
    for name in ("seeds", "success", "unsafe", "severity", "score", "time_to_violation"):
        assert np.array_equal(getattr(found.outcomes, name), getattr(made.outcomes, name))
    assert store.find("force/worst-push", 1.0) is None


def test_failures_are_scenarios_that_were_fine_and_the_unsafe_ones_come_first() -> None:
    clean = cell("none", 0.0, [True, True, False, True])
    row = Row("corner", Threat("observation", 0.0), (0.1, 1.0))
    mild = cell(row.label, 0.1, [True, True, True, True])
    gross = cell(row.label, 1.0, [False, True, False, True], [False, False, True, True])
    audit = Audit(clean, (Line(row, (clean, mild, gross)),))
    failures = choose(audit, 5)
    assert [f.index for f in failures] == [2, 3]  # one by itself, then the unsafe new one
    assert failures[0].row is None and failures[1].outcome == "unsafe"
    assert failures[1].cell.budget == 1.0


@pytest.mark.parametrize("text", ["safe_success<0.9", "unsafe@force<=0.5>0.1"])
def test_gates_are_read(text: str) -> None:
    gate = Gate.parse(text)
    assert gate.condition.name in text and (gate.port == "force") == ("@" in text)


@pytest.mark.parametrize(
    "text", ["speed<1", "unsafe@force>0.1", "unsafe@moon<=1>0.1", "unsafe@force<=x>1"]
)
def test_gates_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(RoboAdvError):
        Gate.parse(text)


def test_plans_refuse_what_does_not_exist_and_budgets_that_fall() -> None:
    with pytest.raises(RoboAdvError, match="unknown port 'vision'"):
        plan(["vision"])
    with pytest.raises(RoboAdvError, match="unknown suite"):
        plan(["observation"], suite="huge")
    with pytest.raises(RoboAdvError, match="unknown attack 'pdg'; did you mean 'pgd'"):
        plan(["observation"], attacks=["pdg"])
    with pytest.raises(RoboAdvError, match="must rise"):
        plan(["observation"], attacks=["pgd"], budgets={"observation": (1.0, 0.5)})


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["zoo:nobody"], "unknown zoo policy"),
        (["zoo:reach-panda-s1", "--env", "Push-v0"], "was made for"),
        (["zero", "--env", "CartPole-v1"], "CartPole"),
        (["zoo:reach-panda-s1", "--budgets", "observation"], "PORT=NUMBER"),
        (["zoo:reach-panda-s1", "--schedule", "sometimes"], "schedule"),
        (["zoo:reach-panda-s1", "--unsafe", "speeed>1"], "speeed"),
        (["zoo:reach-panda-s1", "--slices", "moon"], "moon"),
        (["zoo:reach-panda-s1", "--import", "no_such_module"], "no_such_module"),
    ],
)
def test_mistakes_end_in_one_line_that_names_them(
    arguments: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["audit", *arguments, "--episodes", "2", "--threads", "1", "--runs", str(tmp_path),
                "--attacks", "corner"])  # fmt: skip
    error = capsys.readouterr().err
    assert code == 2 and why in error and "Traceback" not in error
