"""Protagonist: PPO on one player of a game against fixed opponents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robo_adv.agents.named import named_policy
from robo_adv.agents.player import Player
from robo_adv.envs.game import make_game
from robo_adv.errors import unknown
from robo_adv.policy import Policy, Pool
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop


@dataclass(frozen=True)
class ProtagonistConfig:
    """Attributes:
    opponents: names of policies; several make a pool that is drawn from per episode.
    steps: environment steps. reward: preset of the game's reward weights.
    """

    game: str = "KickAndDefend-v0"
    options: dict[str, Any] = field(default_factory=dict)
    player: str = "kicker"
    opponents: tuple[str, ...] = ("track-ball",)
    reward: str = "dense"
    steps: int = 2_500_000
    seed: int = 0
    ppo: PPOConfig = PPOConfig()
    threads: Threads = Threads()
    checkpoint_every: int = 200_000


def bind(
    game: str, options: Mapping[str, Any], player: str, names: tuple[str, ...]
) -> dict[str, Policy]:
    """The named policies for every other player; several names make a Pool.

    Raises:
        RoboAdvError: unknown game, player or policy, or a bundle that does not fit.
    """
    world = make_game(game, 1, threads=1, **options)
    if player not in world.players:
        raise unknown(f"player of {game}", player, world.players)
    out: dict[str, Policy] = {}
    for other in world.players:
        if other == player:
            continue
        members = [named_policy(name, world, other) for name in names]
        out[other] = members[0] if len(members) == 1 else Pool(members)
    return out


def train(
    config: ProtagonistConfig, run: Run, *, resume: bool = False, quiet: bool = False
) -> Path:
    """Train; returns the folder of the best checkpoint's bundle."""
    opponents = bind(config.game, config.options, config.player, config.opponents)
    player = Player(
        config.game, config.options, config.player, opponents, config.ppo, config.seed,
        threads=config.threads, reward=config.reward,
        provenance={"recipe": "protagonist", "seed": config.seed, "opponents": config.opponents},
    )  # fmt: skip
    result = train_loop(
        player, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"{config.player} against {', '.join(config.opponents)}", quiet=quiet,
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "best"
