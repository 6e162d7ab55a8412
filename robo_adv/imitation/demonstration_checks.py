"""What demonstrations must be before anything uses them, and where they belong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstration_card import Card, Space
from robo_adv.imitation.demonstrations_file import PICTURES, dtypes, picture_shape
from robo_adv.runs import plain

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]


def check_shapes(arrays: Mapping[str, Array], card: Card) -> None:
    """Raises RoboAdvError unless the arrays have the dtypes and shapes of the card's spaces."""
    lengths = arrays["lengths"]
    if len(lengths) == 0 or len(arrays["actions"]) == 0:
        raise RoboAdvError("there are no demonstrations: not one episode, or not one step")
    names = dtypes(card)
    if set(arrays) != set(names):
        raise RoboAdvError(
            f"the card names the cameras {', '.join(card.cameras) or '(none)'}, and there are "
            f"{'no ' if PICTURES in names else ''}pictures"
        )
    for name, dtype in names.items():
        if arrays[name].dtype.str != dtype:
            raise RoboAdvError(f"{name} is {arrays[name].dtype}, expected {np.dtype(dtype)}")
    if lengths.ndim != 1 or (lengths < 1).any():
        raise RoboAdvError("an episode has no steps")
    n, steps, size = len(lengths), int(lengths.sum()), sum(size for _, size, _ in card.layout)
    if size != card.observation_space.size:
        raise RoboAdvError(
            f"the layout has {size} numbers, observations have {card.observation_space.size}"
        )
    wanted = {
        "observations": (steps + n, size), "actions": (steps, card.action_space.size),
        **dict.fromkeys(("rewards", "terminations", "truncations"), (steps,)),
        **dict.fromkeys(("seeds", "success"), (n,)),
        **({PICTURES: picture_shape(steps + n, card)} if card.cameras else {}),
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            raise RoboAdvError(
                f"{name} has shape {arrays[name].shape}, expected {shape} for {n} episodes of {steps} "
                f"steps together in {card.game}"
            )


def check_values(arrays: Mapping[str, Array], card: Card) -> None:
    """Raises RoboAdvError for numbers that are not finite, actions beyond their bounds, a success that
    is none, and episodes that end elsewhere than their flags say."""
    for name in ("observations", "actions", "rewards"):
        bad = ~np.isfinite(arrays[name])
        if bad.any():
            row = int(np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0])
            raise RoboAdvError(f"{name} holds NaN or infinity, first in row {row}")
    success = arrays["success"]
    if not np.isin(success[~np.isnan(success)], (0.0, 1.0)).all():
        raise RoboAdvError("success is 0 or 1 per episode, NaN where it is unknown")
    over = arrays["terminations"] | arrays["truncations"]
    if not over[np.cumsum(arrays["lengths"]) - 1].all() or over.sum() != len(success):
        raise RoboAdvError(
            "episodes do not end where terminations and truncations say: one of them is true in the "
            "last step of each episode, and nowhere else"
        )
    low, high = (bound.astype(np.float32) for bound in card.action_space.bounds())
    actions = arrays["actions"]
    if (actions < low).any() or (actions > high).any():
        raise RoboAdvError(
            f"actions reach from {actions.min():.4g} to {actions.max():.4g}, beyond "
            f"{card.action_space}: they are on another scale, or were not clipped as the environment "
            "does"
        )


def fits(card: Card, world: World, player: str) -> tuple[str, ...]:
    """Whether a learner of `player` in `world` can use such demonstrations; sentences on what differs
    without being in the way.

    Raises:
        RoboAdvError: another environment, player, observation or action space.
    """
    name = f"demonstrations of {card.player!r} in {card.game}"
    if (card.game, card.player) != (world.id, player):
        raise RoboAdvError(f"these are {name}, asked for {player!r} in {world.id}")
    options = plain(getattr(world, "options", {}))
    layout = [tuple(part) for part in world.layouts[player].to_json()]
    if list(card.layout) != layout:
        raise RoboAdvError(
            f"these are {name} with {card.options} and other observations: {_told(card.layout)}; "
            f"with {options} they are {_told(layout)}"
        )
    own, given = card.action_space, Space.of(world.action_space(player))
    if own.shape != given.shape or not np.allclose([*own.bounds()], [*given.bounds()]):
        raise RoboAdvError(
            f"these are {name} with other actions: recorded {own}; this world has {given}"
        )
    if card.options != options:
        return (f"The demonstrations were recorded with {card.options}, this world has {options}.",)
    return ()


def _told(layout: Iterable[Iterable[Any]]) -> str:
    return " ".join(f"{name}({size})" for name, size, _ in layout)
