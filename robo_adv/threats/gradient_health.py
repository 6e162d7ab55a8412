"""Whether a controller's gradient is there for attacks that follow it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.errors import RoboAdvError
from robo_adv.threats.access import Access

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Gradients:
    """What the gradient of a controller's action is like, counted in states.

    Attributes:
        states: how many were looked at. flat: where it is exactly zero though the action changes
            within the ball. broken: where it, or the action, is not finite.
    """

    states: int
    flat: int
    broken: int


def measure_gradients(
    access: Access, observations: Array, radius: Array, rng: np.random.Generator
) -> Gradients:
    """The gradient of a random combination of the actions, at a random point of the ball around each
    observation; where it is zero, the action is compared with that at the opposite point.

    Args:
        observations: (n, d). radius: of the ball, per entry (d,), 0 where it has no width.

    Raises:
        RoboAdvError: a black box, or no observations.
    """
    if access.mean is None or not len(observations):
        raise RoboAdvError(
            "gradients are measured at observations (n, d) of a controller with `mean`, got "
            f"{np.shape(observations)} and {'a' if access.mean else 'no'} mean (a black box)"
        )
    away = radius * rng.uniform(-1.0, 1.0, observations.shape)
    here, there = (
        torch.as_tensor(point, dtype=torch.float32)
        for point in (observations + away, observations - away)
    )
    out = access.mean(here.requires_grad_(True))
    slope = torch.zeros_like(here)
    if out.requires_grad:
        weight = torch.as_tensor(rng.normal(size=tuple(out.shape)), dtype=out.dtype)
        (found,) = torch.autograd.grad(out, here, weight, allow_unused=True)
        slope = slope if found is None else found
    with torch.no_grad():
        moved = (out - access.mean(there)).abs().amax(dim=1) > 0
    slope = slope[:, torch.as_tensor(radius > 0)]
    broken = ~(torch.isfinite(slope).all(dim=1) & torch.isfinite(out).all(dim=1))
    flat = (slope == 0).all(dim=1) & moved & ~broken
    return Gradients(len(observations), int(flat.sum()), int(broken.sum()))
