"""The demonstration from end to end, with a training too short to learn anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_adv.cli.main import run
from robo_adv.threats.threat import PORTS


@pytest.mark.slow
def test_the_demo_audits_a_shipped_controller_over_every_port_and_films_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--steps", "8192", "--episodes", "4", "--videos", "1"]
    assert run(["demo", *sizes, "--runs", str(tmp_path), "--json"]) == 0
    said = capfd.readouterr()
    result = json.loads(said.out.strip().splitlines()[-1])
    assert [port["port"] for port in result["ports"]] == list(PORTS)
    assert "opponent/trained" in [row["label"] for row in result["rows"]]
    assert "robo-adv audit zoo:" in said.err and result["report"] in said.err
    assert "data:video/mp4" in Path(result["report"]).read_text(encoding="utf-8")
    assert (Path(result["folder"]) / "DONE").exists()
    (video,) = result["videos"]
    assert video in said.err and Path(video).stat().st_size > 10_000
