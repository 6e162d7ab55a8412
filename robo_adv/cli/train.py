"""`robo-adv train`: protagonists, self-play, and going on with any training run.

Defaults are those of the game's preset (`robo_adv.agents.presets`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from robo_adv.agents import adversary, design, hindsight, imitator, protagonist, selfplay
from robo_adv.agents.imitators.config import config_of_run
from robo_adv.cli.options import find_game, need_two_players, parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.off_policy import SACConfig

RECIPES: dict[str, Any] = {
    "protagonist": (protagonist.ProtagonistConfig, protagonist.train),
    "selfplay": (selfplay.SelfPlayConfig, selfplay.train),
    "adversary": (adversary.AdversaryConfig, adversary.train),
    "hindsight": (hindsight.HindsightConfig, hindsight.train),
    "design": (design.DesignConfig, design.train),
    "imitate": (config_of_run, imitator.train),
}


@dataclass(frozen=True)
class Train:
    """Train a player of a game; every run can be stopped (Ctrl-C) and resumed."""

    game: Annotated[str, tyro.conf.Positional] = "KickAndDefend-v0"
    """Game to train in."""
    recipe: Literal["protagonist", "selfplay", "hindsight"] = "protagonist"
    """protagonist: PPO, one player, alone or against fixed opponents. selfplay: PPO, both players in
    turns. hindsight: SAC with hindsight experience replay, games with goals."""
    player: str | None = None
    """Who learns (protagonist); the game's first player by default."""
    opponents: tuple[str, ...] = ()
    """Policies to play against (protagonist); several make a pool, drawn per episode. A game of one
    player has none."""
    reward: str | None = None
    """Reward preset of the learner, for example dense or sparse (hindsight: sparse)."""
    set: tuple[str, ...] = ()
    """Game options, e.g. arms=4 body=omni."""
    steps: int | None = None
    """Environment steps; the preset's (protagonist), 4M for both players together (selfplay), 200k
    (hindsight)."""
    seed: int = 0
    """Seed of network, exploration and scenarios."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    sac: SACConfig = field(default_factory=SACConfig)
    """Hyper-parameters of hindsight."""
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int | None = None
    """Environment steps between checkpoints."""
    latest_only: bool = False
    """Self-play against the latest opponent only (plain alternation), for comparison."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Continue this run folder; all other options come from it, but for --steps, which trains a run on
    beyond what it was started with."""
    json: bool = False
    """Print one machine-readable line last."""

    @staticmethod
    def parse(arguments: list[str]) -> Train:
        """From the command line: flags override single values of the game's preset."""
        game = find_game(arguments, default=Train.game)
        train = _parse(arguments, game)
        return train if train.game == game else _parse(arguments, train.game)

    @staticmethod
    def preset(game: str) -> Train:
        """What a game is trained with when nothing else is said."""
        config = protagonist.config_for(game)
        return Train(
            game=config.game, player=config.player, opponents=config.opponents,
            reward=config.reward, ppo=config.ppo,
        )  # fmt: skip

    def run(self, console: Console) -> Outcome:
        if self.resume is not None:
            return resume(self.resume, console, self.steps)
        config = self._config()
        check_counts(config)
        check_seed(self.seed)
        if isinstance(config, protagonist.ProtagonistConfig):  # before a folder is made
            protagonist.bind(config.game, config.options, config.player, config.opponents)
            check_reward(config.game, config.options, config.player, config.reward)
        elif isinstance(config, hindsight.HindsightConfig):
            hindsight.check(config)
        else:
            make_game(config.game, 1, threads=1, **config.options)
        run = Run.create(config.game, self.recipe, config, self.seed, self.runs)
        folder = RECIPES[self.recipe][1](config, run)
        return finished(run, folder)

    def _config(self) -> Any:
        """The recipe's config: the game's preset, and what was said on top of it.

        Raises:
            RoboAdvError: no such game, or self-play in a game that has not two players.
        """
        preset = protagonist.config_for(self.game)
        given: dict[str, Any] = {
            "options": parse_options(self.set), "seed": self.seed, "ppo": self.ppo,
            "threads": self.threads, "steps": self.steps, "checkpoint_every": self.checkpoint_every,
        }  # fmt: skip
        given = {name: value for name, value in given.items() if value is not None}
        if self.recipe == "selfplay":
            instead = f"train it with `robo-adv train {preset.game}`"
            need_two_players(preset.game, "self-play", instead)
            return selfplay.SelfPlayConfig(game=preset.game, latest_only=self.latest_only, **given)
        if self.recipe == "hindsight":
            given = {k: v for k, v in given.items() if k != "ppo"} | {"sac": self.sac}
            reward = self.reward if self.reward not in (None, preset.reward) else "sparse"
            return hindsight.HindsightConfig(game=preset.game, reward=reward, **given)
        return replace(
            preset,
            player=self.player or preset.player,
            opponents=self.opponents or preset.opponents,
            reward=self.reward or preset.reward,
            **given,
        )


def _parse(arguments: list[str], game: str) -> Train:
    return tyro.cli(Train, args=arguments, prog="robo-adv train", default=Train.preset(game))


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
        learners: dict[str, Any] = {}
        for name, config in (("ppo", PPOConfig), ("sac", SACConfig)):
            if name in values:
                given = dict(values.pop(name))
                learners[name] = config(**(given | {"net_arch": tuple(given["net_arch"])}))
        threads = Threads(**values.pop("threads"))
        for name, value in values.items():
            if isinstance(value, list):
                values[name] = tuple(value)
        return kind(**values, **learners, threads=threads)
    except (TypeError, KeyError) as error:
        raise RoboAdvError(f"the run's config does not fit this version: {error}") from error


def resume(folder: Path, console: Console, steps: int | None = None) -> Outcome:
    """Continue a training run of any recipe from its last checkpoint, up to `steps` when given."""
    run = Run.open(folder)
    recipe, config = run.config.get("verb", ""), run.config.get("config")
    if recipe not in RECIPES or not isinstance(config, dict):
        raise RoboAdvError(f"{folder} is a run of {recipe!r}, which is not a training")
    kind, train = RECIPES[recipe]
    config_from(kind, config)  # refuse a broken one before anything changes
    if steps is not None and steps < config["steps"]:
        raise RoboAdvError(f"{folder} trains for {config['steps']} steps, got --steps {steps}")
    if steps is not None and steps > config["steps"]:
        run.change({**config, "steps": steps})
    if run.done:
        raise RoboAdvError(
            f"{folder} is finished; train it on with --steps N, above {config['steps']}"
        )
    return finished(run, train(config_from(kind, run.config["config"]), run, resume=True))
