"""Album: the pictures of recorded episodes, beside the Tape that takes down their numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import Ints, Step, World
from robo_adv.imitation.demonstrations import Episode
from robo_adv.sight import Eyes

if TYPE_CHECKING:
    from robo_adv.agents.recording import Tape

Array = npt.NDArray[Any]
Before = Callable[[Array, Mapping[str, Array]], None]
After = Callable[[Step | None], None]


class Album:
    """Pictures of every observation of every episode, the last ones included.

    Args:
        episodes: how many will be played.
    """

    def __init__(self, world: World, eyes: Eyes, episodes: int) -> None:
        self.world, self.eyes = world, eyes
        self.running: list[list[Array]] = [[] for _ in range(world.num_envs)]  # (k, S, S, 3) each
        self.playing = np.full(world.num_envs, -1, dtype=np.int64)
        self.ended: list[Array | None] = [None] * episodes

    def beside(self, tape: Tape) -> tuple[Before, After]:
        """What `play` calls before and after a step, for tape and album."""
        game: Any = self.world
        game.before_restart = self._last

        def before(playing: Array, obs: Mapping[str, Array]) -> None:
            tape.before(playing, obs)
            self.playing = playing
            for pictures, now in zip(self.running, self.eyes.look(), strict=True):
                pictures.append(now)

        return before, tape.after

    def _last(self, ids: Ints) -> None:
        """Episodes end in rows `ids`, whose last states still stand."""
        for i, last in zip(ids, self.eyes.look(ids), strict=True):
            if (episode := int(self.playing[i])) >= 0:
                self.ended[episode] = np.stack([*self.running[i], last])
            self.running[i] = []

    def illustrate(self, episodes: Sequence[Episode]) -> list[Episode]:
        """The episodes with their pictures (T + 1, k, S, S, 3)."""
        game: Any = self.world
        game.before_restart = None
        return [replace(e, pictures=p) for e, p in zip(episodes, self.ended, strict=True)]
