"""The failure search of an audit, its most likely failure recorded and filmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robo_adv.agents.failures import OUTCOMES, names, replay_command
from robo_adv.audit.engine import Engine
from robo_adv.audit.film import Panel, film
from robo_adv.audit.service import LABEL, REACH, failure_search, recorded
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError

Tell = Callable[[int, int, str], None]


def search_failures(
    simulations: int, folder: Path, engine: Engine, about: Mapping[str, Any],
    alone: Callable[[], World], tell: Tell | None = None, video: bool = True,
    reach: float = REACH,
) -> dict[str, Any]:  # fmt: skip
    """The three answers; under `replay` of the most likely failure, how it is played again.

    Args:
        folder: of the run. about: what a replay says of world and controller. alone: makes a world of
            one row like the engine's. video: whether to film it. reach: standard deviations
            from a parameter's nominal value to the ends of its range.

    Raises:
        RoboAdvError: too few simulations, a full disk.
    """

    def progress(played: int) -> None:
        if tell:
            tell(min(played, simulations), simulations, f"{LABEL} {played}")

    found = failure_search(engine, simulations, folder, progress, reach)
    if found["most_likely"] is not None:
        if tell:
            tell(simulations, simulations, "recording the most likely failure")
        world = alone()
        found["most_likely"]["replay"] = _record(
            found["most_likely"], folder, engine, world, about, video
        )
        world.close()
    return found


def _record(
    likely: Mapping[str, Any], folder: Path, engine: Engine, world: World, about: Mapping[str, Any],
    filmed: bool,
) -> dict[str, Any]:  # fmt: skip
    """Record it under `folder` and film it beside the same scenario in the nominal world."""
    level = world.design_space.level(likely["level"]) if likely["level"] else None
    seed, told = int(likely["scenario"]), str(likely["told"])
    recording, outcomes = recorded(engine, world, seed, level, about, told)
    bundle, video = folder / "failures" / "likely", folder / "videos" / "failure-likely.mp4"
    recording.save(bundle)
    time = float(outcomes.time_to_violation[0])
    outcome = recording.about.outcome
    entry: dict[str, Any] = {
        "outcome": outcome, "severity": float(min(outcomes.severity[0], 1e9)),
        "time_to_violation": time if np.isfinite(time) else None,
        "reproduced": not bool(outcomes.safe_success[0]),
        "bundle": str(bundle.relative_to(folder)), "command": replay_command(bundle, recording),
        "video": str(video.relative_to(folder)),
    }  # fmt: skip
    if not filmed:
        return entry | {"video": "", "why_no_video": "No videos were asked for"}
    try:
        panels = [Panel("most likely failure", recording, OUTCOMES[outcome])]
        if told:
            nominal = world.design_space.nominal
            before, _ = recorded(engine, world, seed, nominal, about, "")
            panels.insert(0, Panel("nominal world", before, OUTCOMES[before.about.outcome]))
        film(video, world, panels, names(world, recording))
    except RoboAdvError as error:  # no OpenGL, or a world that draws no pictures
        entry |= {"video": "", "why_no_video": str(error)}
    return entry
