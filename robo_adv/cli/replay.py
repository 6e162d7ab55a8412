"""`robo-adv replay`: play a recorded failure again, to the bit, and film it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from robo_adv.agents.failures import OUTCOMES, names, open_replay, replay_command
from robo_adv.audit.film import Panel, film
from robo_adv.audit.replay import About, replay
from robo_adv.cli.verb import FAILS, HOLDS, Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.film import FORMATS
from robo_adv.runs import versions


@dataclass(frozen=True)
class ReplayVerb:
    """Play a recorded failure again without controller or attack; exit 1 when it is not the same."""

    folder: Annotated[Path, tyro.conf.Positional]
    """A replay's folder, for example RUN/failures/1."""
    video: Path | None = None
    """Also write a film (.mp4 or .gif)."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import")] = ()
    """Modules of yours that the replay may import: those that register its environment or judge it."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        if self.video is not None and self.video.suffix.lower() not in FORMATS:
            raise RoboAdvError(f"--video {self.video} must end with {' or '.join(FORMATS)}")
        opened = open_replay(self.folder, self.imports)
        recording, world = opened.recording, opened.world
        about = recording.about
        episodes, digest = replay(recording, world, opened.criterion.limits)
        outcomes = opened.criterion.judge(episodes)
        outcome = next(name for name, rate in outcomes.rates().items() if rate.count)
        same = digest == about.digest
        time = int(episodes.length[0]) * world.control_dt
        threat = about.threat if not about.budget else f"{about.threat} at {about.budget:g}"
        console.print(
            f"{about.controller} in {world.id}, scenario {about.scenario}, {threat}: "
            f"{OUTCOMES[outcome]} after {time:.2f} s"
        )
        if why := opened.criterion.reasons(episodes)[0]:
            console.print(
                f"unsafe: {why}, first after {float(outcomes.time_to_violation[0]):.2f} s"
            )
        console.print("the same to the bit" if same else _differs(about))
        if self.video is not None:
            since = float(outcomes.time_to_violation[0])
            panel = Panel(threat, recording, OUTCOMES[outcome], since, why)
            film(self.video, world, [panel], names(world, recording))
            console.print(f"film: {self.video}")
        world.close()
        data = {
            "outcome": outcome, "same": same, "digest": digest, "recorded": about.digest,
            "scenario": about.scenario, "threat": about.threat, "budget": about.budget,
            "severity": float(outcomes.severity[0]),
        }  # fmt: skip
        following = f"{replay_command(self.folder, recording)} --video replay.mp4"
        return Outcome(data, None, "" if self.video else following, HOLDS if same else FAILS)


def _differs(about: About) -> str:
    """Why it may differ, in one sentence."""
    then, now = about.versions, versions()
    changed = [f"{k} {then[k]} -> {now.get(k)}" for k in then if then[k] != now.get(k)]
    why = f"versions differ: {', '.join(changed)}" if changed else "versions are the same"
    return f"NOT the same as recorded ({why})"
