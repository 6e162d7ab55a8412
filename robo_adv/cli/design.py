"""`robo-adv design`: train students on levels that a generator proposes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from robo_adv.agents import design
from robo_adv.agents.design_pictures import film, pictures
from robo_adv.cli.options import find_game, parse_options
from robo_adv.cli.train import check_counts, check_reward, check_seed, config_from, resume
from robo_adv.cli.verb import Outcome
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.levels.generator import GENERATORS, make_generator
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads


@dataclass(frozen=True)
class DesignVerb:
    """Train on levels that a generator proposes: domain randomisation, replay, PAIRED and others.
    Every run can be stopped (Ctrl-C) and resumed."""

    game: Annotated[str, tyro.conf.Positional] = "Reach-v0"
    """Game to train in."""
    generator: str = "paired"
    """nominal, uniform, plr, accel, sfl, minimax, paired ...; `robo-adv list` shows all."""
    generator_set: tuple[str, ...] = ()
    """Hyper-parameters of the generator, e.g. entropy=0.05 uniform=0.2."""
    free: tuple[str, ...] = ()
    """Level parameters that the generator sets; all by default."""
    fix: tuple[str, ...] = ()
    """Values of parameters that it does not set, e.g. sensor_noise=0.5."""
    player: str | None = None
    """Who learns; the game's first player by default."""
    opponents: tuple[str, ...] = ()
    """Policies of the other players."""
    reward: str | None = None
    """Reward preset of the students."""
    set: tuple[str, ...] = ()
    """Game options, e.g. obstacles=2."""
    steps: int = 1_000_000
    """Environment steps of all students together, those that only score levels included."""
    seed: int = 0
    """Seed of networks, exploration, scenarios and generator."""
    episodes: int = 0
    """Episodes per student and round; 0: as many as make about 8192 steps."""
    same_start: bool = True
    """All students begin with the same network."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int = 100_000
    """Environment steps between checkpoints."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Continue this run folder; all other options come from it, but for --steps."""
    json: bool = False
    """Print one machine-readable line last."""

    @staticmethod
    def parse(arguments: list[str]) -> DesignVerb:
        """From the command line: flags override single values of the game's preset."""
        game = find_game(arguments, default=DesignVerb.game)
        verb = _parse(arguments, game)
        return verb if verb.game == game else _parse(arguments, verb.game)

    def run(self, console: Console) -> Outcome:
        if self.resume is not None:
            steps = self.steps if self.steps != DesignVerb.steps else None
            outcome = resume(self.resume, console, steps)
            run = Run.open(self.resume)
            if run.config["verb"] == "design":
                show(run, config_from(design.DesignConfig, run.config["config"]), console)
            return outcome
        config = self._config()
        check_counts(config)
        check_seed(self.seed)
        check_reward(config.game, config.options, config.player, config.reward)
        design.Design(config)  # all of it is checked before a folder is made
        run = Run.create(config.game, "design", config, self.seed, self.runs)
        folder = design.train(config, run)
        show(run, config, console)
        data: dict[str, Any] = {"bundles": [str(folder)], "metrics": run.metrics()[-1]}
        return Outcome(data, run.folder, f"robo-adv evaluate {run.folder} --levels nominal iid-b")

    def _config(self) -> design.DesignConfig:
        """The recipe's config.

        Raises:
            RoboAdvError: no such game, generator, hyper-parameter, level parameter or option.
        """
        GENERATORS[self.generator]
        usual = design.preset(self.game, self.generator)
        if self.episodes < 0:
            raise RoboAdvError(f"episodes must be at least 0, got {self.episodes}")
        return replace(
            usual,
            options=parse_options(self.set), player=self.player or usual.player,
            opponents=self.opponents or usual.opponents, reward=self.reward or usual.reward,
            parameters=parse_options(self.generator_set), free=self.free,
            fixed=parse_options(self.fix), steps=self.steps, seed=self.seed,
            episodes=self.episodes, same_start=self.same_start, ppo=self.ppo,
            threads=self.threads, checkpoint_every=self.checkpoint_every,
        )  # fmt: skip


def show(run: Run, config: design.DesignConfig, console: Console) -> None:
    """Pictures of the levels, and a film of protagonist and antagonist where there are two; without
    a renderer, what can be drawn without one."""
    for name in pictures(run, config):
        console.print(f"picture: {run.folder / name}")
    if make_generator(config.generator, config.parameters).students < 2:
        return
    try:
        path = run.folder / "videos" / "students.mp4"
        film(run, config, path)
        console.print(f"video: {path}")
    except DependencyError as error:
        console.print(f"no film: {error}")


def _parse(arguments: list[str], game: str) -> DesignVerb:
    default = DesignVerb(game=game, ppo=design.preset(game).ppo)
    return tyro.cli(DesignVerb, args=arguments, prog="robo-adv design", default=default)
