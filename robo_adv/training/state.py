"""State of learners as tensors and JSON values: generators, optimisers, episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]
Tensors = dict[str, torch.Tensor]
Generators = tuple[Tensors, list[Any]]


def capture_generators() -> Generators:
    """States of the two global generators that stable-baselines3 draws from."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(signed(np.array(keys)))}
    return tensors, [str(name), int(position), int(has_gauss), float(cached)]


def restore_generators(generators: Generators) -> None:
    """Put back what `capture_generators` gave."""
    tensors, (name, position, has_gauss, cached) = generators
    torch.set_rng_state(tensors["torch"])
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state((name, keys, position, has_gauss, cached))


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str) -> Tensors:
    """Copies of an optimiser's moments, named `<prefix><parameter>.<moment>`."""
    return {
        f"{prefix}{index}.{name}": torch.as_tensor(value).clone()
        for index, slots in optimiser.state_dict()["state"].items()
        for name, value in slots.items()
    }


def load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Continue with what `optimiser_tensors` gave, names without the prefix."""
    whole: dict[str, Any] = {**optimiser.state_dict(), "state": {}}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        whole["state"].setdefault(int(index), {})[name] = value.clone()
    optimiser.load_state_dict(whole)


def episode_metrics(finished: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """Counts and means over the episodes whose columns `VectorToVecEnv.finished` holds."""
    if not finished:
        return {"episodes": 0.0}
    columns = {
        name: np.concatenate([episode[name] for episode in finished]) for name in finished[0]
    }
    out = {"episodes": float(len(columns["length"]))}
    if "won" in columns:
        out["wins"] = float(columns["won"].sum())
    for name in ("return", "length", "draw", "diverged"):
        if name in columns:
            out[name] = float(columns[name].mean())
    return out | {n: float(v.mean()) for n, v in columns.items() if n.startswith("cost_")}


def signed(array: Array) -> Array:
    """Unsigned integers as signed ones of the same bits (torch has few unsigned types)."""
    array = np.ascontiguousarray(array)
    if array.dtype == np.uint64:
        return array.view(np.int64)
    return array.astype(np.int64) if array.dtype == np.uint32 else array


def with_prefix(items: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The items whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in items.items() if k.startswith(prefix)}
