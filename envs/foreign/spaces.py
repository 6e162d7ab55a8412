"""Spaces of foreign environments: what is taken, what is refused, and how observations get flat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from robo_adv.envs.layout import Layout, Slice
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]
OWN_UNIT = "own unit"  # of an observation whose unit nobody told us


def check_actions(space: gymnasium.Space[Any], name: str) -> spaces.Box:
    """The action space, if it is a Box of real numbers.

    Raises:
        RoboAdvError: another kind of actions.
    """
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        return space
    advice = (
        "choose the environment's continuous variant if it has one (`continuous=True`), or wrap it"
    )
    if isinstance(space, spaces.Discrete):
        advice = (
            "choose the environment's continuous variant if it has one (`--set continuous=true`), or "
            "let the largest of n scores choose the action (`--set scores=true`)"
        )
    raise RoboAdvError(f"{name} has actions {space}; needed are continuous ones (a Box): {advice}")


@dataclass(frozen=True)
class Flat:
    """Observations of `space` as rows of numbers (d,), as `gymnasium.spaces.flatten` gives them.

    Attributes:
        box: the flat space; it keeps the environment's own dtype. layout: one slice per part.
    """

    space: gymnasium.Space[Any]
    box: spaces.Box
    layout: Layout

    @staticmethod
    def of(space: gymnasium.Space[Any], name: str) -> Flat:
        """How observations of `space` become flat.

        Raises:
            RoboAdvError: pictures, or parts that no row of numbers can hold.
        """
        parts = list(_leaves(space, ""))
        pictures = [part or "observation" for part, leaf in parts if _is_picture(leaf)]
        if pictures:
            raise RoboAdvError(
                f"{name} observes pictures ({', '.join(pictures)}); an audit needs vectors: choose "
                "its state variant, or wrap it with gymnasium.wrappers.FilterObservation"
            )
        flat: Any = space
        with suppress(NotImplementedError):
            flat = spaces.flatten_space(space)
        if not isinstance(flat, spaces.Box):
            raise RoboAdvError(f"{name} has observations {space}, which do not flatten into a Box")
        slices = [
            Slice(part or "observation", spaces.flatdim(leaf), _unit(leaf)) for part, leaf in parts
        ]
        return Flat(space, flat, Layout.of(slices))

    @property
    def plain(self) -> bool:
        """Whether observations are rows of numbers already."""
        return isinstance(self.space, spaces.Box) and len(self.space.shape) == 1

    def __call__(self, observation: Any) -> Array:
        """An observation as (d,)."""
        if isinstance(self.space, spaces.Box):
            return np.asarray(observation).reshape(-1)
        return np.asarray(spaces.flatten(self.space, observation))


def _leaves(space: gymnasium.Space[Any], name: str) -> Iterator[tuple[str, gymnasium.Space[Any]]]:
    """The parts of a space in the order in which they are flattened, named `outer.inner`."""
    if isinstance(space, spaces.Dict):
        inner = [(str(key), part) for key, part in space.spaces.items()]
    elif isinstance(space, spaces.Tuple):
        inner = [(str(index), part) for index, part in enumerate(space.spaces)]
    else:
        yield name, space
        return
    for key, part in inner:
        yield from _leaves(part, f"{name}.{key}" if name else key)


def _is_picture(space: gymnasium.Space[Any]) -> bool:
    if not isinstance(space, spaces.Box):
        return False
    return len(space.shape) > 2 or (len(space.shape) == 2 and space.dtype == np.uint8)


def _unit(space: gymnasium.Space[Any]) -> str:
    return OWN_UNIT if isinstance(space, spaces.Box) else "one-hot"
