"""Replay buffers as arrays: what a resume needs, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
FLAT = "flat"  # name of observations that are one array and no Dict
_WHOLE = ("actions", "rewards", "dones", "timeouts")
_HINDSIGHT = ("ep_start", "ep_length")


def _parts(observations: Any) -> dict[str, Array]:
    """The arrays of a buffer's observations by their keys."""
    return observations if isinstance(observations, dict) else {FLAT: observations}


def _fields(buffer: ReplayBuffer) -> dict[str, Array]:
    """The buffer's own arrays, each (size, num_envs, ...)."""
    names = _WHOLE + (_HINDSIGHT if isinstance(buffer, HerReplayBuffer) else ())
    out: dict[str, Array] = {name: getattr(buffer, name) for name in names}
    for group in ("observations", "next_observations"):
        parts = _parts(getattr(buffer, group))
        out.update({f"{group}.{key}": part for key, part in parts.items()})
    return out


def filled(buffer: ReplayBuffer) -> int:
    """Rows, of num_envs steps each, that hold something."""
    return buffer.buffer_size if buffer.full else buffer.pos


def buffer_arrays(buffer: ReplayBuffer) -> dict[str, Array]:
    """Copies of the filled part of a buffer, named `buffer.<field>`."""
    rows = filled(buffer)
    out = {f"buffer.{name}": part[:rows].copy() for name, part in _fields(buffer).items()}
    if isinstance(buffer, HerReplayBuffer):
        out["buffer.episodes"] = buffer._current_ep_start.copy()
    out["buffer.place"] = np.array([buffer.pos, buffer.full], dtype=np.int64)
    return out


def load_buffer(buffer: ReplayBuffer, arrays: Mapping[str, Array]) -> None:
    """Fill a fresh buffer with what `buffer_arrays` gave, names without `buffer.`.

    Raises:
        RoboAdvError: the arrays are of a buffer of another size or other observations.
    """
    position, full = (int(x) for x in arrays["place"])
    for name, part in _fields(buffer).items():
        given = arrays[name]
        if given.shape[1:] != part.shape[1:] or len(given) > len(part) or (
            full and len(given) != len(part)
        ):  # fmt: skip
            raise RoboAdvError(
                f"the checkpoint's replay buffer has {name} of shape {given.shape}, expected at most "
                f"{part.shape}; use the same num_envs and buffer_size"
            )
        part[: len(given)] = given
        part[len(given) :] = 0
    buffer.pos, buffer.full = position, bool(full)
    if isinstance(buffer, HerReplayBuffer):
        buffer._current_ep_start[:] = arrays["episodes"]


def recent_observations(buffer: ReplayBuffer, before: int) -> Array:
    """Flat observations (n, d) that were added since the buffer's position was `before`."""
    count = (buffer.pos - before) % buffer.buffer_size or filled(buffer)
    rows = np.arange(before, before + count) % buffer.buffer_size
    parts = [part[rows] for _, part in sorted(_parts(buffer.observations).items())]
    flat = np.concatenate([part.reshape(count * buffer.n_envs, -1) for part in parts], axis=1)
    return np.asarray(flat)
