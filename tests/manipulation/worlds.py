"""Tasks of the arm in states set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import Step
from robo_adv.envs.manipulation.costs import sensor_slice
from robo_adv.envs.manipulation.reach import Reach
from robo_adv.envs.manipulation.scene import contact_sensor
from robo_adv.envs.manipulation.task import ManipulationTask
from robo_adv.levels.space import Value

Array = npt.NDArray[np.float64]
Task = TypeVar("Task", bound=ManipulationTask)
GRAVITY = 9.81


def calm(task: type[Task], n: int = 1, **options: Any) -> Task:
    """`n` simulations that all start in the home posture and never end."""
    game = task(n, threads=1, **options)
    game.clock_steps = 10**6
    set_levels(game, [{}] * n)
    return game


def set_levels(game: ManipulationTask, values: list[Mapping[str, Value]]) -> None:
    """Restart with these level parameters; objects in the middle, arm at home."""
    still: dict[str, Value] = {"start_spread": 0.0}
    if game.things:
        still |= {"object_spread": 0.0}
    game.reset(
        np.arange(game.num_envs), levels=[game.design_space.level(still | dict(v)) for v in values]
    )


def act(game: ManipulationTask, action: npt.ArrayLike, steps: int = 1) -> list[Step]:
    """`steps` control steps with one action for all simulations, or one each."""
    whole = np.broadcast_to(np.asarray(action, dtype=np.float64), (game.num_envs, _size(game)))
    return [game.step({"arm": whole}) for _ in range(steps)]


def rest(game: ManipulationTask, steps: int = 1) -> list[Step]:
    """Control steps in which the tool stays where it is."""
    return act(game, np.zeros(_size(game)), steps)


def _size(game: ManipulationTask) -> int:
    return game.action_size("arm")


def peaks(steps: list[Step]) -> dict[str, Array]:
    """The largest cost (N,) of each name, and the sum of fall heights."""
    out = {
        name: np.max([step.costs["arm"][name] for step in steps], axis=0)
        for name in steps[0].costs["arm"]
    }
    if "fall_height" in out:
        out["fall_height"] = np.sum([step.costs["arm"]["fall_height"] for step in steps], axis=0)
    return out


def put_thing(game: ManipulationTask, position: npt.ArrayLike) -> None:
    """Object 0 at positions (N, 3) or (3,), upright and at rest."""
    q, v = game.thing_q[0], game.thing_v[0]
    game.qpos[:, q : q + 3] = position
    game.qpos[:, q + 3 : q + 7] = (1.0, 0.0, 0.0, 0.0)
    game.qvel[:, v : v + 6] = 0.0


def height(game: ManipulationTask) -> Array:
    """Height (N,) of object 0's centre [m]."""
    return game.thing_position(slice(None))[:, 2].copy()


class Walled(Reach):
    """Reach with a fixed block that the tool can push against; the net force is measured."""

    wall: tuple[list[float], list[float]] = ([0.54, 0.0, 0.25], [0.02, 0.2, 0.2])

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        position, size = self.wall
        spec.worldbody.add_geom(
            name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, pos=position, size=size
        )
        contact_sensor(spec, "wall_contact", ("subtree", self.root), ("geom", "wall"), net=True)

    def push(self) -> Array:
        """Size of the net force (N, substeps) [N] on the wall in the last control step."""
        force = self.sensors[:, :, sensor_slice(self.model, "wall_contact", 3)]
        return np.asarray(np.linalg.norm(force, axis=2))
