"""Checkpoints as the code of SA-PPO and ATLA writes them, with stand-ins for its classes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[Any]
SIZE, ACTIONS, HIDDEN = 11, 3, 64  # of Hopper


class Mlp(nn.Module):
    """Layers by the published names."""

    def __init__(self, last: str, outputs: int) -> None:
        super().__init__()
        sizes = (SIZE, HIDDEN, HIDDEN)
        self.affine_layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.last = nn.Linear(HIDDEN, outputs)
        setattr(self, last, self.last)
        if last == "final_mean":
            self.log_stdev = nn.Parameter(torch.full((outputs,), -0.7))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As theirs: tanh after each hidden layer."""
        for layer in self.affine_layers:
            x = torch.tanh(layer(x))
        out: torch.Tensor = self.last(x)
        return out


class Recurrent(Mlp):
    """ATLA's; the layers of the MLP are there and are not used."""

    def __init__(self) -> None:
        super().__init__("final_mean", ACTIONS)
        self.embedding_layer = nn.Linear(SIZE, HIDDEN)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, batch_first=True)
        self.output_layer = nn.Linear(HIDDEN, ACTIONS)


class RunningStat:
    def __init__(self, rng: np.random.Generator) -> None:
        self._n = 1000
        self._M = rng.normal(size=SIZE)
        self._S = 999.0 * rng.uniform(0.5, 2.0, SIZE) ** 2

    @property
    def std(self) -> Array:
        out: Array = np.sqrt(self._S / (self._n - 1))
        return out


class ZFilter:
    def __init__(self, rng: np.random.Generator, clip: float | None) -> None:
        self.center = self.scale = True
        self.clip, self.rs, self.prev_filter = clip, RunningStat(rng), Identity()


class Identity:
    pass


class Env:
    def __init__(self, state_filter: Any) -> None:
        self.state_filter, self.total_true_reward = state_filter, 3.0


class Bomb:
    """Runs code when an ordinary unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@contextmanager
def published_code() -> Iterator[None]:
    """The stand-ins under the names of the published code, while a file is written."""
    names = {"policy_gradients": (), "policy_gradients.torch_utils": (RunningStat, ZFilter, Identity),
             "policy_gradients.custom_env": (Env,)}  # fmt: skip
    before = {}
    for name, classes in names.items():
        module = sys.modules[name] = ModuleType(name)
        for one in classes:
            before[one] = one.__module__
            one.__module__ = name
            setattr(module, one.__name__, one)
    try:
        yield
    finally:
        for one, name in before.items():
            one.__module__ = name
        for name in names:
            del sys.modules[name]


def write(
    path: Path, policy: nn.Module, *, seed: int = 0, clip: float | None = 10.0, old: bool = False,
    **more: Any,
) -> ZFilter:  # fmt: skip
    """A checkpoint; returns its state filter. `old` is the format before torch 1.6."""
    state = ZFilter(np.random.default_rng(seed), clip)
    content = {
        "policy_model": policy.state_dict(), "val_model": Mlp("final", 1).state_dict(),
        "envs": [Env(state)], **more,
    }  # fmt: skip
    with published_code():
        torch.save(content, path, _use_new_zipfile_serialization=not old)
    return state
