"""GymnasiumWorld: N copies of any Gymnasium environment with Box actions, as a world of one player.

`robo_adv.rollout.play` plays it like a Game: rows are episodes, an episode that ends restarts in the
same step and reports its final observation, and episode j depends on (environment, level_j, seed_j,
policy) alone. Observations and actions keep the environment's own scale and dtype; actions are clipped
to its action space, as stable-baselines3 does, unless that is not wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.envs.episode import DRAW, ONGOING, Final, Ints, Scenarios, Step, Terms
from robo_adv.envs.foreign.insight import CONVENTION, understand
from robo_adv.envs.foreign.make import (
    LIMIT,
    SUCCESS,
    Env,
    Factory,
    control_period,
    try_out,
)
from robo_adv.envs.foreign.picture import Pictures, with_pictures
from robo_adv.envs.foreign.rows import Arrays, Plan, Rows
from robo_adv.envs.foreign.spaces import Flat, check_actions
from robo_adv.envs.foreign.trace import Trace
from robo_adv.envs.layout import Layout
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import Level

Array = npt.NDArray[Any]
AGENT = "agent"
_SEEDS = 2**31  # larger seeds are folded: some simulators take 32 bits
_LOG = logging.getLogger(__name__)


class GymnasiumWorld:
    """N instances of one Gymnasium environment.

    Args:
        env: an id of Gymnasium's registry (`"Hopper-v5"`, `"my_module:Mine-v0"`), or a function that
            makes an environment. num_envs: N.
        info_costs: keys of `info` that are costs (a list, or names with commas between), summed over an
            episode; by default `cost` if the environment gives it.
        clip_actions: without it the environment gets actions as they are, as the published code of
            SA-PPO and of what was built on it does (MuJoCo still limits the torque; costs of control
            see the raw action). make_kwargs: what the environment is made with.

    Attributes:
        seeded: whether equal seeds give equal episodes; paired comparisons need it.
        varied: whether other seeds give other episodes; without it all episodes are one.
        fall_rule: how a fall is told (`robo_adv.envs.foreign.body.fall_rule`), or ''.
        reports_success: whether `info` tells of success, which then is the player's win.
        time_limit: steps after which episodes are cut.
        forces: (N, nbody, 6) external wrench on each body, force [N] then torque [N m], in the world's
            frame at its centre of mass, applied during every step until it is changed; None without
            MuJoCo. model: the MjModel of row 0, or None.
        before_restart: called with the rows whose episodes ended while their last state stands.

    Raises:
        RoboAdvError: the environment cannot be made, has discrete actions or observes pictures only.
    """

    players = (AGENT,)
    notice = ""
    camera = ""

    def __init__(
        self,
        env: str | Callable[..., Env],
        num_envs: int = 1,
        *,
        info_costs: str | Sequence[str] | None = None,
        clip_actions: bool = True,
        **make_kwargs: Any,
    ) -> None:
        if num_envs < 1:
            raise RoboAdvError(f"num_envs must be at least 1, got {num_envs}")
        if not isinstance(clip_actions, bool):
            raise RoboAdvError(f"clip_actions is true or false, got {clip_actions!r}")
        mujoco.set_mju_user_warning(_LOG.debug)  # keeps MUJOCO_LOG.TXT out of the user's folder
        make, first = with_pictures(Factory(env, make_kwargs))
        self.num_envs = num_envs
        self.id = first.spec.id if first.spec is not None else make.name
        self.options = dict(make_kwargs) | ({} if clip_actions else {"clip_actions": False})
        self.clip_actions = clip_actions
        self.actions = check_actions(first.action_space, self.id)
        self._flat = flat = Flat.of(first.observation_space, self.id)
        trial = try_out(first, flat, self.actions, self.id)
        self.seeded, self.varied = trial.seeded, trial.varied
        self.reports_success = any(key in trial.info for key in SUCCESS)
        self.control_dt = control_period(first)
        self.time_limit = (first.spec and first.spec.max_episode_steps) or LIMIT
        envs = [first, *(make() for _ in range(num_envs - 1))]
        if any(env.unwrapped is first.unwrapped for env in envs[1:]):
            raise RoboAdvError(f"{self.id}: the factory gave the same environment twice")
        if isinstance(info_costs, str):
            info_costs = [key for key in info_costs.split(",") if key]
        self._insight = insight = understand(envs, flat, self.id, trial.info, info_costs)
        self.model, self.fall_rule = insight.model, insight.rule
        self.costs, self.design_space = insight.costs, insight.design_space
        self.layouts: dict[str, Layout] = {AGENT: insight.layout}
        odd = tuple(key for key in CONVENTION if key not in insight.keys)
        plan = Plan(flat, self.actions.shape, insight.keys, odd, max(insight.torso.body, 0),
                    insight.rule == "unhealthy", len(self.design_space) > 0)  # fmt: skip
        bodies = 0 if self.model is None else self.model.nbody
        self._arrays = Arrays.of(num_envs, self.actions, plan, bodies)
        self.forces: Array | None = None if self.model is None else self._arrays.forces
        self._rows = Rows(envs, make, plan, self._arrays)
        self._pictures = Pictures(self._rows)
        self._trace: Trace | None = None
        self.scenarios: Scenarios = self._next_scenarios
        self.before_restart: Callable[[Ints], None] | None = None
        self.levels: list[Level] = [self.design_space.nominal] * num_envs
        self.seeds = np.zeros(num_envs, dtype=np.uint64)
        self.length = np.zeros(num_envs, dtype=np.int64)
        self._return = np.zeros(num_envs)
        self._totals = np.zeros((len(self.costs), num_envs))
        self._start_height = np.zeros(num_envs)
        self._seen = self._arrays.obs.copy()

    # What play needs.

    def reset(
        self,
        seeds: npt.ArrayLike,
        ids: npt.ArrayLike | None = None,
        levels: Sequence[Level] | None = None,
    ) -> dict[str, Array]:
        """Start the scenarios (seed_j, level_j) in rows `ids` (all by default); returns observations
        (N, d) of all rows."""
        rows = np.arange(self.num_envs) if ids is None else np.asarray(ids, dtype=np.int64)
        self._start(rows, seeding.as_seeds(seeds), levels)
        self._seen = self._arrays.obs.copy()
        return {AGENT: self._seen.copy()}

    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        """Advance one step with actions (N, a) on the environment's own scale."""
        arrays = self._arrays
        forfeit = self._write_actions(actions[AGENT])
        if self._trace is not None:
            self._trace.add(int(self.length.max()) + 1)
        self._rows.step()
        self.length += 1
        diverged = arrays.diverged()
        kept = ~diverged
        terminated = (arrays.terminated & kept) | forfeit
        truncated = (arrays.truncated | diverged | (self.length >= self.time_limit)) & ~terminated
        ids = np.flatnonzero(terminated | truncated)
        winner = np.where(terminated, DRAW, ONGOING).astype(np.int64)
        won = self._rows.succeeded(ids) & kept[ids] & ~forfeit[ids]
        winner[ids[won]] = 0
        reward = np.where(kept, arrays.reward, 0.0)
        costs = self._step_costs(kept)
        self._return += reward
        final = self._finish(ids, winner, diverged, forfeit)
        self._seen = arrays.obs.copy()
        return Step({AGENT: self._seen.copy()}, {AGENT: reward}, {AGENT: {"reward": reward.copy()}},
                    {AGENT: costs}, terminated, truncated, winner, final)  # fmt: skip

    def remember(self) -> None:
        """Keep from the next `reset` on what is done, which `snapshot` needs."""
        self._trace = Trace(self._rows)

    def snapshot(self) -> dict[str, Array]:
        """Copies of everything but the levels that `restore` needs to go on bit by bit.

        Raises:
            RoboAdvError: `remember` was not called before the episodes began, or episodes do not
                repeat.
        """
        if self._trace is None or not self.seeded:
            why = "remember() was not called" if self.seeded else "its seeds do not repeat episodes"
            raise RoboAdvError(f"{self.id} cannot be stopped and continued: {why}")
        return {
            "seeds": self.seeds.copy(), "length": self.length.copy(),
            "forces": self._arrays.forces.copy(), "returns": self._return.copy(),
            "totals": self._totals.copy(), **self._trace.snapshot(),
        }  # fmt: skip

    def restore(self, snapshot: Mapping[str, Array], levels: Sequence[Level]) -> None:
        """Continue from a snapshot of a world like this one; running episodes are played again.

        Raises:
            RoboAdvError: the snapshot has another number of rows or another size.
        """
        actions, own = snapshot["trace.action"], self._arrays.action.shape
        if actions.shape[1:] != own:
            raise RoboAdvError(f"the snapshot has actions {actions.shape[1:]}, {self.id} has {own}")
        rows, seeds = np.arange(self.num_envs), snapshot["seeds"].view(np.uint64)
        self._start(rows, seeds, levels)
        self._trace = Trace(self._rows)
        self._trace.replay(snapshot, snapshot["length"])
        self._arrays.forces[:] = snapshot["forces"]
        self.length[:], self._return[:] = snapshot["length"], snapshot["returns"]
        self._totals[:] = snapshot["totals"]
        self._seen = self._arrays.obs.copy()

    def action_size(self, player: str) -> int:
        """Number of actions; each lies in the environment's own `action_space`."""
        return int(np.prod(self.action_space(player).shape))

    def action_space(self, player: str) -> gymnasium.spaces.Box:
        """The environment's own, flattened to (a,)."""
        self._check_player(player)
        flat = gymnasium.spaces.flatten_space(self.actions)
        assert isinstance(flat, gymnasium.spaces.Box)
        return flat

    def observation_space(self, player: str) -> gymnasium.spaces.Box:
        """The environment's own, flattened to (d,); `layouts[player]` names its slices."""
        self._check_player(player)
        return self._flat.box

    def ending(self, i: int) -> str:
        """How the episode that just ended in row i ended, in words."""
        return "terminated" if self._arrays.terminated[i] else "time is up"

    def render(
        self, i: int = 0, width: int = 640, height: int = 480, camera: str | None = None,
        shadows: bool = False,
    ) -> npt.NDArray[np.uint8]:  # fmt: skip
        """A picture (height, width, 3) of row i; reads the simulation, never changes it.

        Raises:
            RoboAdvError: the environment cannot draw. DependencyError: no OpenGL backend works here.
        """
        return self._pictures.draw(i, width, height, camera or "", shadows)

    def close(self) -> None:
        """Free the environments and the renderer."""
        self._pictures.close()
        self._rows.close()

    # How it is done.

    def _check_player(self, player: str) -> None:
        if player != AGENT:
            raise unknown(f"player of {self.id}", player, self.players)

    def _write_actions(self, given: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Actions into the rows, clipped unless that is not wanted; returns who forfeits (N,) by an
        action that is not finite."""
        action = np.asarray(given, dtype=np.float64)
        expected = self._arrays.action.shape
        if action.shape != expected:
            raise RoboAdvError(f"action of {AGENT!r} has shape {action.shape}, expected {expected}")
        forfeit = np.logical_not(np.isfinite(action).all(axis=1))
        action = np.where(forfeit[:, None], 0.0, action)
        low, high = self.actions.low.reshape(-1), self.actions.high.reshape(-1)
        self._arrays.action[:] = np.clip(action, low, high) if self.clip_actions else action
        return np.asarray(forfeit)

    def _step_costs(self, kept: Array) -> Terms:
        out = self._insight.measure(self._arrays, self._start_height)
        for total, (name, cost) in zip(self._totals, self.costs.items(), strict=True):
            out[name][~kept] = 0.0
            (np.maximum if cost.aggregate == "max" else np.add)(total, out[name], out=total)
        return out

    def _finish(self, ids: Ints, winner: Ints, diverged: Array, forfeit: Array) -> Final | None:
        if not len(ids):
            return None
        spoilt = diverged[ids]
        obs = np.where(spoilt[:, None], self._seen[ids], self._arrays.obs[ids])
        final = Final(
            ids=ids,
            obs={AGENT: obs},
            seeds=self.seeds[ids],
            levels=[self.levels[i] for i in ids],
            winner=winner[ids],
            diverged=spoilt,
            forfeit=forfeit[ids],
            length=self.length[ids],
            returns={AGENT: self._return[ids]},
            costs={AGENT: dict(zip(self.costs, self._totals[:, ids], strict=True))},
        )
        if self.before_restart is not None:
            self.before_restart(ids)
        seeds, levels = self.scenarios(ids)
        self._start(ids, seeds, levels)
        return final

    def _start(self, ids: Ints, seeds: seeding.Seeds, levels: Sequence[Level] | None) -> None:
        nominal = self.design_space.nominal
        wanted = [nominal] * len(ids) if levels is None else list(levels)
        if len(seeds) != len(ids) or len(wanted) != len(ids):
            raise RoboAdvError(
                f"{len(ids)} rows need as many seeds and levels, got {len(seeds)}, {len(wanted)}"
            )
        for i, level in zip(ids, wanted, strict=True):
            self.levels[i] = level
        self._rows.reset(ids, [int(seed) % _SEEDS for seed in seeds], wanted)
        self.seeds[ids] = seeds
        self.length[ids] = 0
        self._return[ids] = 0.0
        self._totals[:, ids] = 0.0
        self._start_height[ids] = self._arrays.pose[ids, 3]

    def _next_scenarios(self, ids: Ints) -> tuple[seeding.Seeds, None]:
        """By default an episode's successor has the seed derived from its own; nominal level."""
        return seeding.derive(self.seeds[ids], seeding.NEXT), None
