"""AttackerSeat: a port of the closed loop as a vector environment; the controller acts inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode

from robo_adv import seeding
from robo_adv.audit.engine import Engine
from robo_adv.envs.episode import Final, Step
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver
from robo_adv.threats.learned import Handed, LearnedAttack
from robo_adv.threats.threat import Threat
from robo_adv.training.vec_env import ResumableEnv

Array = npt.NDArray[Any]
Pay = Callable[[Step], Array]


class AttackerSeat(ResumableEnv):
    """What an attacker learns in: it sees what the controller would see, and acts at the threat's port.

    Args:
        engine: whose controller is attacked, in its world; the seat uses the world alone.
        threat: port and budget. attack: what the attacker's numbers mean.
        pay: a step of the world -> the attacker's reward (N,).
    """

    render_mode = None

    def __init__(self, engine: Engine, threat: Threat, attack: LearnedAttack, pay: Pay) -> None:
        subject = engine.subject
        self.world, self.player, self.pay = subject.world, subject.player, pay
        self.hand = Handed()
        self.setting = engine.setting(threat, [attack.held(self.hand)])
        world: Any = self.world
        self.num_envs = world.num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP, "render_modes": []}
        entries = world.layouts[self.player].size
        if threat.port == "action":
            entries = world.action_size(self.player)
        size = attack.outputs(entries, world.action_size(self.player), len(subject.bodies))
        self.threat = threat
        seen = world.layouts[self.player].size + threat.schedule.limits
        self.single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (seen,), np.float32)
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (size,), np.float32)
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, self.num_envs)
        self.action_space = batch(self.single_action_space, self.num_envs)
        policies = {**subject.others, self.player: self.setting.policy}
        self.drivers = {
            name: Driver(policies[name], self.num_envs, True, lane)
            for lane, name in enumerate(world.players)
        }
        self._obs: dict[str, Array] | None = None

    def reset(
        self, *, seed: int | list[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Row i plays scenario seed + i."""
        super().reset(seed=None)
        if isinstance(seed, list) or seed is None:
            raise RoboAdvError(f"an attacker's seat is started with one seed, got {seed}")
        self._begin()
        rows = np.arange(self.num_envs)
        seeds = seeding.as_seeds(seed + rows.astype(np.uint64))
        self._obs = self.world.reset(seeds)
        for name, driver in self.drivers.items():
            driver.begin(rows, seeds, self._obs[name])
        return self._seen(), {"seed": seeds}

    def _begin(self) -> None:
        world: Any = self.world
        world.scenarios = lambda ids: (seeding.derive(world.seeds[ids], seeding.NEXT), None)
        if hasattr(world, "remember"):
            world.remember()

    def _seen(self) -> Array:
        assert self._obs is not None
        observation = self._obs[self.player]
        return np.concatenate([observation, self._left()], axis=1, dtype=np.float32)

    def _left(self) -> Array:
        """What is left of the schedule's limits before the next step (N, limits)."""
        schedule, pusher, n = self.threat.schedule, self.setting.pusher, self.num_envs
        if not schedule.limits:
            return np.zeros((n, 0))
        if pusher is not None:
            length = pusher.world.length
            return schedule.left(length, np.where(length == 0, 0, pusher.used), np.zeros(n))
        state = self.drivers[self.player].state
        assert state is not None
        _, step, used, spent, *_ = state
        return schedule.left(step, used, spent)

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """The attacker's numbers (N, k) in [-1, 1]; see Gymnasium's VectorEnv."""
        if self._obs is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        self.hand.said = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
        if self.setting.pusher is not None:
            self.setting.pusher.push(np.zeros(self.num_envs, dtype=np.int64), self._obs)
        joint = {name: driver.act(self._obs[name]) for name, driver in self.drivers.items()}
        result = self.world.step(joint)
        self._obs = dict(result.obs)
        info: dict[str, Any] = {}
        if result.final is not None:
            ids = result.final.ids
            for name, driver in self.drivers.items():
                driver.begin(ids, self.world.seeds[ids], self._obs[name])
            info = self._ended(result.final, result.terminated | result.truncated)
        return self._seen(), self.pay(result), result.terminated, result.truncated, info

    def _ended(self, final: Final, ended: Array) -> dict[str, Any]:
        last = np.full(self.num_envs, None, dtype=object)
        nothing = np.zeros(self.threat.schedule.limits)  # what is left is of no use any more
        for i, observation in zip(final.ids, final.obs[self.player], strict=True):
            last[i] = np.concatenate([observation, nothing], dtype=np.float32)
        returns = np.zeros(self.num_envs)
        returns[final.ids] = final.returns[self.player]
        details = {"victim_return": returns, "_victim_return": ended}
        return {"final_obs": last, "_final_obs": ended, "final_info": details, "_final_info": ended}

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Copies of the world, of the controller's and the attack's state, and of what is seen."""
        world: Any = self.world
        out: dict[str, Array] = {f"world.{k}": v for k, v in world.snapshot().items()}
        for name, driver in self.drivers.items():
            out[f"{name}.starts"] = driver.starts.copy()
            for index, part in enumerate(driver.state or ()):
                out[f"{name}.state.{index}"] = np.array(part)
        for player, observation in (self._obs or {}).items():
            out[f"obs.{player}"] = observation.copy()
        if self.setting.pusher is not None:
            out["pusher.used"] = self.setting.pusher.used.copy()
        return out, {"levels": [level.to_json() for level in world.levels]}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from a snapshot, with the same controller and the same attack."""
        world: Any = self.world
        self._begin()
        levels = [world.design_space.from_json(text) for text in values["levels"]]
        inner = {k.removeprefix("world."): v for k, v in arrays.items() if k.startswith("world.")}
        world.restore(inner, levels)
        self._obs = {name: arrays[f"obs.{name}"].copy() for name in world.players}
        for name, driver in self.drivers.items():
            driver.begin(np.arange(self.num_envs), world.seeds, self._obs[name])
            driver.starts[:] = arrays[f"{name}.starts"]
            for index, part in enumerate(driver.state or ()):
                part[:] = arrays[f"{name}.state.{index}"].view(part.dtype)
        if self.setting.pusher is not None:
            self.setting.pusher.used[:] = arrays["pusher.used"]

    def close_extras(self, **kwargs: Any) -> None:
        """The world belongs to the engine."""
