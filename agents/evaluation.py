"""Evaluation of a policy against opponents and masks, on paired scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robo_adv.agents.named import bundle_folder, find_card, named_policy, zoo_names
from robo_adv.bundle import read_card
from robo_adv.envs.game import Game, make_game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.masks import MASKS, Masked
from robo_adv.policy import Policy, Pool
from robo_adv.rollout import REPORTED, Episodes, even_width, play, scenarios

MASKED_SLICES = ("opponent_*",)
NORMAL = "normal"  # name of the pool of the zoo's self-play opponents


@dataclass(frozen=True)
class Row:
    """One line of an evaluation: the evaluated player's episodes against one opponent."""

    opponent: str
    mask: str
    episodes: Episodes
    player: str

    def to_json(self) -> dict[str, Any]:
        return {
            "opponent": self.opponent,
            "mask": self.mask,
            **self.episodes.summary(self.player),
        }


@dataclass(frozen=True)
class World:
    """Which game, with which options, a set of policies plays, found from their cards."""

    game: str
    options: Mapping[str, Any]

    def make(self, num_envs: int, threads: int = 0) -> Game:
        return make_game(self.game, num_envs, threads=threads, **self.options)


def world_of(
    names: Sequence[str], game: str | None = None, options: Mapping[str, Any] | None = None
) -> World:
    """The world of the first name that is a bundle, or the given game and options.

    Raises:
        RoboAdvError: a bundle is refused, or neither a bundle nor a game was given.
    """
    for name in names:
        if bundle_folder(name) is not None:
            card = find_card(name)
            return World(card.game, {**card.options, **(options or {})})
    return World(game or "KickAndDefend-v0", dict(options or {}))


def normal_opponents(game: Game, player: str) -> list[str]:
    """Zoo names of the self-play policies that can play `player` in this game."""
    layout = [tuple(part) for part in game.layouts[player].to_json()]
    found = []
    for name in zoo_names():
        card = read_card(bundle_folder(f"zoo:{name}"))  # type: ignore[arg-type]
        fits = card.game == game.id and card.player == player
        same = [tuple(part) for part in card.layout] == layout
        if fits and same and card.provenance.get("recipe") == "selfplay":
            found.append(f"zoo:{name}")
    return found


def opponent_policy(name: str, game: Game, player: str) -> Policy:
    """A named policy, or the Pool of the zoo's normal ones for the name `normal`.

    Raises:
        RoboAdvError: unknown name, or `normal` where the zoo has none for this game.
    """
    if name != NORMAL:
        return named_policy(name, game, player)
    members = normal_opponents(game, player)
    if not members:
        raise RoboAdvError(
            f"the zoo has no normal {player!r} for {game.id} with {game.options}; name an opponent"
        )
    return Pool([named_policy(member, game, player) for member in members])


def masked(policy: Policy, game: Game, player: str, kind: str, sigma: float = 1.0) -> Policy:
    """`policy` with its view of the opponent masked; kind `none` gives it back unchanged.

    Raises:
        UnknownNameError: no such mask.
    """
    if kind == "none":
        return policy
    if kind not in MASKS:
        raise unknown("mask", kind, ("none", *MASKS))
    return Masked(policy, game.layouts[player].index(MASKED_SLICES), kind, sigma)


def evaluate(
    world: World,
    player: str,
    policy: Policy,
    opponents: Mapping[str, Policy],
    *,
    masks: Sequence[str] = ("none",),
    episodes: int = 500,
    seed: int = REPORTED,
    sigma: float = 1.0,
    deterministic: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Row]:
    """Every opponent under every mask, all on the same scenarios seed, seed + 1, ...

    Args:
        opponents: label -> policy of the one other player. progress: called with each row's label.
    """
    seeds = scenarios(seed, episodes)
    game = world.make(even_width(episodes))
    other = other_player(game, player)
    rows = []
    for label, opponent in opponents.items():
        for mask in masks:
            if progress:
                progress(f"{label}, mask {mask}")
            seen = masked(policy, game, player, mask, sigma)
            result = play(game, {player: seen, other: opponent}, seeds, deterministic=deterministic)
            rows.append(Row(label, mask, result, player))
    return rows


def other_player(game: Game, player: str) -> str:
    """The one other player.

    Raises:
        RoboAdvError: no such player, or a game with another number of players.
    """
    if player not in game.players:
        raise unknown(f"player of {game.id}", player, game.players)
    if len(game.players) != 2:
        raise RoboAdvError(f"{game.id} has players {game.players}; this needs exactly two")
    return game.players[1 - game.players.index(player)]
