"""Robust Sarsa (Zhang et al. 2020, section 3.5 and appendix): critics Q(s, a) of a fixed controller.

A critic that was fitted to a controller's own steps may say anything about other actions. A regulariser
bounds how much it changes within a box around the action that was taken, so that what an attack finds
by following it is no artefact. Critics with regularisers of several sizes, and of near and far sight,
are fitted side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.threats.fit import SMALLEST, Stack, moments
from robo_adv.threats.gradient import Function
from robo_adv.threats.lab import Transitions
from robo_adv.threats.mlp import MLP

Array = npt.NDArray[Any]
Tensor = torch.Tensor


@dataclass(frozen=True)
class Member:
    """One critic of a family.

    Attributes:
        gamma: discount. box: how far actions move in the regulariser, in half ranges of the actions.
        weight: of the regulariser.
    """

    gamma: float
    box: float
    weight: float

    def __str__(self) -> str:
        return f"discount {self.gamma:g}, box {self.box:g}, weight {self.weight:g}"


@dataclass(frozen=True)
class Critic:
    """Q(s, a) of one controller.

    Attributes:
        network: of observations and actions side by side (n, d + a) -> (n, 1), in units of the
            standard deviation of the returns. low, high: range of the actions it has seen (a,).
        member: what was asked of it.
    """

    network: MLP
    low: Tensor
    high: Tensor
    member: Member

    def value_and_slope(self, observation: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Q (n,) and its derivative (n, a) by the action. Actions are clipped, the derivative is that
        at the end of the range: else attacks would not know the way back from there."""
        inside = torch.maximum(torch.minimum(action, self.high), self.low)
        x = torch.cat([observation.float(), inside], dim=1)
        value, slope = self.network.value_and_slope(x, _first)
        return value, slope[:, observation.shape[1] :]


def _first(out: Tensor) -> tuple[Tensor, Tensor]:
    return out[:, 0], torch.ones_like(out)


@dataclass(frozen=True)
class SarsaFit:
    """How critics are fitted.

    Attributes:
        trace: lambda of the returns that are their targets. hidden: layers.
        epochs: over all steps, before each of which the targets are computed anew. batch: of steps.
        rate: of Adam, falling linearly.
    """

    trace: float = 0.9
    hidden: tuple[int, ...] = (64, 64)
    epochs: int = 12
    batch: int = 512
    rate: float = 1e-3


def fit_critics(
    seen: Transitions, mean: Function, family: Sequence[Member],
    rng: np.random.Generator, how: SarsaFit = SarsaFit(),
) -> list[Critic]:  # fmt: skip
    """Critics of the controller, one per member of the family.

    Targets are lambda-returns along the controller's own steps (Sarsa(lambda), Sutton and Barto 2018,
    section 12.7), with the action that it took at the TRUE next state, or would have taken there where
    an episode was cut off; ended episodes have no next value. The largest change within the box is
    bounded from above by interval arithmetic.

    Args:
        mean: the controller's actions. family: the critics that are wanted.
    """
    size = seen.observation.shape[2]
    x, y, after = (_tensor(part) for part in (seen.observation, seen.action, seen.next_observation))
    low, high = y.amin(dim=(0, 1)), y.amax(dim=(0, 1))
    half = torch.where(high - low > SMALLEST, 0.5 * (high - low), torch.ones(1))
    shift, spread = moments(x.reshape(-1, size))
    with torch.no_grad():
        then = torch.maximum(torch.minimum(mean(after.reshape(-1, size)), high), low)
        then = torch.where(_goes_on(seen)[:, None], y.roll(-1, 0).reshape(len(then), -1), then)
    centre = torch.cat([shift, 0.5 * (low + high)])
    scale = torch.cat([1.0 / spread, 1.0 / half])

    def inputs(observation: Tensor, action: Tensor) -> Tensor:
        return (torch.cat([observation, action], dim=1) - centre) * scale

    now = inputs(x.reshape(-1, size), y.reshape(len(then), -1))
    then = inputs(after.reshape(-1, size), then)
    gamma, box, weight = (
        torch.tensor([getattr(member, name) for member in family])[:, None, None]
        for name in ("gamma", "box", "weight")
    )
    reward = _tensor(seen.reward)
    reward = (reward - reward.mean()) / _return_spread(reward, seen, gamma)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    net = Stack(len(family), (now.shape[1], *how.hidden, 1), "relu", generator)
    optimiser = torch.optim.Adam(net.parameters, how.rate)
    for epoch in range(how.epochs):
        target = targets(net, then, reward, seen, gamma, how.trace)
        for group in optimiser.param_groups:
            group["lr"] = how.rate * (1.0 - epoch / how.epochs)
        for some in torch.split(torch.randperm(len(now), generator=generator), how.batch):
            optimiser.zero_grad()
            value, low_value, high_value = bounded(net, now[some], size, box)
            miss = torch.nn.functional.smooth_l1_loss(value, target[:, some], reduction="none")
            change = torch.maximum(high_value - value, value - low_value).square()
            (miss + weight[..., 0] * change).mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return [
        Critic(net.member(k, centre, scale), low, high, member) for k, member in enumerate(family)
    ]


def bounded(net: Stack, x: Tensor, size: int, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs (K, n) at inputs x (n, d + a) and their bounds while the last a inputs move by at most
    `box` (K, 1, 1): interval arithmetic, sound for monotone activations.

    Args:
        size: d.
    """
    value: Tensor = x
    middle = reach = torch.zeros(1)
    for k, (weight, bias) in enumerate(zip(net.weights, net.biases, strict=True)):
        value = torch.matmul(value, weight) + bias
        if k == 0:
            middle, reach = value, box * weight[:, size:].abs().sum(dim=1, keepdim=True)
        else:
            middle = torch.matmul(middle, weight) + bias
            reach = torch.matmul(reach, weight.abs())
        if k < len(net.weights) - 1:
            low, high = net.activated(middle - reach), net.activated(middle + reach)
            value = net.activated(value)
            middle, reach = 0.5 * (low + high), 0.5 * (high - low)
    return value[..., 0], (middle - reach)[..., 0], (middle + reach)[..., 0]


def targets(
    net: Stack, then: Tensor, reward: Tensor, seen: Transitions, gamma: Tensor, trace: float
) -> Tensor:
    """Lambda-returns (K, T * N) of rewards (K, T, N), with the critics' own values of what comes next
    (T * N, d + a) and their discounts (K, 1, 1)."""
    with torch.no_grad():
        value = net(then)[..., 0].reshape(reward.shape)
    going = 1.0 - _tensor(seen.terminated)
    along = 1.0 - _tensor(seen.ended)
    out = torch.empty_like(value)
    later = value[:, -1]
    for t in reversed(range(reward.shape[1])):
        share = trace * along[t]
        later = (1.0 - share) * value[:, t] + share * later
        later = reward[:, t] + gamma[:, 0] * going[t] * later
        out[:, t] = later
    return out.reshape(len(value), -1)


def _goes_on(seen: Transitions) -> Tensor:
    """Whether the next row of the same column (T * N,) is the next step of the same episode."""
    on = ~torch.as_tensor(seen.ended, dtype=torch.bool)
    on[-1] = False
    return on.reshape(-1)


def _return_spread(reward: Tensor, seen: Transitions, gamma: Tensor) -> Tensor:
    """Standard deviation (K, 1, 1) of the discounted sums of rewards (T, N) so far, by which rewards
    are divided."""
    total, every = torch.zeros(len(gamma), reward.shape[1]), []
    for now, ended in zip(reward, _tensor(seen.ended), strict=True):
        total = gamma[:, 0] * total + now
        every.append(total)
        total = total * (1.0 - ended)
    spread = torch.stack(every).std(dim=(0, 2)).clamp_min(SMALLEST)
    return spread[:, None, None]


def _tensor(x: Array) -> Tensor:
    return torch.as_tensor(x, dtype=torch.float32)
