"""Worlds by name: one of our games, or any Gymnasium environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robo_adv.agents.evaluation import is_gymnasium, world_of
from robo_adv.agents.foreign import user_module
from robo_adv.agents.named import bundle_folder
from robo_adv.agents.scripted import SCRIPTED
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
            user_module(module)
        except Exception as error:  # the module is the user's own code
            raise RoboAdvError(f"--import {module}: {type(error).__name__}: {error}") from error
    name = env.removeprefix("robo_adv/")
    if name and name not in GAMES:
        if taken := {"num_envs", "env"} & set(options):
            raise RoboAdvError(f"{', '.join(taken)} is not yours to set")
        return GymnasiumWorld(env, num_envs, **options)
    known = bool(controller) and not Path(controller).is_file() and (
        controller in SCRIPTED or bundle_folder(controller) is not None
    )  # fmt: skip
    if not name and not known and (":" in controller or Path(controller).is_file()):
        raise RoboAdvError(
            f"{controller} does not say where it plays; name a game or an environment by --env"
        )
    found = world_of([controller] if known else [], name or None, options)
    if name not in ("", found.game):  # a bundle of another game: its check will say so
        found = type(found)(name, dict(options))
    if is_gymnasium(found.game):
        return GymnasiumWorld(found.game, num_envs, **found.options)
    return make_game(found.game, num_envs, threads=threads, **found.options)
