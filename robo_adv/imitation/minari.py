"""Demonstrations to and from Minari's data sets (extra `minari`).

A data set's metadata may name an environment whose making runs code; nothing is made here, and a data
set without its spaces, for which Minari would make it, is refused. Episodes are handed to Minari whole:
its step-by-step collector needs jax.
"""

from __future__ import annotations

import copy
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.imitation.array_files import Found
from robo_adv.imitation.demonstration_card import Space
from robo_adv.imitation.demonstrations import Demonstrations, Episode
from robo_adv.runs import write_folder

Array = npt.NDArray[Any]
ROOT = "MINARI_DATASETS_PATH"  # Minari's variable for where data sets lie
METADATA = "metadata.json"
CUT = "Episodes without an end count as cut off."


def _minari() -> Any:
    try:
        import h5py  # noqa: F401
        import minari
    except ImportError as error:
        raise DependencyError(
            f"Minari's data sets need {error.name}, which is not installed: "
            "pip install 'robo-adv[minari]'"
        ) from error
    return minari


def minari_folder(source: str) -> Path | None:
    """The folder with the metadata of a data set that a path or `minari:ID` names; None for others."""
    if source.startswith("minari:"):
        root = os.environ.get(ROOT) or str(Path.home() / ".minari" / "datasets")
        folder = Path(root) / source.removeprefix("minari:") / "data"
        if not (folder / METADATA).is_file():
            raise RoboAdvError(
                f"there is no Minari data set {source.removeprefix('minari:')!r} in {root}; "
                f"`minari download` fetches published ones, {ROOT} names another place"
            )
        return folder
    inside = (Path(source), Path(source) / "data")
    return next((folder for folder in inside if (folder / METADATA).is_file()), None)


def read_minari(folder: Path, names: Sequence[str], env: str) -> Found:
    """The episodes of a data set.

    Args:
        names: of the layout's slices, in whose order the parts of Dict observations are taken.
        env: id of the environment that it must be of, where it says so.

    Raises:
        DependencyError: Minari is not installed. RoboAdvError: it is refused.
    """
    _minari()
    from minari.dataset.minari_storage import MinariStorage

    metadata = _metadata(folder)
    own = metadata.get("env_spec")
    with suppress(ValueError, AttributeError):
        own = json.loads(own or "{}").get("id")
    if own and own.removeprefix("robo_adv/") != env:
        raise RoboAdvError(
            f"{folder} was recorded in {own}, asked for {env}; name it by --env {own}"
        )
    try:
        storage = MinariStorage.read(folder)
        count = storage.total_episodes
        told = list(storage.get_episode_metadata(range(count)))
        parts = list(storage.get_episodes(range(count)))
    except Exception as problem:  # whatever a broken file does to Minari and HDF5
        raise RoboAdvError(
            f"{folder} cannot be read by Minari: {type(problem).__name__}: {problem}"
        ) from problem
    episodes, cut = [], False
    for k, part in enumerate(parts):
        extra = told[k] if k < len(told) else {}
        ends = [bool(np.asarray(part[key]).any()) for key in ("terminations", "truncations")]
        cut |= not any(ends)
        seen = _flat(part["observations"], names, folder)
        rewards = np.asarray(part["rewards"], dtype=np.float64).reshape(-1)
        success = float(extra.get("success", np.nan))
        episodes.append(
            Episode(
                seen, _flat(part["actions"], (), folder), rewards, ends[0],
                ends[1] or not ends[0], _seed(extra, k), success,
            )
        )  # fmt: skip
    if not episodes:
        raise RoboAdvError(f"{folder} holds no episode")
    return Found(tuple(episodes), (CUT,) if cut else ())


def _metadata(folder: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RoboAdvError(f"{folder / METADATA} cannot be read: {problem}") from problem
    for key in ("observation_space", "action_space"):
        if not isinstance(found, dict) or not isinstance(found.get(key), str):
            raise RoboAdvError(
                f"{folder / METADATA} has no {key}; Minari would make the environment that it names to "
                "find out, which can run code, so it is not opened"
            )
    return found


def _seed(extra: Mapping[str, Any], k: int) -> int:
    seed = extra.get("seed")
    return k if seed is None or np.size(seed) != 1 or not np.isreal(seed) else int(seed)


def _flat(data: Any, names: Sequence[str], folder: Path) -> Array:
    """Rows of numbers (T, d) from an array, or from the named parts of a tree of arrays."""
    leaves = dict(_leaves(data, ""))
    if set(leaves) == {""}:
        return leaves[""]
    if set(leaves) != set(names):
        raise RoboAdvError(
            f"{folder} observes {', '.join(leaves)}; this environment observes {', '.join(names)}"
        )
    return np.concatenate([leaves[name] for name in names], axis=1)


def _leaves(data: Any, name: str) -> list[tuple[str, Array]]:
    if isinstance(data, Mapping | tuple):
        items = data.items() if isinstance(data, Mapping) else enumerate(data)
        return [
            leaf
            for key, part in items
            for leaf in _leaves(part, f"{name}.{key}" if name else str(key))
        ]
    rows = np.asarray(data)
    return [(name, rows.reshape(len(rows), -1))]


def write_minari(demonstrations: Demonstrations, folder: Path, name: str) -> str:
    """Write a data set into a new folder, which then can be Minari's root; its id.

    Args:
        name: of the data set, `hopper/expert-v0` for example.

    Raises:
        DependencyError: Minari is not installed. RoboAdvError: a name that Minari does not take, or
            a folder that is not empty.
    """
    minari = _minari()
    from minari.data_collector.episode_buffer import EpisodeBuffer

    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise RoboAdvError(f"{folder} is not empty; name a new folder")
    card = demonstrations.card
    buffers = [
        EpisodeBuffer(
            id=k, seed=e.seed, observations=list(e.observations), actions=list(e.actions),
            rewards=e.rewards.tolist(), terminations=_flags(e, e.terminated),
            truncations=_flags(e, e.truncated),
        )
        for k, e in enumerate(demonstrations.episodes())
    ]  # fmt: skip
    success = demonstrations.success

    def fill(target: Path) -> None:
        before = os.environ.get(ROOT)
        os.environ[ROOT] = str(target)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of missing authors, permalinks ...
                made = minari.create_dataset_from_buffers(
                    name, buffers, env=None, action_space=_box(card.action_space, np.float32),
                    observation_space=_box(card.observation_space, np.float32),
                    algorithm_name=card.demonstrator.name, description=_description(demonstrations),
                )  # fmt: skip
            made.storage.update_episode_metadata(
                [{} if np.isnan(good) else {"success": float(good)} for good in success]
            )
            _name_environment(Path(made.storage.data_path), card.game, card.options)
        except OSError:
            raise
        except Exception as problem:
            raise OSError(f"Minari refuses: {problem}") from problem
        finally:
            os.environ.pop(ROOT) if before is None else os.environ.update({ROOT: before})

    write_folder(folder, fill)
    return name


def _flags(episode: Episode, end: bool) -> list[bool]:
    return [False] * (len(episode.rewards) - 1) + [end]


def _box(space: Space, dtype: Any) -> gymnasium.spaces.Box:
    low, high = (bound.astype(dtype) for bound in space.bounds())
    return gymnasium.spaces.Box(low, high, space.shape, dtype)


def _description(demonstrations: Demonstrations) -> str:
    card = demonstrations.card
    return (
        f"{len(demonstrations)} episodes of {card.player!r} in {card.game} with {card.options}, by "
        f"{card.demonstrator.name}; recorded by robo_adv, sha256 {demonstrations.digest}"
    )


def _name_environment(data: Path, game: str, options: Mapping[str, Any]) -> None:
    """Let Minari's users make the environment, where it is registered under its own name."""
    if game not in gymnasium.registry:
        return
    spec = copy.deepcopy(gymnasium.spec(game))
    spec.kwargs.update(options)
    path = data / METADATA
    metadata = json.loads(path.read_text(encoding="utf-8"))
    with suppress(
        TypeError, ValueError
    ):  # made by a function, or with keywords that JSON cannot hold
        metadata["env_spec"] = spec.to_json()
        path.write_text(json.dumps(metadata), encoding="utf-8")
