"""RelabelledReplay: a replay buffer whose rewards are made up when steps are sampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from robo_adv.imitation.transitions import Transitions

Array = npt.NDArray[Any]
Pay = Callable[[Transitions, Array], Array]


class RelabelledReplay(ReplayBuffer):
    """Pays what `pay` says at the moment of sampling, so that rewards are never stale; stored ones are
    not looked at. Part of each batch can be an expert's.

    Args:
        pay: rewards (n,) of steps, actions in [-1, 1], and of whether each is the expert's (n,).
        expert: its steps, actions in [-1, 1]. share: of these in a batch, in [0, 1).
    """

    def __init__(
        self, *args: Any, pay: Pay, expert: Transitions, share: float, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.pay, self.expert, self.share = pay, expert, share

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """The learner's own steps first. Time limits are no ends."""
        shown = round(self.share * batch_size)
        got = super().sample(batch_size - shown, env)
        steps = Transitions(
            got.observations.numpy(), got.actions.numpy(), got.next_observations.numpy(),
            got.dones.numpy()[:, 0] > 0.0,
        )  # fmt: skip
        if shown:
            rows = np.random.randint(len(self.expert), size=shown)
            steps = Transitions.concatenate([steps, self.expert.take(rows)])
        rewards = self.pay(steps, np.arange(batch_size) >= batch_size - shown)
        return got._replace(
            observations=_float(steps.observation), actions=_float(steps.action),
            next_observations=_float(steps.next_observation),
            dones=_float(steps.terminated)[:, None], rewards=_float(rewards)[:, None],
        )  # fmt: skip


def _float(array: Array) -> torch.Tensor:
    return torch.as_tensor(array, dtype=torch.float32)
