"""Speed of learning against the engine and against single environments, and of cameras.

Both halves of every ratio are measured in turns within the same minute, since absolute times on a
shared machine are noise. `robo_adv.agents.limit` measures the engine itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.design import Design, preset
from robo_adv.agents.limit import timed
from robo_adv.agents.make import make_single
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.cameras import camera_speed
from robo_adv.envs.faces import SingleEnv
from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.training.learner import Learner, PPOConfig, Threads

GAME = "KickAndDefend-v0"
DESIGN_TARGET = 0.7  # of plain PPO's throughput that PAIRED's loop must keep
LEVEL_TARGET = 40.0  # us per simulation that a new level may cost
IMAGES_TARGET = 500.0  # images/s of a camera as a sensor, at 64 x 64 pixels
Array = npt.NDArray[Any]


def random_actions(game: Game, rng: np.random.Generator) -> dict[str, Array]:
    """Uniform actions for every player."""
    return {
        p: rng.uniform(-1, 1, (game.num_envs, game.action_size(p))) for p in game.players
    }  # fmt: skip


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


def design_against_learning(
    threads: Threads, iterations: int = 3, rounds: int = 3
) -> dict[str, float]:
    """PAIRED's loop as a share of plain PPO's throughput, per environment step of all students, in a
    game with two obstacles and rounds of the size of PPO's rollouts."""
    config = replace(
        preset(GAME, "paired"), options={"obstacles": 2}, parameters={"warmup": 0.0}, steps=2**40,
        threads=threads,
    )  # fmt: skip
    design = Design(config)
    students = len(design.students)
    game = make_game(GAME, design.ppo.num_envs, threads=threads.physics, obstacles=2)
    learner = Learner(
        Seat(game, "kicker", {"keeper": SCRIPTED["track-ball"](game, "keeper")}), design.ppo, 0,
        threads,
    )  # fmt: skip

    def paired() -> float:
        return timed(lambda: [design.iterate() for _ in range(iterations)]) / students

    def plain() -> float:
        return timed(lambda: [learner.iterate() for _ in range(iterations)])

    paired(), plain()
    pairs = [(paired(), plain()) for _ in range(rounds)]
    steps = design.ppo.rollout * iterations
    return {
        "paired_steps_per_s": steps / median(a for a, _ in pairs),
        "plain_steps_per_s": steps / median(b for _, b in pairs),
        "ratio": median(b / a for a, b in pairs),
    }


def level_variants(
    variants: Mapping[str, tuple[str, dict[str, Any]]],
) -> dict[str, tuple[str, dict[str, Any]]]:
    """The variants, and beside those that can have obstacles the same with two of them."""
    out: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, (game, options) in variants.items():
        out[name] = (game, options)
        if "obstacles" in {field.name for field in fields(GAMES[game].Options)}:
            out[f"{name}, 2 obstacles"] = (game, {**options, "obstacles": 2})
    return out


def level_change(
    game: str, options: Mapping[str, Any], num_envs: int = 256, rounds: int = 7
) -> dict[str, float]:
    """What a new level adds to the reset of a simulation, in us of CPU time: all simulations get new
    random levels, against the same reset with the levels they have."""
    world = make_game(game, num_envs, threads=1, **options)
    space, rng, ids = world.design_space, np.random.default_rng(0), np.arange(num_envs)
    sets = [[space.decode(u) for u in space.sample(rng, num_envs)] for _ in range(2)]
    pairs = []
    for turn in range(rounds + 1):
        levels = sets[turn % 2]
        began = time.process_time()
        world.reset(ids, levels=levels)
        between = time.process_time()
        world.reset(ids, levels=levels)
        pairs.append(2.0 * between - began - time.process_time())
    return {"us_per_level": 1e6 * median(pairs[1:]) / num_envs}


def images_per_second(
    game: str, options: Mapping[str, Any], num_envs: int = 64, size: int = 64
) -> dict[str, float]:
    """Images per second from each camera of a game, as sensors give them, mid-episode.

    Raises:
        DependencyError: no OpenGL backend works here.
    """
    world = make_game(game, num_envs, **options)
    world.reset(np.arange(num_envs))
    rng = np.random.default_rng(0)
    for _ in range(10):
        world.step(random_actions(world, rng))
    names = [world.model.camera(c).name for c in range(world.model.ncam)]
    return {name: camera_speed(world, (name,), size, rounds=3) for name in names}
