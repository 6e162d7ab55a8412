"""Films of replays: the same scenario without and with the threat, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_adv.audit.replay import Replay, replay
from robo_adv.film import Picture, write_film
from robo_adv.overlay import Caption, Colour, Overlay
from robo_adv.video import robot_colours

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

SIZE = (480, 360)  # [px] of one panel
MOST = 250  # pictures of one panel; longer episodes are shown faster
HOLD = 0.7  # [s] the last picture stays
GREY: Colour = (96, 125, 139)


@dataclass(frozen=True)
class Panel:
    """One side of a film.

    Attributes:
        title: above the picture. outcome: the banner at its end. since: when a limit was first passed
            [s]; `why`: which.
    """

    title: str
    recording: Replay
    outcome: str
    since: float = math.inf
    why: str = ""


def film(
    path: Path, world: World, panels: Sequence[Panel], names: Mapping[str, str],
    size: tuple[int, int] = SIZE,
) -> int:  # fmt: skip
    """Write the panels side by side on one time axis; returns the number of frames.

    Args:
        path: ends with .mp4 or .gif. world: of one row, which can `render`. names: per player, who
            plays.

    Raises:
        DependencyError: no OpenGL backend or no ffmpeg. RoboAdvError: a full disk.
    """
    longest = max(len(panel.recording) for panel in panels)
    every = -(-longest // MOST)
    films = [_frames(world, panel, names, size, every) for panel in panels]
    rate = 1.0 / (world.control_dt * every) if world.control_dt else 25.0
    total = max(len(one) for one in films) + max(1, round(HOLD * rate))
    whole = (
        np.concatenate([one[min(t, len(one) - 1)] for one in films], axis=1) for t in range(total)
    )
    write_film(path, whole, rate, total)
    return total


def _frames(
    world: World, panel: Panel, names: Mapping[str, str], size: tuple[int, int], every: int
) -> list[Picture]:
    drawn: list[Picture] = []
    scenario, dt = panel.recording.about.scenario, world.control_dt
    speed = f" ({every} x faster)" if every > 1 else ""
    overlay = Overlay(*size, _colours(world))

    def draw(step: int, banner: str = "") -> None:
        told = Caption(
            names=dict(names), score=None, title=panel.title, banner=banner,
            left=f"scenario {scenario}  {step * dt:.2f} s{speed}",
            right=panel.why.partition(" (")[0].partition(",")[0] if step * dt >= panel.since else "",
        )  # fmt: skip
        drawn.append(overlay.draw(world.render(0, *size), told))  # type: ignore[attr-defined]

    def look(step: int) -> None:
        if step % every == 0:
            draw(step)

    def end(ids: Any) -> None:
        if 0 in ids and not done:
            done.append(True)
            draw(len(panel.recording), panel.outcome)

    done: list[bool] = []
    before = world.before_restart  # type: ignore[attr-defined]
    world.before_restart = end  # type: ignore[attr-defined]
    try:
        replay(panel.recording, world, look=look)
    finally:
        world.before_restart = before  # type: ignore[attr-defined]
    return drawn


def _colours(world: World) -> dict[str, Colour]:
    if getattr(world, "model", None) is None:
        return dict.fromkeys(world.players, GREY)
    return robot_colours(world)  # type: ignore[arg-type]
