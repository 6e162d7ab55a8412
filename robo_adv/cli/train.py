"""`robo-adv train`: protagonists, self-play, and going on with any training run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from robo_adv.agents import adversary, protagonist, selfplay
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads

RECIPES: dict[str, Any] = {
    "protagonist": (protagonist.ProtagonistConfig, protagonist.train),
    "selfplay": (selfplay.SelfPlayConfig, selfplay.train),
    "adversary": (adversary.AdversaryConfig, adversary.train),
}


@dataclass(frozen=True)
class Train:
    """Train a player of a game with PPO; every run can be stopped (Ctrl-C) and resumed."""

    game: Annotated[str, tyro.conf.Positional] = "KickAndDefend-v0"
    """Game to train in."""
    recipe: Literal["protagonist", "selfplay"] = "protagonist"
    """One player against fixed opponents, or both players in turns."""
    player: str = "kicker"
    """Who learns (protagonist)."""
    opponents: tuple[str, ...] = ("track-ball",)
    """Policies to play against (protagonist); several make a pool, drawn per episode."""
    reward: str = "dense"
    """Reward preset of the learner (protagonist): dense or sparse."""
    set: tuple[str, ...] = ()
    """Game options, e.g. arms=4 body=omni."""
    steps: int | None = None
    """Environment steps; default 2.5M (protagonist), 4M for both players together (selfplay)."""
    seed: int = 0
    """Seed of network, exploration and scenarios."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int | None = None
    """Environment steps between checkpoints."""
    latest_only: bool = False
    """Self-play against the latest opponent only (plain alternation), for comparison."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Continue this run folder; all other options come from it."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        if self.resume is not None:
            return resume(self.resume, console)
        config: Any
        options = parse_options(self.set)
        common: dict[str, Any] = {
            "game": self.game, "options": options, "seed": self.seed, "ppo": self.ppo,
            "threads": self.threads,
        }  # fmt: skip
        if self.recipe == "selfplay":
            config = selfplay.SelfPlayConfig(**common, latest_only=self.latest_only)
        else:
            config = protagonist.ProtagonistConfig(
                **common, player=self.player, opponents=self.opponents, reward=self.reward
            )
        for name in ("steps", "checkpoint_every"):
            if getattr(self, name) is not None:
                config = replace(config, **{name: getattr(self, name)})
        check_counts(config)
        check_seed(self.seed)
        if isinstance(config, protagonist.ProtagonistConfig):  # before a folder is made
            protagonist.bind(config.game, options, config.player, config.opponents)
            check_reward(config.game, options, config.player, config.reward)
        else:
            make_game(config.game, 1, threads=1, **options)
        run = Run.create(self.game, self.recipe, config, self.seed, self.runs)
        folder = RECIPES[self.recipe][1](config, run)
        return finished(run, folder)


def check_counts(config: Any) -> None:
    """Raises RoboAdvError unless steps and checkpoint_every are positive."""
    for name in ("steps", "checkpoint_every"):
        if getattr(config, name) < 1:
            raise RoboAdvError(f"{name} must be at least 1, got {getattr(config, name)}")


def check_seed(seed: int, below: int = 2**32) -> None:
    """Raises RoboAdvError unless 0 <= seed < below."""
    if not 0 <= seed < below:
        raise RoboAdvError(f"seed must be at least 0 and below {below}, got {seed}")


def check_reward(game: str, options: dict[str, Any], player: str, reward: str) -> None:
    """Raises RoboAdvError for a reward preset that the game does not have."""
    make_game(game, 1, threads=1, reward={player: reward}, **options)


def finished(run: Run, folder: Path) -> Outcome:
    """The outcome of a finished training."""
    names = [folder] if (folder / "policy.json").exists() else sorted(folder.iterdir())
    data = {"bundles": [str(name) for name in names], "metrics": run.metrics()[-1]}
    return Outcome(data, run.folder, f"robo-adv evaluate {names[0]}")


def config_from(kind: Any, values: dict[str, Any]) -> Any:
    """A recipe's config from a run's config.json.

    Raises:
        RoboAdvError: it was written by another version, or edited.
    """
    try:
        values = dict(values)
        ppo = dict(values.pop("ppo"))
        ppo["net_arch"] = tuple(ppo["net_arch"])
        threads = Threads(**values.pop("threads"))
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        return kind(**values, ppo=PPOConfig(**ppo), threads=threads)
    except (TypeError, KeyError) as error:
        raise RoboAdvError(f"the run's config does not fit this version: {error}") from error


def resume(folder: Path, console: Console) -> Outcome:
    """Continue a training run of any recipe from its last checkpoint."""
    run = Run.open(folder)
    recipe = run.config.get("verb", "")
    if recipe not in RECIPES or not isinstance(run.config.get("config"), dict):
        raise RoboAdvError(f"{folder} is a run of {recipe!r}, which is not a training")
    if run.done:
        raise RoboAdvError(f"{folder} is finished; nothing to resume")
    kind, train = RECIPES[recipe]
    return finished(run, train(config_from(kind, run.config["config"]), run, resume=True))
