"""Hindsight replay buffers as arrays: what a resume needs, without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3 import HerReplayBuffer

from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
_WHOLE = ("actions", "rewards", "dones", "timeouts", "ep_start", "ep_length")


def _fields(buffer: HerReplayBuffer) -> dict[str, Array]:
    """The buffer's own arrays, each (size, num_envs, ...)."""
    out = {name: getattr(buffer, name) for name in _WHOLE}
    for group in ("observations", "next_observations"):
        out.update({f"{group}.{key}": part for key, part in getattr(buffer, group).items()})
    return out


def _filled(buffer: HerReplayBuffer) -> int:
    return buffer.buffer_size if buffer.full else buffer.pos


def buffer_arrays(buffer: HerReplayBuffer) -> dict[str, Array]:
    """Copies of the filled part of a buffer, named `buffer.<field>`."""
    filled = _filled(buffer)
    out = {f"buffer.{name}": part[:filled].copy() for name, part in _fields(buffer).items()}
    out["buffer.episodes"] = buffer._current_ep_start.copy()
    out["buffer.place"] = np.array([buffer.pos, buffer.full], dtype=np.int64)
    return out


def load_buffer(buffer: HerReplayBuffer, arrays: Mapping[str, Array]) -> None:
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
    buffer._current_ep_start[:] = arrays["episodes"]


def recent_observations(buffer: HerReplayBuffer, before: int) -> Array:
    """Flat observations (n, d) that were added since the buffer's position was `before`."""
    count = (buffer.pos - before) % buffer.buffer_size or _filled(buffer)
    rows = np.arange(before, before + count) % buffer.buffer_size
    parts = [buffer.observations[key][rows] for key in sorted(buffer.observations)]
    flat = np.concatenate([part.reshape(count * buffer.n_envs, -1) for part in parts], axis=1)
    return np.asarray(flat)
