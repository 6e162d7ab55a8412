"""Minutes to a success rate: the same learner on this project's tasks and on gymnasium-robotics'.

The learner, its hyper-parameters and the size of its rollouts and updates are the same on both
sides; only where the episodes come from differs: a batch of simulations in one process here, an
AsyncVectorEnv of single environments there.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robo_adv.agents.fetch import FetchVector, fastest_workers, need_fetch
from robo_adv.agents.presets import preset_of
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.safety.statistics import Rate
from robo_adv.training.learner import Learner, PPOConfig, Threads
from robo_adv.training.vec_env import ResumableEnv

WINDOW = 200  # least number of last episodes that a success rate counts
DIFFERENCES = (
    "goal tolerance: 5 cm in both Fetch tasks; here 2 cm in Reach-v0 and 5 cm in Push-v0",
    "episodes: 50 control steps of 0.04 s, cut by a time limit, in both Fetch tasks; here 50 "
    "(Reach-v0) and 100 (Push-v0) of 0.04 s, with the clock observed",
    "goals: within 15 cm of the gripper's start on each axis in both Fetch tasks; here in a box of "
    "30 x 50 x 35 cm (Reach-v0), and 10 to 20 cm from the cube (Push-v0)",
    "robots: a Fetch whose gripper is dragged by a mocap weld, up to 5 cm per action; here a Panda "
    "whose joints are servos, up to 2 cm per action",
    "rewards: minus the distance to the goal in the Fetch tasks; here the preset's terms, which in "
    "Push-v0 also lead the tool behind the cube",
    "hyper-parameters: unless flags say otherwise, those of this project's preset for the task",
)


@dataclass(frozen=True)
class Pair:
    """Two tasks that are compared. threshold: success rate to reach."""

    ours: str
    theirs: str
    threshold: float


PAIRS = {
    "reach": Pair("Reach-v0", "FetchReachDense-v4", 0.95),
    "push": Pair("Push-v0", "FetchPushDense-v4", 0.90),
}


def our_env(game: str, ppo: PPOConfig, threads: Threads) -> Seat:
    """A Seat of our task with the preset's reward."""
    reward = preset_of(game).reward
    world = make_game(game, ppo.num_envs, threads=threads.physics, reward={"arm": reward})
    return Seat(world, "arm", observation="flat")


def same_rollout(ppo: PPOConfig, num_envs: int) -> PPOConfig:
    """The config for another number of environments: n_steps grows as num_envs shrinks.

    Raises:
        RoboAdvError: the rollout does not divide by `num_envs`.
    """
    if ppo.rollout % num_envs:
        raise RoboAdvError(
            f"{num_envs} workers do not divide the rollout of {ppo.rollout} steps; choose a divisor"
        )
    return replace(ppo, num_envs=num_envs, n_steps=ppo.rollout // num_envs)


def settings(pair: Pair, ppo: PPOConfig | None, workers: Sequence[int]) -> PPOConfig:
    """The config of both sides: the given one, or our preset's.

    Raises:
        DependencyError: gymnasium-robotics is missing. RoboAdvError: workers that cannot be used.
    """
    need_fetch()
    ppo = ppo or preset_of(pair.ours).ppo
    if not workers or min(workers) < 1:
        raise RoboAdvError(f"workers must be numbers of at least 1, got {list(workers)}")
    for count in workers:
        same_rollout(ppo, count)
    return ppo


def minutes_to(
    env: ResumableEnv, ppo: PPOConfig, threads: Threads, threshold: float, limit_minutes: float,
    *, seed: int, label: str, say: Callable[[str], None], every: float = 20.0,
) -> dict[str, Any]:  # fmt: skip
    """Learn until `threshold` of the last WINDOW or more episodes succeed, or the time is over.

    Episodes are the exploring policy's own. Making environments and networks does not count.

    Args:
        say: takes a progress line every `every` seconds.

    Returns:
        `reached`, `minutes`, `success` (of the last episodes), `episodes`, `steps`, `steps_per_s`.
    """
    learner, last = Learner(env, ppo, seed, threads), deque[tuple[int, int]]()
    began = told = time.perf_counter()
    while True:
        metrics = learner.iterate()
        last.append((int(metrics.get("wins", 0)), int(metrics["episodes"])))
        while sum(n for _, n in last) - last[0][1] >= WINDOW:
            last.popleft()
        won, ended = (sum(column) for column in zip(*last, strict=True))
        now = time.perf_counter()
        success = won / ended if ended else 0.0
        reached = ended >= WINDOW and success >= threshold
        over = reached or now - began >= 60.0 * limit_minutes
        if over or now - told >= every:
            told = now
            rate = str(Rate(won, ended)) if ended else "-"
            speed = learner.steps / (now - began)
            say(f"{label}: {(now - began) / 60:.1f} min  {learner.steps:,} steps  "
                f"{speed:,.0f} steps/s  success {rate}")  # fmt: skip
        if over:
            return {
                "reached": reached, "minutes": (now - began) / 60.0, "success": success,
                "episodes": ended, "steps": learner.steps,
                "steps_per_s": learner.steps / (now - began),
            }  # fmt: skip


def compare(
    pair: Pair, ppo: PPOConfig | None, threads: Threads, workers: Sequence[int],
    limit_minutes: float, seed: int, say: Callable[[str], None],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Minutes to the threshold by task id, one task after the other.

    Args:
        ppo: of both sides; None takes our preset's. workers: numbers of processes to try for theirs.
    """
    ppo = settings(pair, ppo, workers)
    count = fastest_workers(pair.theirs, workers, say)
    theirs = same_rollout(ppo, count)
    out: dict[str, dict[str, Any]] = {}
    for task, config, make in (
        (pair.ours, ppo, lambda: our_env(pair.ours, ppo, threads)),
        (pair.theirs, theirs, lambda: FetchVector(pair.theirs, count)),
    ):
        env = make()
        try:
            out[task] = minutes_to(
                env, config, threads, pair.threshold, limit_minutes,
                seed=seed, label=task, say=say,
            )  # fmt: skip
        finally:
            env.close()
        out[task] |= {"num_envs": config.num_envs, "threshold": pair.threshold}
    return out
