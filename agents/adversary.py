"""Adversary: PPO on the opponent's seat against a frozen victim (Gleave et al. 2020).

Their recipe scaled to minutes: sparse zero-sum reward only, random initialisation, a victim that does
not learn. Best checkpoint on selection scenarios, reported figures on others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from robo_adv.agents.named import find_card, game_of, named_policy
from robo_adv.agents.player import Player
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop


@dataclass(frozen=True)
class AdversaryConfig:
    """Attributes:
    victim: `zoo:<name>` or a bundle's folder; game and options come from its card.
    reward: `sparse` (Gleave's), or `dense` for a best response that is helped along.
    """

    victim: str = ""
    reward: str = "sparse"
    steps: int = 1_200_000
    seed: int = 0
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = Threads()
    checkpoint_every: int = 200_000


def train(config: AdversaryConfig, run: Run, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train; returns the folder of the best checkpoint's bundle.

    Raises:
        RoboAdvError: the victim is not a bundle, or its game has no single opponent.
    """
    card = find_card(config.victim)
    world = game_of(card, 1, threads=1)
    others = [p for p in world.players if p != card.player]
    if len(others) != 1:
        raise RoboAdvError(
            f"the opponent port needs a two-player game, {card.game} has {world.players}"
        )
    victim = named_policy(config.victim, world, card.player)
    adversary = Player(
        card.game, card.options, others[0], {card.player: victim}, config.ppo, config.seed,
        threads=config.threads, reward=config.reward,
        provenance={"recipe": "adversary", "seed": config.seed, "victim": config.victim,
                    "victim_sha256": card.sha256, "reward": config.reward},
    )  # fmt: skip
    result = train_loop(
        adversary, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"adversarial {others[0]} against {config.victim}", quiet=quiet,
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "best"
