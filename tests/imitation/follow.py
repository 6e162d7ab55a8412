"""Follow: a tiny task with one right action per observation, and demonstrations of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.agents.controllers import controller
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.task import Task
from robo_adv.agents.recording import Taker, choose, demonstrator, place
from robo_adv.imitation.demonstration_card import Card
from robo_adv.imitation.demonstrations import DEMONSTRATED, Demonstrations
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.off_policy import SACConfig

Array = npt.NDArray[Any]
ENV, LENGTH, GAIN = "Follow-v0", 20, 1.5
EXPERT = "imitation.follow:Expert"
PPO = PPOConfig(
    num_envs=8, n_steps=64, batch_size=128, n_epochs=4, learning_rate=3e-3, gamma=0.5,
    net_arch=(16, 16),
)  # fmt: skip
SAC = SACConfig(
    num_envs=8, gradient_steps=2, iteration=256, learning_starts=256, buffer_size=20_000,
    batch_size=256, learning_rate=3e-3, gamma=0.5, tau=0.01, net_arch=(16, 16),
)  # fmt: skip
THREADS = Threads(1, 1, 1)


class Follow(gymnasium.Env[Array, Array]):
    """Observes x in [-1, 1], drawn anew at every step; the right action is 1.5 x of [-2, 2]. The
    reward is minus the distance from it. With `fragile`, an error above it ends the episode."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

    def __init__(self, fragile: float = np.inf, high: float = 2.0) -> None:
        self.fragile, self.x = fragile, np.zeros(1)
        self.action_space = gymnasium.spaces.Box(-high, high, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1.0, 1.0, 1)
        return self.x.copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        error = abs(float(action[0]) - GAIN * float(self.x[0]))
        self.x = self.np_random.uniform(-1.0, 1.0, 1)
        return self.x.copy(), -error, error > self.fragile, False, {}


class Expert:
    """Plays the right action; `gain` may be another."""

    gain = GAIN

    def __init__(self, world: Any = None, player: str = "") -> None: ...

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        return np.clip(self.gain * observation, -2.0, 2.0), state


def register() -> None:
    """Make the environment known to Gymnasium."""
    if ENV not in gymnasium.registry:
        gymnasium.register(ENV, entry_point=f"{__name__}:Follow", max_episode_steps=LENGTH)


def demonstrations(
    folder: Path, episodes: int = 5, env: str = ENV, expert: str = EXPERT, **options: Any
) -> Path:
    """Record an expert's episodes into a folder."""
    register()
    task = Task(env, options)
    world = task.world(min(episodes, 8))
    found = controller(expert, world, task.player)
    kept, _ = choose(
        Taker(world, {task.player: found.policy}, task.player), DEMONSTRATED, episodes, episodes,
        False, lambda kept, played: None,
    )  # fmt: skip
    card = Card(**place(world, task.player), demonstrator=demonstrator(found, False))
    Demonstrations.of(kept, card).save(folder)
    return folder


def config(folder: Path, learner: str = "gail", **changes: Any) -> ImitatorConfig:
    """A small config for Follow; changes of parts as dicts, e.g. disc={"updates": 5}."""
    base = ImitatorConfig(
        demonstrations=str(folder), learner=learner,  # type: ignore[arg-type]
        ppo=PPO, sac=SAC, threads=THREADS, steps=2_048, checkpoint_every=1_024, selection_episodes=8,
    )  # fmt: skip
    parts = {name: replace(getattr(base, name), **change) for name, change in changes.items()
             if isinstance(change, dict) and name != "options"}  # fmt: skip
    return replace(base, **{**changes, **parts})


def trained(root: Path, made: ImitatorConfig, train: Callable[..., Path]) -> Run:
    """A run of a config."""
    run = Run.create(ENV, "imitate", made, made.seed, root)
    train(made, run, quiet=True)
    return run
