"""The doctor tells what is wrong and what to type, and leaves nothing behind."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from robo_adv import rendering
from robo_adv.cli import doctor
from robo_adv.cli.main import run as command
from robo_adv.errors import BundleError


@pytest.fixture(autouse=True)
def drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering works, without the second that a real probe takes."""
    monkeypatch.setattr(rendering, "probe", lambda backend: "")


def ask(capsys: pytest.CaptureFixture[str], tmp_path: Path, *flags: str) -> dict[str, Any]:
    code = command(["doctor", "--json", "--runs", str(tmp_path / "runs"), *flags])
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert data["exit_code"] == code == (0 if data["healthy"] else 1)
    return {check["name"]: check for check in data["checks"]} | {"code": code}


def test_a_healthy_machine_gets_0_and_a_full_list(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = ask(capsys, tmp_path, "--render")
    assert found["code"] == 0
    names = {"versions", "cpus", "disk", "writing", "rendering", "ffmpeg", "zoo"}
    assert names <= set(found)
    for name in names:
        assert set(found[name]) == {"name", "state", "found", "fix"}
        assert found[name]["state"] in ("ok", "warning")
    assert "mujoco" in found["versions"]["found"]
    assert not list(tmp_path.iterdir())


def test_without_a_renderer_it_gives_the_fix_and_fails_only_when_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(rendering, "probe", lambda backend: f"no {backend} here")
    found = ask(capsys, tmp_path)
    assert found["code"] == 0 and found["rendering"]["state"] == "warning"
    assert "no egl here" in found["rendering"]["found"] or rendering.candidates()[0] != "egl"
    assert "apt-get install libegl1" in found["rendering"]["fix"]
    assert ask(capsys, tmp_path, "--render")["code"] == 1


def test_a_backend_forced_by_the_environment_is_named_in_the_fix(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    monkeypatch.setattr(rendering, "probe", lambda backend: "no display")
    assert "unset MUJOCO_GL" in ask(capsys, tmp_path)["rendering"]["fix"]


def test_a_folder_that_cannot_be_written_is_broken(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = ask(capsys, tmp_path)
    assert found["code"] == 1 and "--runs" in found["writing"]["fix"]


def test_a_policy_that_does_not_load_is_broken_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise BundleError("its weights were edited")

    monkeypatch.setattr(doctor, "zoo_names", lambda: ["one"])
    monkeypatch.setattr(doctor, "find_bundle", refuse)
    found = ask(capsys, tmp_path)
    assert found["code"] == 1
    assert "one: its weights were edited" in found["zoo"]["found"]


def test_missing_ffmpeg_is_a_warning_with_a_way_out(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ffmpeg", lambda: str(tmp_path / "nowhere"))
    found = ask(capsys, tmp_path)
    assert found["code"] == 0 and found["ffmpeg"]["state"] == "warning"
    assert ".gif" in found["ffmpeg"]["fix"]
