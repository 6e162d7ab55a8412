"""Small made-up demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_adv.imitation.demonstration_card import Card, Demonstrator, Space
from robo_adv.imitation.demonstrations import Demonstrations, Episode

FIRST = 9_000_000


def card(observations: int = 3, actions: int = 2, **changes: Any) -> Card:
    """Of an environment with actions in [-1, 1]."""
    fields: dict[str, Any] = {
        "game": "Toy-v0",
        "player": "agent",
        "layout": (("position", observations - 1, "m"), ("clock", 1, "s")),
        "observation_space": Space(
            low=-np.inf, high=np.inf, shape=(observations,), dtype="float32"
        ),
        "action_space": Space(low=-1.0, high=1.0, shape=(actions,), dtype="float32"),
        "demonstrator": Demonstrator(name="somebody"),
    }
    return Card(**{**fields, **changes})


def episodes(
    lengths: Sequence[int], observations: int = 3, actions: int = 2, first: int = FIRST
) -> list[Episode]:
    """Random ones; every second ends by itself, every third succeeds."""
    out = []
    for k, steps in enumerate(lengths):
        rng = np.random.default_rng(first + k)
        out.append(
            Episode(
                rng.normal(size=(steps + 1, observations)).astype(np.float32),
                rng.uniform(-1.0, 1.0, (steps, actions)).astype(np.float32),
                rng.normal(size=steps),
                k % 2 == 0,
                k % 2 == 1,
                first + k,
                float(k % 3 == 0),
            )
        )
    return out


def sample(lengths: Sequence[int] = (5, 3, 8, 1), **sizes: int) -> Demonstrations:
    """A set of such episodes."""
    numbers = {k: v for k, v in sizes.items() if k != "first"}
    return Demonstrations.of(episodes(lengths, **sizes), card(**numbers))
