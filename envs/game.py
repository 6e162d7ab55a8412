"""Game: N copies of one MuJoCo scene with named players, stepped together.

`Game.step` runs in this order:

1. actions are checked, clipped and written to `ctrl` (a non-finite action forfeits the episode);
2. the substeps run on the batch's threads, contact sensors recorded at each of them;
3. simulations that diverged end, with the last observation that was valid; counters advance;
4. the verdict: who won, or a draw;
5. reward terms and cost terms, both named, costs in physical units and never part of rewards;
6. episodes that are over report their final observation and restart (same-step autoreset);
7. observations.

A game file writes `build`, `players`, `design_space`, `start`, `layout`, `observe`, `reward_terms`,
`cost_terms` and `verdict`. Episode j is determined by (game, options, level_j, seed_j, policies)
alone: the same in a batch of 1 or 256, at any thread count, in any order.
"""

from __future__ import annotations

import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
from mujoco.batch import Batch, SimulationError

from robo_adv import seeding
from robo_adv.envs.episode import (
    DRAW,
    ONGOING,
    Array,
    Bools,
    Cost,
    Final,
    Ints,
    Observation,
    Scenarios,
    Step,
    Terms,
)
from robo_adv.envs.layout import Layout
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import DesignSpace, Level
from robo_adv.registry import Registry
from robo_adv.rendering import BatchRenderer

GAMES: Registry[type[Game]]
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class GameOptions:
    """Base of a game's options: a frozen dataclass of JSON values."""


def check_options(cls: type[GameOptions], options: Mapping[str, Any]) -> GameOptions:
    """An instance of the options class; an unknown option is an error that lists the known ones."""
    known = [field.name for field in fields(cls)]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return cls(**options)


class Game(ABC):
    """Base of all games.

    Args:
        num_envs: N, number of simulations.
        threads: physics threads; 0 takes every CPU.
        reward: per player, the name of a preset of `reward_weights` or a dict of weights.
        options: the game's own options, see its Options class.
    """

    id: ClassVar[str]
    players: ClassVar[tuple[str, ...]]
    Options: ClassVar[type[GameOptions]] = GameOptions
    reward_weights: ClassVar[dict[str, dict[str, dict[str, float]]]]
    costs: dict[str, Cost]  # a class's, unless its options add some
    design_space: DesignSpace
    camera: str = ""
    notice: ClassVar[str] = ""  # what must be said wherever the costs are reported
    substeps: int
    start_numbers: int  # how many uniform numbers `start` uses

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int = 0,
        reward: Mapping[str, str | Mapping[str, float]] | None = None,
        options: GameOptions | None = None,
        **option_values: Any,
    ) -> None:
        if num_envs < 1:
            raise RoboAdvError(f"num_envs must be at least 1, got {num_envs}")
        if options is not None and option_values:
            known = [field.name for field in fields(self.Options)]
            raise unknown("option", next(iter(option_values)), known, "(options is given too)")
        self.options = options or check_options(self.Options, option_values)
        self.num_envs = num_envs
        self.weights = {p: self._weights(p, (reward or {}).get(p, "dense")) for p in self.players}
        mujoco.set_mju_user_warning(_LOG.debug)  # keeps MUJOCO_LOG.TXT out of the user's folder
        with warnings.catch_warnings():  # scenes are compiled here and never saved
            warnings.filterwarnings("ignore", "Attaching a spec with an empty prefix")
            self.model = self.build().compile()
        self.batch = Batch(self.model, num_envs, threads)
        self.qpos: Array = self.batch.bind("qpos")
        self.qvel: Array = self.batch.bind("qvel")
        self.ctrl: Array = self.batch.bind("ctrl")
        # External wrenches (N, nbody, 6) [N, N m] on the bodies; force threats write them.
        self.forces: Array = self.batch.bind("xfrc_applied")
        # A row right after mj_resetData. Copying it resets a simulation, which is its row, without
        # waking the batch's threads.
        self._fresh = self.batch.state[0].copy()
        self.sensors = np.zeros((num_envs, self.substeps, self.model.nsensordata))
        self.layouts = {p: self.layout(p) for p in self.players}
        self.scenarios: Scenarios = self._next_scenarios
        self.params: Terms = {
            p.name: np.full(num_envs, p.nominal)
            for p in self.design_space
            if not isinstance(p.nominal, str)
        }
        self.levels = [self.design_space.nominal] * num_envs
        self.seeds = np.zeros(num_envs, dtype=np.uint64)
        self.length = np.zeros(num_envs, dtype=np.int64)
        self.qpos_before = self.qpos.copy()  # (N, nq) before the last control step
        self.qvel_before = self.qvel.copy()
        self.winner = np.full(num_envs, ONGOING, dtype=np.int64)
        self._seen: dict[str, Observation] = {}  # what the players saw last
        # What a game keeps from step to step beside the physics: arrays with one row per simulation.
        self.memory: dict[str, npt.NDArray[Any]] = {}
        # Called with the simulations whose episodes ended, while their last state still stands.
        self.before_restart: Callable[[Ints], None] | None = None
        self._renderer: BatchRenderer | None = None
        self._returns = {p: np.zeros(num_envs) for p in self.players}
        # One row per cost term (C, N), summed up over the running episodes.
        self._episode_costs = {p: np.zeros((len(self.costs), num_envs)) for p in self.players}

    # What a game file writes.

    @abstractmethod
    def build(self) -> mujoco.MjSpec:
        """The scene."""

    @abstractmethod
    def layout(self, player: str) -> Layout:
        """The named slices of the player's observation."""

    @abstractmethod
    def action_size(self, player: str) -> int:
        """Number of actions of the player, each in [-1, 1]."""

    @abstractmethod
    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        """Initial (qpos, qvel) (n, nq), (n, nv): a pure function of u (n, start_numbers) in [0, 1)
        and of the levels, whose values are `self.params[name][ids]`."""

    @abstractmethod
    def observe(self, player: str, ids: Ints | slice) -> Observation:
        """Observations (n, d) of simulations `ids`, in a fresh array."""

    @abstractmethod
    def reward_terms(self, player: str) -> Terms:
        """Unweighted reward terms (N,), the names of `reward_weights`."""

    @abstractmethod
    def cost_terms(self, player: str) -> Terms:
        """Costs (N,) of the last step, the names and units of `costs`."""

    @abstractmethod
    def verdict(self) -> Ints:
        """Winner per simulation (N,): a player's index, DRAW or ONGOING."""

    def begin(self, ids: Ints, u: Array) -> None:
        """Called when simulations `ids` have started: set their rows of `self.memory`; `u` as in
        `start`."""

    def measure(self) -> None:
        """Called once after the physics: what verdict, rewards and costs of both players share."""

    def ending(self, i: int) -> str:
        """How the episode that just ended in simulation i ended, in words; '' if unknown."""
        return ""

    def notes(self) -> Terms:
        """Facts (N,) about the running episodes that are neither costs nor rewards, by name."""
        return {}

    def truncation(self) -> Bools:
        """Episodes cut by a limit foreign to the rules (N,); a game's own clock gives a verdict."""
        return np.zeros(self.num_envs, dtype=bool)

    def apply(self, player: str, action: Array) -> None:
        """Write a checked action (N, a) in [-1, 1] into `ctrl`."""
        self.ctrl[:, self.ctrl_slice(player)] = action

    def control(self) -> Array | None:
        """Controls (N, substeps, nu) during the step, or None to hold `ctrl`; called after
        `apply`."""
        return None

    def ctrl_slice(self, player: str) -> slice:
        """Which actuators belong to the player."""
        return slice(0, self.model.nu)

    def pushable(self, player: str) -> tuple[str, ...]:
        """Bodies that a push on the player acts on: those named `<player>_...` that stand on their
        own, or the first body of the scene."""
        model = self.model
        own = [model.body(i).name for i in range(1, model.nbody) if model.body_parentid[i] == 0]
        return tuple(name for name in own if name.startswith(f"{player}_")) or (own[0],)

    def apply_levels(self, ids: Ints) -> None:
        """Write `self.params` of simulations `ids` into the model fields (`batch.expand`)."""

    # What the base does with it.

    def reset(
        self,
        seeds: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        levels: Sequence[Level] | None = None,
    ) -> dict[str, Observation]:
        """Start the scenarios (seed_j, level_j) in simulations `ids` (all by default).

        Returns:
            observations (N, d) per player, of all simulations.
        """
        rows = np.arange(self.num_envs) if ids is None else np.asarray(ids, dtype=np.int64)
        self._start(rows, seeding.as_seeds(seeds), levels)
        return self._observe_all()

    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        """Advance one control step with actions (N, a) per player; see the module's docstring."""
        forfeit = self._apply_actions(actions)
        diverged = self._advance()
        self.length += 1
        self.measure()
        winner = self._judge(forfeit, diverged)
        terminated = winner != ONGOING
        truncated = (self.truncation() | diverged) & ~terminated
        self.winner = winner
        terms = {p: self._weighted_terms(p, diverged) for p in self.players}
        rewards = {p: sum(terms[p].values(), np.zeros(self.num_envs)) for p in self.players}
        costs = {p: self._costs(p, diverged) for p in self.players}
        for p in self.players:
            self._returns[p] += rewards[p]
        final = self._finish(np.flatnonzero(terminated | truncated), winner, diverged, forfeit)
        obs = self._observe_all()
        return Step(obs, rewards, terms, costs, terminated, truncated, winner, final)

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of everything but the levels that `restore` needs to go on bit by bit."""
        out: dict[str, npt.NDArray[Any]] = {
            "state": self.batch.state.copy(),
            "seeds": self.seeds.copy(),
            "length": self.length.copy(),
        }
        for p in self.players:
            out[f"returns.{p}"] = self._returns[p].copy()
            out[f"costs.{p}"] = self._episode_costs[p].copy()
        for name, array in self.memory.items():
            out[f"memory.{name}"] = array.copy()
        return out

    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], levels: Sequence[Level]
    ) -> None:  # fmt: skip
        """Continue from a snapshot of a game of the same size and options.

        Raises:
            RoboAdvError: the snapshot has another number of simulations or another state size.
        """
        if snapshot["state"].shape != self.batch.state.shape:
            raise RoboAdvError(
                f"the snapshot holds states of shape {snapshot['state'].shape}, this game has "
                f"{self.batch.state.shape}; use the same options and num_envs"
            )
        self._set_levels(np.arange(self.num_envs), levels)
        self.batch.state[:] = snapshot["state"]
        self.seeds[:] = snapshot["seeds"].view(np.uint64)
        self.length[:] = snapshot["length"]
        for p in self.players:
            self._returns[p][:] = snapshot[f"returns.{p}"]
            self._episode_costs[p][:] = snapshot[f"costs.{p}"]
        for name, array in self.memory.items():
            array[:] = snapshot[f"memory.{name}"].view(array.dtype)
        self._observe_all()

    def level(self, ids: Ints, name: str) -> Array:
        """The value (n,) of a numeric level parameter in simulations `ids`."""
        return self.params[name][ids]

    @property
    def control_dt(self) -> float:
        """Time between control steps [s]."""
        return float(self.model.opt.timestep * self.substeps)

    def observation_space(self, player: str) -> gymnasium.spaces.Box:
        """Box (d,) without bounds; `layouts[player]` names its slices."""
        return gymnasium.spaces.Box(-np.inf, np.inf, (self.layouts[player].size,), np.float32)

    def action_space(self, player: str) -> gymnasium.spaces.Box:
        """Box (a,) in [-1, 1]."""
        return gymnasium.spaces.Box(-1.0, 1.0, (self.action_size(player),), np.float32)

    def render(
        self, i: int = 0, width: int = 640, height: int = 480, camera: str | None = None,
        shadows: bool = False,
    ) -> npt.NDArray[np.uint8]:  # fmt: skip
        """A picture (height, width, 3) of simulation i, drawn with that simulation's level.

        Raises:
            DependencyError: no OpenGL backend works here (`robo-adv doctor` says why).
        """
        if self._renderer is None:
            self._renderer = BatchRenderer(self.batch)
        return self._renderer.draw(i, width, height, camera or self.camera, shadows)

    def close(self) -> None:
        """Free the renderer."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _weights(self, player: str, chosen: str | Mapping[str, float]) -> dict[str, float]:
        presets = {name: preset[player] for name, preset in self.reward_weights.items()}
        if isinstance(chosen, str):
            if chosen not in presets:
                raise unknown("reward preset", chosen, presets)
            return presets[chosen]
        known = set().union(*(preset.keys() for preset in presets.values()))
        for name in chosen:
            if name not in known:
                raise unknown(f"reward term of {player!r}", name, known)
        return dict(chosen)

    def _observe_all(self) -> dict[str, Observation]:
        self._seen = {p: self.observe(p, slice(None)) for p in self.players}
        return {p: seen.copy() for p, seen in self._seen.items()}  # callers may write into theirs

    def _apply_actions(self, actions: Mapping[str, npt.ArrayLike]) -> Ints:
        """Writes `ctrl`; returns who forfeits (N,): the index of the first player whose action is
        not finite, or -1."""
        forfeit = np.full(self.num_envs, -1, dtype=np.int64)
        for index, player in reversed(list(enumerate(self.players))):
            action = np.asarray(actions[player], dtype=np.float64)
            expected = (self.num_envs, self.action_size(player))
            if action.shape != expected:
                raise RoboAdvError(
                    f"action of {player!r} has shape {action.shape}, expected {expected}"
                )
            if not np.isfinite(action.sum()):
                bad = np.logical_not(np.isfinite(action).all(axis=1))
                forfeit[bad] = index
                action = np.where(bad.reshape(-1, 1), 0.0, action)
            self.apply(player, np.minimum(np.maximum(action, -1.0), 1.0))
        return forfeit

    def _advance(self) -> Bools:
        """Runs the substeps; returns which simulations diverged (N,), put back to before."""
        self.qpos_before[:] = self.qpos
        self.qvel_before[:] = self.qvel
        diverged: Any = np.zeros(self.num_envs, dtype=np.bool_)
        try:
            control = self.control()
            self.batch.rollout(
                self.substeps, control, int(mujoco.mjtState.mjSTATE_CTRL),
                record=("sensordata",), out={"sensordata": self.sensors},
            )  # fmt: skip
        except SimulationError as error:
            diverged[error.ids] = True
        if self.batch.warning.any():
            diverged |= self.batch.warning[:, :, 1].any(axis=1)  # (N, kinds, [info, count])
            self.batch.warning[:] = 0
        if diverged.any():
            self.batch.state[diverged] = self._fresh  # any valid state: the episode ends here
            self.qpos_before[diverged] = self.qpos[diverged]
            self.qvel_before[diverged] = self.qvel[diverged]
            self.sensors[diverged] = 0.0
        return np.asarray(diverged, dtype=np.bool_)

    def _judge(self, forfeit: Ints, diverged: Bools) -> Ints:
        winner = self.verdict()
        if (forfeit >= 0).any():
            others = 1 - forfeit if len(self.players) == 2 else np.full_like(forfeit, DRAW)
            winner = np.where(forfeit >= 0, others, winner)
        return np.where(diverged & (forfeit < 0), ONGOING, winner)

    def _weighted_terms(self, player: str, diverged: Bools) -> Terms:
        terms = self.reward_terms(player)
        keep = None if not diverged.any() else ~diverged
        return {
            name: weight * (terms[name] if keep is None else np.where(keep, terms[name], 0.0))
            for name, weight in self.weights[player].items()
        }

    def _costs(self, player: str, diverged: Bools) -> Terms:
        costs = self.cost_terms(player)
        spoilt = diverged.any()
        for total, (name, cost) in zip(
            self._episode_costs[player], self.costs.items(), strict=True
        ):
            value = costs[name]
            if spoilt:
                value[diverged] = 0.0
            (np.maximum if cost.aggregate == "max" else np.add)(total, value, out=total)
        return costs

    def _finish(self, ids: Ints, winner: Ints, diverged: Bools, forfeit: Ints) -> Final | None:
        if not len(ids):
            return None
        obs = {p: self.observe(p, ids) for p in self.players}
        spoilt = diverged[ids]
        for p in self.players if spoilt.any() else ():
            obs[p][spoilt] = self._seen[p][ids[spoilt]]  # the last one that was valid
        final = Final(
            ids=ids,
            obs=obs,
            seeds=self.seeds[ids],
            levels=[self.levels[i] for i in ids],
            winner=winner[ids],
            diverged=diverged[ids],
            forfeit=forfeit[ids] >= 0,
            length=self.length[ids],
            returns={p: self._returns[p][ids] for p in self.players},
            costs={
                p: dict(zip(self.costs, self._episode_costs[p][:, ids], strict=True))
                for p in self.players
            },
            notes={name: value[ids] for name, value in self.notes().items()},
        )
        if self.before_restart is not None:
            self.before_restart(ids)
        seeds, levels = self.scenarios(ids)
        self._start(ids, seeds, levels)
        return final

    def _start(self, ids: Ints, seeds: seeding.Seeds, levels: Sequence[Level] | None) -> None:
        if len(seeds) != len(ids):
            raise RoboAdvError(f"expected {len(ids)} scenario seeds, got {len(seeds)}")
        self._set_levels(ids, levels)
        self.batch.state[ids] = self._fresh
        u = seeding.uniform(seeds, seeding.START, self.start_numbers)
        self.qpos[ids], self.qvel[ids] = self.start(ids, u)
        self.seeds[ids] = seeds
        self.length[ids] = 0
        self.begin(ids, u)
        for player in self.players:
            self._returns[player][ids] = 0.0
            self._episode_costs[player][:, ids] = 0.0

    def _set_levels(self, ids: Ints, levels: Sequence[Level] | None) -> None:
        nominal = self.design_space.nominal
        wanted = [nominal] * len(ids) if levels is None else list(levels)
        if len(wanted) != len(ids):
            raise RoboAdvError(f"expected {len(ids)} levels, got {len(wanted)}")
        changed = [
            (i, new)
            for i, new in zip(ids, wanted, strict=True)
            if self.levels[i] is not new and self.levels[i] != new
        ]
        if not changed:
            return
        for i, level in changed:
            self.levels[i] = level
        rows = np.array([i for i, _ in changed], dtype=np.int64)
        values = [level.values for _, level in changed]
        for name, column in self.params.items():
            column[rows] = [value[name] for value in values]
        self.apply_levels(rows)

    def _next_scenarios(self, ids: Ints) -> tuple[seeding.Seeds, None]:
        """By default an episode's successor has the seed derived from its own; nominal level."""
        return seeding.derive(self.seeds[ids], seeding.NEXT), None


GAMES = Registry("game", "robo_adv.envs")


def make_game(game: str, num_envs: int = 1, **kwargs: Any) -> Game:
    """The registered game of that id (`"KickAndDefend-v0"`, with or without `robo_adv/`).

    Raises:
        UnknownNameError: no such game or option; RoboAdvError: an option out of range.
    """
    return GAMES[game.removeprefix("robo_adv/")](num_envs, **kwargs)
