"""Absorbing states: being over is a state of its own that a discriminator can judge.

Kostrikov et al. 2019, "Discriminator-Actor-Critic", section 4.2: without it the reward after an
episode's end is 0, which is better or worse than what alive steps earn whatever the discriminator has
learned. Here only the discriminator sees the state: its observations get one more entry, 1 when the
episode is over. The policy never acts there, so its last step earns all that follows at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.imitators.lesson import Lesson
from robo_adv.imitation.transitions import Transitions

Array = npt.NDArray[Any]


def widened(steps: Transitions) -> Transitions:
    """The steps with the entry; a terminated one leads to the absorbing state."""
    n, size = steps.observation.shape
    now = np.concatenate([steps.observation, np.zeros((n, 1), np.float32)], axis=1)
    following = np.concatenate([steps.next_observation, np.zeros((n, 1), np.float32)], axis=1)
    following[steps.terminated] = absorbing_state(size)
    return Transitions(now, steps.action, following, np.zeros(n, dtype=bool))


def absorbing_state(size: int) -> Array:
    """(size + 1,): all entries 0 but the last."""
    return np.append(np.zeros(size, np.float32), np.float32(1.0))


def absorbing_steps(count: int, size: int, actions: int) -> Transitions:
    """`count` steps from the absorbing state to itself by the action 0."""
    state = np.tile(absorbing_state(size), (count, 1))
    return Transitions(
        state, np.zeros((count, actions), np.float32), state, np.zeros(count, dtype=bool)
    )


def with_absorbing(steps: Transitions, over: int) -> Transitions:
    """The steps widened, and `over` steps in the absorbing state."""
    size, actions = steps.observation.shape[1], steps.action.shape[1]
    parts = [widened(steps), absorbing_steps(over, size, actions)]
    return Transitions.concatenate(parts)


def missing_steps(lengths: Array, terminated: Array, horizon: int) -> int:
    """Steps between the ends of terminated episodes and the horizon, all together."""
    return int(np.maximum(horizon - lengths[terminated], 0).sum())


def expert_steps(lesson: Lesson, every: int) -> Transitions:
    """What the lesson's expert did, being over included in the proportion of its other steps."""
    episodes = lesson.episodes
    ends = np.cumsum(episodes.lengths) - 1
    over = missing_steps(episodes.lengths, episodes.terminations[ends], lesson.task.horizon)
    return with_absorbing(lesson.steps, round(over / every))
