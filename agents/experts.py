"""Scripted experts for the arm: they solve their task from the observation alone, without memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv.agents.scripted import SCRIPTED, Scripted
from robo_adv.envs.game import Game
from robo_adv.envs.manipulation.control import EndEffectorDelta
from robo_adv.envs.manipulation.obstacles import FINGERS, HAND, OVER, PALM
from robo_adv.envs.manipulation.task import ManipulationTask
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]


class ArmExpert(Scripted):
    """Base: moves the tool by `ee_delta` actions.

    Raises:
        RoboAdvError: the game is not one of `games`, or has another control mode.
    """

    games: ClassVar[tuple[str, ...]] = ()
    gain: ClassVar[float] = 0.5  # share of the way per control step
    ramp: ClassVar[float] = 0.8  # change of an action per control step: 3 m/s^2

    def __init__(self, game: Game, player: str) -> None:
        if game.id not in self.games or not isinstance(game, ManipulationTask):
            raise RoboAdvError(
                f"scripted policy {type(self).__name__} solves {', '.join(self.games)}, "
                f"got {game.id}"
            )
        if game.options.control != "ee_delta":
            raise RoboAdvError(
                f"scripted policy {type(self).__name__} needs control='ee_delta', "
                f"got {game.options.control!r}"
            )
        super().__init__(game, player)
        self.gripper, self.dt = game.uses_gripper, game.control_dt

    def towards(self, observation: Array, target: Array, opening: Array | None = None) -> Array:
        """Actions (N, a) that bring the tool to `target` (N, 3) [m], speeding up and slowing down
        within what the joints' torques can give; `opening` (N,) in [-1, 1] is the gripper's."""
        offset = target - self.see(observation, "tool_position")
        action = self.gain * offset / EndEffectorDelta.step
        # Direction is kept: the largest component saturates, the others shrink with it.
        action /= np.maximum(np.abs(action).max(axis=1, keepdims=True), 1.0)
        now = self.see(observation, "tool_velocity") * (self.dt / EndEffectorDelta.step)
        change = action - now
        change /= np.maximum(np.linalg.norm(change, axis=1, keepdims=True) / self.ramp, 1.0)
        action = np.clip(now + change, -1.0, 1.0)
        if not self.gripper:
            return action
        last = np.ones(len(action)) if opening is None else opening
        return np.concatenate([action, last[:, None]], axis=1)

    def obstacles(self, observation: Array) -> Iterator[tuple[Array, Array]]:
        """Per obstacle, its place as seen from the tool (N, 3) [m] and its radius (N,) [m], which is
        -1 where it is not there."""
        for name in self.layout.names:
            if name.startswith("obstacle") and name.endswith("_relative"):
                stem = name.removesuffix("_relative")
                there = self.see(observation, f"{stem}_present")[:, 0] > 0.5
                radius = self.see(observation, f"{stem}_radius")[:, 0]
                yield self.see(observation, name), np.where(there, radius, -1.0)


@SCRIPTED.register("reach-expert")
class ReachExpert(ArmExpert):
    """Arm: straight to the goal, over the obstacles on the way."""

    games = ("Reach-v0",)

    def act(self, observation: Array) -> Array:
        goal = self.see(observation, "desired_goal")
        return self.towards(observation, self.over(observation, goal))

    def over(self, observation: Array, goal: Array) -> Array:
        """Where to go (N, 3) [m] next: up, as long as the way ahead is blocked at this height."""
        tool, target = self.see(observation, "tool_position"), goal
        for place, radius in self.obstacles(observation):
            _, gap = along_the_way(place[:, :2], goal[:, :2] - tool[:, :2])
            gap = gap - radius
            # The hand is wider than the fingers and begins above the tool centre point.
            needed = place[:, 2] + tool[:, 2] + np.where(gap < FINGERS, OVER, -PALM)
            blocked = (radius > 0) & (gap < HAND - 0.01)
            blocked &= needed > np.minimum(tool[:, 2], goal[:, 2])
            height = np.where(blocked, np.maximum(target[:, 2], needed), target[:, 2])
            rising = blocked & (tool[:, 2] < needed - 0.01)
            aside = np.where(rising[:, None], tool[:, :2], target[:, :2])
            target = np.concatenate([aside, height[:, None]], axis=1)
        return target


def along_the_way(place: Array, way: Array) -> tuple[Array, Array]:
    """Share (N,) of `way` (N, 2) from the origin at which it is nearest to `place` (N, 2), and how
    near (N,) [m]."""
    square = np.maximum((way**2).sum(axis=1), 1e-12)
    share = np.clip((place * way).sum(axis=1) / square, 0.0, 1.0)
    return share, np.linalg.norm(place - share[:, None] * way, axis=1)


@SCRIPTED.register("push-expert")
class PushExpert(ArmExpert):
    """Arm: around the cube to the place behind it, then push along the line to the goal, or to the
    side of an obstacle on that line."""

    games = ("Push-v0",)
    behind: ClassVar[float] = 0.065  # [m] from the cube's centre
    aside: ClassVar[float] = 0.11  # [m] height of travel
    air: ClassVar[float] = 0.005  # [m] between cube and obstacles

    def act(self, observation: Array) -> Array:
        target = push_target(
            self.see(observation, "tool_position"), self.see(observation, "object_position"),
            self.next_goal(observation), self.behind, self.aside,
        )  # fmt: skip
        return self.towards(observation, target)

    def next_goal(self, observation: Array) -> Array:
        """Where the cube should go (N, 3) [m] next: to the goal, or past the first obstacle on the line
        to it, on the side where the line passes it."""
        cube, goal = self.see(observation, "object_position"), self.see(observation, "desired_goal")
        way, offset = goal[:, :2] - cube[:, :2], -self.see(observation, "object_relative")[:, :2]
        side = np.stack([-way[:, 1], way[:, 0]], axis=1)
        side = side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-6)
        out, first = goal, np.ones(len(goal))
        for place, radius in self.obstacles(observation):
            away = place[:, :2] + offset  # from the cube
            share, gap = along_the_way(away, way)
            room = radius + np.sqrt(2.0) * cube[:, 2] + self.air
            blocked = (radius > 0) & (gap < room) & (share > 0.0) & (share < first)
            turn = np.where((away * side).sum(axis=1) > 0.0, -1.0, 1.0)
            past = cube[:, :2] + away + (turn * (room + 0.01))[:, None] * side
            past = np.concatenate([past, goal[:, 2:]], axis=1)
            out, first = np.where(blocked[:, None], past, out), np.where(blocked, share, first)
        return out


def push_target(tool: Array, place: Array, goal: Array, behind: float, aside: float) -> Array:
    """Where the tool (N, 3), pointing down, should go to push an object at `place` (N, 3) to `goal`
    (N, 3): above the place `behind` [m] it at height `aside`, down, and along."""
    away = goal[:, :2] - place[:, :2]
    left = np.linalg.norm(away, axis=1, keepdims=True)
    along = away / np.maximum(left, 1e-6)
    offset = tool[:, :2] - place[:, :2]
    forward = (offset * along).sum(axis=1)
    lateral = np.abs(offset[:, 0] * along[:, 1] - offset[:, 1] * along[:, 0])
    low = tool[:, 2] < place[:, 2] + 0.02
    pushing = low & (lateral < 0.02) & (forward < -0.02)
    above = (lateral < 0.02) & (np.abs(forward + behind) < 0.02)
    target = np.empty_like(tool)
    target[:, :2] = place[:, :2] - behind * along
    target[:, 2] = np.where(above, place[:, 2], aside)
    # Rise before travelling: straight up until high enough.
    rising = ~pushing & ~above & (tool[:, 2] < 0.6 * aside)
    target[rising, :2] = tool[rising, :2]
    target[pushing, :2] = (place[:, :2] + np.minimum(left - behind, 0.05) * along)[pushing]
    target[pushing, 2] = place[pushing, 2]
    done = left[:, 0] < 0.012
    target[done] = tool[done] + np.array([0.0, 0.0, 0.05])
    return target


@SCRIPTED.register("pick-and-place-expert")
class PickAndPlaceExpert(ArmExpert):
    """Arm: above the cube, down, close, carry it to the goal."""

    games = ("PickAndPlace-v0",)
    above: ClassVar[float] = 0.08  # [m]

    def act(self, observation: Array) -> Array:
        tool = self.see(observation, "tool_position")
        place, goal = (
            self.see(observation, "object_position"),
            self.see(observation, "desired_goal"),
        )
        opening = self.see(observation, "gripper_opening")[:, 0]
        gap = place - tool
        aside = np.linalg.norm(gap[:, :2], axis=1)
        over = aside < 0.012
        at = over & (np.abs(gap[:, 2]) < 0.012)
        # Once the fingers are around the cube they stay closed, even when it lags a little.
        around = (opening < 0.032) & (aside < 0.03) & (np.abs(gap[:, 2]) < 0.03)
        held = around & (opening > 0.005)
        target = place.astype(np.float64)
        target[:, 2] += np.where(over | around, 0.0, self.above)
        target[held] = (tool + goal - place)[held]
        return self.towards(observation, target, np.where(at | around, -1.0, 1.0))
