"""Adversarial soft advantage fitting (Barde et al. 2020): a discriminator made of two policies.

D = prod pi / (prod pi + prod pi_frozen) over the steps of a window, where pi_frozen is the learner
that made the current data. Minimising the discriminator's loss trains pi itself, and the optimum is
the expert's policy: there is no reward and no step of reinforcement learning.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from robo_adv.errors import RoboAdvError

Indices = npt.NDArray[np.int64]


def asaf_loss(
    expert: torch.Tensor,
    expert_frozen: torch.Tensor,
    learner: torch.Tensor,
    learner_frozen: torch.Tensor,
) -> torch.Tensor:
    """Cross entropy of the structured discriminator, a scalar; 2 log 2 where both policies agree.

    Args:
        expert: sums over windows (n,) of log pi on the expert's data; with gradients.
        expert_frozen: those of the frozen policy on the same windows.
        learner: sums (m,) of log pi on the frozen policy's own data; with gradients.
        learner_frozen: those of the frozen policy.
    """
    on_expert = F.softplus(expert_frozen - expert).mean()
    return on_expert + F.softplus(learner - learner_frozen).mean()


def window_indices(lengths: npt.ArrayLike, length: int, stride: int = 1) -> Indices:
    """Rows (m, length) of all windows within episodes of `lengths` steps that follow one another.

    Raises RoboAdvError when no episode is as long as a window.
    """
    steps = np.asarray(lengths, np.int64)
    if length < 1 or stride < 1:
        raise RoboAdvError(f"windows need a length and stride of 1 or more, got {length}, {stride}")
    first = np.cumsum(steps) - steps
    starts = [b + np.arange(0, n - length + 1, stride) for b, n in zip(first, steps, strict=True)]
    every = np.concatenate([*starts, np.empty(0, np.int64)]).astype(np.int64)
    if not len(every):
        longest = int(steps.max(initial=0))
        raise RoboAdvError(
            f"windows of {length} steps do not fit: the longest of {len(steps)} episodes has "
            f"{longest}; ask for shorter windows or for whole episodes"
        )
    return every[:, None] + np.arange(length)


def window_sums(log_prob: torch.Tensor, windows: npt.NDArray[Any]) -> torch.Tensor:
    """Sums (m,) of per-step log-probabilities (N,) over windows (m, w) of row numbers."""
    return log_prob[torch.as_tensor(windows)].sum(1)


def episode_sums(log_prob: torch.Tensor, lengths: npt.ArrayLike) -> torch.Tensor:
    """Sums (n,) of per-step log-probabilities (N,) over episodes that follow one another.

    Raises RoboAdvError when the lengths do not add up to N.
    """
    steps = torch.as_tensor(np.asarray(lengths, np.int64))
    if int(steps.sum()) != len(log_prob):
        raise RoboAdvError(
            f"episodes of {int(steps.sum())} steps in all need as many log-probabilities, "
            f"got {len(log_prob)}"
        )
    episode = torch.repeat_interleave(torch.arange(len(steps)), steps)
    return log_prob.new_zeros(len(steps)).index_add(0, episode, log_prob)
