"""Posts: upright cylinders as obstacles, placed and sized by the level, one set for every game.

A post is a mocap body: its place is part of a simulation's state, its size of that simulation's model.
Those a level does not use are parked below the floor, where nothing comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Bools, Cost, Ints
from robo_adv.envs.layout import Slice
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Parameter
from robo_adv.levels.feasible import Constraint

if TYPE_CHECKING:
    from robo_adv.envs.game import Game

MOST = 4
SLOT = "obstacle"
PARKED = -5.0  # [m] height of a post that is not there
COLOUR = (0.42, 0.36, 0.55, 1.0)
COST = {"obstacle_force": Cost("N", "largest contact force between the robot and an obstacle")}
Range = tuple[float, float]


def check_count(count: int) -> int:
    """`count` if it is a possible number of obstacles; raises RoboAdvError otherwise."""
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST:
        raise RoboAdvError(f"obstacles must be a whole number in 0..{MOST}, got {count!r}")
    return count


@dataclass(frozen=True)
class Posts:
    """Up to `count` posts, and the parameters that say where they stand.

    Attributes:
        x, y, radius: bounds [m]. height: bounds [m]; equal ones fix it, and it is no parameter.
        places: nominal places (count, 2) or more [m], clear of everything that starts nominally.
        contype, conaffinity: whom they collide with, as MuJoCo's geoms say it.
    """

    count: int
    x: Range
    y: Range
    radius: Range
    height: Range
    places: tuple[Range, ...]
    contype: int = 1
    conaffinity: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{SLOT}{i}" for i in range(self.count))

    @property
    def tall(self) -> bool:
        """Whether the height is a parameter."""
        return self.height[0] < self.height[1]

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """How many there are, then the place and size of each; none for a count of 0."""
        if not self.count:
            return ()
        out = [Parameter(f"{SLOT}_count", 0, self.count, 0, "1", "int", role="task", observed=True)]
        for name, (x, y) in zip(self.names, self.places, strict=False):
            bounds = [("x", self.x, x), ("y", self.y, y), ("radius", self.radius, None)]
            bounds += [("height", self.height, None)] if self.tall else []
            for what, (low, high), place in bounds:
                nominal = 0.5 * (low + high) if place is None else place
                out.append(
                    Parameter(f"{name}_{what}", low, high, nominal, "m", role="task", slot=SLOT,
                              observed=True)
                )  # fmt: skip
        return tuple(out)

    # The scene.

    def add_to(self, spec: mujoco.MjSpec) -> None:
        """Adds the posts, parked; after everything else, so that the rest keeps its numbers."""
        for name in self.names:
            body = spec.worldbody.add_body(name=name, mocap=True, pos=[0.0, 0.0, PARKED])
            body.add_geom(
                name=name, type=mujoco.mjtGeom.mjGEOM_CYLINDER, rgba=list(COLOUR),
                size=[self.radius[1], 0.5 * self.height[1], 0.0], contype=self.contype,
                conaffinity=self.conaffinity, friction=[0.6, 0.005, 0.0001],
            )  # fmt: skip

    def add_sensors(self, spec: mujoco.MjSpec, root: str) -> None:
        """The largest contact force [N] (3,) of each post with the robot whose first body is `root`."""
        for name in self.names:
            spec.add_sensor(
                name=f"{root}_{name}", type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_XBODY, objname=root,
                reftype=mujoco.mjtObj.mjOBJ_BODY, refname=name,
                intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), 2, 1],
            )  # fmt: skip

    def force(self, game: Game, root: str) -> Array:
        """Largest force [N] (N,) of the last control step, over posts and substeps."""
        first = int(game.model.sensor(f"{root}_{self.names[0]}").adr[0])
        force = game.sensors[:, :, first : first + 3 * self.count]
        if not force.any():
            return np.zeros(game.num_envs)
        square = (force**2).reshape(game.num_envs, -1, 3).sum(axis=2)
        return np.asarray(np.sqrt(square.max(axis=1)))

    # Levels.

    def column(self, params: Mapping[str, Array], what: str, ids: Ints | slice) -> Array:
        """Values (n, count) of `x`, `y`, `radius` or `height` of all posts in simulations `ids`."""
        if what == "height" and not self.tall:
            return np.full((len(params[f"{SLOT}_count"][ids]), self.count), self.height[0])
        return np.stack([params[f"{name}_{what}"][ids] for name in self.names], axis=1)

    def present(self, params: Mapping[str, Array], ids: Ints | slice) -> Bools:
        """Which posts there are (n, count): the first ones."""
        return np.asarray(np.arange(self.count) < params[f"{SLOT}_count"][ids][:, None])

    def centres(self, params: Mapping[str, Array], ids: Ints | slice) -> Array:
        """Places (n, count, 2) [m] of all posts, present or not."""
        x, y = (self.column(params, what, ids) for what in "xy")
        return np.stack([x, y], axis=2)

    def apply(self, game: Game, ids: Ints) -> None:
        """Write the sizes of simulations `ids`; `set_const` is the caller's."""
        first = game.model.geom(self.names[0]).id
        geoms = (ids[:, None], np.arange(first, first + self.count))
        radius = self.column(game.params, "radius", ids)
        half = 0.5 * self.column(game.params, "height", ids)
        expand = game.batch.expand
        expand("geom_size")[geoms] = np.stack([radius, half, np.zeros_like(half)], axis=2)
        zero = np.zeros((*radius.shape, 3))
        extent = np.stack([radius, radius, half], axis=2)
        expand("geom_aabb")[geoms] = np.concatenate([zero, extent], axis=2)
        expand("geom_rbound")[geoms] = np.sqrt(radius * radius + half * half)

    def place(self, game: Game, mocap: Array, ids: Ints) -> None:
        """Put the posts of starting episodes up, through `mocap` (N, bodies, 3)."""
        first = int(game.model.body(self.names[0]).mocapid[0])
        there = self.present(game.params, ids)
        height = self.column(game.params, "height", ids)
        place = np.zeros((len(ids), self.count, 3))
        place[..., :2] = self.centres(game.params, ids)
        place[..., 2] = 0.5 * height
        place[~there] = (0.0, 0.0, PARKED)
        mocap[ids, first : first + self.count] = place

    # Observations.

    @property
    def slices(self) -> list[Slice]:
        """Per post: its place as seen from the observer (with the height of its top where heights
        vary), its radius, and whether it is there; zeros where it is not."""
        size = 3 if self.tall else 2
        return [
            s for name in self.names
            for s in (Slice(f"{name}_relative", size, "m"), Slice(f"{name}_radius", 1, "m"),
                      Slice(f"{name}_present", 1, "flag"))
        ]  # fmt: skip

    def observed(self, params: Mapping[str, Array], ids: Ints | slice, eye: Array) -> list[Array]:
        """Values of `slices` as seen from `eye` (n, 2 or 3) [m]."""
        if not self.count:
            return []
        there = self.present(params, ids)
        columns = [self.column(params, what, ids) for what in ("x", "y", "height")[: eye.shape[1]]]
        relative = np.stack(columns, axis=2) - eye[:, None]
        radius = self.column(params, "radius", ids)
        seen = np.concatenate([relative, radius[..., None], there[..., None]], axis=2)
        seen = np.where(there[..., None], seen, 0.0)
        return [seen.reshape(len(seen), -1)]

    # What a level must keep.

    def gap(self, thing: str, width: float, spare: int = 0) -> Constraint:
        """`thing`, `width` [m] wide, fits between any two posts, but for the `spare` nearest pairs.

        A ring that locks something in needs three gaps that are too narrow, so two may be.
        """
        first, second = np.triu_indices(self.count, 1)

        def margin(values: Mapping[str, Array]) -> Array:
            there = self.present(values, slice(None))
            centres = self.centres(values, slice(None))
            radius = self.column(values, "radius", slice(None))
            away = centres[:, first] - centres[:, second]
            room = np.sqrt((away**2).sum(axis=2)) - radius[:, first] - radius[:, second] - width
            room = np.where(there[:, first] & there[:, second], room, np.inf)
            room = np.sort(np.concatenate([room, np.full((len(room), spare + 1), np.inf)], axis=1))
            return np.asarray(room[:, spare])

        names = [f"{name}_{what}" for name in self.names for what in ("x", "y", "radius")]
        which = "all" if not spare else f"all but {spare}"
        return Constraint(f"{thing} fits through {which} gaps of obstacles", tuple(names), margin)
