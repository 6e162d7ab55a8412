"""Demonstrations of other projects, fitted to a world: checked, clipped, described."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from robo_adv.agents.recording import place
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.array_files import Found, read_arrays
from robo_adv.imitation.demonstration_card import MOST_TEXT, Card, Demonstrator, Space
from robo_adv.imitation.demonstrations import Demonstrations, Episode
from robo_adv.imitation.minari import minari_folder, read_minari
from robo_adv.runs import versions

Scale = Literal["environment", "unit"]


def imported(
    source: str,
    world: World,
    player: str,
    *,
    scale: Scale = "environment",
    clip: bool = False,
    expert: str = "",
) -> Demonstrations:
    """The demonstrations of a .npz file or a Minari data set, as those of `player` in `world`.

    Args:
        source: a path, or `minari:ID` of a local data set. scale: of its actions; `unit` ones in
            [-1, 1] are scaled to the world's bounds. clip: put actions beyond the bounds onto them.
        expert: who demonstrated.

    Raises:
        RoboAdvError: it is refused, or does not fit the world.
    """
    if len(expert) > MOST_TEXT:
        raise RoboAdvError(f"--expert may have {MOST_TEXT} characters, got {len(expert)}")
    fields = place(world, player)
    folder, digest = minari_folder(source), ""
    if folder is not None:
        found = read_minari(folder, [name for name, _, _ in fields["layout"]], world.id)
    else:
        found = read_arrays(Path(source), getattr(world, "time_limit", None))
        digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    _check_sizes(source, found, world, player)
    if scale == "unit" and not clip:
        _check_unit(source, found)
    found = _scaled(found, fields["action_space"], scale, clip)
    found = replace(found, notes=(*found.notes, *_doubts(found, world, player)))
    card = Card(
        **fields,
        demonstrator=Demonstrator(name=expert or Path(source).name, kind="file", sha256=digest),
        notes=found.notes,
        provenance={"imported_from": Path(source).name, "versions": versions()},
    )
    try:
        return Demonstrations.of(found.episodes, card)
    except RoboAdvError as problem:
        hint = ""
        if "another scale" in str(problem):
            hint = "; `--clip` clips them, `--scale unit` scales [-1, 1] to the bounds"
        raise RoboAdvError(f"{source}: {problem}{hint}") from problem


def _check_sizes(source: str, found: Found, world: World, player: str) -> None:
    first = found.episodes[0]
    layout = world.layouts[player]
    pairs = (
        ("observations", first.observations.shape[1], layout.size, f" ({' '.join(layout.names)})"),
        ("actions", first.actions.shape[1], world.action_size(player), ""),
    )
    for what, got, wanted, names in pairs:
        if got != wanted:
            raise RoboAdvError(
                f"{source} has {what} of {got} numbers, those of {player!r} in {world.id} have "
                f"{wanted}{names}: it is of another environment, or made with other options (--set)"
            )


def _check_unit(source: str, found: Found) -> None:
    low, high = (float(end([end(e.actions) for e in found.episodes])) for end in (np.min, np.max))
    if low < -1.0 or high > 1.0:
        raise RoboAdvError(
            f"{source}: --scale unit is for actions in [-1, 1], those of the file reach from {low:.4g} "
            f"to {high:.4g}; leave it out, or let --clip cut them"
        )


def _doubts(found: Found, world: World, player: str) -> list[str]:
    """What looks as if the file were of another version of the world."""
    notes = []
    space = world.observation_space(player)
    low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    seen = np.concatenate([e.observations for e in found.episodes]).astype(np.float32)
    outside = int(((seen < low) | (seen > high)).any(axis=1).sum())
    if outside:
        notes.append(
            f"{outside} of {len(seen)} observations lie outside the observation space of {world.id}: "
            "normalised, or of another version of it?"
        )
    limit = getattr(world, "time_limit", None)
    longer = sum(len(e.actions) > limit for e in found.episodes) if limit else 0
    if longer:
        notes.append(
            f"{longer} of {len(found.episodes)} episodes are longer than the time limit of {limit} "
            "steps: of another version, or do the file's flags not tell where episodes end?"
        )
    return notes


def _scaled(found: Found, space: Space, scale: Scale, clip: bool) -> Found:
    low, high = space.bounds()
    if scale == "unit" and not np.isfinite([low, high]).all():
        raise RoboAdvError(f"--scale unit needs finite bounds of actions, got {space}")
    notes, episodes, clipped, steps = list(found.notes), list[Episode](), 0, 0
    for episode in found.episodes:
        actions = episode.actions.astype(np.float64)
        if scale == "unit":
            actions = low + 0.5 * (actions + 1.0) * (high - low)
        if clip:
            inside = np.clip(actions, low, high)
            clipped += int((inside != actions).any(axis=1).sum())
            actions = inside
        steps += len(actions)
        episodes.append(replace(episode, actions=actions))
    if scale == "unit":
        notes.append("Actions in [-1, 1] were scaled to the environment's bounds.")
    if clip:
        notes.append(f"Actions of {clipped} of {steps} steps were clipped to their bounds.")
    return Found(tuple(episodes), tuple(notes))
