"""Bundles of a game of one player in the zoo: added, measured, verified and listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.point import add_point, point_bundle

from robo_adv.agents import named, zoo
from robo_adv.cli import main
from robo_adv.rollout import REPORTED

EPISODES = ["--episodes", "30"]


@pytest.fixture(autouse=True)
def _a_zoo_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add_point(monkeypatch)
    for module in (named, zoo):
        monkeypatch.setattr(module, "ZOO", tmp_path / "zoo")
    assert main.run(["zoo", "add", str(point_bundle(tmp_path / "trained")), "point-s0"]) == 0


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main.run([*arguments, "--json"]) == code
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def test_its_card_holds_success_return_and_costs_and_is_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _json(capsys, "zoo", "measure", "point-s0", *EPISODES)
    metrics = _json(capsys, "zoo", "show", "point-s0")["metrics"]
    assert metrics.keys() == {"success_rate", "return_mean", "costs", "first_seed"}
    assert metrics["success_rate"]["episodes"] == 30 and metrics["first_seed"] == REPORTED
    assert metrics["costs"].keys() == {"wall_force", "speed"}
    assert metrics["costs"]["wall_force"].keys() == {"mean", "max", "unit", "violation_rate"}
    assert _json(capsys, "zoo", "verify", *EPISODES)["differences"] == []
    card = tmp_path / "zoo" / "point-s0" / "policy.json"
    card.write_text(card.read_text().replace('"return_mean": ', '"return_mean": 1'))
    (difference,) = _json(capsys, "zoo", "verify", *EPISODES, code=1)["differences"]
    assert "return_mean" in difference


def test_the_list_shows_its_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["zoo", "list"]) == 0
    assert "not measured" in capsys.readouterr().out
    assert main.run(["zoo", "measure", *EPISODES]) == 0
    assert main.run(["zoo"]) == 0
    out = capsys.readouterr().out
    assert "arm, Point-v0" in out and "success [95 %]" in out and "not measured" not in out


def test_its_view_cannot_be_attacked_through_an_opponent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["attack", "zoo:point-s0"]) == 2
    assert (
        "attack what it sees or does with `robo-adv ladder zoo:point-s0`" in capsys.readouterr().err
    )
