"""Behavioural cloning: losses that fit a policy to an expert's actions without any environment."""

from __future__ import annotations

from collections.abc import Iterable

import torch


def negative_log_likelihood(
    log_prob: torch.Tensor,
    entropy: torch.Tensor | None = None,
    entropy_weight: float = 1e-3,
    parameters: Iterable[torch.Tensor] = (),
    l2: float = 0.0,
) -> torch.Tensor:
    """-mean log pi(a|s) - entropy_weight * mean entropy + l2 / 2 * sum of squared weights.

    Args:
        log_prob: log-probabilities (n,) of the expert's actions.
        entropy: the policy's entropies (n,) [nat]; None where they have no closed form.
        parameters: the weights that `l2` decays.
    """
    loss = -log_prob.mean()
    if entropy is not None and entropy_weight:
        loss = loss - entropy_weight * entropy.mean()
    return loss + 0.5 * l2 * _squares(parameters) if l2 else loss


def mean_squared_error(
    action: torch.Tensor,
    target: torch.Tensor,
    parameters: Iterable[torch.Tensor] = (),
    l2: float = 0.0,
) -> torch.Tensor:
    """Mean over all entries of squared differences, for policies without a distribution."""
    loss = (action - target).square().mean()
    return loss + 0.5 * l2 * _squares(parameters) if l2 else loss


def _squares(parameters: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack([p.square().sum() for p in parameters]).sum()
