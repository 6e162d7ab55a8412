"""SightedSeat: a game's seat whose observations are sighted rows, for learners that see pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector.utils import batch_space

from robo_adv.envs.game import Game
from robo_adv.envs.seat import Seat
from robo_adv.policy import Policy
from robo_adv.sight import Sight, sighted, stacked
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class SightedSeat(ResumableEnv):
    """A Seat that gives sighted rows (N, d + C) float32 (`robo_adv.sight`), the last ones of ended
    episodes included.

    Args:
        game: the seat owns it. player: who sits here. opponents: a Policy per other player.

    Raises:
        RoboAdvError: the game has no such camera.
    """

    def __init__(
        self, game: Game, player: str, opponents: Mapping[str, Policy], sight: Sight
    ) -> None:
        self.seat = Seat(
            game, player, opponents, observation="dict", cameras=sight.cameras,
            camera_size=sight.size,
        )  # fmt: skip
        self.game, self.sight = game, sight
        self.num_envs, self.metadata, self.render_mode = game.num_envs, self.seat.metadata, None
        size = game.layouts[player].size + sight.pixels
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = self.seat.single_action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = self.seat.action_space

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        seen, info = self.seat.reset(seed=seed, options=options)
        return self._rows(seen), info

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        seen, reward, terminated, truncated, info = self.seat.step(actions)
        if "final_obs" in info:
            last = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(info["_final_obs"]):
                one = {name: part[None] for name, part in info["final_obs"][i].items()}
                last[i] = self._rows(one)[0]
            info = {**info, "final_obs": last}
        return self._rows(seen), reward, terminated, truncated, info

    def _rows(self, seen: Mapping[str, Array]) -> Array:
        """Sighted rows of a Dict observation, numbers in the order of the flat one."""
        assert self.seat.view.slices is not None
        numbers = np.concatenate([seen[name] for name in self.seat.view.slices], axis=1)
        return sighted(numbers, stacked({name: seen[name] for name in self.sight.cameras}))

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        return self.seat.snapshot()

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        self.seat.restore(arrays, values)

    def close_extras(self, **kwargs: Any) -> None:
        self.seat.close()
