"""Access: what can be known of a controller from inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
Tensor = torch.Tensor


@dataclass(frozen=True)
class Access:
    """White-box access; a black box has None everywhere. Functions take raw observations (n, d).

    Attributes:
        mean: deterministic actions (n, a), differentiable, before they are clipped.
        std: standard deviations (n, a) of the actions. value: estimated return (n, 1).
        q: observations (n, d), actions (n, a) -> estimated return (n, 1).
        normaliser: mean and standard deviation (d,) by which the controller scales what it sees.
        recall: of a controller with a memory: its state, arrays with the n episodes on the first axis
            -> access in that state, for the same n observations. The functions above are then those
            of a fresh episode.
    """

    mean: Callable[[Tensor], Tensor] | None = None
    std: Callable[[Tensor], Tensor] | None = None
    value: Callable[[Tensor], Tensor] | None = None
    q: Callable[[Tensor, Tensor], Tensor] | None = None
    normaliser: tuple[Array, Array] | None = None
    recall: Callable[[tuple[Array, ...]], Access] | None = None

    def during(self, state: tuple[Array, ...]) -> Access:
        """It in the present step of n episodes, whose states the controller keeps."""
        return self if self.recall is None else self.recall(state)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known of it."""
        names = (field.name for field in fields(self) if field.name != "recall")
        return tuple(name for name in names if getattr(self, name) is None)
