"""Gymnasium's environments where a Game is expected: evaluations, plays and videos of bundles."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.foreign.rows import simulation_of
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[np.float64]
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class States:
    """Physics states of a world's rows, to be read and written, as `mujoco.batch.Batch.state`."""

    def __init__(self, world: GymnasiumWorld) -> None:
        self._world = world

    @property
    def state(self) -> States:
        return self

    def __getitem__(self, i: int) -> Array:
        model, data = self._simulation(i)
        out = np.zeros(mujoco.mj_stateSize(model, _STATE))
        mujoco.mj_getState(model, data, out, _STATE)
        return out

    def __setitem__(self, i: int, state: Array) -> None:
        mujoco.mj_setState(*self._simulation(i), state, _STATE)

    def _simulation(self, i: int) -> tuple[Any, Any]:
        found = simulation_of(self._world._rows.rows[i].env)
        if found is None:
            raise RoboAdvError(
                f"{self._world.id} is no MuJoCo environment, and videos are drawn from its states; "
                "the failures of `robo-adv audit` are filmed for every environment that draws"
            )
        return found


class GymnasiumGame(GymnasiumWorld):
    """A GymnasiumWorld with the physics states that a video is drawn from."""

    @property
    def batch(self) -> States:
        return States(self)
