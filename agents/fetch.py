"""The Fetch tasks of gymnasium-robotics as vector environments that this project's learner takes."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import partial
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from robo_adv.errors import DependencyError
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


def need_fetch() -> None:
    """Raises DependencyError when gymnasium-robotics is not installed."""
    if importlib.util.find_spec("gymnasium_robotics") is None:
        raise DependencyError(
            "the Fetch tasks need gymnasium-robotics, which is not installed; install it with "
            "`pip install 'robo-adv[fetch]'`"
        )


def make_fetch(task: str) -> gymnasium.Env[Any, Any]:
    """One environment of gymnasium-robotics with flat observations; runs in the worker."""
    with redirect_stderr(io.StringIO()):  # its import prints news about other environments
        package = importlib.import_module("gymnasium_robotics")
    _compare_joint_types_as_ints()
    gymnasium.register_envs(package)
    return gymnasium.wrappers.FlattenObservation(gymnasium.make(task, disable_env_checker=True))


def _compare_joint_types_as_ints() -> None:
    """Make gymnasium-robotics 1.4 run on MuJoCo 3.12 and later.

    Its `get_joint_qpos` and others say `assert joint_type in (mjJNT_HINGE, mjJNT_SLIDE)` with
    `joint_type` a numpy.int32 of the model. A membership test asks the tuple's elements, and since
    3.12 (pybind11 3.1) `mjtJoint == numpy.int32` is False, though the other order still is True.
    That module alone gets a `mujoco` whose mjtJoint holds plain ints; nothing on disk changes.
    """
    utils: Any = importlib.import_module("gymnasium_robotics.utils.mujoco_utils")
    if not isinstance(utils.mujoco, SimpleNamespace):
        joints = {k: int(v) for k, v in utils.mujoco.mjtJoint.__members__.items()}
        names = {**vars(utils.mujoco), "mjtJoint": SimpleNamespace(**joints)}
        utils.mujoco = SimpleNamespace(**names)


class FetchVector(ResumableEnv):
    """Single environments in processes of their own, as a vector environment for the Learner.

    Observations are float32 and flat (achieved goal, desired goal, the rest); an episode is won
    when `is_success` holds at its end. It cannot be stopped and continued.

    Args:
        task: id of an environment with `is_success` in its infos. workers: how many processes; an
            AsyncVectorEnv runs one environment in each. make: what makes one environment.
    """

    def __init__(
        self,
        task: str,
        workers: int,
        make: Callable[[str], gymnasium.Env[Any, Any]] = make_fetch,
    ) -> None:
        # Not forked: the parent has threads. Same-step resets: what VectorToVecEnv takes.
        self.inner = AsyncVectorEnv(
            [partial(make, task)] * workers, context="spawn",
            autoreset_mode=AutoresetMode.SAME_STEP,
        )  # fmt: skip
        self.num_envs, self.metadata, self.render_mode = workers, self.inner.metadata, None
        shape = self.inner.single_observation_space.shape or ()
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, shape, np.float32)
        self.single_action_space = self.inner.single_action_space
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, workers
        )
        self.action_space = self.inner.action_space

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        observation, _ = self.inner.reset(seed=seed, options=options)  # type: ignore[arg-type]
        return observation.astype(np.float32), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        observation, reward, terminated, truncated, given = self.inner.step(actions)
        info: dict[str, Any] = {}
        if "final_obs" in given:
            last = [None if o is None else o.astype(np.float32) for o in given["final_obs"]]
            info["final_obs"] = last
            info["final_info"] = {"won": np.asarray(given["final_info"]["is_success"]) > 0.5}
        return observation.astype(np.float32), reward, terminated, truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        self.inner.close()


def worker_speed(task: str, workers: int, seconds: float = 3.0) -> float:
    """Environment steps per second of random actions with so many workers."""
    env = FetchVector(task, workers)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(10):
        env.step(env.action_space.sample())
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        env.step(env.action_space.sample())
        count += workers
    speed = count / (time.perf_counter() - began)
    env.close()
    return speed


def fastest_workers(task: str, choices: Sequence[int], say: Callable[[str], None]) -> int:
    """Which of `choices` steps most environments per second; tried only if there are several."""
    if len(choices) == 1:
        return choices[0]
    speeds = {workers: worker_speed(task, workers) for workers in choices}
    text = ", ".join(f"{workers}: {speed:,.0f}" for workers, speed in speeds.items())
    say(f"{task}: environment steps/s by number of workers on {os.cpu_count()} cores: {text}")
    return max(speeds, key=speeds.__getitem__)
