"""What a soccer game needs to know of a body; each body is one file of this folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.layout import Slice
from robo_adv.registry import Registry

Array = npt.NDArray[np.float64]
BODIES: Registry[type[Body]]


@dataclass(frozen=True)
class Scale:
    """The world that fits a body.

    Attributes:
        length: pitch metres per metre of the small-size pitch (1 for `omni`).
        ball_radius [m], ball_mass [kg].
        timestep [s], substeps: physics step, and steps per control step.
        clock [s]: length of an episode.
        speed_limit [m/s]: above it a player's speed is a cost.
        save_speed [m/s]: the ball moving back faster than this counts as saved.
    """

    length: float
    ball_radius: float
    ball_mass: float
    timestep: float
    substeps: int
    clock: float
    speed_limit: float
    save_speed: float


class Body(ABC):
    """A robot that plays soccer.

    Attributes:
        scale: pitch, ball and clock for this body.
        actions: number of actions, each in [-1, 1].
        root: name of the body's root body in its spec.
    """

    scale: Scale
    actions: int
    root: str

    @abstractmethod
    def spec(self) -> mujoco.MjSpec:
        """A fresh spec of this body alone, facing +x, standing at the origin."""

    @abstractmethod
    def start(self, x: Array, y: Array, heading: Array, u: Array) -> Array:
        """Initial qpos (n, nq) at planar poses [m, m, rad]; `u` (n, noise) in [0, 1) adds noise."""

    @property
    @abstractmethod
    def noise(self) -> int:
        """How many uniform numbers `start` uses."""

    @abstractmethod
    def own(self, qpos: Array, qvel: Array) -> list[Array]:
        """What the player feels of itself: one (N, d) array per slice of `own_layout`."""

    @property
    @abstractmethod
    def own_layout(self) -> list[Slice]: ...

    @abstractmethod
    def visible(self, qpos: Array) -> list[Array]:
        """What others see of it (positions only, as in Bansal et al. 2018): (N, d) arrays."""

    @property
    @abstractmethod
    def visible_layout(self) -> list[Slice]:
        """Slices of `visible`, without the `opponent_` prefix that the game adds."""

    @abstractmethod
    def position(self, qpos: Array) -> Array:
        """Planar position (N, 2) [m]."""

    @abstractmethod
    def velocity(self, qvel: Array) -> Array:
        """Planar velocity (N, 2) [m/s]."""

    @abstractmethod
    def fallen(self, qpos: Array) -> npt.NDArray[np.bool_]:
        """(N,) whether the body has fallen; a body that cannot fall returns zeros."""

    @abstractmethod
    def mirror(self) -> tuple[Mirror, Mirror, Mirror]:
        """How qpos, qvel and actions change when the pitch is mirrored (y -> -y)."""


@dataclass(frozen=True)
class Mirror:
    """A signed permutation: mirrored[..., i] = sign[i] * original[..., index[i]]."""

    index: npt.NDArray[np.int64]
    sign: Array

    def __call__(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(x[..., self.index] * self.sign)


BODIES = Registry("body", "robo_adv.envs.soccer.bodies")
