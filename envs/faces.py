"""Other faces of a Game: a single Gymnasium environment, and PettingZoo's ParallelEnv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from pettingzoo import ParallelEnv

from robo_adv.envs.episode import DRAW, Observation
from robo_adv.envs.game import Game, make_game
from robo_adv.envs.seat import Seat
from robo_adv.envs.views import Seen
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level

Array = npt.NDArray[Any]


class SingleEnv(gymnasium.Env[Any, Array]):
    """A Seat of one simulation without the batch dimension.

    `info` carries reward terms, costs and, at the end of an episode, who won. Of a GoalGame it also
    carries `is_success`, and the environment has `compute_reward(achieved_goal, desired_goal, info)`
    for single goals (g,) and batches (n, g).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    compute_reward: Callable[[npt.ArrayLike, npt.ArrayLike, Any], Array]

    def __init__(self, seat: Seat) -> None:
        if seat.num_envs != 1:
            raise RoboAdvError(f"a SingleEnv runs 1 simulation, got {seat.num_envs}")
        self.seat, self.render_mode = seat, seat.render_mode
        self.metadata = {**self.metadata, "render_fps": self.seat.metadata["render_fps"]}
        self.observation_space = self.seat.single_observation_space
        self.action_space = self.seat.single_action_space
        if seat.goals is not None:
            self.compute_reward = seat.compute_reward

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start scenario `seed`; without one, the next of the sequence the last seed began."""
        super().reset(seed=seed)
        scenario = int(self.np_random.integers(2**32)) if seed is None else seed
        level = (options or {}).get("level")
        levels = {"levels": [level]} if isinstance(level, Level) else None
        obs, _ = self.seat.reset(seed=scenario, options=levels)
        return _first(obs), {"seed": scenario}

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.seat.step(np.asarray(action)[None])
        single: dict[str, Any] = {
            "reward_terms": {k: float(v[0]) for k, v in info["reward_terms"].items()},
            "costs": {k: float(v[0]) for k, v in info["costs"].items()},
        }
        if "is_success" in info:
            single["is_success"] = bool(info["is_success"][0])
        last = _first(obs)
        if "final_obs" in info:
            last = info["final_obs"][0]
            final = info["final_info"]
            single.update({k: v[0].item() for k, v in final.items() if not k.startswith("_")})
        return last, float(reward[0]), bool(terminated[0]), bool(truncated[0]), single

    def render(self) -> npt.NDArray[np.uint8] | None:
        frames = self.seat.render()
        return None if frames is None else frames[0]

    def close(self) -> None:
        self.seat.close()


def _first(seen: Seen) -> Seen:
    """The observation of simulation 0."""
    return {k: v[0] for k, v in seen.items()} if isinstance(seen, dict) else seen[0]


class GameParallelEnv(ParallelEnv[str, Observation, Array]):
    """PettingZoo's view of a Game with one simulation: every player acts from outside."""

    def __init__(self, game: Game, render_mode: str | None = None) -> None:
        if game.num_envs != 1:
            raise RoboAdvError(f"a parallel_env runs 1 simulation, got {game.num_envs}")
        self.game, self.render_mode = game, render_mode
        self.metadata = {
            "name": game.id,
            "render_modes": ["rgb_array"],
            "render_fps": round(1.0 / game.control_dt),
        }
        self.possible_agents = list(game.players)
        self.agents: list[str] = []
        self.observation_spaces = {p: game.observation_space(p) for p in game.players}
        self.action_spaces = {p: game.action_space(p) for p in game.players}
        self._rng = np.random.default_rng()

    def observation_space(self, agent: str) -> gymnasium.spaces.Box:
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Box:
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Observation], dict[str, dict[str, Any]]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        scenario = seed if seed is not None else int(self._rng.integers(2**32))
        level = (options or {}).get("level")
        obs = self.game.reset([scenario], levels=[level] if isinstance(level, Level) else None)
        self.agents = list(self.possible_agents)
        return {p: obs[p][0] for p in self.agents}, {p: {"seed": scenario} for p in self.agents}

    def step(self, actions: dict[str, Array]) -> tuple[
        dict[str, Observation],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:  # fmt: skip
        if not self.agents:
            raise gymnasium.error.ResetNeeded("the episode is over; call reset() before step()")
        result = self.game.step({p: np.asarray(actions[p])[None] for p in self.agents})
        agents, final = self.agents, result.final
        obs = {p: (final.obs if final else result.obs)[p][0] for p in agents}
        infos: dict[str, dict[str, Any]] = {
            p: {
                "reward_terms": {k: float(v[0]) for k, v in result.reward_terms[p].items()},
                "costs": {k: float(v[0]) for k, v in result.costs[p].items()},
            }
            for p in agents
        }
        if final is not None:
            winner = int(final.winner[0])
            for p in agents:
                infos[p]["won"] = winner == agents.index(p)
                infos[p]["draw"] = winner == DRAW
            self.agents = []
        return (
            obs,
            {p: float(result.rewards[p][0]) for p in agents},
            dict.fromkeys(agents, bool(result.terminated[0])),
            dict.fromkeys(agents, bool(result.truncated[0])),
            infos,
        )

    def render(self) -> npt.NDArray[np.uint8] | None:
        return self.game.render(0) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self.game.close()


def parallel_env(game: str, render_mode: str | None = None, **options: Any) -> GameParallelEnv:
    """The PettingZoo face of a registered game, e.g. `parallel_env("KickAndDefend-v0")`."""
    return GameParallelEnv(make_game(game, 1, threads=1, **options), render_mode)
