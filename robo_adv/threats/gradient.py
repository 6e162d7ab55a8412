"""Sign-gradient ascent in a ball around observations, batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.threats.attack import View
from robo_adv.threats.mlp import MLP, Head

Array = npt.NDArray[Any]
Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Objective:
    """What an attack raises: `head` of a function of what the controller sees.

    Attributes:
        function: (n, d) -> (n, o). head: (n, o) -> values (n,) and their derivative (n, o).
    """

    function: Function
    head: Head

    def value(self, z: torch.Tensor) -> torch.Tensor:
        """Values (n,) at z (n, d)."""
        with torch.no_grad():
            return self.head(self.function(z))[0]

    def value_and_slope(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values (n,) and gradient (n, d) at z (n, d)."""
        if isinstance(self.function, MLP):
            return self.function.value_and_slope(z, self.head)
        z = z.detach().requires_grad_(True)
        out = self.function(z)
        value, derivative = self.head(out.detach())
        (slope,) = torch.autograd.grad(out, z, derivative)
        return value, slope


def action_difference(view: View) -> Objective:
    """|mu(z) - mu(x)|^2 in units of the controller's standard deviations, if it has any (maximal
    action difference, Zhang et al. 2020, eq. 20)."""
    assert view.access is not None and view.access.mean is not None
    mean: Function = view.access.mean
    clean = torch.as_tensor(view.clean, dtype=torch.float32)
    with torch.no_grad():
        wanted = mean(clean)
        weight = torch.ones(1)
        if view.access.std is not None:
            weight = view.access.std(clean).clamp_min(1e-3) ** -2
            weight = weight / weight.mean(dim=1, keepdim=True)

    def head(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = out - wanted
        weighted = weight * away
        return (weighted * away).sum(dim=1), 2.0 * weighted

    return Objective(mean, head)


def minus_first(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Head for outputs (n, 1) that are to become small."""
    return -out[:, 0], torch.full_like(out, -1.0)


def ascend(view: View, objective: Objective, start: Array, step: float, steps: int) -> Array:
    """The best of the points (n, d) of a sign-gradient ascent.

    Args:
        start: where it starts (n, d), in units of the radius. step: in units of the radius.
    """
    clean = torch.as_tensor(view.clean, dtype=torch.float32)
    radius = torch.as_tensor(view.radius, dtype=torch.float32)
    u = torch.as_tensor(start, dtype=torch.float32)
    best, best_value = u.clone(), torch.full((len(u),), -torch.inf)
    for k in range(steps + 1):
        z = torch.addcmul(clean, radius, u)
        if k < steps:
            value, slope = objective.value_and_slope(z)
        else:
            value = objective.value(z)
        more = value > best_value
        np.copyto(best.numpy(), u.numpy(), where=more.numpy()[:, None])
        best_value = torch.maximum(value, best_value)
        if k < steps:
            u = torch.add(u, slope.sign_(), alpha=step).clamp_(-1.0, 1.0)
    return np.asarray(view.clean + view.radius * best.numpy())


def single_step(view: View, objective: Objective, start: Array) -> Array:
    """The corner of the ball (n, d) that the gradient at `start` points to."""
    clean = torch.as_tensor(view.clean, dtype=torch.float32)
    radius = torch.as_tensor(view.radius, dtype=torch.float32)
    at = torch.addcmul(clean, radius, torch.as_tensor(start, dtype=torch.float32))
    _, slope = objective.value_and_slope(at)
    return np.asarray(view.clean + view.radius * torch.sign(slope).numpy())
