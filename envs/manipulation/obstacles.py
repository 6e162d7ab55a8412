"""Posts on the table: the option `obstacles` of the arm's tasks, for any task that derives from
`ObstacleTask`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Bools, Ints, Terms
from robo_adv.envs.game import GameOptions, check_options
from robo_adv.envs.layout import Slice
from robo_adv.envs.manipulation.task import START_NOISE, ManipulationOptions, ManipulationTask
from robo_adv.envs.posts import COST, SLOT, Posts, check_count
from robo_adv.levels import Parameter
from robo_adv.levels.feasible import Constraint

# Room that the closed gripper of the Panda needs beside the tool centre point, tool pointing down: its
# fingers up to PALM above the point, from there on the hand, 0.20 m wide.
FINGERS = 0.03  # [m]
PALM = 0.03  # [m] the hand begins 3.7 cm above the tool centre point
HAND = 0.115  # [m] half the hand's diagonal, 0.107 m, and some play
OVER = 0.02  # [m] how far above a post a place must be: fingertips are 0.8 cm below the point


@dataclass(frozen=True)
class ObstacleOptions(ManipulationOptions):
    """Attributes:
    obstacles: how many posts a level can put on the table (0..4).
    """

    obstacles: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.obstacles)


class ObstacleTask(ManipulationTask):
    """A task with up to `obstacles` upright posts on the table, which arm and objects run into.

    With `obstacles=0` nothing is added. Otherwise the level says how many there are
    (`obstacle_count`, nominally none), where, how thick and how high; they are observed, and the
    cost `obstacle_force` is what the arm pushes against them with. Starts and goals that lie too near
    are moved to the nearest clear place: the note `repairs` counts them, the note `impossible` is 1
    where there was none.
    """

    Options = ObstacleOptions
    options: ObstacleOptions
    post_height: ClassVar[tuple[float, float]] = (0.08, 0.38)  # [m]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int = 0,
        reward: Mapping[str, str | Mapping[str, float]] | None = None,
        options: GameOptions | None = None,
        **option_values: Any,
    ) -> None:
        options = options or check_options(self.Options, option_values)
        assert isinstance(options, ObstacleOptions)
        self.posts = Posts(
            options.obstacles, x=(0.36, 0.64), y=(-0.26, 0.26), radius=(0.015, 0.05),
            height=self.post_height, places=((0.58, 0.15), (0.58, -0.15), (0.38, 0.22), (0.38, -0.22)),
        )  # fmt: skip
        if options.obstacles:
            self.costs = self.costs | COST
        super().__init__(num_envs, threads=threads, reward=reward, options=options)
        if options.obstacles:
            self.memory["repairs"] = np.zeros(num_envs, dtype=np.int64)
            self.memory["impossible"] = np.zeros(num_envs, dtype=bool)
            self.apply_levels(np.arange(num_envs))  # from here on, one code writes the posts

    def parameters(self) -> tuple[Parameter, ...]:
        return (*super().parameters(), *self.posts.parameters)

    def constraints(self) -> tuple[Constraint, ...]:
        mine = super().constraints()
        place, shift = self._tool_start()
        lowest = place[2] - shift[2] * self.design_space["start_spread"].high
        in_the_way = self.posts.count and self.post_height[1] + OVER > lowest
        return (*mine, self._clear_of_the_arm()) if in_the_way else mine

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        super().extra_scene(spec)
        self.posts.add_to(spec)
        self.posts.add_sensors(spec, self.root)

    def apply_levels(self, ids: Ints) -> None:
        if self.posts.count:
            self.posts.apply(self, ids)
        super().apply_levels(ids)

    def begin(self, ids: Ints, u: Array) -> None:
        if self.posts.count:
            self.posts.place(self, self.mocap, ids)
        super().begin(ids, u)

    def extra_slices(self) -> list[Slice]:
        return [*super().extra_slices(), *self.posts.slices]

    def extra_observation(self, ids: Ints | slice) -> list[Array]:
        seen = self.posts.observed(self.params, ids, self.poses.position[ids])
        return [*super().extra_observation(ids), *seen]

    def cost_terms(self, player: str) -> Terms:
        terms = super().cost_terms(player)
        if self.posts.count:
            terms["obstacle_force"] = self.posts.force(self, self.root)
        return terms

    def notes(self) -> Terms:
        names = ("repairs", "impossible") if self.posts.count else ()
        return {name: self.memory[name].astype(np.float64) for name in names}

    def note_repairs(self, ids: Ints, moved: Bools, found: Bools) -> None:
        """Notes how many of the places (n, places) were `moved`, and where one was not `found`."""
        self.memory["repairs"][ids] = moved.sum(axis=1)
        self.memory["impossible"][ids] = ~found.all(axis=1)

    def discs(self, ids: Ints, room: Array | float) -> tuple[Array, Array]:
        """Centres (n, k, 2) and radii (n, k) [m] of the posts with `room` [m], broadcast to (n, k),
        around them; radius 0 where there is none."""
        posts, params = self.posts, self.params
        radius = posts.column(params, "radius", ids) + room
        return posts.centres(params, ids), np.where(posts.present(params, ids), radius, 0.0)

    def _clear_of_the_arm(self) -> Constraint:
        """The hand, 3 cm above the tool centre point and wider than the fingers, starts beside or
        above every post."""
        place, shift = self._tool_start()
        aside, posts = float(np.sqrt(shift[0] ** 2 + shift[1] ** 2)), self.posts

        def margin(values: Mapping[str, Array]) -> Array:
            everyone = slice(None)
            spread = values["start_spread"][:, None]
            away = posts.centres(values, everyone) - place[:2]
            beside = np.sqrt((away**2).sum(axis=2)) - posts.column(values, "radius", everyone)
            beside = beside - HAND - aside * spread
            above = place[2] - posts.column(values, "height", everyone) - OVER - shift[2] * spread
            room = np.maximum(beside, above)
            room = np.where(posts.present(values, everyone), room, np.inf)
            return np.asarray(room.min(axis=1))

        names = [p.name for p in posts.parameters if p.name != f"{SLOT}_count"]
        return Constraint("the arm starts clear of the obstacles", ("start_spread", *names), margin)

    def _tool_start(self) -> tuple[Array, Array]:
        """Where the tool starts (3,) [m], and how far from there at most along each axis, per unit of
        `start_spread`.

        Joints start within +- START_NOISE x start_spread of the home posture, so the tool starts
        within |J| noise of its place there, J the Jacobian (to first order).
        """
        home = self.chain.poses(np.array(self.arm.home)[None])
        jacobian = self.chain.jacobian(home)[0, :3]
        return home.position[0], START_NOISE * np.abs(jacobian).sum(axis=1)


def room_below(depth: Array) -> Array:
    """Room [m] that the tool needs beside a post whose top is `depth` [m] above the tool centre point;
    none, so that post and room vanish (-1), where the post ends below it."""
    return np.where(depth <= -OVER, -1.0, np.where(depth <= PALM, FINGERS, HAND))
