"""The demonstration: a shipped kicker, an adversarial keeper trained against it, what that costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from robo_adv.agents import adversary
from robo_adv.agents.evaluation import (
    NORMAL,
    Row,
    evaluate,
    opponent_policy,
    other_player,
    world_of,
)
from robo_adv.agents.named import find_card, named_policy
from robo_adv.masks import MASKS
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads

ADVERSARY = "adversary"


@dataclass(frozen=True)
class DemoConfig:
    """Attributes:
    victim: whose weakness is looked for. steps: of the adversary's training.
    episodes: per row of the table.
    """

    victim: str = "zoo:kicker-omni4-s1"
    steps: int = 1_000_000
    seed: int = 0
    episodes: int = 400
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = Threads()


@dataclass(frozen=True)
class DemoResult:
    """The adversary's bundle and training run, and the table's rows, the normal opponent first."""

    adversary: Path
    training: Run
    rows: list[Row]


def run_demo(config: DemoConfig, run: Run, announce: Callable[[str], None]) -> DemoResult:
    """Train the adversary in `run` and measure normal / zero / random / adversary, and every mask
    against both the adversary and normal opponents."""
    attack = adversary.AdversaryConfig(
        victim=config.victim, steps=config.steps, seed=config.seed, ppo=config.ppo,
        threads=config.threads,
    )  # fmt: skip
    card = find_card(config.victim)
    training = Run.at(run.folder / "adversary", card.game, "adversary", attack, config.seed)
    bundle = adversary.train(attack, training)
    world = world_of([config.victim])
    game = world.make(1, threads=1)
    other = other_player(game, card.player)
    victim = named_policy(config.victim, game, card.player)
    labels = {NORMAL: NORMAL, "zero": "zero", "random": "random", ADVERSARY: str(bundle)}
    opponents = {label: opponent_policy(name, game, other) for label, name in labels.items()}
    pair = {label: opponents[label] for label in (ADVERSARY, NORMAL)}
    rows = []
    for who, masks in ((opponents, ("none",)), (pair, MASKS)):
        rows += evaluate(
            world, card.player, victim, who, masks=masks, episodes=config.episodes,
            progress=announce,
        )  # fmt: skip
    return DemoResult(bundle, training, rows)
