"""Demonstrations in NumPy files of other projects: arrays such as `obs`, `acts` and `dones`, no pickle.

Understood are steps one after the other, (N, d) and (N, a), cut into episodes by `dones` (or
`terminals`, `timeouts`, `episode_starts`, `lengths`, or `indices` as the `imitation` package writes
them), and episodes of equal length, (n, T, d) and (n, T, a). Observations may have one more row per
episode than actions: the last one seen.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstrations import Demonstrations, Episode
from robo_adv.imitation.demonstrations_file import MOST_BYTES
from robo_adv.runs import write_with

Array = npt.NDArray[Any]
NAMES = {
    "observations": ("observations", "obs", "states"),
    "actions": ("actions", "acts", "acs"),
    "rewards": ("rewards", "rews"),
    "next": ("next_observations", "next_obs"),
    "terminations": ("terminations", "terminals", "terminal"),
    "truncations": ("truncations", "timeouts"),
    "dones": ("dones", "done"),
    "starts": ("episode_starts",),
    "lengths": ("lengths", "episode_lengths"),
    "indices": ("indices",),
    "seeds": ("seeds",),
    "success": ("success",),
}
PLAIN = (
    "np.savez_compressed(file, obs=np.concatenate(observations), acts=np.concatenate(actions), "
    "rews=np.concatenate(rewards), dones=np.concatenate(dones)), all of one number type"
)
NO_REWARDS = "The file has no rewards: returns are 0 and mean nothing."
NO_LAST = (
    "The file does not hold the last observation of an episode; the one before stands in for it."
)
CUT = "The last steps of the file belong to an episode that does not end; it counts as cut off."
ENDS = (
    "The file does not tell time limits from other ends: episodes as long as the environment's limit "
    "count as cut off, others as terminated."
)


@dataclass(frozen=True)
class Found:
    """Episodes of a foreign file, and what was made of it, in sentences."""

    episodes: tuple[Episode, ...]
    notes: tuple[str, ...] = ()


def read_arrays(path: Path, time_limit: int | None = None) -> Found:
    """The episodes of a .npz file.

    Args:
        time_limit: of the environment, in steps: tells ends from time limits where only `dones` does.

    Raises:
        RoboAdvError: it is none, holds pickled objects, or its arrays do not make up episodes.
    """
    arrays = _load(path)
    for needed in ("observations", "actions"):
        if needed not in arrays:
            raise RoboAdvError(
                f"{path} has no {needed} ({' or '.join(NAMES[needed])}); write it by {PLAIN}"
            )
    notes: list[str] = []
    if "rewards" not in arrays:
        notes.append(NO_REWARDS)
    try:
        flat = _flattened(arrays)
        lengths = _lengths(flat, notes)
        return Found(tuple(_cut(flat, lengths, time_limit, notes)), tuple(notes))
    except RoboAdvError as problem:
        raise RoboAdvError(f"{path}: {problem}") from problem


def _load(path: Path) -> dict[str, Array]:
    """The arrays that are understood, under our names."""
    if path.is_dir():
        raise RoboAdvError(f"{path} is a folder, neither a .npz file nor a Minari data set")
    if not path.is_file():
        raise RoboAdvError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise RoboAdvError(
            f"{path} is not a .npz file; pickles and other formats are not opened, as they can run "
            f"code. Where you trust the file, load it and write it anew by {PLAIN}"
        )
    out: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {
                info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()
            }
        with np.load(path, allow_pickle=False) as file:
            for name, known in NAMES.items():
                given = [key for key in known if key in sizes]
                if len(given) > 1:
                    raise RoboAdvError(f"{path} has both {' and '.join(given)}; keep one of them")
                if not given:
                    continue
                if sizes[given[0]] > MOST_BYTES:
                    raise RoboAdvError(
                        f"{path}: {given[0]} unpacks to {sizes[given[0]]:,} bytes, at most "
                        f"{MOST_BYTES:,} are read"
                    )
                out[name] = _plain(path, given[0], file)
    except RoboAdvError:
        raise
    except Exception as problem:  # whatever a broken archive does to zipfile and NumPy
        raise RoboAdvError(f"{path} is broken or cut short: {problem}") from problem
    return out


def _plain(path: Path, name: str, file: Any) -> Array:
    try:
        found = np.atleast_1d(file[name])
    except ValueError as problem:
        if "pickle" not in str(problem):
            raise
        raise RoboAdvError(
            f"{path}: {name} is an array of Python objects (episodes of different lengths?), which "
            f"only pickle reads, and that can run code. Where you trust the file, load it and write it "
            f"anew by {PLAIN}"
        ) from problem
    if found.dtype.kind not in "fiub":
        raise RoboAdvError(f"{path}: {name} is {found.dtype}, expected real numbers")
    return found


def _flattened(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Steps one after the other, from episodes of equal length (n, T, ...) where it is that."""
    actions, observations = arrays["actions"], arrays["observations"]
    out = dict(arrays)
    if not (actions.size and observations.size):
        raise RoboAdvError("there is not one step")
    if actions.ndim == 3:
        n, steps = actions.shape[:2]
        if observations.ndim != 3 or len(observations) != n or \
                observations.shape[1] not in (steps, steps + 1):  # fmt: skip
            raise RoboAdvError(
                f"actions {actions.shape} are {n} episodes of {steps} steps, observations "
                f"{observations.shape} are not"
            )
        for name, array in arrays.items():
            if array.ndim >= 2:
                out[name] = array.reshape(-1, *array.shape[2:])
        if "lengths" in arrays and (arrays["lengths"] != steps).any():
            raise RoboAdvError(
                "episodes (n, T, ...) that are filled up to equal length are not read; write their "
                f"steps one after the other by {PLAIN}"
            )
        out["lengths"] = np.full(n, steps)
    for name in ("observations", "actions", "next"):
        if name in out:
            out[name] = out[name].reshape(len(out[name]), -1)
    out.setdefault("rewards", np.zeros(len(out["actions"])))
    for name in ("lengths", "indices", "seeds", "success"):
        if name in out:
            out[name] = _one_each(name, out[name])
    return out


def _one_each(name: str, array: Array) -> Array:
    """(k,) numbers of a column, whole ones but for `success`."""
    if array.size != len(array):
        raise RoboAdvError(f"{name} has shape {array.shape}, expected one number per episode")
    flat = array.reshape(-1)
    if name == "success":
        return flat
    if flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.floor(flat))).all():
        raise RoboAdvError(f"{name} must be whole numbers, got {flat[:5].tolist()}")
    return flat if name == "seeds" else flat.astype(np.int64)


def _lengths(flat: dict[str, Array], notes: list[str]) -> Array:
    """(n,) lengths of the episodes."""
    steps = len(flat["actions"])
    if "lengths" in flat:
        lengths = flat["lengths"]
    elif "indices" in flat:
        lengths = np.diff([0, *flat["indices"], steps])
    else:
        per_step = [flat[k] for k in ("terminations", "truncations", "dones") if k in flat]
        if "starts" in flat:
            starts = flat["starts"].astype(bool).reshape(-1)
            over = np.append(starts[1:], True)
        elif per_step:
            for flag in per_step:
                if flag.size != len(flag) or len(flag) != steps:
                    raise RoboAdvError(
                        f"flags of shape {flag.shape} do not tell where episodes of {steps} steps end; "
                        "add `lengths`"
                    )
            over = np.any([flag.reshape(-1).astype(bool) for flag in per_step], axis=0)
        else:
            raise RoboAdvError(
                "nothing tells where episodes end: add dones (N,), one per step, or lengths (n,)"
            )
        if not over[-1]:
            notes.append(CUT)
            over[-1] = True
        lengths = np.diff([-1, *np.flatnonzero(over)])
    lengths = np.asarray(lengths).astype(np.int64).reshape(-1)
    if (lengths < 1).any() or lengths.sum() != steps:
        raise RoboAdvError(
            f"episodes of lengths {lengths[:5].tolist()} ... make {lengths.sum()} steps, there are "
            f"{steps} actions"
        )
    return lengths


def _cut(
    flat: Mapping[str, Array], lengths: Array, time_limit: int | None, notes: list[str]
) -> list[Episode]:
    n, steps, rows = len(lengths), int(lengths.sum()), len(flat["observations"])
    if rows not in (steps, steps + n):
        raise RoboAdvError(
            f"{rows} observations for {steps} actions in {n} episodes, expected {steps} or {steps + n}"
        )
    for name in ("rewards", "next"):
        if name in flat and len(flat[name]) != steps:
            raise RoboAdvError(f"{len(flat[name])} {name} for {steps} actions")
    for name in ("seeds", "success"):
        if name in flat and len(flat[name]) != n:
            raise RoboAdvError(f"{len(flat[name])} {name} for {n} episodes")
    seen, after = (
        flat.get(name, flat["observations"]).shape[1] for name in ("observations", "next")
    )
    if seen != after:
        raise RoboAdvError(f"next observations have {after} numbers, observations {seen}")
    if rows == steps and "next" not in flat:
        notes.append(NO_LAST)
    told = "terminations" in flat or "truncations" in flat
    if not told:
        notes.append(ENDS)
    out: list[Episode] = []
    for k, (end, length) in enumerate(zip(np.cumsum(lengths), lengths, strict=True)):
        part = slice(end - length, end)
        if rows == steps:
            seen, last = flat["observations"][part], flat.get("next", flat["observations"])[end - 1]
            observed = np.concatenate([seen, last[None]])
        else:
            observed = flat["observations"][end - length + k : end + k + 1]
        terminated, truncated = length != time_limit, length == time_limit
        if told:
            truncated = _ended(flat, "truncations", k, end, n, steps)
            by_flag = _ended(flat, "terminations", k, end, n, steps)
            terminated = by_flag if "terminations" in flat else not truncated
            truncated = truncated or not terminated
        if k == n - 1 and CUT in notes:
            terminated, truncated = False, True
        seed, success = _of(flat, "seeds", k, k), _of(flat, "success", k, np.nan)
        rewards = flat["rewards"][part].reshape(-1)
        out.append(
            Episode(observed, flat["actions"][part], rewards, terminated, truncated, seed, success)
        )
    return out


def _ended(flat: Mapping[str, Array], name: str, k: int, end: int, n: int, steps: int) -> bool:
    """What a flag, one per step or one per episode, says of the end of episode k."""
    if name not in flat:
        return False
    flag = flat[name].reshape(-1)
    if len(flag) not in (steps, n):
        raise RoboAdvError(f"{len(flag)} {name} for {steps} steps in {n} episodes")
    return bool(flag[end - 1] if len(flag) == steps else flag[k])


def _of(flat: Mapping[str, Array], name: str, k: int, otherwise: Any) -> Any:
    return flat[name][k].item() if name in flat else otherwise


def write_arrays(demonstrations: Demonstrations, path: Path) -> None:
    """Write steps as the arrays `obs`, `acts`, `rews`, `next_obs`, `dones` and flags of a .npz file.

    Raises:
        RoboAdvError: it cannot be written.
    """
    steps = demonstrations.transitions()
    arrays = {
        "obs": steps.observation, "acts": steps.action, "rews": demonstrations.rewards,
        "next_obs": steps.next_observation,
        "dones": demonstrations.terminations | demonstrations.truncations,
        "terminations": demonstrations.terminations, "truncations": demonstrations.truncations,
        "lengths": demonstrations.lengths, "seeds": demonstrations.seeds,
        "success": demonstrations.success,
    }  # fmt: skip
    write_with(path, lambda target: np.savez_compressed(target, allow_pickle=False, **arrays))
