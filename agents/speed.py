"""Speed: the engine against plain mj_step loops, and learning against the engine.

Both halves of every ratio are measured in turns within the same minute, since absolute times on a
shared machine are noise.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.agents.make import make_single
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.faces import SingleEnv
from robo_adv.envs.game import Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.training.learner import Learner, PPOConfig, Threads

GAME = "KickAndDefend-v0"
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """What the engine did: controls (T, N, nu), and the states that episodes started from."""

    ctrl: Array
    qpos: Array
    qvel: Array
    starts: npt.NDArray[np.bool_]  # (T, N): the episode of row i starts before step t


def record(game: Game, steps: int) -> Recording:
    """Drive the game with uniform actions, keeping what a plain loop needs to do the same."""
    n, model = game.num_envs, game.model
    rng = np.random.default_rng(0)
    game.reset(np.arange(n))
    ctrl = np.zeros((steps, n, model.nu))
    qpos, qvel = np.zeros((steps, n, model.nq)), np.zeros((steps, n, model.nv))
    starts = np.zeros((steps, n), dtype=bool)
    starts[0] = True
    for t in range(steps):
        qpos[t], qvel[t] = game.qpos, game.qvel
        result = game.step(random_actions(game, rng))
        ctrl[t] = game.ctrl
        if result.final is not None:
            ctrl[t, result.final.ids] = 0.0  # the restart cleared them; replayed as zero
            if t + 1 < steps:
                starts[t + 1, result.final.ids] = True
    return Recording(ctrl, qpos, qvel, starts)


def random_actions(game: Game, rng: np.random.Generator) -> dict[str, Array]:
    """Uniform actions for every player."""
    return {
        p: rng.uniform(-1, 1, (game.num_envs, game.action_size(p))) for p in game.players
    }  # fmt: skip


def _plain_worker(pipe: Connection, options: dict[str, Any], part: Recording) -> None:
    """Plain mj_step loops over the given simulations, on request; sends back seconds.

    The loop itself is Python's; its cost, measured with steps of no substeps, is taken off, so that
    what is left is the C loop over substeps.
    """
    game = make_game(GAME, 1, threads=1, **options)
    model, substeps = game.model, game.substeps
    data = [mujoco.MjData(model) for _ in range(part.ctrl.shape[1])]

    def replay(substeps: int) -> None:
        for t in range(len(part.ctrl)):
            for i, d in enumerate(data):
                if part.starts[t, i]:
                    mujoco.mj_resetData(model, d)
                    d.qpos[:], d.qvel[:] = part.qpos[t, i], part.qvel[t, i]
                d.ctrl[:] = part.ctrl[t, i]
                mujoco.mj_step(model, d, substeps)

    while pipe.recv():
        whole, loop = timed(lambda: replay(substeps)), timed(lambda: replay(0))
        pipe.send(whole - loop)


def engine_against_limit(
    options: dict[str, Any], num_envs: int = 256, steps: int = 60, rounds: int = 5
) -> dict[str, float]:
    """Engine steps/s as a share of plain C loops, one process per core, replaying its actions."""
    game = make_game(GAME, num_envs, **options)
    recording = record(game, steps)
    cores = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    pipes, workers = [], []
    for rows in np.array_split(np.arange(num_envs), cores):
        part = Recording(*(getattr(recording, name)[:, rows] for name in vars(recording)))
        mine, theirs = context.Pipe()
        worker = context.Process(target=_plain_worker, args=(theirs, options, part), daemon=True)
        worker.start()
        pipes.append(mine)
        workers.append(worker)

    def plain() -> float:
        for pipe in pipes:
            pipe.send(True)
        return max(float(pipe.recv()) for pipe in pipes)

    def engine() -> float:
        rng = np.random.default_rng(0)
        actions = [random_actions(game, rng) for _ in range(steps)]
        game.reset(np.arange(num_envs))
        began = time.perf_counter()
        for action in actions:
            game.step(action)
        return time.perf_counter() - began

    plain(), engine()  # warm up
    pairs = [(plain(), engine()) for _ in range(rounds)]
    for pipe in pipes:
        pipe.send(False)
    count = num_envs * steps
    return {
        "engine_steps_per_s": count / median(e for _, e in pairs),
        "limit_steps_per_s": count / median(p for p, _ in pairs),
        "ratio": median(p / e for p, e in pairs),
        "ratio_min": min(p / e for p, e in pairs),
        "ratio_max": max(p / e for p, e in pairs),
    }


def learning_against_engine(
    options: dict[str, Any], ppo: PPOConfig, threads: Threads, iterations: int = 6, rounds: int = 3
) -> dict[str, float]:
    """PPO end to end, as a share of the engine's throughput at the same number of simulations."""
    game = make_game(GAME, ppo.num_envs, threads=threads.physics, **options)
    seat = Seat(game, "kicker", {"keeper": SCRIPTED["zero"](game, "keeper")})
    learner = Learner(seat, ppo, 0, threads)
    other = make_game(GAME, ppo.num_envs, threads=threads.physics, **options)
    other.reset(np.arange(ppo.num_envs))
    rng = np.random.default_rng(0)

    def learn() -> float:
        return timed(lambda: [learner.iterate() for _ in range(iterations)])

    def engine() -> float:
        actions = [random_actions(other, rng) for _ in range(ppo.n_steps)]
        return timed(lambda: [other.step(action) for action in actions])

    learn(), engine()
    pairs = [(learn() / iterations, engine()) for _ in range(rounds)]
    return {
        "learning_steps_per_s": ppo.rollout / median(a for a, _ in pairs),
        "engine_steps_per_s": ppo.rollout / median(b for _, b in pairs),
        "ratio": median(b / a for a, b in pairs),
    }


def timed(work: Callable[[], Any]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _single() -> SingleEnv:
    return make_single(GAME, player="kicker", opponent="zero")


def learning_against_subproc(
    ppo: PPOConfig, threads: Threads, processes: int = 8
) -> dict[str, float]:
    """PPO on a Seat against the same PPO on SB3's SubprocVecEnv of single environments.

    The rollout and update have the same size; n_steps grows as the number of environments shrinks.
    """
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import SubprocVecEnv

    from robo_adv.training.network import policy_kwargs

    game = make_game(GAME, ppo.num_envs, threads=threads.physics)
    learner = Learner(
        Seat(game, "kicker", {"keeper": SCRIPTED["zero"](game, "keeper")}), ppo, 0, threads
    )
    workers = SubprocVecEnv([_single] * processes, start_method="spawn")
    model = PPO(
        "MlpPolicy", workers, n_steps=ppo.rollout // processes, batch_size=ppo.batch_size,
        n_epochs=ppo.n_epochs, learning_rate=ppo.learning_rate, device="cpu",
        policy_kwargs=policy_kwargs(ppo.net_arch, ppo.activation, ppo.log_std_init),
    )  # fmt: skip
    learner.iterate()
    model.learn(1)
    pairs = [(timed(lambda: model.learn(1)), timed(learner.iterate)) for _ in range(2)]
    workers.close()
    return {
        "subproc_steps_per_s": ppo.rollout / median(a for a, _ in pairs),
        "learning_steps_per_s": ppo.rollout / median(b for _, b in pairs),
        "ratio": median(a / b for a, b in pairs),
    }
