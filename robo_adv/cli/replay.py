"""`robo-adv replay`: play a recorded failure again, to the bit, and film it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from robo_adv.agents.audit import OUTCOMES, AuditConfig, make_world
from robo_adv.audit.film import Panel, film
from robo_adv.audit.replay import Replay as Recording
from robo_adv.audit.replay import replay
from robo_adv.cli.verb import FAILS, HOLDS, Outcome
from robo_adv.runs import versions
from robo_adv.safety.criteria import make_criterion


@dataclass(frozen=True)
class ReplayVerb:
    """Play a recorded failure again without controller or attack; exit 1 when it is not the same."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A replay's folder, for example RUN/failures/1."""
    video: Path | None = None
    """Also write a film (.mp4 or .gif)."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        recording = Recording.load(self.folder)
        about = recording.about
        config = AuditConfig(
            controller="", env=str(about["game"]), options=about["options"],
            imports=tuple(about.get("imports", ())),
        )  # fmt: skip
        world = make_world(config, 1)
        judge = make_criterion(
            world, about["player"], success=about["success"], unsafe=about["unsafe"],
            reference=about["reference_return"],
        )  # fmt: skip
        episodes, digest = replay(recording, world, judge.limits)
        outcomes = judge.judge(episodes)
        outcome = next(name for name, rate in outcomes.rates().items() if rate.count)
        same = digest == recording.digest
        time = int(episodes.length[0]) * world.control_dt
        console.print(
            f"{about['controller']} in {world.id}, scenario {about['scenario']}, {about['threat']} "
            f"at {about['budget']:g}: {OUTCOMES[outcome]} after {time:.2f} s"
        )
        console.print("the same to the bit" if same else _differs(recording))
        if self.video is not None:
            panel = Panel(f"{about['threat']} at {about['budget']:g}", recording, OUTCOMES[outcome])
            names = {p: about["controller"] if p == about["player"] else "" for p in world.players}
            film(self.video, world, [panel], names)
            console.print(f"film: {self.video}")
        world.close()
        data = {
            "outcome": outcome, "same": same, "digest": digest, "recorded": recording.digest,
            "scenario": about["scenario"], "threat": about["threat"], "budget": about["budget"],
            "severity": float(outcomes.severity[0]),
        }  # fmt: skip
        following = "" if self.video else f"robo-adv replay {self.folder} --video replay.mp4"
        return Outcome(data, None, following, HOLDS if same else FAILS)


def _differs(recording: Recording) -> str:
    """Why it may differ, in one sentence."""
    then, now = recording.about.get("versions", {}), versions()
    changed = [f"{k} {then[k]} -> {now.get(k)}" for k in then if then[k] != now.get(k)]
    why = f"versions differ: {', '.join(changed)}" if changed else "versions are the same"
    return f"NOT the same as recorded ({why})"
