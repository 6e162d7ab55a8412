"""Half the physics timestep: peak forces of both are reported, and what tasks decide stays the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from robo_adv.cli import main


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main.run(["evaluate", *arguments, "--half-timestep", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["half_timestep"]
    return dict(found)


@pytest.mark.slow
def test_peak_forces_of_both_timesteps_are_reported_and_near_each_other(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm that stands in a person's way: 60 episodes gave ratios of 0.96 to 0.99."""
    monkeypatch.chdir(tmp_path)
    forces = told(capsys, "zero", "--game", "SharedWorkspace-v0", "--episodes", "16")["forces"]
    assert {"table_force", "self_force", "hand_force", "forearm_force"} <= forces.keys()
    hand = forces["hand_force"]
    for measure in ("mean", "max"):
        assert hand[measure]["whole"] > 1.0 and hand[measure]["half"] > 1.0
        assert hand[measure]["half"] != hand[measure]["whole"]
        assert 0.8 < hand[measure]["ratio"] < 1.25


@pytest.mark.slow
def test_success_rates_of_both_timesteps_agree_within_their_intervals(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rate = told(capsys, "pick-and-place-expert", "--episodes", "20")["success_rate"]
    whole, half = rate["whole"], rate["half"]
    assert whole["episodes"] == half["episodes"] == 20 and half["count"] > 10
    assert whole["low"] <= half["rate"] <= whole["high"]
    assert half["low"] <= whole["rate"] <= half["high"]
    assert half["count"] - whole["count"] == rate["gained"] - rate["lost"]
