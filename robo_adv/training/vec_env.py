"""Any same-step Gymnasium vector environment as a stable-baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]


class ResumableEnv(VectorEnv[Any, Any, Any]):
    """A vector environment that can be stopped and continued bit by bit."""

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and plain JSON values that `restore` takes."""
        raise NotImplementedError

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a snapshot."""
        raise NotImplementedError


class VectorToVecEnv(VecEnv):
    """Thin adapter: one call per batch step, no per-environment work but for ended episodes.

    Args:
        step_infos: give every row its reward terms and `is_success` at every step, which hindsight
            relabelling needs for rewards that do not depend on goals alone (`copy_info_dict=True`).
            It takes a Python loop over the environments; otherwise only ended rows get an info.

    Raises:
        RoboAdvError: the environment does not reset in the step that ends an episode.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], step_infos: bool = False) -> None:
        mode = env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise RoboAdvError(
                f"vector environments must use AutoresetMode.SAME_STEP, got {mode}; make it with "
                "vector_kwargs={'autoreset_mode': gymnasium.vector.AutoresetMode.SAME_STEP}"
            )
        self.env, self.render_mode, self.step_infos = env, env.render_mode, step_infos
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.finished: list[
            dict[str, Array]
        ] = []  # columns of episodes that ended, per step; `row`
        self._actions: Array = np.zeros(0)
        self._seed: int | None = None
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._empty: dict[str, Any] = {}

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        self._seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def reset(self) -> Any:
        observation, _ = self.env.reset(seed=self._seed)
        self.restarted()
        self._seed = None
        return observation if isinstance(observation, dict) else np.asarray(observation)

    def restarted(self) -> None:
        """Tell that all episodes were begun anew behind the adapter's back."""
        self._returns[:], self._lengths[:] = 0.0, 0

    def step_async(self, actions: Array) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        observation, reward, terminated, truncated, info = self.env.step(self._actions)
        done = terminated | truncated
        self._returns += reward
        self._lengths += 1
        infos = self._step_infos(info) if self.step_infos else [self._empty] * self.num_envs
        if "final_obs" in info:
            given = {k: v for k, v in info.get("final_info", {}).items() if not k.startswith("_")}
            columns = {
                "row": np.arange(self.num_envs), "return": self._returns.copy(),
                "length": self._lengths.copy(), **given,
            }  # fmt: skip
            self.finished.append({name: np.asarray(v)[done] for name, v in columns.items()})
            for i in np.flatnonzero(done):
                infos[i] = {
                    **infos[i],
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                    "episode": {
                        "r": float(columns["return"][i]),
                        "l": int(columns["length"][i]),
                    },
                }
                if "is_success" in columns:  # what EvalCallback and the success rate of logs read
                    infos[i]["is_success"] = bool(columns["is_success"][i])
            self._returns[done], self._lengths[done] = 0.0, 0
        return observation, np.asarray(reward, dtype=np.float32), done, infos

    def _step_infos(self, info: Mapping[str, Any]) -> list[dict[str, Any]]:
        terms, reached = info.get("reward_terms", {}), info.get("is_success")
        return [
            {
                "reward_terms": {name: float(term[i]) for name, term in terms.items()},
                **({} if reached is None else {"is_success": bool(reached[i])}),
            }
            for i in range(self.num_envs)
        ]

    def close(self) -> None:
        self.env.close()

    def _find(self, name: str) -> Any:
        """An attribute of the environment, or of what its wrappers wrap."""
        return getattr(self.env if hasattr(self.env, name) else self.env.unwrapped, name)

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [self._find(attr_name)] * len(self._rows(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        result = self._find(method_name)(*args, **kwargs)
        return [result] * len(self._rows(indices))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        return [False] * len(self._rows(indices))

    def _rows(self, indices: Any) -> range | list[int]:
        if indices is None:
            return range(self.num_envs)
        return [indices] if isinstance(indices, int) else list(indices)
