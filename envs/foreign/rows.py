"""Rows: environment instances stepped one after the other, writing into arrays with one row each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.foreign.knobs import Knobs
from robo_adv.envs.foreign.make import SUCCESS, Make, unpack
from robo_adv.envs.foreign.spaces import Flat
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level

Array = npt.NDArray[Any]
_LOG = logging.getLogger(__name__)
_BAD = [int(getattr(mujoco.mjtWarning, f"mjWARN_BAD{what}")) for what in ("QPOS", "QVEL", "QACC")]


@dataclass(frozen=True)
class Plan:
    """What is read in each step.

    Attributes:
        flat: of observations. shape: of actions. keys: of `info`, scalars. unexpected: keys that must
            not turn up. body: whose pose is read, or -1. unhealthy: whether
            `is_healthy` is asked. knobs: whether levels can be applied.
    """

    flat: Flat
    shape: tuple[int, ...]
    keys: tuple[str, ...]
    unexpected: tuple[str, ...]
    body: int
    unhealthy: bool
    knobs: bool


@dataclass(frozen=True)
class Arrays:
    """What N rows read and write; (N, ...).

    Attributes:
        action (N, a). forces (N, nbody, 6), or no bodies. pose (N, 4): the third row of the torso's
        rotation matrix and its height [m]. info (N, keys). failed: `step` or `reset` raised.
        warnings (N, kinds): how often MuJoCo warned in the episode.
    """

    action: Array
    forces: Array
    obs: Array
    reward: Array
    terminated: Array
    truncated: Array
    failed: Array
    unhealthy: Array
    warnings: Array
    pose: Array
    info: Array

    @staticmethod
    def of(n: int, actions: gymnasium.spaces.Box, plan: Plan, bodies: int) -> Arrays:
        return Arrays(
            action=np.zeros((n, int(np.prod(plan.shape))), actions.dtype),
            forces=np.zeros((n, bodies, 6)),
            obs=np.zeros((n, *plan.flat.box.shape), plan.flat.box.dtype),
            reward=np.zeros(n),
            terminated=np.zeros(n, dtype=np.bool_),
            truncated=np.zeros(n, dtype=np.bool_),
            failed=np.zeros(n, dtype=np.bool_),
            unhealthy=np.zeros(n, dtype=np.bool_),
            warnings=np.zeros((n, int(mujoco.mjtWarning.mjNWARNING)), dtype=np.int64),
            pose=np.zeros((n, 4)),
            info=np.zeros((n, len(plan.keys))),
        )

    def diverged(self) -> Array:
        """(N,) whether the simulator raised, reset a bad state, or gave numbers that are not finite."""
        finite = np.isfinite(self.obs).all(axis=1) & np.isfinite(self.reward)
        return self.failed | ~finite | self.warnings[:, _BAD].any(axis=1)


class Simulation:
    """The MuJoCo simulation inside an environment, as views that stay valid between resets."""

    def __init__(self, env: Any, body: int) -> None:
        self.model, self.data = env.unwrapped.model, env.unwrapped.data
        self.warnings = self.data.warning.number
        self.forces = self.data.xfrc_applied
        self.up = self.data.xmat[body, 6:9]
        self.height = self.data.xpos[body, 2:3]

    def still(self, env: Any) -> bool:
        """Whether the environment still uses this simulation."""
        return env.unwrapped.model is self.model and env.unwrapped.data is self.data


def simulation_of(env: Any) -> tuple[Any, Any] | None:
    """(MjModel, MjData) of an environment of Gymnasium's kind, or None."""
    model, data = (getattr(env.unwrapped, name, None) for name in ("model", "data"))
    if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
        return model, data
    return None


class Row:
    """One environment instance; row i of the arrays."""

    def __init__(self, i: int, env: Any, make: Make, plan: Plan, arrays: Arrays) -> None:
        self.i, self.make, self.plan, self.arrays = i, make, plan, arrays
        self.sound = False  # whether a step ever succeeded
        self.info: dict[str, Any] = {}
        self.pushed = False
        self._take(env)

    def _take(self, env: Any) -> None:
        self.env, self._step = env, env.step
        self._flat = None if self.plan.flat.plain else self.plan.flat
        self._action = self.arrays.action[self.i].reshape(self.plan.shape)  # a view
        self._up, self._height = self.arrays.pose[self.i, :3], self.arrays.pose[self.i, 3:]
        found = simulation_of(env)
        self.simulation = Simulation(env, self.plan.body) if found else None
        self.knobs = Knobs(found[0]) if found and self.plan.knobs else None

    def reset(self, seed: int, level: Level) -> None:
        """Start an episode; an environment that cannot is made anew.

        Raises:
            RoboAdvError: the new one cannot either.
        """
        try:
            self._start(seed, level)
        except Exception as error:  # the simulator may be beyond repair after a failure
            _LOG.warning("reset failed, the environment is made anew: %s", error)
            self._take(self.make())
            try:
                self._start(seed, level)
            except Exception as again:
                raise RoboAdvError(f"the environment cannot be reset: {again}") from again

    def _start(self, seed: int, level: Level) -> None:
        if self.knobs is not None:
            self.knobs.apply(level)
        if self.simulation is not None:
            self.simulation.forces[:] = 0.0
            self.pushed = False
            self.simulation.data.qacc_warmstart[:] = 0.0  # no trace of the episode before
        observation, _ = self.env.reset(seed=seed)
        self.arrays.obs[self.i] = self.plan.flat(observation)
        if self.simulation is None:
            return
        if not self.simulation.still(self.env):
            self._take(self.env)
        self.simulation.warnings[:] = 0
        self._read()

    def step(self, push: bool) -> None:
        """Advance by `arrays.action`; what goes wrong in the simulator is `failed`."""
        arrays, i = self.arrays, self.i
        simulation = self.simulation
        if simulation is not None and (push or self.pushed):
            simulation.forces[:] = arrays.forces[i]
            self.pushed = push
        try:
            observation, reward, terminated, truncated, info = unpack(
                self._step(self._action.copy())
            )
            arrays.obs[i] = observation if self._flat is None else self._flat(observation)
            arrays.reward[i] = reward
            for k, key in enumerate(self.plan.keys):
                arrays.info[i, k] = info.get(key, 0.0)
        except Exception as error:  # any simulator may fail in its own way
            self._fail(error)
            return
        self.sound, self.info = True, info
        arrays.terminated[i], arrays.truncated[i] = terminated, truncated
        arrays.failed[i] = False
        for key in self.plan.unexpected:
            if key in info:
                raise RoboAdvError(
                    f"the environment gives info[{key!r}] at times only, and its first steps had "
                    f"none; say so with --set info_costs={key} (in Python info_costs=({key!r},))"
                )
        if simulation is not None:
            self._read()
        if self.plan.unhealthy:
            arrays.unhealthy[i] = not self.env.unwrapped.is_healthy

    def succeeded(self) -> bool:
        """Whether the last step's `info` told of success."""
        return any(bool(np.any(self.info.get(key, False))) for key in SUCCESS)

    def _read(self) -> None:
        assert self.simulation is not None
        self._up[:], self._height[:] = self.simulation.up, self.simulation.height
        self.arrays.warnings[self.i] = self.simulation.warnings

    def _fail(self, error: Exception) -> None:
        if not self.sound:
            raise RoboAdvError(
                f"the environment fails at its first step: {type(error).__name__}: {error}"
            ) from error
        _LOG.warning("an episode diverged: %s: %s", type(error).__name__, error)
        self.arrays.reward[self.i] = 0.0
        self.arrays.terminated[self.i] = self.arrays.truncated[self.i] = False
        self.arrays.failed[self.i] = True


class Rows:
    """All rows of a world in this process."""

    def __init__(self, envs: Sequence[Any], make: Make, plan: Plan, arrays: Arrays) -> None:
        self.arrays = arrays
        self.rows = [Row(i, env, make, plan, arrays) for i, env in enumerate(envs)]

    def reset(self, ids: Array, seeds: Sequence[int], levels: Sequence[Level]) -> None:
        for i, seed, level in zip(ids, seeds, levels, strict=True):
            self.rows[i].reset(seed, level)

    def step(self) -> None:
        push = bool(self.arrays.forces.any())
        for row in self.rows:
            row.step(push)

    def succeeded(self, ids: Array) -> Array:
        """(n,) whether the episodes in rows `ids` have succeeded."""
        return np.array([self.rows[i].succeeded() for i in ids], dtype=np.bool_)

    def close(self) -> None:
        for row in self.rows:
            row.env.close()
