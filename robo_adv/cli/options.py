"""What several verbs take: game options (`--set arms=4 body=omni`), and the game's name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from robo_adv.envs.game import GAMES
from robo_adv.errors import RoboAdvError


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """`NAME=VALUE` pairs; values are JSON if they can be read so, else text.

    Raises:
        RoboAdvError: a pair without `=`.
    """
    out: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise RoboAdvError(f"option {pair!r} is not NAME=VALUE, for example arms=4")
        try:
            out[name] = json.loads(value)
        except json.JSONDecodeError:
            out[name] = value
    return out


def game_first(arguments: Sequence[str]) -> list[str]:
    """`--game NAME` as the positional NAME, for verbs whose game is positional: both are right."""
    left = list(arguments)
    for i, argument in enumerate(left):
        if argument == "--game" and i + 1 < len(left):
            return [left[i + 1], *left[:i], *left[i + 2 :]]
        if argument.startswith("--game="):
            return [argument.removeprefix("--game="), *left[:i], *left[i + 1 :]]
    return left


def find_game(arguments: Sequence[str], default: str) -> str:
    """The registered game that is named among a verb's positional arguments, else `default`."""
    previous = ""
    for argument in arguments:
        value_of_flag = previous.startswith("--") and "=" not in previous
        if argument.removeprefix("robo_adv/") in GAMES and not value_of_flag:
            return argument
        previous = argument
    return default


def need_two_players(game: str, what: str, instead: str) -> None:
    """Raises RoboAdvError, which says what to do instead, for a game that has not two players."""
    players = GAMES[game.removeprefix("robo_adv/")].players
    if len(players) != 2:
        count = "one player" if len(players) == 1 else f"{len(players)} players"
        raise RoboAdvError(
            f"{what} needs two players, {game} has {count} ({', '.join(players)}); {instead}"
        )
