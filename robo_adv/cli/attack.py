"""`robo-adv attack`: train an adversary against a frozen victim."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from robo_adv.agents import adversary
from robo_adv.agents.evaluation import other_player
from robo_adv.agents.named import find_bundle
from robo_adv.cli.options import need_two_players
from robo_adv.cli.train import check_counts, check_reward, check_seed, finished
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import make_game
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads


@dataclass(frozen=True)
class Attack:
    """Train an adversarial opponent against a frozen victim; then evaluate it with
    `robo-adv evaluate VICTIM --opponents normal RUN`."""

    victim: Annotated[str, tyro.conf.Positional]
    """zoo:<name>, or a bundle's or run's folder."""
    port: Literal["opponent"] = "opponent"
    """Where the attack acts; `opponent` is another player's seat. Attackers of
    observations, actions and forces are trained by `robo-adv ladder` and `robo-adv audit`."""
    reward: str = "sparse"
    """sparse (Gleave et al.: +1 win, -1 loss) or dense (shaped, a helped best response)."""
    steps: int = 1_200_000
    """Environment steps."""
    seed: int = 0
    """Seed of network, exploration and scenarios."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int = 200_000
    """Environment steps between checkpoints."""
    runs: Path = Path("runs")
    """Where run folders go."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        config = adversary.AdversaryConfig(
            victim=self.victim, reward=self.reward, steps=self.steps, seed=self.seed, ppo=self.ppo,
            threads=self.threads, checkpoint_every=self.checkpoint_every,
        )  # fmt: skip
        check_counts(config)
        check_seed(self.seed)
        card = find_bundle(self.victim).card  # all of it is checked before a folder is made
        world = make_game(card.game, 1, threads=1, **card.options)
        instead = f"attack what it sees or does with `robo-adv ladder {self.victim}`"
        need_two_players(card.game, "the opponent port", instead)
        other = other_player(world, card.player)
        check_reward(card.game, dict(card.options), other, self.reward)
        run = Run.create(card.game, "adversary", config, self.seed, self.runs)
        outcome = finished(run, adversary.train(config, run))
        command = f"robo-adv evaluate {self.victim} --opponents normal {run.folder}"
        return Outcome(outcome.data, run.folder, command)
