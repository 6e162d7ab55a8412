"""Failures of an audit: recorded as replays, filmed, and opened again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robo_adv.agents.worlds import make_world
from robo_adv.audit.engine import Engine
from robo_adv.audit.failures import Failure, recorded
from robo_adv.audit.film import Panel, film
from robo_adv.audit.replay import Replay
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError
from robo_adv.safety.criteria import Criterion, make_criterion

OUTCOMES = {"safe_success": "safe success", "unsafe": "unsafe", "frozen": "safe, but no success"}


def record(
    chosen: Sequence[Failure], folder: Path, world: World, engine: Engine,
    about: Mapping[str, Any], tell: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Record failures under `folder`, film them, and say how each is replayed.

    Args:
        world: of one row, like the engine's. about: what a replay says of world and controller.
    """
    out = []
    for k, failure in enumerate(chosen, start=1):
        tell(f"recording failure {k} of {len(chosen)}")
        recording, outcomes = recorded(engine, failure, world, about)
        bundle = folder / "failures" / str(k)
        recording.save(bundle)
        video = folder / "videos" / f"failure-{k}.mp4"
        entry: dict[str, Any] = {
            **failure.to_json(), "bundle": str(bundle.relative_to(folder)),
            "command": replay_command(bundle, recording),
            "reproduced": bool(
                outcomes.unsafe[0] == failure.cell.outcomes.unsafe[failure.index]
                and outcomes.success[0] == failure.cell.outcomes.success[failure.index]
            ),
            "video": str(video.relative_to(folder)),
        }  # fmt: skip
        try:
            since = float(outcomes.time_to_violation[0])
            panels = [
                Panel(_title(failure), recording, OUTCOMES[failure.outcome], since, entry["why"])
            ]
            if failure.row is not None:
                calm = replace(failure, row=None, cell=replace(failure.cell, budget=0.0))
                before, _ = recorded(engine, calm, world, about)
                panels.insert(0, Panel("no attack", before, OUTCOMES["safe_success"]))
            film(video, world, panels, names(world, recording))
        except RoboAdvError as error:  # no renderer, no ffmpeg, or a world that draws nothing
            entry |= {"video": "", "why_no_video": str(error)}
        out.append(entry)
    return out


def replay_command(folder: Path, recording: Replay) -> str:
    """The command that plays a recording again."""
    modules = needed_imports(recording)
    extra = f" --import {shlex.join(modules)}" if modules else ""
    return f"robo-adv replay {shlex.quote(str(folder))}{extra}"


def names(world: World, recording: Replay) -> dict[str, str]:
    """Per player, the name to show."""
    about = recording.about
    return {p: about.controller if p == about.player else "" for p in world.players}


def _title(failure: Failure) -> str:
    if failure.row is None:
        return "no attack"
    if failure.row.threat.port == "opponent":
        return f"against {failure.row.name}"
    return f"{failure.label} at {failure.cell.budget:g} {failure.row.threat.unit}".rstrip()


@dataclass(frozen=True)
class Opened:
    """A replay with the world it plays in and what judges it."""

    recording: Replay
    world: World
    criterion: Criterion


def needed_imports(recording: Replay) -> list[str]:
    """Modules that a recording names: of its world, and of functions that judge."""
    judges = [told.partition(":")[0] for told in (recording.about.success, recording.about.unsafe)
              if ":" in told]  # fmt: skip
    return list(dict.fromkeys([*recording.about.imports, *judges]))


def open_replay(folder: Path, imports: Sequence[str] = ()) -> Opened:
    """A recorded failure, ready to be played again.

    Args:
        imports: modules that may be imported; a recording from somewhere else cannot choose them.

    Raises:
        RoboAdvError: it is broken, or needs modules that are not among `imports`.
    """
    recording = Replay.load(folder)
    about = recording.about
    if missing := [m for m in needed_imports(recording) if m not in imports]:
        raise RoboAdvError(
            f"this replay needs your modules {', '.join(missing)}, which run code when imported; "
            f"when you trust them: {replay_command(folder, recording)}"
        )
    world = make_world(about.game, 1, options=about.options, imports=imports)
    criterion = make_criterion(
        world, about.player, success=about.success, unsafe=about.unsafe,
        reference=about.reference_return,
    )  # fmt: skip
    return Opened(recording, world, criterion)
