"""Clutter-v0: rearrange the objects on the table by nudging them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Bools, Ints, Terms
from robo_adv.envs.game import GAMES
from robo_adv.envs.manipulation.arrange import gaps, push_apart
from robo_adv.envs.manipulation.costs import ARM_COSTS, THING_COSTS
from robo_adv.envs.manipulation.scene import Thing
from robo_adv.envs.manipulation.task import ManipulationTask, upright
from robo_adv.levels import Parameter

COUNT = 3
HALF = 0.022  # [m] half the cubes' edge
DIAGONAL = float(2.0 * np.sqrt(2.0) * HALF)  # [m]
FINGER = 0.04  # [m] room between two cubes, for the closed gripper
BEHIND = 0.05  # [m] from a cube's centre to where the tool pushes from
COLOURS = ((0.87, 0.33, 0.24), (0.20, 0.47, 0.78), (0.95, 0.74, 0.20))
DIRECTIONS = 8  # a goal's direction is the first of so many, from a random one, that is free


@dataclass(frozen=True)
class Arrangement:
    """Where cubes start and belong.

    Attributes:
        starts, goals: (n, 3, 2) [m].
        repairs: how many starts and goals were moved (n,). impossible: places are still too near (n,).
    """

    starts: Array
    goals: Array
    repairs: Ints
    impossible: Bools


@GAMES.register("Clutter-v0")
class Clutter(ManipulationTask):
    """The arm nudges three cubes of 4.4 cm to places of their own, its gripper closed.

    Rules: the cubes start around the middle of the table, about 0.2 m apart; each one's goal has its
    colour and lies 0.06 to 0.12 m away in any direction. After 12 s (300 control steps) the arm wins
    when every cube's centre is within 3.5 cm of its goal. Reward `sparse`: -1 per step away from the
    goal, 0 at it. Reward `dense` adds the mean distance, the share of cubes at their goals, and the
    tool's distance from the place behind the first cube that is not at its goal.

    Starts keep so far from each other, and goals from each other and from the starts of other cubes,
    that cubes of any yaw do not touch and the closed gripper fits between them. What a level asks for
    (small `object_spread`, large `object_size`) may be nearer: then places are pushed apart. The
    note `repairs` says how many starts and goals (of 6) were moved, the note `impossible` is 1 when
    some are too near in spite of it.

    Version history: v0, first release.
    """

    id = "Clutter-v0"
    clock = 12.0
    things = tuple(
        Thing(f"object{k}", "box", (HALF, HALF, HALF), 0.15, (*COLOURS[k], 1.0))
        for k in range(COUNT)
    )
    costs = ARM_COSTS | THING_COSTS
    goal_size = 3 * COUNT
    tolerance: ClassVar[float] = 0.035  # [m]
    task_numbers = 1 + 5 * COUNT
    task_parameters = (
        Parameter("clutter_x", 0.46, 0.54, 0.50, "m", role="task"),
        Parameter("clutter_y", -0.10, 0.10, 0.0, "m", role="task"),
        Parameter("object_spread", 0.0, 1.2, 1.0, "x nominal", role="task"),
        Parameter("goal_distance", 0.5, 1.25, 1.0, "x nominal", role="task"),
    )
    around: ClassVar[Array] = np.array([0.09, 0.14])  # half axes of the ring of starts [m]
    near: ClassVar[float] = 0.06  # [m] goal distances are uniform between these
    far: ClassVar[float] = 0.12
    margin: ClassVar[float] = 0.07  # [m] from the workspace's edge to the nearest place
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"goal": 0.1, "distance": 4.0, "placed": 0.2, "approach": 0.5}},
    }

    def __init__(self, num_envs: int = 1, **keywords: Any) -> None:
        super().__init__(num_envs, **keywords)
        self.memory["repairs"] = np.zeros(num_envs, dtype=np.int64)
        self.memory["impossible"] = np.zeros(num_envs, dtype=bool)

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        """Goals are flat squares in their cubes' colours, which the cubes do not hide."""
        for k, colour in enumerate(COLOURS):
            goal = spec.geom(f"goal{k}")
            goal.type, goal.size = mujoco.mjtGeom.mjGEOM_CYLINDER, [self.tolerance, 0.0006, 0.0]
            goal.rgba = [*colour, 0.6]

    # Starts and goals.

    def least(self, ids: Ints) -> Array:
        """How far apart (n,) [m] the centres of two cubes must be: their diagonals, and room."""
        return DIAGONAL * self.level(ids, "object_size") + FINGER

    def arrange(self, ids: Ints, u: Array) -> Arrangement:
        """The arrangement that uniform numbers (n, task_numbers) and the levels ask for."""
        least, numbers = self.least(ids), u[:, 1:].reshape(len(ids), COUNT, 5)
        low, high = self.workspace[0, :2] + self.margin, self.workspace[1, :2] - self.margin
        wanted = self._ring(ids, u[:, 0], numbers)
        none = np.zeros((len(ids), 0, 2))
        starts, fine = push_apart(wanted, none, least, low, high)
        goals = self._goals(ids, numbers, starts, least, (low, high))
        repaired, also = push_apart(goals, starts, least, low, high)
        moved = np.stack([np.abs(starts - wanted), np.abs(repaired - goals)], axis=1).max(axis=3)
        repairs = (moved > 0.0).sum(axis=(1, 2))
        return Arrangement(starts, repaired, repairs, ~(fine & also))

    def _ring(self, ids: Ints, turn: Array, numbers: Array) -> Array:
        """Starts (n, 3, 2) [m] on a ring, with some play."""
        slot = np.arange(COUNT) / COUNT + 0.08 * (numbers[:, :, 0] - 0.5)
        angle = 2.0 * np.pi * (turn[:, None] + slot)
        radius = self.level(ids, "object_spread")[:, None] * (0.9 + 0.2 * numbers[:, :, 1])
        middle = np.stack([self.level(ids, "clutter_x"), self.level(ids, "clutter_y")], axis=1)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=2) * self.around
        return middle[:, None] + radius[..., None] * ring

    def _goals(
        self, ids: Ints, numbers: Array, starts: Array, least: Array, box: tuple[Array, Array]
    ) -> Array:
        """Goals (n, 3, 2) [m], one cube after the other: in the first direction that keeps clear of
        the other cubes' starts, of the goals so far and of the edge; the first one if none does."""
        scale = self.level(ids, "goal_distance")[:, None]
        distance = (self.near + (self.far - self.near) * numbers[:, :, 3]) * scale
        goals = np.zeros_like(starts)
        for k in range(COUNT):
            angle = 2.0 * np.pi * (numbers[:, k, 4, None] + np.arange(DIRECTIONS) / DIRECTIONS)
            unit = np.stack([np.cos(angle), np.sin(angle)], axis=2)
            tries = starts[:, k, None] + distance[:, k, None, None] * unit
            taken = np.concatenate([goals[:, :k], np.delete(starts, k, axis=1)], axis=1)
            clear = (gaps(tries, taken)[1] >= least[:, None, None]).all(axis=2)
            clear &= ((tries >= box[0]) & (tries <= box[1])).all(axis=2)
            goals[:, k] = tries[np.arange(len(ids)), clear.argmax(axis=1)]
        return goals

    def thing_starts(self, ids: Ints, u: Array) -> Array:
        pose = np.zeros((len(ids), COUNT, 7))
        pose[:, :, :2] = self.arrange(ids, u).starts
        pose[:, :, 2] = HALF * self.level(ids, "object_size")[:, None]
        yaw = 0.5 * np.pi * (u[:, 1:].reshape(len(ids), COUNT, 5)[:, :, 2] - 0.5)
        pose[:, :, 3:] = upright(yaw.reshape(-1)).reshape(len(ids), COUNT, 4)
        return pose

    def goals(self, ids: Ints, u: Array) -> Array:
        found = self.arrange(ids, u)
        self.memory["repairs"][ids] = found.repairs
        self.memory["impossible"][ids] = found.impossible
        goal = np.zeros((len(ids), COUNT, 3))
        goal[:, :, :2] = found.goals
        goal[:, :, 2] = HALF * self.level(ids, "object_size")[:, None]
        return goal.reshape(len(ids), 3 * COUNT)

    def begin(self, ids: Ints, u: Array) -> None:
        super().begin(ids, u)
        for m in self.marker_ids:
            self.mocap[ids, m, 2] = 0.0006  # the discs lie on the table

    def notes(self) -> Terms:
        return {name: self.memory[name].astype(np.float64) for name in ("repairs", "impossible")}

    # Goals and rewards.

    def achieved(self, ids: Ints | slice) -> Array:
        return np.concatenate([self.thing_position(ids, k) for k in range(COUNT)], axis=1)

    def distances(self, achieved: Array, desired: Array) -> Array:
        """How far each cube (n, 3) is from its goal [m]."""
        away = (achieved - desired).reshape(len(achieved), COUNT, 3)
        return np.asarray(np.linalg.norm(away, axis=2))

    def success(self, achieved: Array, desired: Array) -> Bools:
        return np.asarray((self.distances(achieved, desired) < self.tolerance).all(axis=1))

    def goal_distance(self, achieved: Array, desired: Array) -> Array:
        """The mean over the cubes (n,) [m]."""
        return np.asarray(self.distances(achieved, desired).mean(axis=1))

    def reward_terms(self, player: str) -> Terms:
        places = self.achieved(slice(None))
        there = self.distances(places, self.goal) < self.tolerance
        rows, first = np.arange(self.num_envs), there.argmin(axis=1)  # the first that is not
        place = places.reshape(-1, COUNT, 3)[rows, first]
        away = self.goal.reshape(-1, COUNT, 3)[rows, first] - place
        away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 0.02)
        behind = np.linalg.norm(self.poses.position - (place - BEHIND * away), axis=1)
        return self.goal_terms(places, self.goal) | {
            "placed": there.mean(axis=1),
            "approach": -np.where(there.all(axis=1), 0.0, behind),
        }
