"""Collector: plays in a seat for a while and goes on from there the next time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.training.state import episode_metrics
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]
FRESH = 22  # stream of the seeds that collectors begin with
Begin = Callable[[Array, Array, Array], None]  # rows (n,), their seeds (n,), observations (N, d)


@dataclass(frozen=True)
class Rollout:
    """T steps of N rows.

    Attributes:
        observation: (T, N, d). action: (T, N, a), what the collector was told. ended: (T, N) whether
            the episode ended with the step. fresh: (N,) whether the first step began an episode.
        metrics: of episodes that ended; returns are true ones.
    """

    observation: Array
    action: Array
    ended: Array
    fresh: Array
    metrics: dict[str, float]


class Collector:
    """Steps through an environment, episodes going on from one call to the next.

    Args:
        env: it is reset at the first call. seed: of the first scenarios.
        begin: told of every episode that begins.
    """

    def __init__(
        self, env: ResumableEnv, seed: int, begin: Begin = lambda rows, seeds, seen: None
    ) -> None:
        self.env, self.seed, self.begin = env, seed, begin
        self.observation: Array | None = None
        self.fresh = np.ones(env.num_envs, dtype=bool)

    def start(self) -> Array:
        """Current observations (N, d), after the first reset."""
        if self.observation is None:
            n = self.env.num_envs
            seeds = seeding.derive(np.full(n, self.seed), FRESH, np.arange(n))
            first, _ = self.env.reset(seed=[int(seed) for seed in seeds])  # type: ignore[arg-type]
            self.observation = np.array(first)
            self.begin(np.arange(n), seeds, self.observation)
        return self.observation

    def play(self, steps: int, act: Callable[[Array], tuple[Array, Array]]) -> Rollout:
        """`steps` steps of every row; `act` gives actions in [-1, 1] for observations (N, d), and what
        is kept in place of them."""
        seen, kept, ended, finished = [], [], [], []
        observation, fresh = self.start(), self.fresh
        for _ in range(steps):
            action, noted = act(observation)
            seen.append(observation)
            kept.append(noted)
            following, _, terminated, truncated, info = self.env.step(action)
            observation = np.array(following)
            over = terminated | truncated
            ended.append(over)
            rows = np.flatnonzero(over)
            if len(rows):
                told = {k: v for k, v in info["final_info"].items() if not k.startswith("_")}
                finished.append({name: np.asarray(v)[rows] for name, v in told.items()})
                self.begin(rows, self._seeds(rows), observation)
        self.observation, self.fresh = observation, ended[-1]
        metrics = episode_metrics(finished)
        if "return" in metrics:
            metrics["true_return"] = metrics.pop("return")
        return Rollout(np.array(seen), np.array(kept), np.array(ended), fresh, metrics)

    def _seeds(self, rows: Array) -> Array:
        world = getattr(self.env, "game", None) or self.env.world  # type: ignore[attr-defined]
        seeds: Array = world.seeds[rows]
        return seeds

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """What `restore` needs."""
        if self.observation is None:
            return {}, {}
        arrays, values = self.env.snapshot()
        return {**arrays, "now": self.observation.copy(), "fresh": self.fresh.copy()}, values

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Go on from a snapshot; `begin` is told of all episodes that run."""
        if "now" not in arrays:
            self.observation = None
            return
        inner = {k: v for k, v in arrays.items() if k not in ("now", "fresh")}
        self.env.restore(inner, values)
        self.observation = np.array(arrays["now"])
        self.fresh = arrays["fresh"].astype(bool)
        rows = np.arange(self.env.num_envs)
        self.begin(rows, self._seeds(rows), self.observation)
