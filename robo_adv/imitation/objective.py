"""What a discriminator minimises on two batches: a loss, an entropy bonus and penalties."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from robo_adv.imitation import regularisers
from robo_adv.imitation.config import DiscriminatorConfig
from robo_adv.imitation.losses import LOSSES, mixup_shares

Batches = tuple[torch.Tensor, torch.Tensor]


def objective(
    logit: regularisers.Logit,
    batches: Batches,
    config: DiscriminatorConfig,
    generator: torch.Generator,
    offsets: Sequence[torch.Tensor] | None = None,
) -> dict[str, torch.Tensor]:
    """Scalars `loss` (differentiable), `penalty`, `expert_accuracy` and `learner_accuracy`.

    Each class weighs one half, whatever its number of rows; chance is log 2 for cross entropy.

    Args:
        logit: normalised inputs (n, D) to logits (n,).
        batches: inputs of the expert (n, D) and the learner (m, D).
        offsets: added to the logits of each batch (n,), (m,).
    """
    expert, learner = batches
    n = len(expert)
    if config.loss == "mixup":
        share = mixup_shares(min(n, len(learner)), config.mixup_alpha, generator)
        k = len(share)
        mixed = logit(share[:, None] * expert[:k] + (1.0 - share)[:, None] * learner[:k])
        loss = LOSSES[config.loss](mixed, share).mean()
        with torch.no_grad():
            logits = logit(torch.cat(batches))
    else:
        logits = logit(torch.cat(batches))
        if offsets is not None:
            logits = logits + torch.cat(list(offsets))
        label = torch.zeros_like(logits)
        label[:n] = 1.0
        rows = LOSSES[config.loss](logits, label)
        loss = 0.5 * (rows[:n].mean() + rows[n:].mean())
        mixed = logits
    if config.entropy and config.loss != "least-squares":
        loss = loss - config.entropy * regularisers.bernoulli_entropy(mixed)
    penalty = _penalty(logit, batches, config, generator)
    return {
        "loss": loss + penalty,
        "penalty": penalty.detach(),
        "expert_accuracy": (logits[:n] > 0).float().mean(),
        "learner_accuracy": (logits[n:] < 0).float().mean(),
    }


def _penalty(
    logit: regularisers.Logit,
    batches: Batches,
    config: DiscriminatorConfig,
    generator: torch.Generator,
) -> torch.Tensor:
    penalty = torch.zeros(())
    if config.gradient_penalty:
        points = regularisers.interpolates(*batches, generator)
        penalty = penalty + config.gradient_penalty * regularisers.gradient_penalty(
            regularisers.gradient_norms(logit, points),
            config.gradient_penalty_target,
            config.gradient_penalty_side,
        )
    if config.r1:
        norms = regularisers.gradient_norms(logit, batches[0])
        penalty = penalty + config.r1 * regularisers.r1_penalty(norms)
    return penalty
