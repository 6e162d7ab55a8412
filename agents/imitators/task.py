"""Task: the world that demonstrations come from, as learners and evaluations need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from robo_adv.agents.evaluation import refuse_opponents
from robo_adv.agents.fitted import action_range
from robo_adv.agents.protagonist import bind
from robo_adv.agents.sighted_seat import SightedSeat
from robo_adv.agents.world_seat import WorldSeat
from robo_adv.agents.worlds import make_world
from robo_adv.envs.episode import World
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.foreign.scores import SCORES, one_hot
from robo_adv.envs.game import Game
from robo_adv.envs.goal import ACHIEVED, DESIRED
from robo_adv.envs.seat import Seat
from robo_adv.errors import unknown
from robo_adv.policy import Policy, dict_slices
from robo_adv.sight import OWN, Sight, seen_slices, sight
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class Task:
    """Makes worlds of one kind, and says what actions mean in them.

    Learners act in [-1, 1] (`unit`), demonstrations hold what was played, on the environment's own
    scale: within its bounds, and of scores the choice alone (1 for it, -1 for the others).

    Args:
        env: id. options: of it. player: who imitates; the world's first by default. opponents: names
            of policies of the other player; several make a pool. threads: of games' physics.
        cameras, camera_size, sees: what a learner sees (`robo_adv.sight`), where it acts from pictures.

    Attributes:
        sight: that, or None.

    Raises:
        RoboAdvError: no such world, player or opponent, or actions without finite bounds.
    """

    def __init__(
        self,
        env: str,
        options: Mapping[str, Any],
        player: str = "",
        opponents: tuple[str, ...] = (),
        threads: int = 0,
        cameras: tuple[str, ...] = (),
        camera_size: int = 64,
        sees: tuple[str, ...] = (OWN,),
    ) -> None:
        self.env, self.options, self.threads = env.removeprefix("robo_adv/"), dict(options), threads
        self.sample = self.world(1)
        self.player = player or self.sample.players[0]
        if self.player not in self.sample.players:
            raise unknown(f"player of {self.sample.id}", self.player, self.sample.players)
        self.low, self.high = action_range(self.sample, self.player)
        self.opponents = self._bind(opponents)
        self.scores = bool(self.options.get(SCORES))
        self.reports_success = bool(getattr(self.sample, "reports_success", True))
        self.sight: Sight | None = None
        if cameras:
            layout = self.sample.layouts[self.player]
            self.sight = sight(cameras, camera_size, seen_slices(layout, sees))

    def _bind(self, names: tuple[str, ...]) -> dict[str, Policy]:
        if not isinstance(self.sample, GymnasiumWorld):
            return bind(self.env, self.options, self.player, names)
        refuse_opponents(cast(Game, self.sample), self.player, names)
        return {}

    @property
    def observation_size(self) -> int:
        """d, without pixels."""
        return int(self.sample.layouts[self.player].size)

    @property
    def row_size(self) -> int:
        """Of what a learner is given: d, or d + C of sighted rows."""
        return self.observation_size + (0 if self.sight is None else self.sight.pixels)

    @property
    def columns(self) -> tuple[int, ...]:
        """Which numbers of an observation a learner that sees is told."""
        layout = self.sample.layouts[self.player].to_json()
        return () if self.sight is None else self.sight.columns(layout)

    @property
    def action_size(self) -> int:
        return int(self.sample.action_size(self.player))

    @property
    def goals(self) -> tuple[slice, slice] | None:
        """Where the achieved and the desired goal lie in an observation, in tasks that have goals."""
        found = dict_slices(self.sample.layouts[self.player])
        return (found[ACHIEVED], found[DESIRED]) if DESIRED in found else None

    @property
    def horizon(self) -> int:
        """Steps after which an episode is over, whatever happens; 0 if that is not known."""
        limit = getattr(self.sample, "time_limit", 0) or getattr(self.sample, "clock_steps", 0)
        return int(limit)

    def world(self, num_envs: int) -> World:
        """Such a world of N rows."""
        return make_world(self.env, num_envs, options=self.options, threads=self.threads)

    def seat(self, num_envs: int) -> ResumableEnv:
        """Such a world of N rows to learn in."""
        world = self.world(num_envs)
        if isinstance(world, GymnasiumWorld):
            return WorldSeat(world)
        if self.sight is not None:
            return SightedSeat(cast(Game, world), self.player, self.opponents, self.sight)
        return Seat(cast(Game, world), self.player, self.opponents, observation="flat")

    def played(self, unit: npt.ArrayLike) -> Array:
        """Actions (N, a) float32 on the environment's scale as they are played, from [-1, 1]."""
        action = np.clip(np.asarray(unit, dtype=np.float64), -1.0, 1.0)
        if self.scores:
            return one_hot(action)
        scaled = (self.high + self.low) / 2.0 + (self.high - self.low) / 2.0 * action
        return scaled.astype(np.float32)

    def unit(self, played: npt.ArrayLike) -> Array:
        """Actions (N, a) float32 in [-1, 1] from those on the environment's scale."""
        action = np.asarray(played, dtype=np.float64)
        if self.scores:
            return one_hot(action)
        half = (self.high - self.low) / 2.0
        return np.clip((action - (self.high + self.low) / 2.0) / half, -1.0, 1.0).astype(np.float32)
