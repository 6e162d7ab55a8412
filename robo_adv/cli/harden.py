"""`robo-adv harden`: fine-tune a controller against perturbed observations or an opponent pool."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

from robo_adv.agents import harden
from robo_adv.agents.named import find_card
from robo_adv.bundle import Card, read_card
from robo_adv.cli.train import check_counts, check_seed, config_from, finished
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.smooth import SmoothConfig

VERB = "harden"


@dataclass(frozen=True)
class Harden:
    """Fine-tune a controller against what it fails under; then compare: `robo-adv audit --compare`.

    The critic first learns alone (--warmup); observation statistics stay as they are. Hyper-parameters
    are those of the game's preset, with a smaller learning rate."""

    controller: Annotated[str, tyro.conf.Positional] = ""
    """zoo:<name>, or a bundle's or run's folder. (With --resume: leave it out.)"""
    method: harden.Method = "sa-ppo"
    """sa-ppo: PPO with SA-PPO's regulariser, against perturbed observations. opponents: PPO against a
    pool of opponents, adversaries among them."""
    opponents: tuple[str, ...] = ()
    """Policies of the other player, in equal shares; `normal` stands for the zoo's self-play policies.
    Method opponents needs them; a game of one player has none."""
    reward: str = ""
    """Reward preset; by default that of the controller's card, or of the game's preset."""
    reference: Path | None = None
    """reference.json of an audit: what one sigma is (sa-ppo); measured on the controller by default."""
    smooth: SmoothConfig = field(default_factory=SmoothConfig)
    """The regulariser of sa-ppo."""
    steps: int = 1_000_000
    """Environment steps."""
    warmup: int = 50_000
    """Environment steps, of those, in which the critic learns alone."""
    seed: int = 0
    """Seed of exploration and scenarios."""
    ppo: PPOConfig = field(default_factory=lambda: harden.fine(PPOConfig()))
    threads: Threads = field(default_factory=Threads)
    checkpoint_every: int = 100_000
    """Environment steps between checkpoints."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Continue this run folder; all other options come from it."""
    json: bool = False
    """Print one machine-readable line last."""

    @staticmethod
    def parse(arguments: list[str]) -> Harden:
        """From the command line; flags override single values of the game's preset."""
        card = _card(arguments)
        if card is None:  # `run` says what is wrong with it
            return _parse(arguments, Harden())
        return _parse(arguments, Harden(ppo=harden.usual(card)))

    def run(self, console: Console) -> Outcome:
        if self.resume is not None:
            return _resume(self.resume, console)
        if not self.controller:
            raise RoboAdvError("name the controller to harden, for example zoo:push-panda-s1")
        config = harden.HardenConfig(
            controller=self.controller, method=self.method, opponents=self.opponents,
            reward=self.reward, reference="" if self.reference is None else str(self.reference),
            smooth=self.smooth, steps=self.steps, warmup=self.warmup, seed=self.seed, ppo=self.ppo,
            threads=self.threads, checkpoint_every=self.checkpoint_every,
        )  # fmt: skip
        check_counts(config)
        check_seed(self.seed)
        card = harden.prepare(config).card  # all of it is checked before a folder is made
        run = Run.create(card.game, VERB, config, self.seed, self.runs)
        return _outcome(console, config, run, harden.harden(config, run))


def _card(arguments: list[str]) -> Card | None:
    """Of the controller; None when there is none. Flags are not read: they may make sense with its
    preset alone."""
    for before, argument in pairwise(["", *arguments]):
        if not argument.startswith("-") and not before.startswith("--"):
            try:
                return find_card(argument)
            except RoboAdvError:
                return None
    return None


def _parse(arguments: list[str], default: Harden) -> Harden:
    return tyro.cli(Harden, args=arguments, prog="robo-adv harden", default=default)


def _resume(folder: Path, console: Console) -> Outcome:
    run = Run.open(folder)
    values = run.config.get("config")
    if run.config.get("verb") != VERB or not isinstance(values, dict):
        raise RoboAdvError(f"{folder} is not a run of `robo-adv harden`")
    if run.done:
        raise RoboAdvError(f"{folder} is finished; nothing to resume")
    config = read_config(values)
    return _outcome(console, config, run, harden.harden(config, run, resume=True))


def read_config(values: dict[str, Any]) -> harden.HardenConfig:
    """The config of a run's config.json.

    Raises:
        RoboAdvError: it was written by another version, or edited.
    """
    values = dict(values)
    try:
        smooth = SmoothConfig(**values.pop("smooth"))
    except (TypeError, KeyError) as error:
        raise RoboAdvError(f"the run's config does not fit this version: {error}") from error
    config: harden.HardenConfig = config_from(harden.HardenConfig, values)
    return replace(config, smooth=smooth)


def _outcome(console: Console, config: harden.HardenConfig, run: Run, folder: Path) -> Outcome:
    outcome = finished(run, folder)
    after = dict(read_card(folder).metrics)
    before = after.pop("before")
    console.print("on the selection scenarios, before and after:")
    for name in before:
        if name != "score":
            words = name.removeprefix("selection_").replace("_", " ")
            form = "7.1%" if name.endswith(("_rate", "_rate_attacked")) else "7.0f"
            console.print(f"  {words:<24}{before[name]:>{form}}  ->{after[name]:>{form}}")
    if after["score"] <= before["score"]:
        console.print("  no checkpoint scored above the controller it started from")
    port = "observation" if config.method == "sa-ppo" else "opponent"
    command = f"robo-adv audit --compare {config.controller} {folder} --ports {port}"
    if config.method == "sa-ppo":
        command += f" --unit {config.smooth.unit} --budgets observation={config.smooth.budget:g}"
    data = {**outcome.data, "before": before, "after": after, "controller": config.controller}
    return Outcome(data, run.folder, command)
