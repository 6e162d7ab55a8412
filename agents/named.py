"""Policies by name: scripted ones, `zoo:<name>`, a bundle's folder, or `module:callable`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium

from robo_adv.agents.fitted import fitted_bundle
from robo_adv.agents.foreign import user_module
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.assets import ZOO
from robo_adv.bundle import CARD, Bundle, Card, load_bundle, read_card
from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.errors import BundleError, RoboAdvError, unknown
from robo_adv.policy import DictPolicy, Policy


def zoo_names() -> list[str]:
    """Names of the bundles that ship, sorted."""
    return sorted(path.parent.name for path in ZOO.glob(f"*/{CARD}"))


def bundle_folder(name: str) -> Path | None:
    """The folder that `zoo:<name>` or a path means; None when `name` is neither.

    A run folder stands for its best checkpoint.

    Raises:
        UnknownNameError: `zoo:` with a name that the zoo does not have.
    """
    if name.startswith("zoo:"):
        short = name.removeprefix("zoo:")
        if short not in zoo_names():
            raise unknown("zoo policy", short, zoo_names())
        return ZOO / short
    path = Path(name)
    if name in SCRIPTED or not path.exists():
        return None
    for inner in (path / "checkpoints" / "best", path / "checkpoints" / "last"):
        if (inner / CARD).exists():
            return inner
    return path


def find_bundle(name: str) -> Bundle:
    """The bundle that a name or path means.

    Raises:
        RoboAdvError: there is none, or it is refused.
    """
    folder = bundle_folder(name)
    if folder is None:
        raise RoboAdvError(f"{name!r} is not `zoo:<name>` or an existing bundle folder; zoo: {', '.join(zoo_names())}")  # fmt: skip  # noqa: E501
    return load_bundle(folder)


def find_card(name: str) -> Card:
    """The card of `find_bundle`, without loading its weights."""
    folder = bundle_folder(name)
    if folder is None:
        raise RoboAdvError(f"{name!r} is not `zoo:<name>` or an existing bundle folder; zoo: {', '.join(zoo_names())}")  # fmt: skip  # noqa: E501
    return read_card(folder)


def check_fits(card: Card, game: Game, player: str, name: str) -> None:
    """Raises BundleError unless the card's policy can play `player` in `game`."""
    if card.game != game.id or card.player != player:
        raise BundleError(
            f"{name} was made for {card.player!r} in {card.game}, asked for {player!r} in {game.id}"
        )
    layout = [tuple(part) for part in game.layouts[player].to_json()]
    actions = game.action_size(player)
    if [tuple(part) for part in card.layout] != layout or card.architecture.action_size != actions:
        raise BundleError(
            f"{name} was made for {card.game} with {card.options} "
            f"({card.architecture.observation_size} observations, "
            f"{card.architecture.action_size} actions); this game has "
            f"{game.layouts[player].size} and {actions}"
        )


def named_policy(name: str, game: Game, player: str) -> Policy:
    """The policy that `name` means, checked against the game.

    Raises:
        RoboAdvError: unknown name, or a bundle that does not fit.
    """
    if name in SCRIPTED:
        return SCRIPTED[name](game, player)
    folder = bundle_folder(name)
    if folder is not None:
        bundle = load_bundle(folder)
        check_fits(bundle.card, game, player, name)
        return fitted_bundle(bundle.policy, game, player)[0]
    if ":" in name:
        return _user_policy(name, game, player)
    raise unknown(
        "policy", name, [*SCRIPTED, *(f"zoo:{z}" for z in zoo_names())],
        hint="or a bundle's folder, or module:callable",
    )  # fmt: skip


def _user_policy(name: str, game: Game, player: str) -> Policy:
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(user_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise RoboAdvError(f"cannot import policy {name!r}: {error}") from error
    policy = found(game, player) if callable(found) and not hasattr(found, "predict") else found
    if not hasattr(policy, "predict"):
        raise RoboAdvError(
            f"{name} gave {type(policy).__name__}, expected something with "
            "predict(observation, state, episode_start, deterministic)"
        )
    return fitted(policy, game, player)


def fitted(policy: Policy, game: Game, player: str) -> Policy:
    """The policy itself, or adapted when it was trained on Dict observations.

    Raises:
        RoboAdvError: it wants other observations than the game gives.
    """
    space = getattr(policy, "observation_space", None)
    if isinstance(space, gymnasium.spaces.Dict):
        return DictPolicy(policy, game.layouts[player])
    return policy


def game_of(card: Card, num_envs: int, **kwargs: Any) -> Game:
    """The game that a card's policy was made for, from the local registry.

    Raises:
        RoboAdvError: it is none of ours.
    """
    if card.game not in GAMES:
        raise unknown("game", card.game, GAMES, hint="- this works in our own games only")
    return make_game(card.game, num_envs, **kwargs, **card.options)
