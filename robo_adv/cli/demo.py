"""`robo-adv demo`: the main job in one command, audits of two shipped controllers."""

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

ARM = ["zoo:push-panda-s2", "--suite", "quick"]
SOCCER = ["zoo:kicker-omni4-s2", "--ports", "opponent", "--adversaries", "zero", "random"]


@dataclass(frozen=True)
class Demo:
    """Audit a robot arm under false readings, disturbed commands, pushes and other worlds, and a
    soccer player against an opponent that is trained to beat it: two reports with videos, within five
    minutes on 2 cores."""

    episodes: int = 50
    """Scenarios per cell."""
    steps: int = 500_000
    """Environment steps of the opponent's training."""
    videos: int = 5
    """How many failures of the arm are filmed; of the soccer player two, if any."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        common = ["--episodes", str(self.episodes), "--runs", str(self.runs)]
        trained = ["--train-adversary", str(self.steps), "--videos", str(min(2, self.videos))]
        found = []
        for arguments in ([*ARM, "--videos", str(self.videos)], [*SOCCER, *trained]):
            command = [*arguments, *common]
            console.print(f"\nrobo-adv audit {shlex.join(command)}")
            outcome = tyro.cli(AuditVerb, args=command).run(console)
            assert outcome.folder is not None
            found.append(_made(outcome.folder) | {"next": outcome.next})
        console.print()
        for one in found:
            console.print(f"{one['controller']}: {one['seconds']:.0f} s")
            for video in one["videos"]:
                console.print(f"  video   {video}")
            if one["why_no_video"]:
                console.print(f"  no video: {one['why_no_video']}")
            console.print(f"  report  {one['report']}")
        return Outcome({"audits": found}, next=found[0]["next"])


def _made(folder: Path) -> dict[str, Any]:
    """What an audit left behind, as JSON values."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    failures = summary["failures"]
    return {
        **{name: summary[name] for name in ("controller", "seconds", "clean", "ports")},
        "folder": str(folder),
        "report": str(folder / "report.html"),
        "videos": [str(folder / one["video"]) for one in failures if one["video"]],
        "why_no_video": next((one["why_no_video"] for one in failures if not one["video"]), ""),
    }
