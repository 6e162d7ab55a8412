"""Controllers that keep a state as stable-baselines3's recurrent policies do, one row per episode."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import ROWS, EpisodicPolicy, Policy, State, padded_rows

Array = npt.NDArray[Any]
RECURRENT = (
    "It keeps a state from step to step and does not say how it acts in one (`access` with `recall`): "
    "attacks that need gradients see it as a black box and cannot be tried."
)


class Rowwise:
    """A controller whose `predict` takes and gives arrays of state, with their rows in front.

    In an LSTM's state the episodes lie on the second axis; where they lie is found by trying two
    numbers of episodes. A fresh state is zero: `episode_start` tells the controller to begin.

    Args:
        policy: it. observation: made-up ones (n, d).

    Raises:
        RoboAdvError: the state is no array or tuple of arrays, or does not grow with the episodes.
    """

    def __init__(self, policy: Policy, observation: Array) -> None:
        self.policy = policy
        small, large = (_state(policy, padded_rows(observation[:1], n)) for n in (ROWS, 2 * ROWS))
        self.axes = [_axis(policy, a, b) for a, b in zip(small, large, strict=True)]
        pairs = zip(small, self.axes, strict=True)
        self.like = [np.moveaxis(part, axis, 0)[0] for part, axis in pairs]

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return tuple(np.zeros((len(seeds), *one.shape), one.dtype) for one in self.like)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        n = len(observation)
        if state is None:
            state = self.start(np.zeros(n, dtype=np.uint64), observation)
            episode_start = np.ones(n, dtype=bool)
        given = tuple(np.moveaxis(p, 0, a) for p, a in zip(state, self.axes, strict=True))
        whole: Any = given if len(given) > 1 else given[0]
        action, after = self.policy.predict(observation, whole, episode_start, deterministic)
        pairs = zip(_parts(self.policy, after), self.axes, strict=True)
        return action, tuple(np.ascontiguousarray(np.moveaxis(p, a, 0)) for p, a in pairs)


def keeps_state(policy: Policy, observation: Array) -> bool:
    """Whether a policy gives a state of which it does not say how it starts."""
    if isinstance(policy, EpisodicPolicy):
        return False
    seen = padded_rows(observation[:1], ROWS)
    return policy.predict(seen, None, np.ones(ROWS, dtype=bool), True)[1] is not None


def _state(policy: Policy, observation: Array) -> tuple[Array, ...]:
    starts = np.ones(len(observation), dtype=bool)
    return _parts(policy, policy.predict(observation, None, starts, True)[1])


def _parts(policy: Policy, state: Any) -> tuple[Array, ...]:
    parts = state if isinstance(state, (tuple, list)) else (state,)
    if not parts or not all(isinstance(part, np.ndarray) for part in parts):
        raise RoboAdvError(
            f"{type(policy).__name__} keeps a state of {[type(part).__name__ for part in parts]}; "
            "expected one NumPy array or a tuple of them, or a method `start(seeds, observation)` "
            "that gives one row of state per episode"
        )
    return tuple(parts)


def _axis(policy: Policy, small: Array, large: Array) -> int:
    """The axis that holds the episodes."""
    same_rank = small.ndim == large.ndim
    grown = [k for k in range(small.ndim) if same_rank and large.shape[k] == 2 * small.shape[k]]
    if len(grown) != 1 or small.shape[grown[0]] != ROWS:
        raise RoboAdvError(
            f"{type(policy).__name__} keeps a state of shape {small.shape} for {ROWS} episodes and "
            f"{large.shape} for {2 * ROWS}; expected one axis that has the episodes"
        )
    return grown[0]
