"""Protagonist: PPO on one player of a game, against fixed opponents where it has any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robo_adv.agents.evaluation import refuse_opponents
from robo_adv.agents.named import named_policy
from robo_adv.agents.player import Player
from robo_adv.agents.presets import preset_of
from robo_adv.envs.game import GAMES, make_game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy, Pool
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop


@dataclass(frozen=True)
class ProtagonistConfig:
    """Attributes:
    opponents: names of policies; several make a pool that is drawn from per episode. () in a game
        of one player.
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


def config_for(game: str) -> ProtagonistConfig:
    """The config of a game's preset: its first player learns.

    Raises:
        UnknownNameError: no such game.
    """
    name = game.removeprefix("robo_adv/")
    players, preset = GAMES[name].players, preset_of(name)
    opponents = preset.opponents or (("zero",) if len(players) > 1 else ())
    return ProtagonistConfig(
        game=name, player=players[0], opponents=opponents, reward=preset.reward,
        steps=preset.steps, ppo=preset.ppo,
    )  # fmt: skip


def bind(
    game: str, options: Mapping[str, Any], player: str, names: tuple[str, ...]
) -> dict[str, Policy]:
    """The named policies for every other player; several names make a Pool.

    Raises:
        RoboAdvError: unknown game, player or policy, a bundle that does not fit, opponents for a game
            of one player, or none for a game of several.
    """
    world = make_game(game, 1, threads=1, **options)
    if player not in world.players:
        raise unknown(f"player of {game}", player, world.players)
    refuse_opponents(world, player, names)
    others = [other for other in world.players if other != player]
    if others and not names:
        raise RoboAdvError(f"{game} needs a policy for {', '.join(others)}: name it by --opponents")
    out: dict[str, Policy] = {}
    for other in others:
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
    against = f"against {', '.join(config.opponents)}" if opponents else f"of {config.game}"
    result = train_loop(
        player, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"{config.player} {against}", outcome="wins" if opponents else "success", quiet=quiet,
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "best"
