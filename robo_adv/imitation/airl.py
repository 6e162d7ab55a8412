"""AIRL's structured logit (Fu et al. 2018): f(s, a, s') - log pi(a|s), f = g + shaping by h.

The logit's optimum has f = log pi_expert up to a constant, so f is the reward; its base g is the
part that does not depend on the dynamics the shaping absorbed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def shaped(
    base: torch.Tensor,
    potential: torch.Tensor,
    next_potential: torch.Tensor,
    terminated: torch.Tensor,
    discount: float,
) -> torch.Tensor:
    """f = g + discount (1 - terminated) h(s') - h(s), all (n,): a terminal state's potential is 0.

    Along an episode the discounted sum of f is that of g minus h of the first state, plus the
    discounted h of the last one where only a time limit ended it (Ng et al. 1999).
    """
    return base + discount * (1.0 - terminated) * next_potential - potential


def airl_logit(reward: torch.Tensor, log_prob: torch.Tensor) -> torch.Tensor:
    """log of D / (1 - D) for D = exp(f) / (exp(f) + pi(a|s))."""
    return reward - log_prob


class ShapedNetwork(nn.Module):
    """f (n, 1) of inputs (n, 2 d + a + 1) = (s, s', a, terminated).

    Args:
        build: makes a network from its number of inputs to one output.
        state_only: g(s) in place of g(s, a); what transfers to other dynamics (Fu et al., theorem).
    """

    def __init__(
        self,
        state: int,
        actions: int,
        build: Callable[[int], nn.Module],
        discount: float,
        state_only: bool = False,
    ) -> None:
        super().__init__()
        self.state, self.discount, self.state_only = state, discount, state_only
        self.base = build(state if state_only else state + actions)
        self.potential = build(state)

    def parts(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """g, h(s) and h(s'), each (n,)."""
        now, following, action = x[:, : self.state], x[:, self.state : 2 * self.state], x[:, :-1]
        action = action[:, 2 * self.state :]
        base = self.base(now if self.state_only else torch.cat([now, action], 1))
        both = self.potential(torch.cat([now, following]))
        return base[:, 0], both[: len(x), 0], both[len(x) :, 0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        base, potential, following = self.parts(x)
        terminated = x[:, -1].detach()  # no direction for a gradient penalty
        return shaped(base, potential, following, terminated, self.discount)[:, None]
