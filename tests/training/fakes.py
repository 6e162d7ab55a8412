"""A world whose returns are known in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class Corridor(ResumableEnv):
    """Every step pays 1; after `length` steps even rows terminate and odd rows are truncated.

    The observation is (steps since the start, 1 if the row is odd, a constant of its row).
    """

    def __init__(
        self, num_envs: int = 4, length: int = 5, mode: AutoresetMode | None = AutoresetMode.SAME_STEP
    ) -> None:  # fmt: skip
        self.num_envs, self.length, self.render_mode = num_envs, length, None
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.odd = np.arange(num_envs) % 2 == 1
        self.clock = np.zeros(num_envs, dtype=np.int64)
        self.seeds: list[int | None] = []
        self.actions: list[Array] = []
        self.closed_times = 0

    def observe(self) -> Array:
        row = np.arange(self.num_envs) * 1000.0
        return np.stack([self.clock, self.odd, row], axis=1).astype(np.float32)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        assert not isinstance(seed, list)
        self.seeds.append(seed)
        self.clock[:] = 0
        return self.observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        self.actions.append(np.array(actions))
        self.clock += 1
        ended = self.clock >= self.length
        info: dict[str, Any] = {}
        if ended.any():
            final = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                final[i] = self.observe()[i]
            column = np.where(ended, self.clock, 0)
            details = {
                "won": ended & self.odd, "draw": ended & ~self.odd, "length": column,
                "diverged": np.zeros(self.num_envs, bool), "return": column.astype(float),
                "cost_force": 2.0 * column,
            }  # fmt: skip
            info = {"final_obs": final, "_final_obs": ended, "_final_info": ended}
            info["final_info"] = {**details, **{f"_{name}": ended for name in details}}
            self.clock[ended] = 0
        return self.observe(), np.ones(self.num_envs), ended & ~self.odd, ended & self.odd, info

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        return {"clock": self.clock.copy()}, {}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        self.clock[:] = arrays["clock"]

    def close_extras(self, **kwargs: Any) -> None:
        self.closed_times += 1
