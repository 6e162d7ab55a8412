"""The demonstration from end to end, with a training too short to learn anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from robo_adv.cli import demo
from robo_adv.cli.main import run
from robo_adv.threats.threat import PORTS


@pytest.mark.slow
def test_the_demo_audits_shipped_controllers_over_every_port_and_films_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "ARM", [*demo.ARM, "--search-episodes", "1"])
    sizes = ["--steps", "8192", "--episodes", "4", "--videos", "1"]
    assert run(["demo", *sizes, "--runs", str(tmp_path), "--json"]) == 0
    said = capfd.readouterr()
    arm, soccer = json.loads(said.out.strip().splitlines()[-1])["audits"]
    assert [port["port"] for port in [*arm["ports"], *soccer["ports"]]] == list(PORTS)
    for one in (arm, soccer):
        assert one["report"] in said.err and (Path(one["folder"]) / "DONE").exists()
        assert f"robo-adv audit {one['controller']} " in said.err
        (video,) = one["videos"]
        assert video in said.err and Path(video).stat().st_size > 10_000
        assert "data:video/mp4" in Path(one["report"]).read_text(encoding="utf-8")
    assert "opponent/trained" in Path(soccer["report"]).read_text(encoding="utf-8")
