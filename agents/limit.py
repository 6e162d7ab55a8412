"""The engine against its limit: the same episodes as plain loops of `mj_step`, for every game.

Both halves of a ratio are measured in turns within the same minute, since absolute times on a
shared machine are noise. What the plain loops repeat is the engine's own recording: falling robots
cost more than lying ones, and arms that push cost more than arms in the air.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.agents.scripted import SCRIPTED, Scripted
from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.envs.soccer.bodies.body import BODIES
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver

TARGET = 0.85  # of the plain loops' speed, that the engine is to reach
STEPS = 100  # control steps of a recording: an episode of most games
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)  # what a row of a batch holds
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """What the engine did in T control steps of N simulations.

    Attributes:
        states: (T, N, s), everything that physics depends on, controls included, as it began.
        controls: (T, N, substeps, nu), or None where a game holds its controls.
    """

    states: Array
    controls: Array | None

    def part(self, rows: Array) -> Recording:
        """The same of some simulations."""
        controls = None if self.controls is None else self.controls[:, rows]
        return Recording(self.states[:, rows], controls)

    def replay(
        self, model: mujoco.MjModel, data: Sequence[mujoco.MjData], substeps: int, run: bool
    ) -> None:
        """Repeat it all, with one of `data` per simulation; without `run` all but the substeps.

        Controls are those of the engine in every substep: held ones would jump where the engine's
        do not, which costs the solver up to half as many iterations more.
        """
        count = substeps if run else 0
        each = 1 if run else 0
        for t, states in enumerate(self.states):
            for i, (d, state) in enumerate(zip(data, states, strict=True)):
                mujoco.mj_setState(model, d, state, STATE)
                if self.controls is None:
                    mujoco.mj_step(model, d, count)
                    continue
                for control in self.controls[t, i]:
                    d.ctrl[:] = control
                    mujoco.mj_step(model, d, each)


def variants(games: tuple[str, ...] = ()) -> dict[str, tuple[str, dict[str, Any]]]:
    """Id and options by label: each game (all that are registered by default) with its default
    options, or, where it has the option `body`, once per body.

    Raises:
        UnknownNameError: no such game.
    """
    out: dict[str, tuple[str, dict[str, Any]]] = {}
    for name in [game.removeprefix("robo_adv/") for game in games] or GAMES:
        if any(field.name == "body" for field in fields(GAMES[name].Options)):
            out |= {f"{name} {body}": (name, {"body": body}) for body in BODIES}
        else:
            out[name] = (name, {})
    return out


def expert(game: Game, player: str) -> Scripted:
    """The scripted expert of the game, where there is one, else random actions."""
    for name in SCRIPTED:
        if game.id in SCRIPTED[name].games:
            try:
                return SCRIPTED[name](game, player)
            except RoboAdvError:
                continue  # made for other options
    return SCRIPTED["random"](game, player)


def record(game: Game, steps: int) -> tuple[Recording, list[dict[str, Array]]]:
    """Play `steps` control steps from seeds 0..N-1; also the actions, which repeat them."""
    n = game.num_envs
    states: list[Array] = []
    controls: list[Array] = []
    actions: list[dict[str, Array]] = []
    drivers = {
        p: Driver(expert(game, p), n, lane=lane) for lane, p in enumerate(game.players)
    }  # fmt: skip
    obs = game.reset(np.arange(n))
    for p, driver in drivers.items():
        driver.begin(np.arange(n), game.seeds, obs[p])
    inner = game.control

    def control() -> Array | None:  # what stands right before the physics
        found = inner()
        states.append(game.batch.state.copy())
        controls.extend([] if found is None else [found])
        return found

    game.control = control  # type: ignore[method-assign]
    try:
        for _ in range(steps):
            actions.append({p: driver.act(obs[p]) for p, driver in drivers.items()})
            result = game.step(actions[-1])
            obs = result.obs
            if result.final is not None:
                for p, driver in drivers.items():
                    driver.begin(result.final.ids, game.seeds[result.final.ids], obs[p])
    finally:
        del game.control
    return Recording(np.stack(states), np.stack(controls) if controls else None), actions


def _plain_worker(pipe: Connection, game: str, options: dict[str, Any], part: Recording) -> None:
    """Plain mj_step loops over the given simulations, on request; sends back seconds.

    Both sides do the same work, to the bit. The loop itself is Python's; its cost, measured with
    steps of no substeps, is taken off, so that what is left is the C loop over substeps. Every
    simulation has an MjData of its own, as in programs without a batch. One that all share would
    stay in the cache: in Reach-v0 such loops were 2 to 14 % faster, so a ratio to them is lower.
    """
    world = make_game(game, 1, threads=1, **options)
    model, substeps = world.model, world.substeps
    data = [mujoco.MjData(model) for _ in range(part.states.shape[1])]
    while pipe.recv():
        whole, loop = (
            timed(partial(part.replay, model, data, substeps, run)) for run in (True, False)
        )
        pipe.send(whole - loop)


@contextmanager
def plain_loops(
    game: str, options: Mapping[str, Any], recording: Recording
) -> Iterator[Callable[[], float]]:
    """A function that gives the seconds of a recording's plain loops, one process per core."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    n = recording.states.shape[1]
    for rows in np.array_split(np.arange(n), min(os.cpu_count() or 1, n)):
        mine, theirs = context.Pipe()
        arguments = (theirs, game, dict(options), recording.part(rows))
        context.Process(target=_plain_worker, args=arguments, daemon=True).start()
        theirs.close()  # so that a worker that dies is an end of file and no endless wait
        pipes.append(mine)

    def seconds() -> float:
        for pipe in pipes:
            pipe.send(True)
        return max(float(pipe.recv()) for pipe in pipes)

    try:
        yield seconds
    finally:
        for pipe in pipes:
            with suppress(OSError):  # a worker that died has said why
                pipe.send(False)
            pipe.close()


def engine_against_limit(
    game: str,
    options: Mapping[str, Any],
    num_envs: int = 256,
    steps: int = STEPS,
    seconds: float = 12.0,
) -> dict[str, float]:
    """Engine steps/s as a share of plain C loops that repeat what it did.

    Args:
        game: id. options: of the game. seconds: rounds end after about this long; at least three.
    """
    world = make_game(game, num_envs, **options)
    recording, actions = record(world, steps)

    def engine() -> float:
        world.reset(np.arange(num_envs))
        return timed(lambda: [world.step(action) for action in actions])

    pairs: list[tuple[float, float]] = []
    with plain_loops(game, options, recording) as plain:
        plain(), engine()  # warm up
        began = time.perf_counter()
        while len(pairs) < 3 or (len(pairs) < 9 and time.perf_counter() - began < seconds):
            pairs.append((plain(), engine()))
    count = num_envs * steps
    return {
        "engine_steps_per_s": count / median(e for _, e in pairs),
        "limit_steps_per_s": count / median(p for p, _ in pairs),
        "ratio": median(p / e for p, e in pairs),
        "ratio_min": min(p / e for p, e in pairs),
        "ratio_max": max(p / e for p, e in pairs),
    }


def timed(work: Callable[[], Any]) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
