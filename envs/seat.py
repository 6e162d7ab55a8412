"""Seat: one player's view of a Game as a `gymnasium.vector.VectorEnv`, others bound to policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from robo_adv import seeding
from robo_adv.envs.episode import DRAW, Final, Observation, Step
from robo_adv.envs.game import Game
from robo_adv.envs.goal import ACHIEVED, DESIRED, GoalGame
from robo_adv.envs.views import ObservationKind, View
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Driver, Policy
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]


class Seat(ResumableEnv):
    """The other players' policies act inside; what is left is an ordinary vector environment.

    Same-step autoreset: a finished row's observation is already that of its next episode, and
    `info["final_obs"]` and `info["final_info"]` hold the ended one (masks `_final_obs`,
    `_final_info`). `final_info` has winner, won, draw, length, return, seed, diverged, forfeit,
    `cost_<name>` per episode, and what the game notes.

    In a GoalGame observations are Dicts by default, `info["is_success"]` (N,) says whether the goal
    is reached as observed (for an ended episode: whether it was won; also in `final_info`), and
    `compute_reward(achieved_goal, desired_goal, info)` is the game's. Other games have neither.

    Args:
        game: the game; the Seat owns it.
        player: who sits here.
        opponents: a Policy (or Pool) for each other player; none in a game of one player.
        deterministic: whether bound stochastic policies act by their mode.
        render_mode: None or "rgb_array".
        observation, cameras, camera_size: what the player gets, see `robo_adv.envs.views.View`.
    """

    compute_reward: Callable[[npt.ArrayLike, npt.ArrayLike, Any], Array]

    def __init__(
        self,
        game: Game,
        player: str,
        opponents: Mapping[str, Policy] | None = None,
        *,
        deterministic: bool = True,
        render_mode: str | None = None,
        observation: ObservationKind = "auto",
        cameras: Sequence[str] = (),
        camera_size: int = 64,
    ) -> None:
        opponents = opponents or {}
        if player not in game.players:
            raise unknown(f"player of {game.id}", player, game.players)
        for name in opponents:
            if name not in game.players or name == player:
                others = [p for p in game.players if p != player]
                raise unknown("opponent", name, others)
        missing = [p for p in game.players if p != player and p not in opponents]
        if missing:
            raise RoboAdvError(
                f"no policy is bound to {', '.join(missing)}; pass opponents={{...}}"
            )
        self.game, self.player, self.render_mode = game, player, render_mode
        self.num_envs = game.num_envs
        self.metadata = {
            "autoreset_mode": AutoresetMode.SAME_STEP,
            "render_modes": ["rgb_array"],
            "render_fps": round(1.0 / game.control_dt),
        }
        self.view = View(game, player, observation, cameras, camera_size)
        self.goals = game if isinstance(game, GoalGame) else None
        if self.goals is not None:
            self.compute_reward = self.goals.compute_reward
        self.single_observation_space = self.view.space
        self.single_action_space = game.action_space(player)
        self.observation_space = gymnasium.vector.utils.batch_space(
            self.single_observation_space, self.num_envs
        )
        self.action_space = gymnasium.vector.utils.batch_space(
            self.single_action_space, self.num_envs
        )
        self.drivers = {
            name: Driver(policy, self.num_envs, deterministic, game.players.index(name))
            for name, policy in opponents.items()
        }
        self._obs: dict[str, Observation] | None = None

    def rebind(self, opponents: Mapping[str, Policy]) -> None:
        """Replace bound policies; running episodes go on with the new ones from their next step."""
        for name, policy in opponents.items():
            before = self.drivers[name]
            driver = Driver(policy, self.num_envs, before.deterministic, before.lane)
            self.drivers[name] = driver
            if self._obs is not None:
                everyone = np.arange(self.num_envs)
                driver.begin(everyone, self.game.seeds, self._obs[name])

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start every simulation: row i plays scenario seed + i (or seed[i]).

        `options={"levels": [...]}` sets one Level per row. Without a seed, one is drawn.
        """
        super().reset(seed=None)
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        rows = np.arange(self.num_envs, dtype=np.uint64)
        seeds = seeding.as_seeds(seed if isinstance(seed, list) else int(seed) + rows)
        if len(seeds) != self.num_envs:
            raise RoboAdvError(f"expected {self.num_envs} seeds, got {len(seeds)}")
        self._obs = self.game.reset(seeds, levels=(options or {}).get("levels"))
        for name, driver in self.drivers.items():
            driver.begin(np.arange(self.num_envs), seeds, self._obs[name])
        return self.view(self._obs[self.player]), {"seed": seeds}

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """Actions (N, a) in [-1, 1]; see Gymnasium's VectorEnv."""
        if self._obs is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        joint = {name: driver.act(self._obs[name]) for name, driver in self.drivers.items()}
        joint[self.player] = np.asarray(actions)
        result = self.game.step(joint)
        self._obs = result.obs
        if result.final is not None:
            ids = result.final.ids
            for name, driver in self.drivers.items():
                driver.begin(ids, self.game.seeds[ids], self._obs[name])
        info = self._info(result)
        return (
            self.view(self._obs[self.player]),
            result.rewards[self.player],
            result.terminated,
            result.truncated,
            info,
        )

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Copies of the game, the bound policies' per-episode state and current observations."""
        out: dict[str, Array] = {f"game.{k}": v for k, v in self.game.snapshot().items()}
        for name, driver in self.drivers.items():
            out[f"{name}.starts"] = driver.starts.copy()
            for index, part in enumerate(driver.state or ()):
                out[f"{name}.state.{index}"] = np.array(part)
        for player, observation in (self._obs or {}).items():
            out[f"obs.{player}"] = observation.copy()
        return out, {"levels": [level.to_json() for level in self.game.levels]}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a snapshot, with the same policies bound."""
        levels = [self.game.design_space.from_json(text) for text in values["levels"]]
        game = {k.removeprefix("game."): v for k, v in arrays.items() if k.startswith("game.")}
        self.game.restore(game, levels)
        snapshot = arrays
        obs = {p: snapshot[f"obs.{p}"].copy() for p in self.game.players if f"obs.{p}" in snapshot}
        self._obs = obs or None
        self.view.redraw()
        for name, driver in self.drivers.items():
            if self._obs is not None:
                driver.begin(np.arange(self.num_envs), self.game.seeds, self._obs[name])
            driver.starts[:] = snapshot[f"{name}.starts"]
            for index, part in enumerate(driver.state or ()):
                part[:] = snapshot[f"{name}.state.{index}"].view(part.dtype)

    def _info(self, result: Step) -> dict[str, Any]:
        info: dict[str, Any] = {
            "reward_terms": result.reward_terms[self.player],
            "costs": result.costs[self.player],
        }
        if self.goals is not None:
            info["is_success"] = self._success(result)
        final = result.final
        if final is None:
            return info
        ended = result.terminated | result.truncated
        last = np.full(self.num_envs, None, dtype=object)
        for i, observation in zip(final.ids, self.view.final(final), strict=True):
            last[i] = observation
        info["final_obs"], info["_final_obs"] = last, ended
        details: dict[str, Any] = {}
        for name, column in self._columns(final).items():
            whole = np.zeros(self.num_envs, column.dtype)
            whole[final.ids] = column
            details[name], details[f"_{name}"] = whole, ended
        info["final_info"], info["_final_info"] = details, ended
        return info

    def _success(self, result: Step) -> npt.NDArray[np.bool_]:
        """Whether each goal is reached (N,), by the verdict where an episode ended."""
        assert self.goals is not None
        observation, place = result.obs[self.player], self.game.layouts[self.player]
        reached = np.asarray(
            self.goals.success(
                observation[:, place[ACHIEVED]].astype(np.float64),
                observation[:, place[DESIRED]].astype(np.float64),
            ),
            dtype=np.bool_,
        )
        if result.final is not None:
            index = self.game.players.index(self.player)
            reached[result.final.ids] = result.final.winner == index
        return reached

    def _columns(self, final: Final) -> dict[str, Array]:
        won = final.winner == self.game.players.index(self.player)
        return {
            "winner": final.winner,
            "won": won,
            "draw": final.winner == DRAW,
            "length": final.length,
            "return": final.returns[self.player],
            "seed": final.seeds,
            "diverged": final.diverged,
            "forfeit": final.forfeit,
            **({} if self.goals is None else {"is_success": won}),
            **{f"cost_{name}": value for name, value in final.costs[self.player].items()},
            **final.notes,
        }

    def render(self) -> tuple[npt.NDArray[np.uint8], ...] | None:
        """One (480, 640, 3) picture per simulation in `render_mode="rgb_array"`."""
        if self.render_mode is None:
            return None
        return tuple(self.game.render(i) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        self.view.close()
        self.game.close()
