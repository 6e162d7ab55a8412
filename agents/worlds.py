"""Worlds by name: one of our games, or any Gymnasium environment."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from robo_adv.agents.evaluation import world_of
from robo_adv.envs.episode import World
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import GAMES, make_game
from robo_adv.errors import RoboAdvError


def make_world(
    env: str,
    num_envs: int,
    *,
    options: Mapping[str, Any],
    controller: str = "",
    imports: Iterable[str] = (),
    threads: int = 0,
) -> World:
    """The world that a name means; without one, that of the controller's card.

    Args:
        options: of the game, in place of the card's, or keywords of the environment.
        imports: modules that register environments.

    Raises:
        RoboAdvError: it cannot be made.
    """
    for module in imports:
        try:
            importlib.import_module(module)
        except Exception as error:  # the module is the user's own code
            raise RoboAdvError(f"--import {module}: {type(error).__name__}: {error}") from error
    name = env.removeprefix("robo_adv/")
    if name and name not in GAMES:
        return GymnasiumWorld(env, num_envs, **options)
    found = world_of([controller] if controller else [], name or None, options)
    if name not in ("", found.game):  # a bundle of another game: its check will say so
        found = type(found)(name, dict(options))
    return make_game(found.game, num_envs, threads=threads, **found.options)
