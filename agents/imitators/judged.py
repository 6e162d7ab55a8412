"""JudgedEnv: an environment whose rewards are a discriminator's, and what was done in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.imitation.transitions import Transitions
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class JudgedEnv(ResumableEnv):
    """Pays what `judge` says of each step. The environment's own rewards are not passed on: their sum
    over an episode stands in `final_info["true_return"]`, for logs.

    Args:
        env: what is played in. judge: rewards (N,) of N steps. played: actions (N, a) in [-1, 1] as
            they are played, on the demonstrations' scale.

    Attributes:
        collected: one batch (N rows) per step since they were last cleared.
        terminated_after: lengths of the episodes that terminated since then.
    """

    def __init__(
        self,
        env: ResumableEnv,
        judge: Callable[[Transitions], Array],
        played: Callable[[Array], Array],
    ) -> None:
        self.env, self.judge, self.played = env, judge, played
        self.num_envs, self.metadata, self.render_mode = env.num_envs, env.metadata, None
        self.single_observation_space = env.single_observation_space
        self.single_action_space = env.single_action_space
        self.observation_space, self.action_space = env.observation_space, env.action_space
        self.collected: list[Transitions] = []
        self.terminated_after: list[int] = []
        self._obs = np.zeros((0, 0), dtype=np.float32)

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]
        self._obs = np.array(observation)
        return observation, info

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(actions)
        after = np.array(observation)
        for i in np.flatnonzero(terminated | truncated):
            after[i] = info["final_obs"][i]
        batch = Transitions(self._obs, self.played(actions), after, terminated.copy())
        self.collected.append(batch)
        self._obs = np.array(observation)
        if "final_info" in info:
            told = dict(info["final_info"])
            told["true_return"], told["_true_return"] = told.pop("return"), told.pop("_return")
            info = {**info, "final_info": told}
            self.terminated_after.extend(told["length"][terminated].tolist())
        return observation, self.judge(batch), terminated, truncated, info

    def clear(self) -> None:
        """Forget what was collected."""
        self.collected.clear()
        self.terminated_after.clear()

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, values = self.env.snapshot()
        return {**arrays, "judged.obs": self._obs.copy()}, values

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        inner = {name: array for name, array in arrays.items() if name != "judged.obs"}
        self.env.restore(inner, values)
        self._obs = arrays["judged.obs"].copy()

    def close_extras(self, **kwargs: Any) -> None:
        self.env.close()


def true_return(finished: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """Mean true return of the episodes that ended, as `VectorToVecEnv.finished` has them."""
    returns = [part["true_return"] for part in finished]
    return {"true_return": float(np.concatenate(returns).mean())} if returns else {}
