"""Entry points of `gymnasium.make` and `gymnasium.make_vec`: seats whose opponents have names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robo_adv.agents.named import fitted, named_policy
from robo_adv.envs.faces import SingleEnv
from robo_adv.envs.game import GAMES, make_game
from robo_adv.envs.seat import Seat
from robo_adv.envs.views import ObservationKind
from robo_adv.policy import Policy


def make_seat(
    game: str,
    num_envs: int = 1,
    player: str | None = None,
    opponent: Policy | str | Mapping[str, Policy | str] = "zero",
    render_mode: str | None = None,
    threads: int = 0,
    reward: str | Mapping[str, float] = "dense",
    observation: ObservationKind = "auto",
    cameras: Sequence[str] = (),
    camera_size: int = 64,
    **options: Any,
) -> Seat:
    """A Seat of a registered game; the entry point of `gymnasium.make_vec`.

    Args:
        player: who sits; the game's first player by default.
        opponent: a Policy, a policy's name (scripted, `zoo:...` or a bundle's folder), or one per
            other player.
        reward: preset or weights of the seated player's reward.
        observation: `auto` (a Dict for goal-conditioned games and with cameras), `flat` or `dict`.
        cameras: names of cameras whose pictures (camera_size, camera_size, 3) join the Dict.
        options: of the game.
    """
    seat = player or GAMES[game.removeprefix("robo_adv/")].players[0]
    world = make_game(game, num_envs, threads=threads, reward={seat: reward}, **options)
    others = [p for p in world.players if p != seat]
    chosen = opponent if isinstance(opponent, Mapping) else dict.fromkeys(others, opponent)
    bound = {
        p: named_policy(policy, world, p) if isinstance(policy, str) else fitted(policy, world, p)
        for p, policy in chosen.items()
    }
    return Seat(
        world, seat, bound, render_mode=render_mode,
        observation=observation, cameras=cameras, camera_size=camera_size,
    )  # fmt: skip


def make_single(game: str, **kwargs: Any) -> SingleEnv:
    """A Seat of one simulation, unbatched; arguments as `make_seat`."""
    return SingleEnv(make_seat(game, 1, threads=1, **kwargs))
