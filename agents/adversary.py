"""Adversary: PPO on the opponent's seat against a frozen victim (Gleave et al. 2020).

Their recipe scaled to minutes: sparse zero-sum reward only, random initialisation, a victim that does
not learn. Best checkpoint on selection scenarios, reported figures on others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robo_adv.agents import player as players
from robo_adv.agents.controllers import controller
from robo_adv.agents.named import find_card
from robo_adv.agents.player import Player
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import SELECTION, play, scenarios
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop

BEST = Path("checkpoints") / "best"
Tell = Callable[[int, float], None]  # steps so far, share of its last episodes that it won


@dataclass(frozen=True)
class AdversaryConfig:
    """Attributes:
    victim: any controller (`robo_adv.agents.controllers`).
    game, options, player: where the victim plays, and whom; a bundle's card says it.
    trust, statistics: of a victim that is a stable-baselines3 zip.
    reward: `sparse` (Gleave's), or `dense` for a best response that is helped along.
    """

    victim: str = ""
    reward: str = "sparse"
    steps: int = 1_200_000
    seed: int = 0
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = Threads()
    checkpoint_every: int = 200_000
    game: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    player: str = ""
    trust: bool = False
    statistics: Path | None = None


class Adversary(Player):
    """A Player that says how far it is, and counts the steps of its selection episodes."""

    tell: Tell | None = None

    def iterate(self) -> dict[str, float]:
        metrics = super().iterate()
        if self.tell is not None:
            self.tell(self.steps, metrics.get("wins", 0.0) / max(metrics["episodes"], 1.0))
        return metrics

    def score(self) -> dict[str, float]:
        policies = {**self.opponents, self.player: self.learner.policy}
        episodes = play(self.arena, policies, scenarios(SELECTION, players.SELECTION_EPISODES))
        rate = float(episodes.win_rate(self.player))
        steps = float(episodes.length.sum())
        return {"score": rate, "selection_win_rate": rate, "selection_steps": steps}


def train(
    config: AdversaryConfig,
    run: Run,
    *,
    resume: bool = False,
    quiet: bool = False,
    tell: Tell | None = None,
) -> Path:
    """Train; returns the folder of the best checkpoint's bundle.

    The run's summary says how many episodes it took, and how often the victim was asked for an action.

    Args:
        tell: called after each iteration.

    Raises:
        RoboAdvError: no such victim, or its game has no single opponent.
    """
    if not config.game:
        card = find_card(config.victim)
        config = replace(config, game=card.game, options=card.options, player=card.player)
    world = make_game(config.game, 1, threads=1, **config.options)
    others = [p for p in world.players if p != config.player]
    if len(others) != 1:
        raise RoboAdvError(
            f"the opponent port needs a two-player game, {config.game} has {world.players}"
        )
    statistics = Path(config.statistics) if config.statistics else None
    victim = controller(
        config.victim, world, config.player, trust=config.trust, statistics=statistics
    )
    adversary = Adversary(
        config.game, config.options, others[0], {config.player: victim.policy}, config.ppo,
        config.seed, threads=config.threads, reward=config.reward,
        provenance={"recipe": "adversary", "seed": config.seed, "victim": config.victim,
                    "victim_sha256": victim.digest, "reward": config.reward},
    )  # fmt: skip
    adversary.tell = tell
    result = train_loop(
        adversary, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"adversarial {others[0]} against {config.victim}", quiet=quiet,
    )  # fmt: skip
    run.finish({**result, **_effort(run)})
    return run.folder / BEST


def train_within(folder: Path, config: AdversaryConfig, tell: Tell | None = None) -> Run:
    """The training as a part of another run: done before, gone on with, or new."""
    started = (folder / "config.json").exists()
    run = Run.open(folder) if started else Run.at(
        folder, config.game, "adversary", config, config.seed
    )  # fmt: skip
    if not run.done:
        train(config, run, resume=started, quiet=True, tell=tell)
    return run


def _effort(run: Run) -> dict[str, int]:
    """Episodes of a whole training, and queries of the victim: one per step."""
    lines = run.metrics()
    selected = [int(line["selection_steps"]) for line in lines if "selection_steps" in line]
    played = sum(int(line["episodes"]) for line in lines)
    return {
        "episodes": played + len(selected) * players.SELECTION_EPISODES,
        "queries": int(lines[-1]["steps"]) + sum(selected),
    }
