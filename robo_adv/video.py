"""Videos of episodes: scenarios replayed exactly, drawn with captions, alone or side by side.

Shadows about double the cost on a software renderer (640x480 on one core: 25 ms per picture without
and 53 ms with them), which is seconds per video: on by default here, off for sensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.film import FORMATS, write_film
from robo_adv.levels import Level
from robo_adv.overlay import Caption, Colour, Overlay, Picture, colour
from robo_adv.rendering import use_working_backend
from robo_adv.takes import How, LineUp, Take, pick, play_take

if TYPE_CHECKING:
    from robo_adv.envs.game import Game

__all__ = [
    "HOLD",
    "How",
    "LineUp",
    "Recording",
    "Take",
    "check_look",
    "pick",
    "play_take",
    "record",
    "robot_colours",
]

HOLD = 0.7  # [s] an episode's last picture stays
_ROBOT_COLOUR: Colour = (96, 125, 139)  # of a player without geoms named `<player>_...`


@dataclass(frozen=True)
class Recording:
    """A written video: its whole size [px], frames, and per line-up the takes it shows."""

    path: Path
    width: int
    height: int
    frames: int
    fps: float
    takes: list[list[Take]]


def record(
    path: Path,
    make_game: Callable[[int], Game],
    lineups: Sequence[LineUp],
    seeds: Sequence[int],
    *,
    levels: Sequence[Level] | None = None,
    width: int = 640,
    height: int = 480,
    fps: float | None = None,
    shadows: bool = True,
    camera: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Replay the scenarios with every line-up and write them, one after the other, to `path`.

    Several line-ups stand side by side, each `width` x `height`, on a common time axis: the shorter
    episode holds its last picture. The file appears when it is complete, or not at all.

    Args:
        path: ends with .mp4 or .gif. make_game: num_envs -> game. seeds, levels: the scenarios.
        fps: pictures per second; by default the control rate, other values change the speed.
        progress: called with (frames done, frames of the video).

    Raises:
        RoboAdvError: odd or too large size, unknown ending of `path` or camera, nothing to show, a
            full disk or a read-only folder. DependencyError: no OpenGL backend or no ffmpeg.
    """
    game = make_game(1)
    try:
        _check_film(path, lineups, seeds)
        check_look(game, width, height, camera, fps)
        every: list[Level | None] = [None] * len(seeds) if levels is None else list(levels)
        takes = [
            [play_take(game, lineup.policies, int(s), level)
             for s, level in zip(seeds, every, strict=True)]
            for lineup in lineups
        ]  # fmt: skip
        rate = fps or 1.0 / game.control_dt
        hold = max(1, round(HOLD * rate))
        lengths = [max(len(t.states) for t in shown) + hold for shown in zip(*takes, strict=True)]
        draw = _Painter(game, lineups, takes, every, (width, height), shadows, camera)
        frames = _counted(draw.frames(lengths), sum(lengths), progress)
        write_film(path, frames, rate, sum(lengths))
    finally:
        game.close()
    return Recording(path, width * len(lineups), height, sum(lengths), rate, takes)


def check_look(
    game: Game, width: int, height: int, camera: str | None = None, fps: float | None = None
) -> None:
    """Whether `record` can draw like this, before anything is played or written.

    Raises:
        RoboAdvError: an odd or too large size, an unknown camera, or fps <= 0. DependencyError: no
            OpenGL backend works here.
    """
    if width % 2 or height % 2:
        even = f"{width + width % 2}x{height + height % 2}"
        raise RoboAdvError(
            f"video size {width}x{height} is odd: the mp4 format needs even numbers; try {even}"
        )
    if game.model is None:
        raise RoboAdvError(f"{game.id} is no MuJoCo environment; videos are drawn from its states")
    most = game.model.vis.global_
    if not (32 <= width <= most.offwidth and 32 <= height <= most.offheight):
        raise RoboAdvError(
            f"video size {width}x{height} is outside 32x32..{most.offwidth}x{most.offheight}"
        )
    cameras = [game.model.camera(c).name for c in range(game.model.ncam)]
    if camera and camera not in cameras:
        raise unknown("camera", camera, cameras)
    if fps is not None and not 0 < fps <= 1000:
        raise RoboAdvError(f"a video needs 0 < fps <= 1000, got {fps:g}")
    use_working_backend()


def _check_film(path: Path, lineups: Sequence[LineUp], seeds: Sequence[int]) -> None:
    if path.suffix.lower() not in FORMATS:
        raise RoboAdvError(f"a video's name ends with {' or '.join(FORMATS)}, got {path.name!r}")
    if not lineups or not len(seeds):
        raise RoboAdvError("a video needs at least one line-up and one scenario")


def _counted(
    frames: Iterator[Picture], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[Picture]:
    for done, frame in enumerate(frames, start=1):
        yield frame
        if progress:
            progress(done, total)


class _Painter:
    """Turns takes into pictures; frames are made one by one, so videos may be long."""

    def __init__(
        self,
        game: Game,
        lineups: Sequence[LineUp],
        takes: Sequence[Sequence[Take]],
        levels: Sequence[Level | None],
        size: tuple[int, int],
        shadows: bool,
        camera: str | None,
    ) -> None:
        self.game, self.lineups, self.takes, self.levels = game, lineups, takes, levels
        self.size, self.shadows, self.camera = size, shadows, camera
        self.overlay = Overlay(*size, robot_colours(game))

    def frames(self, lengths: Sequence[int]) -> Iterator[Picture]:
        """Every episode in turn, `lengths[e]` frames of all line-ups side by side."""
        for episode, length in enumerate(lengths):
            level = self.levels[episode]
            self.game.reset([0], levels=None if level is None else [level])
            held: list[Picture | None] = [None] * len(self.lineups)
            for t in range(length):
                panels = []
                for index, takes in enumerate(self.takes):
                    kept = held[index]
                    panel = self._panel(index, episode, t) if kept is None else kept
                    if t >= len(takes[episode].states) - 1:
                        held[index] = panel
                    panels.append(panel)
                yield _side_by_side(panels)

    def _panel(self, index: int, episode: int, t: int) -> Picture:
        take = self.takes[index][episode]
        last = len(take.states) - 1
        self.game.batch.state[0] = take.states[min(t, last)]
        picture = self.game.render(0, *self.size, self.camera, self.shadows)
        over = t >= last
        lineup = self.lineups[index]
        seen = self.takes[index][: episode + over]
        return self.overlay.draw(
            picture,
            Caption(
                names={p: lineup.names.get(p, "") for p in self.game.players},
                score={p: sum(one.winner == p for one in seen) for p in self.game.players},
                title=lineup.title,
                note=lineup.note,
                left=f"scenario {take.seed}  {min(t, last) * take.dt:.2f} s",
                right=f"episode {episode + 1} of {len(self.levels)}",
                banner=take.ending if over else "",
                winner=take.winner,
            ),
        )


def _side_by_side(panels: Sequence[Picture]) -> Picture:
    whole = np.concatenate(panels, axis=1)
    for k in range(1, len(panels)):
        x = k * panels[0].shape[1]
        whole[:, x - 1 : x + 1] = 255
    return whole


def robot_colours(game: Game) -> dict[str, Colour]:
    """Per player the colour of its first geom, those named `<player>_...`."""
    model, found = game.model, {}
    for player in game.players:
        mine = [g for g in range(model.ngeom) if model.geom(g).name.startswith(f"{player}_")]
        found[player] = colour(model.geom_rgba[mine[0]]) if mine else _ROBOT_COLOUR
    return found
