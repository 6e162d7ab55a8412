"""Learned and searched attacks as rows of a whole audit: report, replays and exported tests."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from robo_adv.agents import attackers
from robo_adv.agents.audit import audit
from robo_adv.agents.export import export_tests
from robo_adv.agents.subject import AuditConfig
from robo_adv.runs import Run
from robo_adv.threats.attack import ATTACKS
from robo_adv.threats.attacks.director import Director


@dataclass(frozen=True)
class Short(Director):
    """The director after two updates."""

    steps: int = 256


def test_an_audit_with_a_learned_attack_finishes_and_exports_what_can_be_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "director" in ATTACKS  # the registry is filled
    monkeypatch.setitem(ATTACKS._entries, "short-director", Short)
    small = replace(attackers.GAMES, num_envs=8, n_steps=16, batch_size=64, n_epochs=1)
    monkeypatch.setattr(attackers, "GAMES", small)
    config = AuditConfig(
        "zoo:reach-panda-s1", ports=("observation",), attacks=("pgd", "short-director", "directional"),
        budgets={"observation": (0.5,)}, episodes=8, search=2, videos=0, threads=1,
    )  # fmt: skip
    run = Run.at(tmp_path / "run", "Reach-v0", "audit", config, 0)
    summary = audit(config, lambda world: run)
    assert summary["searched"].keys() == {"observation/directional"}
    rows = {row["label"]: row for row in summary["rows"]}
    assert "trained for 256 steps" in json.dumps(rows["observation/short-director"])
    assert "driven" in json.dumps(rows["observation/directional"])
    suite = export_tests(run, tmp_path / "suite")
    assert suite.left_out == ("observation/short-director",)
    assert {row.attack for row in suite.rows} == {"pgd", "directional"}
    assert "left out" in str(suite)
