"""WorldSeat: any Gymnasium environment with bounded actions as an environment for our learners."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from robo_adv import seeding
from robo_adv.agents.fitted import action_range
from robo_adv.envs.episode import Step
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.foreign.world import AGENT
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class WorldSeat(ResumableEnv):
    """A GymnasiumWorld as a vector environment, as `robo_adv.envs.seat.Seat` is for games.

    Observations (N, d) are float32. Actions (N, a) lie in [-1, 1]; `step` maps them linearly onto
    the environment's [low, high], as a bundle's player does. Same-step autoreset: a finished row's
    observation is already that of its next episode, `info["final_obs"]` and `info["final_info"]`
    hold the ended one. Truncated is what the time limit (or a diverged simulation) cut short.

    Args:
        world: the seat owns it; what it is given to do is kept from now on, for `snapshot`.

    Raises:
        RoboAdvError: the environment's actions have no finite bounds.
    """

    def __init__(self, world: GymnasiumWorld) -> None:
        self.world, self.num_envs, self.render_mode = world, world.num_envs, None
        low, high = action_range(world, AGENT)
        self.half, self.middle = (high - low) / 2.0, (high + low) / 2.0
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        size, actions = world.layouts[AGENT].size, world.action_size(AGENT)
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (actions,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._obs: Array | None = None
        world.remember()

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start every row: row i plays scenario seed + i (or seed[i]); without a seed, one is drawn.

        `options={"levels": [...]}` sets one Level per row.
        """
        super().reset(seed=None)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        rows = np.arange(self.num_envs, dtype=np.uint64)
        seeds = seeding.as_seeds(seed if isinstance(seed, list) else int(seed) + rows)
        self.world.remember()
        observation = self.world.reset(seeds, levels=(options or {}).get("levels"))[AGENT]
        self._obs = observation.astype(np.float32)
        return self._obs.copy(), {"seed": seeds}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """Actions (N, a) in [-1, 1]; see Gymnasium's VectorEnv."""
        if self._obs is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        scaled = self.middle + self.half * np.asarray(actions, dtype=np.float64)
        result = self.world.step({AGENT: scaled})
        self._obs = result.obs[AGENT].astype(np.float32)
        return (
            self._obs.copy(), result.rewards[AGENT], result.terminated, result.truncated,
            self._info(result),
        )  # fmt: skip

    def _info(self, result: Step) -> dict[str, Any]:
        info: dict[str, Any] = {
            "reward_terms": result.reward_terms[AGENT], "costs": result.costs[AGENT],
        }  # fmt: skip
        final = result.final
        if final is None:
            return info
        ended = result.terminated | result.truncated
        last = np.full(self.num_envs, None, dtype=object)
        for i, observation in zip(final.ids, final.obs[AGENT].astype(np.float32), strict=True):
            last[i] = observation
        info["final_obs"], info["_final_obs"] = last, ended
        columns = {
            "won": final.winner == 0, "length": final.length, "return": final.returns[AGENT],
            "seed": final.seeds, "diverged": final.diverged, "forfeit": final.forfeit,
            **{f"cost_{name}": cost for name, cost in final.costs[AGENT].items()},
        }  # fmt: skip
        details: dict[str, Any] = {}
        for name, column in columns.items():
            whole = np.zeros(self.num_envs, column.dtype)
            whole[final.ids] = column
            details[name], details[f"_{name}"] = whole, ended
        info["final_info"], info["_final_info"] = details, ended
        return info

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Copies of the world and the current observations.

        Raises:
            RoboAdvError: the environment's episodes do not repeat, so it cannot be continued.
        """
        if self._obs is None:
            return {}, {"levels": []}
        arrays = {f"world.{name}": array for name, array in self.world.snapshot().items()}
        levels = [level.to_json() for level in self.world.levels]
        return {**arrays, "obs": self._obs.copy()}, {"levels": levels}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a snapshot; running episodes are played again."""
        if "obs" not in arrays:
            self._obs = None
            return
        levels = [self.world.design_space.from_json(text) for text in values["levels"]]
        world = {k.removeprefix("world."): v for k, v in arrays.items() if k.startswith("world.")}
        self.world.restore(world, levels)
        self._obs = arrays["obs"].astype(np.float32)

    def close_extras(self, **kwargs: Any) -> None:
        self.world.close()
