"""`robo-adv doctor`: is this machine ready, and if not, what to type."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.console import Console

from robo_adv import rendering
from robo_adv.agents.named import find_bundle, zoo_names
from robo_adv.cli.verb import FAILS, HOLDS, Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.film import ffmpeg
from robo_adv.runs import versions

State = Literal["ok", "warning", "broken"]
_COLOUR = {"ok": "green", "warning": "yellow", "broken": "red"}
_LOW_DISK = 2e9  # [bytes] a long training with checkpoints and videos


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, what was found, and what to do about it."""

    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Doctor:
    """Check this machine: versions, CPUs, disk, rendering, ffmpeg, write access, zoo.

    Exit code 0: healthy; 1: something needed is broken. Rendering is needed only with --render.
    """

    render: bool = False
    """Rendering is needed: exit with 1 when no OpenGL backend can draw."""
    runs: Path = Path("runs")
    """Where run folders would go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        checks: list[Check] = []
        for check in self._checks():
            with console.status("checking"):
                found = check()
            for one in found:
                checks.append(one)
                _show(console, one)
        healthy = all(check.state != "broken" for check in checks)
        console.print("healthy" if healthy else "not healthy: see the fixes above")
        data = {"healthy": healthy, "checks": [asdict(check) for check in checks]}
        return Outcome(
            data, next="robo-adv demo" if healthy else "", code=HOLDS if healthy else FAILS
        )

    def _checks(self) -> list[Callable[[], list[Check]]]:
        return [
            check_versions,
            check_cpus,
            lambda: check_disk(self.runs),
            lambda: check_writing(self.runs),
            lambda: check_rendering(needed=self.render),
            check_ffmpeg,
            check_zoo,
        ]


def _show(console: Console, check: Check) -> None:
    console.print(f"[{_COLOUR[check.state]}]{check.state:<8}[/] {check.name:<10}", end="")
    console.print(check.found, markup=False)
    if check.fix:
        console.print(f"{'':<9}fix: {check.fix}", markup=False)


def check_versions() -> list[Check]:
    """Python and the packages that numbers depend on."""
    found = versions()
    checks = [Check("versions", "ok", ", ".join(f"{k} {v}" for k, v in found.items()))]
    try:
        mujoco = version("mujoco")
    except PackageNotFoundError:
        mujoco = "none"
    if mujoco == "4.0.0":
        checks.append(Check("mujoco", "broken", "4.0.0 has a wrong solver for sparse Jacobians",
                            "pip install -U 'mujoco!=4.0.0'"))  # fmt: skip
    return checks


def check_cpus() -> list[Check]:
    """How many CPUs this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [Check("cpus", "ok", f"{usable} usable of {os.cpu_count()}")]


def check_disk(runs: Path) -> list[Check]:
    """Free space where run folders go."""
    existing = next(p for p in (runs.absolute(), *runs.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    found = f"{free / 1e9:.1f} GB free at {existing}"
    if free < _LOW_DISK:
        fix = f"make room at {existing}, or choose another place with --runs"
        return [Check("disk", "warning", found, fix)]
    return [Check("disk", "ok", found)]


def check_writing(runs: Path) -> list[Check]:
    """Whether run folders can be made; leaves nothing behind."""
    existing = next(p for p in (runs.absolute(), *runs.absolute().parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        found = f"cannot write in {existing}: {error.strerror or error}"
        return [Check("writing", "broken", found, "choose another place with --runs")]
    return [Check("writing", "ok", f"can write in {existing}")]


def check_rendering(needed: bool = False) -> list[Check]:
    """Every OpenGL backend that could draw here, tried in a subprocess of its own."""
    results = {backend: rendering.probe(backend) for backend in rendering.candidates()}
    working = [backend for backend, why in results.items() if not why]
    told = "; ".join(f"{backend}: {why or 'works'}" for backend, why in results.items())
    if working:
        return [Check("rendering", "ok", f"{working[0]} draws ({told})")]
    fix = rendering.FIX.removesuffix("; then run `robo-adv doctor`")
    chosen = os.environ.get("MUJOCO_GL")
    if chosen:
        fix = f"unset MUJOCO_GL (it asks for {chosen!r} only), or {fix}"
    state: State = "broken" if needed else "warning"
    return [Check("rendering", state, f"no OpenGL backend can draw: {told}", fix)]


def check_ffmpeg() -> list[Check]:
    """The ffmpeg program that writes mp4 files."""
    try:
        program = ffmpeg()
        done = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30)
        first = done.stdout.splitlines()[0] if done.returncode == 0 else done.stderr[-200:]
    except (RoboAdvError, OSError, IndexError, subprocess.TimeoutExpired) as error:
        return [Check("ffmpeg", "warning", str(error), "apt-get install ffmpeg, or record .gif")]
    return [Check("ffmpeg", "ok", f"{' '.join(first.split()[:3])} at {program}")]


def check_zoo() -> list[Check]:
    """Whether every shipped policy loads."""
    broken, names = {}, zoo_names()
    for name in names:
        try:
            find_bundle(f"zoo:{name}")
        except RoboAdvError as error:
            broken[name] = str(error)
    if broken:
        told = "; ".join(f"{name}: {why}" for name, why in broken.items())
        return [Check("zoo", "broken", told, "reinstall robo-adv")]
    if not names:
        return [Check("zoo", "warning", "no policies ship with this installation",
                      "reinstall robo-adv, or train your own: robo-adv train")]  # fmt: skip
    return [Check("zoo", "ok", f"{len(names)} policies load")]
