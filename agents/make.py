"""Entry points of `gymnasium.make` and `gymnasium.make_vec`: seats whose opponents have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robo_adv.agents.named import named_policy
from robo_adv.envs.faces import SingleEnv
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.policy import Policy


def make_seat(
    game: str,
    num_envs: int = 1,
    player: str | None = None,
    opponent: Policy | str | Mapping[str, Policy | str] = "zero",
    render_mode: str | None = None,
    threads: int = 0,
    reward: str | Mapping[str, float] = "dense",
    **options: Any,
) -> Seat:
    """A Seat of a registered game; the entry point of `gymnasium.make_vec`.

    Args:
        player: who sits; the game's first player by default.
        opponent: a Policy, a policy's name (scripted, `zoo:...` or a bundle's folder), or one per
            other player.
        reward: preset or weights of the seated player's reward.
    """
    built = make_game(game, 1, threads=1, **options) if player is None else None
    seat = player or (built.players[0] if built else "")
    world = make_game(game, num_envs, threads=threads, reward={seat: reward}, **options)
    others = [p for p in world.players if p != seat]
    chosen = opponent if isinstance(opponent, Mapping) else dict.fromkeys(others, opponent)
    bound = {
        p: named_policy(policy, world, p) if isinstance(policy, str) else policy
        for p, policy in chosen.items()
    }
    return Seat(world, seat, bound, render_mode=render_mode)


def make_single(game: str, **kwargs: Any) -> SingleEnv:
    """A Seat of one simulation, unbatched; arguments as `make_seat`."""
    return SingleEnv(make_seat(game, 1, threads=1, **kwargs))
