"""Scripted players, by name: anchors for evaluation and opponents for training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.registry import Registry

Array = npt.NDArray[Any]
SCRIPTED: Registry[type[Scripted]] = Registry("scripted policy", "robo_adv.agents")


class Scripted(ABC):
    """A policy made for one player of one game.

    Attributes:
        bodies: bodies whose actions it knows how to use, or () for any game and body.
        games: games that it is the expert of.
    """

    bodies: ClassVar[tuple[str, ...]] = ()
    games: ClassVar[tuple[str, ...]] = ()

    def __init__(self, game: Game, player: str) -> None:
        body = getattr(game.options, "body", None)
        if self.bodies and body not in self.bodies:
            raise RoboAdvError(
                f"scripted policy {type(self).__name__} drives {', '.join(self.bodies)}; "
                f"{game.id} has body {body!r}"
            )
        self.layout = game.layouts[player]
        self.action_size = game.action_size(player)

    @abstractmethod
    def act(self, observation: Array) -> Array:
        """Actions (N, a) for observations (N, d)."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return self.act(observation), state

    def see(self, observation: Array, name: str) -> Array:
        """The named slice (N, size) of observations."""
        return observation[:, self.layout[name]]

    def drive(self, observation: Array, x: Array, y: Array, gain: float = 4.0) -> Array:
        """Actions that drive a holonomic body towards (x, y) [m] and keep its arms straight."""
        own = self.see(observation, "own_position")
        action = np.zeros((len(observation), self.action_size))
        action[:, 0] = np.clip(gain * (x - own[:, 0]), -1.0, 1.0)
        action[:, 1] = np.clip(gain * (y - own[:, 1]), -1.0, 1.0)
        return action


@SCRIPTED.register("zero")
class Zero(Scripted):
    """Every action is 0."""

    def act(self, observation: Array) -> Array:
        return np.zeros((len(observation), self.action_size))


class RandomActions:
    """Uniform actions between low and high (a,), from each episode's own seed."""

    def __init__(self, low: Array, high: Array) -> None:
        self.low, self.high = low, high

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return seeds, np.zeros(len(seeds), dtype=np.uint64)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        seeds, step = state
        u = seeding.uniform(seeds, seeding.ACTION, len(self.low), step)
        return self.low + (self.high - self.low) * u, (seeds, step + np.uint64(1))


@SCRIPTED.register("random")
class Random(RandomActions, Scripted):
    """Uniform actions over the whole range, from each episode's own seed."""

    def __init__(self, game: Game, player: str) -> None:
        Scripted.__init__(self, game, player)
        space = game.action_space(player)
        one = np.ones(self.action_size)
        low, high = (space.low, space.high) if space.is_bounded() else (-one, one)
        RandomActions.__init__(self, low.astype(np.float64), high.astype(np.float64))

    def act(self, observation: Array) -> Array:
        raise NotImplementedError("random actions need the episode's state")


@SCRIPTED.register("chase-ball")
class ChaseBall(Scripted):
    """Kicker: get behind the ball as seen from the goal's middle, then push it there."""

    bodies = ("omni",)

    def act(self, observation: Array) -> Array:
        own, ball = self.see(observation, "own_position"), self.see(observation, "ball_relative")
        goal = self.see(observation, "goal_relative_to_ball")
        aim = np.stack([goal[:, 0], 0.5 * (goal[:, 1] + goal[:, 2])], axis=1)
        aim = aim / np.maximum(np.linalg.norm(aim, axis=1, keepdims=True), 1e-6)
        behind = ball[:, :2] - 0.2 * aim
        aligned = np.abs(ball[:, 0] * aim[:, 1] - ball[:, 1] * aim[:, 0]) < 0.05
        ready = aligned & ((ball[:, :2] * aim).sum(axis=1) > 0)
        target = own + np.where(ready[:, None], ball[:, :2] + 0.3 * aim, behind)
        return self.drive(observation, target[:, 0], target[:, 1])


@SCRIPTED.register("stay-in-goal")
class StayInGoal(Scripted):
    """Keeper: stand in the middle of the goal, 0.15 m in front of the line."""

    bodies = ("omni",)

    def act(self, observation: Array) -> Array:
        x, y = self._goal(observation)
        return self.drive(observation, x - 0.15, y)

    def _goal(self, observation: Array) -> tuple[Array, Array]:
        own, ball = self.see(observation, "own_position"), self.see(observation, "ball_relative")
        goal = self.see(observation, "goal_relative_to_ball")
        middle = 0.5 * (goal[:, 1] + goal[:, 2])
        return own[:, 0] + ball[:, 0] + goal[:, 0], own[:, 1] + ball[:, 1] + middle


@SCRIPTED.register("track-ball")
class TrackBall(StayInGoal):
    """Keeper: stay in front of the goal line, on the line from the ball to the goal's middle."""

    def act(self, observation: Array) -> Array:
        x, y = self._goal(observation)
        own, ball = self.see(observation, "own_position"), self.see(observation, "ball_relative")
        goal = self.see(observation, "goal_relative_to_ball")
        share = np.clip(0.35 / np.maximum(goal[:, 0], 1e-6), 0.0, 1.0)
        target = (1 - share) * y + share * (own[:, 1] + ball[:, 1])
        return self.drive(observation, x - 0.35, np.clip(target, y - 0.8, y + 0.8))
