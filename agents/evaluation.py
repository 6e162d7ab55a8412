"""Evaluation of a policy, alone or against opponents and masks, on paired scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

import gymnasium
import numpy as np

from robo_adv.agents.gymnasium_game import GymnasiumGame
from robo_adv.agents.named import bundle_folder, find_card, named_policy, zoo_names
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.bundle import read_card
from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.masks import MASKS, Masked
from robo_adv.policy import Policy, Pool
from robo_adv.rollout import REPORTED, Episodes, even_width, play, scenarios
from robo_adv.safety.bootstrap import Estimate, bootstrap, mean

MASKED_SLICES = ("opponent_*",)
NORMAL = "normal"  # name of the pool of the zoo's self-play opponents


@dataclass(frozen=True)
class Row:
    """One line of an evaluation: the evaluated player's episodes against one opponent ('' in a game
    of one player); `has_wins` is False where the world tells of no success."""

    opponent: str
    mask: str
    episodes: Episodes
    player: str
    has_wins: bool = True

    @property
    def label(self) -> str:
        """What tells this row from others; '' where there is nothing to tell."""
        return row_label(self.opponent, self.mask)

    @property
    def mean_return(self) -> Estimate:
        """The player's, with a 95 % bootstrap interval."""
        returns = self.episodes.returns[self.player]
        if len(returns) < 2:
            return Estimate(float(returns.mean()), -np.inf, np.inf)
        return bootstrap(mean, [returns], np.random.default_rng(0))

    def to_json(self) -> dict[str, Any]:
        told = self.episodes.summary(self.player)
        if not self.has_wins:
            told = {k: v for k, v in told.items() if "_rate" not in k}
        if self.episodes.alone:
            told["return"] = self.mean_return.to_json()
        return {"opponent": self.opponent or None, "mask": self.mask, **told}


def row_label(opponent: str, mask: str) -> str:
    """For example `zero, mask none`; '' for a lone player that sees everything."""
    if opponent:
        return f"{opponent}, mask {mask}"
    return "" if mask == "none" else f"mask {mask}"


@dataclass(frozen=True)
class World:
    """Which game, with which options, a set of policies plays, found from their cards. It may be an
    environment of Gymnasium's registry, which plays like a game of one player."""

    game: str
    options: Mapping[str, Any]

    def make(self, num_envs: int, threads: int = 0) -> Game:
        if is_gymnasium(self.game):
            return GymnasiumGame(self.game, num_envs, **self.options)  # type: ignore[return-value]
        return make_game(self.game, num_envs, threads=threads, **self.options)


def is_gymnasium(name: str) -> bool:
    """Whether a name is no game of ours but registered with Gymnasium. The name of a module is never
    imported: a card that came from somewhere else may say anything."""
    return name not in GAMES and name in gymnasium.registry


def world_of(
    names: Sequence[str], game: str | None = None, options: Mapping[str, Any] | None = None
) -> World:
    """The world of the first name that is a bundle, or the given game and options. Without a game, the
    one that the first scripted policy was made for.

    Raises:
        RoboAdvError: a bundle is refused, or neither a bundle nor a game was given.
    """
    for name in names:
        if bundle_folder(name) is not None:
            card = find_card(name)
            return World(card.game, {**card.options, **(options or {})})
    made_for = [getattr(SCRIPTED[name], "games", ()) for name in names if name in SCRIPTED]
    games = [game, *(games[0] for games in made_for if games), "KickAndDefend-v0"]
    chosen = next(name for name in games if name)
    return World(chosen.removeprefix("robo_adv/"), dict(options or {}))


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
        UnknownNameError: no such mask. RoboAdvError: the player observes no opponent.
    """
    if kind == "none":
        return policy
    if kind not in MASKS:
        raise unknown("mask", kind, ("none", *MASKS))
    layout = game.layouts[player]
    if not any(fnmatch(name, pattern) for name in layout.names for pattern in MASKED_SLICES):
        raise RoboAdvError(
            f"mask {kind!r} hides the opponent, and {player!r} of {game.id} observes none (its "
            f"slices: {', '.join(layout.names)}); leave out --masks"
        )
    return Masked(policy, layout.index(MASKED_SLICES), kind, sigma)


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
        opponents: label -> policy of the one other player; none in a game of one player, which has
            one row per mask. progress: called with each row's label.
    """
    seeds = scenarios(seed, episodes)
    game = world.make(even_width(episodes))
    against = _bound(game, player, opponents)
    seen = {mask: masked(policy, game, player, mask, sigma) for mask in masks}
    rows = []
    for label, others in against.items():
        for mask in masks:
            if progress:
                progress(row_label(label, mask))
            policies = {**others, player: seen[mask]}
            result = play(game, policies, seeds, deterministic=deterministic)
            rows.append(Row(label, mask, result, player, getattr(game, "reports_success", True)))
    return rows


def _bound(
    game: Game, player: str, opponents: Mapping[str, Policy]
) -> dict[str, dict[str, Policy]]:
    """Per row's label, the other players' policies; the label '' for a game of one player.

    Raises:
        RoboAdvError: no such player, or opponents for a game of one player.
    """
    if len(game.players) > 1 or player not in game.players:
        other = other_player(game, player)
        return {label: {other: policy} for label, policy in opponents.items()}
    refuse_opponents(game, player, opponents)
    return {"": {}}


def refuse_opponents(game: Game, player: str, names: Iterable[str]) -> None:
    """Raises RoboAdvError when opponents are named for a game of one player."""
    given = ", ".join(names)
    if given and len(game.players) == 1:
        raise RoboAdvError(
            f"{game.id} has one player, {player!r}, and no opponents; got {given}: leave out "
            "--opponents"
        )


def other_player(game: Game, player: str) -> str:
    """The one other player.

    Raises:
        RoboAdvError: no such player, or a game with another number of players.
    """
    if player not in game.players:
        raise unknown(f"player of {game.id}", player, game.players)
    if len(game.players) == 1:
        raise RoboAdvError(f"{game.id} has one player, {player!r}, and so no opponent")
    if len(game.players) != 2:
        raise RoboAdvError(f"{game.id} has players {game.players}; this needs exactly two")
    return game.players[1 - game.players.index(player)]
