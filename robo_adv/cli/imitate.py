"""`robo-adv imitate`: learn a policy from demonstrations; how close does it come to their expert?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from robo_adv.agents import imitator
from robo_adv.agents.imitators import measured
from robo_adv.agents.imitators.config import (
    USES,
    AsafConfig,
    CloneConfig,
    DaggerConfig,
    ImitatorConfig,
    LearnerName,
    config_of_run,
)
from robo_adv.agents.imitators.lesson import read_card
from robo_adv.agents.imitators.presets import preset
from robo_adv.agents.imitators.score import Score
from robo_adv.cli.options import parse_options
from robo_adv.cli.train import check_counts, check_seed, config_from, finished, resume
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.config import DiscriminatorConfig
from robo_adv.runs import Run
from robo_adv.sight import OWN
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.off_policy import SACConfig


@dataclass(frozen=True)
class Imitate:
    """Learn a policy from demonstrations; every run can be stopped (Ctrl-C) and resumed."""

    demonstrations: Annotated[str, tyro.conf.Positional] = ""
    """Folder of demonstrations, from `robo-adv data`."""
    learner: LearnerName = "gail"
    """gail, airl: PPO paid by a discriminator. gail-sac: SAC, likewise. sqil: SAC paid for what the
    expert did. asaf: the policy is its own discriminator. bc:
    behavioural cloning. dagger: cloning in rounds, an expert labels what the learner sees."""
    expert: str = ""
    """Policy that dagger asks, and that the score is measured by; by default who demonstrated."""
    demos: int = 0
    """Episodes to learn from, the first ones; 0: all."""
    every: int = 1
    """Keep one step of so many, as Ho and Ermon (20)."""
    cameras: tuple[str, ...] = ()
    """Act from pictures: cameras of the demonstrations (bc, dagger, gail)."""
    sees: tuple[str, ...] = (OWN,)
    """With --cameras, slices of the observation that it is told besides; own: those of the robot's own
    sensors, not goals and objects. Without a name: none."""
    control: Literal["", "null", "shuffled"] = ""
    """null: the discriminator stays untrained. shuffled: the demonstrated actions are mixed up. What a
    learner reaches like this is not imitation."""
    absorb: bool = False
    """Being over is worth what the discriminator says of it, for ever (gail, gail-sac); for tasks
    that can end early."""
    relative_goals: bool = True
    """Where a task has goals, discriminators see them relative to what is achieved."""
    expert_share: float = 0.5
    """Part of each of SAC's batches that is the expert's (gail-sac)."""
    set: tuple[str, ...] = ()
    """Options of the environment, in place of those of the demonstrations."""
    opponents: tuple[str, ...] = ()
    """Policies of the other player; by default those of the demonstrations."""
    steps: int | None = None
    """Environment steps; gradient steps of bc."""
    seed: int = 0
    """Seed of networks, exploration and scenarios."""
    disc: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    ppo: PPOConfig = field(default_factory=PPOConfig)
    sac: SACConfig = field(default_factory=SACConfig)
    """Hyper-parameters of gail-sac and sqil."""
    asaf: AsafConfig = field(default_factory=AsafConfig)
    clone: CloneConfig = field(default_factory=CloneConfig)
    dagger: DaggerConfig = field(default_factory=DaggerConfig)
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int | None = None
    """Steps between checkpoints."""
    episodes: int | None = None
    """Episodes that the score is measured on, at the end; 100, or as many as a resumed run says."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Continue this run folder; all other options come from it, but for --steps and --episodes."""
    json: bool = False
    """Print one machine-readable line last."""

    @staticmethod
    def parse(arguments: list[str]) -> Imitate:
        """From the command line: flags override single values of the environment's preset."""
        verb = _parse(arguments, Imitate())
        if verb.resume is not None or not verb.demonstrations:
            return verb
        usual = preset(verb.learner, read_card(verb.demonstrations).game)
        return _parse(
            arguments,
            Imitate(ppo=usual.ppo, sac=usual.sac, disc=usual.disc, asaf=usual.asaf,
                    clone=usual.clone, dagger=usual.dagger),
        )  # fmt: skip

    def run(self, console: Console) -> Outcome:
        if self.episodes is not None and self.episodes < 1:
            raise RoboAdvError(f"episodes must be at least 1, got {self.episodes}")
        if self.resume is not None:
            run = Run.open(self.resume)
            ours = run.config["verb"] == "imitate"
            if not (ours and run.done and self.steps is None):  # else only its score is missing
                outcome = resume(self.resume, console, self.steps)
                run = Run.open(self.resume)
                if not ours:
                    return outcome
            config = config_from(config_of_run, run.config["config"])
            if self.episodes is not None:
                config = replace(config, score_episodes=self.episodes)
            return self._scored(run, config, console)
        if not self.demonstrations:
            raise RoboAdvError("name a folder of demonstrations (`robo-adv data`), or --resume RUN")
        config = self._config()
        check_counts(config)
        check_seed(self.seed)
        made = imitator.Imitator(config)  # all of it is checked before a folder is made
        for sentence in (*made.lesson.notes, made.warning()):
            if sentence:
                console.print(f"note: {sentence}")
        run = Run.create(made.task.env, "imitate", config, self.seed, self.runs)
        imitator.train(config, run)
        return self._scored(run, config, console)

    def _config(self) -> ImitatorConfig:
        usual = preset(self.learner, read_card(self.demonstrations).game)
        self._check_unused(usual)
        return ImitatorConfig(
            demonstrations=str(Path(self.demonstrations).resolve()), learner=self.learner,
            expert=self.expert, options=parse_options(self.set), opponents=self.opponents,
            demos=self.demos, every=self.every, cameras=self.cameras, sees=self.sees,
            control=self.control, absorb=self.absorb, relative_goals=self.relative_goals,
            expert_share=self.expert_share,
            steps=usual.steps if self.steps is None else self.steps, seed=self.seed, ppo=self.ppo,
            sac=self.sac, disc=self.disc, clone=self.clone, dagger=self.dagger, asaf=self.asaf,
            threads=self.threads,
            checkpoint_every=self.checkpoint_every or usual.checkpoint_every,
            score_episodes=usual.score_episodes if self.episodes is None else self.episodes,
        )  # fmt: skip

    def _check_unused(self, usual: ImitatorConfig) -> None:
        """Raises RoboAdvError for options that do nothing for this learner."""
        mine = USES[self.learner]
        for name in dict.fromkeys(part for parts in USES.values() for part in parts):
            if name not in mine and getattr(self, name) != getattr(usual, name):
                raise RoboAdvError(
                    f"--{name}.* does nothing for {self.learner}, which has "
                    f"{', '.join(f'--{part}.*' for part in mine)}"
                )
        if self.learner != "gail-sac" and self.expert_share != usual.expert_share:
            raise RoboAdvError(
                f"--expert-share belongs to gail-sac, got the learner {self.learner}"
            )

    def _scored(self, run: Run, config: ImitatorConfig, console: Console) -> Outcome:
        """Measure the checkpoints and print how close they come to the expert."""
        scores: dict[str, Score] = {}
        try:
            with console.status("measuring"):
                scores = measured.scores(config, run, config.score_episodes)
        except RoboAdvError as problem:  # the training is done and stays
            console.print(f"no score: {problem}")
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"trained, but not scored; robo-adv imitate --resume {run.folder} scores it"
            ) from None
        for name, found in scores.items():
            show(console, name, found)
        data: dict[str, Any] = dict(finished(run, run.folder / "checkpoints" / "last").data)
        data["scores"] = {name: found.to_json() for name, found in scores.items()}
        run.write_json("scores.json", data["scores"])
        return Outcome(data, run.folder, f"robo-adv evaluate {run.folder / 'checkpoints' / 'last'}")


def show(console: Console, name: str, found: Score) -> None:
    """One checkpoint's lines."""
    console.print(f"{name} ({imitator.CHOSEN[name]}):")
    console.print(
        f"  {found.unit} {found.imitator}, random {found.random}, expert {found.expert}"
        + ("" if found.paired else " (of the demonstrations)")
    )
    console.print(f"  score (R - random) / (expert - random) = {found.score}")


def _parse(arguments: list[str], default: Imitate) -> Imitate:
    return tyro.cli(Imitate, args=arguments, prog="robo-adv imitate", default=default)
