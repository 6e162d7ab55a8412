"""Force threats: pushes on named bodies, measured in newtons or in weights of the robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.threats.attack import Push, PushView
from robo_adv.threats.threat import Threat, row_norm

Array = npt.NDArray[Any]
GRAVITY = 9.81  # [m/s^2]


class Pushable(Protocol):
    """A world whose bodies can be pushed.

    Attributes:
        model: of its scene. forces: external wrenches (N, nbody, 6) [N, N m] at the bodies' centres of
            mass in the world's frame, applied in the next step. seeds, length: of the running
            episodes (N,). control_dt: time of a step [s].
    """

    model: mujoco.MjModel
    forces: Array
    seeds: seeding.Seeds
    length: Array

    @property
    def control_dt(self) -> float: ...


class Pusher:
    """Writes the pushes of attacks into a world before each step; pass `push` to `play` as `disturb`.

    Args:
        world: with bodies. threat: of port `force`. bodies: names of those that are pushed.
        attacks: who pushes; scenario j is pushed by attack j modulo their number.
        player: whose observations attacks see.

    Raises:
        RoboAdvError: no such body, or a world that cannot be pushed.
    """

    def __init__(
        self, world: Pushable, threat: Threat, bodies: Sequence[str], attacks: Sequence[Push],
        player: str,
    ) -> None:  # fmt: skip
        if getattr(world, "forces", None) is None:
            raise RoboAdvError("force threats need a MuJoCo world; this one has no bodies to push")
        names = [world.model.body(i).name for i in range(world.model.nbody)]
        for body in bodies:
            if body not in names:
                raise unknown("body", body, names)
        if threat.schedule.shared > 1:
            raise RoboAdvError(
                "a budget shared over steps is for observations and actions, not forces"
            )
        self.world, self.threat, self.attacks = world, threat, list(attacks)
        self.player = player
        self.ids = np.array([names.index(body) for body in bodies])
        self.unit = newtons(world.model, self.ids[0]) if threat.unit == "weight" else 1.0
        self.excess, self.acted = 0.0, False
        self.used = np.zeros(len(world.seeds), dtype=np.int64)

    def push(self, scenarios: Array, observations: Mapping[str, Array]) -> None:
        """Set the forces of the next step; `scenarios` (N,) are the scenarios that are played."""
        world = self.world
        self.used[world.length == 0] = 0
        on = self.threat.schedule.active(world.length, self.used, world.seeds, None)
        left = self.threat.schedule.left(world.length, self.used, np.zeros(len(on)))
        self.acted |= bool(on.any())
        time = world.length * world.control_dt
        wanted = np.zeros((len(on), len(self.ids), 3))
        who = np.maximum(scenarios, 0) % len(self.attacks)
        for k, attack in enumerate(self.attacks):
            rows = np.flatnonzero(who == k)
            if len(rows):
                seen = observations[self.player][rows]
                view = PushView(world.seeds[rows], time[rows], len(self.ids), seen, left[rows])
                wanted[rows] = attack.force(view)
        wanted[~on] = 0.0
        self.used += (wanted != 0).any(axis=(1, 2))
        world.forces[:, self.ids, :3] = self.threat.budget * self.unit * self._within(wanted)

    def stop(self) -> None:
        """Take all forces away."""
        self.world.forces[:] = 0.0

    def _within(self, wanted: Array) -> Array:
        """Forces shortened to a total length of 1 over the bodies (N, bodies, 3)."""
        size = row_norm(wanted.reshape(len(wanted), -1))
        self.excess = max(self.excess, float(size.max()))
        return np.asarray(wanted / np.maximum(size, 1.0)[:, None, None])


def newtons(model: mujoco.MjModel, body: int) -> float:
    """Weight [N] of the tree of bodies that `body` belongs to."""
    return float(model.body_subtreemass[model.body_rootid[body]] * GRAVITY)
