"""The demonstration from end to end, with a training too short to learn anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_adv.cli.main import run


@pytest.mark.slow
def test_the_demo_trains_measures_films_and_reports(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = ["--ppo.num-envs", "32", "--ppo.n-steps", "32", "--ppo.batch-size", "256"]
    sizes = ["--steps", "2048", "--episodes", "12", "--video-episodes", "1"]
    code = run(["demo", *sizes, *small, "--runs", str(tmp_path), "--json"])
    assert code == 0
    result = json.loads(capfd.readouterr().out.strip().splitlines()[-1])
    table = [(row["opponent"], row["mask"]) for row in result["rows"]]
    assert table[:4] == [
        ("normal", "none"), ("zero", "none"), ("random", "none"), ("adversary", "none"),
    ]  # fmt: skip
    assert {("adversary", "initial"), ("adversary", "zeros"), ("normal", "noise")} <= set(table)
    report = Path(result["report"]).read_text(encoding="utf-8")
    assert "adversary" in report and "<script" not in report
    assert (Path(result["folder"]) / "DONE").exists()
    assert result["video"] is None or Path(result["video"]).stat().st_size > 10_000
