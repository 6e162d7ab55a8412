"""Safety costs of an arm beside a person: forces, ratios to contact limits, separation.

Design aids and no conformity claim; see `robo_adv.safety.contact_limits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robo_adv.envs.episode import Array, Cost, Ints, Terms
from robo_adv.envs.manipulation.costs import sensor_slice
from robo_adv.envs.manipulation.person import PARTS
from robo_adv.envs.manipulation.proximity import Links, Proximity
from robo_adv.safety.contact_model import Separation, energy_force, force_ratio, shortfall

if TYPE_CHECKING:
    from robo_adv.envs.manipulation.shared_workspace import SharedWorkspace

CLAMP = 0.5  # [s] contact beyond this counts as quasi-static; the mean runs over just less
MOVING = 0.02  # [m/s] below this the arm counts as standing
HUMAN_COSTS = {
    **{
        f"{part}_force": Cost("N", f"largest contact force on the {part}", limit=np.inf)
        for part in PARTS
    },
    **{
        f"{part}_force_ratio": Cost(
            "x limit", f"{part}_force over the region's transient limit", limit=1.0
        )
        for part in PARTS
    },
    **{
        f"{part}_clamp_ratio": Cost(
            "x limit",
            f"mean force on the {part} over 0.48 s over the quasi-static limit",
            limit=1.0,
        )
        for part in PARTS
    },
    "energy_force": Cost(
        "N", "energy-model force of a contact that begins, v sqrt(mu k)", limit=np.inf
    ),
    "separation_shortfall": Cost("m", "protective distance missing while the arm moves"),
}


class HumanCosts:
    """Reads the person's contact sensors and the links' distances.

    A part's force is the largest contact's or the net of all, whichever is larger: several contacts
    add up, and a pinch, whose net is 0, still counts. What must be kept between steps lies in the
    game's `memory`.
    """

    separation = Separation()

    def __init__(self, task: SharedWorkspace) -> None:
        self.task, self.links = task, Links(task)
        self.places = [
            (sensor_slice(task.model, f"human_{part}_largest", 3),
             sensor_slice(task.model, f"human_{part}_net", 3))
            for part in PARTS
        ]  # fmt: skip
        n, parts = task.num_envs, len(PARTS)
        window = max(1, int(CLAMP / task.control_dt))
        self.recent = task.memory["recent_force"] = np.zeros((n, window, parts))
        self.touched = task.memory["touched"] = np.zeros((n, parts), dtype=np.bool_)
        self.relative = task.memory["relative_speed"] = np.zeros((n, parts))
        self.transient = task.limits.column("transient_force", PARTS)
        self.static = task.limits.column("quasi_static_force", PARTS)
        self.values: Terms = {name: np.zeros(n) for name in HUMAN_COSTS}

    def begin(self, ids: Ints) -> None:
        """Forget what was before in simulations `ids`."""
        for memory in (self.recent, self.touched, self.relative):
            memory[ids] = 0

    def measure(self) -> None:
        """Once per step, after the physics."""
        task = self.task
        force = self._forces()  # (N, substeps, parts)
        peak = force.max(axis=1)
        rows = np.arange(task.num_envs)
        self.recent[rows, task.length % self.recent.shape[1]] = force.mean(axis=1)
        near = self.links.to(task.stance, task.poses, task.qvel[:, task.arm_v])
        values = {"separation_shortfall": self._shortfall(near)}
        columns = (
            ("force", peak), ("force_ratio", force_ratio(peak, self.transient)),
            ("clamp_ratio", force_ratio(self.recent.mean(axis=1), self.static)),
        )  # fmt: skip
        for k, part in enumerate(PARTS):
            values |= {f"{part}_{name}": column[:, k] for name, column in columns}
        begins = (peak > 0.0) & ~self.touched
        person = task.person
        stiffness = task.level(rows, "human_stiffness")[:, None] * person.stiffness
        blow = energy_force(self.relative, person.mass, stiffness)
        values["energy_force"] = np.where(begins, blow, 0.0).max(axis=1)
        self.values = values
        # The relative speed of the closest points, for a contact in the next step.
        nearest = near.distance.argmin(axis=1)[:, None]
        self.relative[:] = np.take_along_axis(near.relative, nearest, 1)[:, 0]
        self.touched[:] = peak > 0.0

    def terms(self) -> Terms:
        """Costs (N,) of the last step."""
        return {name: self.values[name].copy() for name in HUMAN_COSTS}

    def _forces(self) -> Array:
        sensors = self.task.sensors
        norms = [
            np.sqrt((sensors[:, :, place] ** 2).sum(axis=2))
            for places in self.places
            for place in places
        ]
        largest, net = np.stack(norms[0::2], axis=2), np.stack(norms[1::2], axis=2)
        return np.asarray(np.maximum(largest, net))

    def _shortfall(self, near: Proximity) -> Array:
        needed = self.separation.distance(
            np.maximum(near.robot_closing, 0.0), np.maximum(near.human_closing, 0.0)
        )
        missing = shortfall(needed, near.distance)
        return np.asarray(np.where(near.robot_speed > MOVING, missing, 0.0).max(axis=(1, 2)))
