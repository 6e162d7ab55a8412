"""Hindsight: SAC with hindsight experience replay on a goal-conditioned game of one player."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robo_adv.agents.player import Trainee, selection_arena
from robo_adv.envs.game import GAMES, make_game
from robo_adv.envs.goal import GOAL_TERMS, GoalGame
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.hindsight import HindsightLearner
from robo_adv.training.learner import Threads
from robo_adv.training.loop import train as train_loop
from robo_adv.training.off_policy import SACConfig


@dataclass(frozen=True)
class HindsightConfig:
    """Attributes:
    game: a GoalGame. options: of the game. steps: environment steps.
    reward: preset of the game's reward weights, all of whose terms depend on the goals.
    """

    game: str = "Reach-v0"
    options: dict[str, Any] = field(default_factory=dict)
    reward: str = "sparse"
    steps: int = 200_000
    seed: int = 0
    sac: SACConfig = SACConfig()
    threads: Threads = Threads()
    checkpoint_every: int = 20_000


def check(config: HindsightConfig) -> None:
    """Raises RoboAdvError for a game without goals, or a reward that cannot be relabelled."""
    name = config.game.removeprefix("robo_adv/")
    if not issubclass(GAMES[name], GoalGame):
        goals = [game for game in GAMES if issubclass(GAMES[game], GoalGame)]
        raise RoboAdvError(f"{name} has no goals to relabel; games that do: {', '.join(goals)}")
    player = GAMES[name].players[0]
    game = make_game(name, 1, threads=1, reward={player: config.reward}, **config.options)
    weights = game.weights[player]
    other = [term for term, weight in weights.items() if weight and term not in GOAL_TERMS]
    if other:
        raise RoboAdvError(
            f"reward {config.reward!r} of {name} has terms that do not depend on the goal "
            f"({', '.join(other)}), so it cannot be relabelled; use --reward sparse"
        )


class Hindsight(Trainee):
    """The trainee: one learner at the Seat of the game's player.

    Its state holds the whole replay buffer (some 300 bytes per step), so resuming is exact.

    Raises:
        RoboAdvError: the game has no goals, or a term of the reward does not depend on them.
    """

    def __init__(self, config: HindsightConfig) -> None:
        threads, name = config.threads.physics, config.game.removeprefix("robo_adv/")
        check(config)
        self.config, self.player, self.opponents = config.sac, GAMES[name].players[0], {}
        self.provenance = {"recipe": "hindsight", "seed": config.seed}
        self.game = make_game(
            name, config.sac.num_envs, threads=threads, reward={self.player: config.reward},
            **config.options,
        )  # fmt: skip
        seat = Seat(self.game, self.player, observation="dict")
        self.learner = HindsightLearner(seat, config.sac, config.seed, config.threads)
        self.arena = selection_arena(name, threads, config.options)


def train(config: HindsightConfig, run: Run, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train; returns the folder of the best checkpoint's bundle."""
    result = train_loop(
        Hindsight(config), run, config.steps, checkpoint_every=config.checkpoint_every,
        resume=resume, label=f"hindsight in {config.game}", outcome="success", quiet=quiet,
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "best"
