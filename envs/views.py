"""Views: what a seated player gets of its flat observations: the array, or a Dict of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.cameras import CameraRenderer
from robo_adv.envs.episode import Final, Ints, Observation
from robo_adv.envs.game import Game
from robo_adv.envs.goal import GoalGame
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import dict_slices

ObservationKind = Literal["auto", "flat", "dict"]
KINDS: tuple[str, ...] = get_args(ObservationKind)
Pictures = dict[str, npt.NDArray[np.uint8]]
Seen = Observation | dict[str, npt.NDArray[Any]]


class View:
    """Turns flat observations (N, d) of one player into what its Seat hands out.

    Args:
        observation: `flat` is the array (N, d); `dict` has `observation` and, in a GoalGame,
            `achieved_goal` and `desired_goal`, so that `gymnasium.spaces.flatten` gives the array
            back; `auto` is `dict` for GoalGames and with cameras.
        cameras: names of cameras of the game's model; each adds pictures (N, size, size, 3) uint8
            under its name. size: their width and height [pixels].

    Attributes:
        space: of one simulation.

    Raises:
        RoboAdvError: no such camera, or cameras in a flat observation, or a Dict of nothing else
            than the flat array.
    """

    def __init__(
        self, game: Game, player: str, observation: str, cameras: Sequence[str], size: int
    ) -> None:
        if observation not in KINDS:
            raise unknown("kind of observation", observation, KINDS)
        if cameras and observation == "flat":
            raise RoboAdvError(
                f"flat observations hold no pictures, got cameras {[*cameras]}; use "
                "observation='dict' or leave it out"
            )
        goals = isinstance(game, GoalGame)
        if observation == "dict" and not goals and not cameras:
            raise RoboAdvError(
                f"{game.id} has no goals, so its Dict observation would hold the flat array alone; "
                "use observation='flat', or name cameras"
            )
        self.game, self.player = game, player
        self.slices: dict[str, slice] | None = None
        self.space: gymnasium.Space[Any] = game.observation_space(player)
        self.renderer: CameraRenderer | None = None
        self._pictures: Pictures = {}  # (N, size, size, 3) of the current observation
        self._last: Pictures = {}  # (n, size, size, 3) of the episodes that are ending
        if observation == "flat" or not (goals or cameras):
            return
        self.slices = dict_slices(game.layouts[player])
        for name in cameras:
            if name in self.slices or list(cameras).count(name) > 1:
                raise RoboAdvError(f"camera {name!r} is given twice or named like an observation")
        if cameras:
            self.renderer = CameraRenderer(game.batch, cameras, size)
            game.before_restart = self._keep_last
        self.space = self._dict_space(cameras, size)

    def _dict_space(self, cameras: Sequence[str], size: int) -> gymnasium.spaces.Dict:
        assert self.slices is not None
        box = gymnasium.spaces.Box
        parts: dict[str, gymnasium.Space[Any]] = {
            name: box(-np.inf, np.inf, (place.stop - place.start,), np.float32)
            for name, place in self.slices.items()
        }
        for name in cameras:
            parts[name] = box(0, 255, (size, size, 3), np.uint8)
        return gymnasium.spaces.Dict(parts)

    def __call__(self, flat: Observation) -> Seen:
        """What the Seat returns for the current observations (N, d); draws all pictures."""
        if self.slices is None:
            return flat
        if self.renderer is not None:
            self._pictures = self.renderer.draw(np.arange(self.game.num_envs))
        return self._dict(flat, {name: whole.copy() for name, whole in self._pictures.items()})

    def final(self, final: Final) -> list[Seen]:
        """The last observations of ended episodes, one entry per row of `final`.

        A diverged episode has no last state: its pictures are those of its last valid one. Call it
        before the pictures of the next episodes are drawn.
        """
        flat = final.obs[self.player]
        if self.slices is None:
            return list(flat)
        pictures = {}
        for name, last in self._last.items():
            last[final.diverged] = self._pictures[name][final.ids[final.diverged]]
            pictures[name] = last
        whole = self._dict(flat, pictures)
        return [{name: part[i] for name, part in whole.items()} for i in range(len(final.ids))]

    def redraw(self) -> None:
        """Draw the current pictures again, after the game's state was restored."""
        if self.renderer is not None:
            self._pictures = self.renderer.draw(np.arange(self.game.num_envs))

    def close(self) -> None:
        if self.renderer is not None:
            self.renderer.close()

    def _dict(self, flat: Observation, pictures: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        assert self.slices is not None
        parts = {name: flat[:, place].copy() for name, place in self.slices.items()}
        return dict(sorted({**parts, **pictures}.items()))  # the order of the Dict space

    def _keep_last(self, ids: Ints) -> None:
        assert self.renderer is not None
        self._last = self.renderer.draw(ids)
