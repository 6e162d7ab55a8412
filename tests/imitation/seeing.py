"""Plane-v0 seen by its camera, an expert of it, and made-up pictures that need no renderer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from contracts.plane import GAME

from robo_adv.agents.imitators.config import CloneConfig, DaggerConfig, ImitatorConfig
from robo_adv.agents.recording import place
from robo_adv.envs.game import make_game
from robo_adv.errors import DependencyError
from robo_adv.imitation.demonstration_card import Card, Demonstrator
from robo_adv.imitation.demonstrations import DEMONSTRATED, Demonstrations, Episode
from robo_adv.rendering import use_working_backend
from robo_adv.training.learner import PPOConfig, Threads

Array = npt.NDArray[Any]
EXPERT = "imitation.seeing:Expert"
SIZE, LENGTH = 36, 8  # pixels, steps of an episode of Plane


class Expert:
    """Moves the puck to the mark, which it is told."""

    def __init__(self, world: Any = None, player: str = "") -> None: ...

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        return np.clip(4.0 * (observation[:, 2:4] - observation[:, :2]), -1.0, 1.0), state


def needs_pictures() -> None:
    """Skip the test where no OpenGL backend works."""
    try:
        use_working_backend()
    except DependencyError as problem:
        pytest.skip(str(problem))


def square(place: Array) -> Array:
    """Pictures (n, 1, S, S, 3): a white square of 8 x 8 at places (n, 2) in [-1, 1] on black."""
    corner = np.round((place + 1.0) / 2.0 * (SIZE - 8)).astype(int)
    out = np.zeros((len(place), 1, SIZE, SIZE, 3), np.uint8)
    for picture, (x, y) in zip(out, corner, strict=True):
        picture[0, y : y + 8, x : x + 8] = 255
    return out


def made_up(episodes: int = 4, cameras: Sequence[str] = ("top",), seed: int = 0) -> Demonstrations:
    """Demonstrations in Plane whose actions are where a square is seen, which nothing else tells."""
    rng, game = np.random.default_rng(seed), make_game(GAME, 1, threads=1)
    found = []
    for k in range(episodes):
        where = rng.uniform(-1.0, 1.0, (LENGTH + 1, 2))
        numbers = rng.normal(size=(LENGTH + 1, 7)).astype(np.float32)
        found.append(
            Episode(
                numbers, where[:-1].astype(np.float32), np.zeros(LENGTH), True, False,
                DEMONSTRATED + k, 1.0, np.repeat(square(where), len(cameras), axis=1),
            )
        )  # fmt: skip
    card = Card(
        **place(game, "puck"), demonstrator=Demonstrator(name=EXPERT), cameras=tuple(cameras),
        camera_size=SIZE,
    )  # fmt: skip
    return Demonstrations.of(found, card)


def config(folder: Path, learner: str = "bc", **changes: Any) -> ImitatorConfig:
    """A small config that acts from the pictures of `top`, and is told its velocity."""
    base: dict[str, Any] = {
        "cameras": ("top",), "sees": ("velocity",), "expert": EXPERT, "steps": 40,
        "checkpoint_every": 20, "selection_episodes": 4, "threads": Threads(1, 1, 1),
        "ppo": PPOConfig(num_envs=4, n_steps=8, batch_size=16, n_epochs=1, net_arch=(16,)),
        "clone": CloneConfig(batch_size=32, epochs=1, learning_rate=3e-3),
        "dagger": DaggerConfig(num_envs=4, n_steps=10),
    }  # fmt: skip
    return ImitatorConfig(str(folder), learner, **{**base, **changes})  # type: ignore[arg-type]
