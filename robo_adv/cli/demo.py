"""`robo-adv demo`: the main job in one command, an audit of a shipped controller."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from robo_adv.cli.audit import AuditVerb
from robo_adv.cli.verb import Outcome

CONTROLLER = "zoo:kicker-omni4-s2"


@dataclass(frozen=True)
class Demo:
    """Audit a shipped soccer player over every port (false readings, disturbed commands, pushes, other
    worlds, and a keeper that is trained to beat it); a report with videos, in minutes on 2 cores."""

    steps: int = 600_000
    """Environment steps of the keeper's training; 0 trains none."""
    episodes: int = 50
    """Scenarios per cell."""
    videos: int = 6
    """How many failures are recorded and filmed."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        arguments = self.audit()
        console.print(f"robo-adv audit {shlex.join(arguments)}")
        outcome = tyro.cli(AuditVerb, args=arguments).run(console)
        assert outcome.folder is not None
        text = (outcome.folder / "summary.json").read_text(encoding="utf-8")
        summary: dict[str, Any] = json.loads(text)
        report = outcome.folder / "report.html"
        videos = [outcome.folder / str(one["video"]) for one in summary["failures"] if one["video"]]
        for one in summary["failures"]:
            if not one["video"]:
                console.print(f"no video: {one['why_no_video']}")
                break
        console.print(f"videos: {', '.join(str(path) for path in videos) or 'none'}")
        console.print(f"report: {report} ({summary['seconds']:.0f} s); open it in a browser")
        data = {**outcome.data, "report": str(report), "videos": [str(path) for path in videos]}
        return Outcome(data, outcome.folder, outcome.next, outcome.code)

    def audit(self) -> list[str]:
        """Arguments of the audit."""
        return [
            CONTROLLER, "--suite", "quick", "--adversaries", "zero",
            "--train-adversary", str(self.steps), "--episodes", str(self.episodes),
            "--videos", str(self.videos), "--runs", str(self.runs),
        ]  # fmt: skip
