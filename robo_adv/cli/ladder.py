"""`robo-adv ladder`: how much of a controller a fixed, versioned suite of attacks leaves."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from robo_adv.agents.ladder import (
    USUAL,
    LadderConfig,
    card_folder,
    ladder,
    save_card,
)
from robo_adv.agents.ladder_ports import compare_ports
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.ladder import DEFAULT
from robo_adv.audit.robustness import RobustnessCard
from robo_adv.cli.audit import _progress
from robo_adv.cli.audit_options import check_counts, parse_budgets
from robo_adv.cli.ladder_print import print_card, print_ports
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run


@dataclass(frozen=True)
class LadderVerb:
    """Attack a controller with a fixed suite, from noise to trained attackers; report and card."""

    controller: Annotated[str, tyro.conf.Positional] = ""
    """zoo:<name>, a bundle's or run's folder, FILE.onnx, FILE.model as SA-PPO's code publishes them,
    module:callable, a scripted policy, or
    FILE.zip of stable-baselines3 with --trust. (With --resume: leave it out.)"""
    env: str = ""
    """A game (`robo-adv list`), or any Gymnasium environment with Box actions, e.g. Hopper-v5; by
    default what the controller's card says."""
    set: tuple[str, ...] = ()
    """Options of the game, or keywords of the environment, e.g. arms=4."""
    player: str = ""
    """Who the controller plays; a bundle's card says it."""
    opponent: str = ""
    """Who plays the other player: a policy, or `normal`."""
    port: Literal["observation", "action", "force", "level"] = "observation"
    """What is attacked."""
    budget: tuple[float, ...] = ()
    """How far attacks may go, in --unit; several give a curve, each with trainings of its own.
    By default 0.15."""
    unit: str = ""
    """Of observations: sigma (standard deviations of nominal episodes), policy (of the controller's own
    normaliser) or raw; of forces: weight (of the robot) or N."""
    suite: str = DEFAULT
    """Which ladder: quick-v0 (minutes), standard-v0, full-v0 (hours)."""
    attacks: tuple[str, ...] = ()
    """Only these rungs of the suite, by name."""
    aim: Literal["", "return", "cost", "stealth"] = ""
    """Only rungs after this: return (what it loses), cost (harm), stealth (harm that the return does
    not show)."""
    ports: tuple[str, ...] = ()
    """Which port breaks it most cheaply: play these, e.g. observation action force level, at rising
    --budgets, and report the smallest budget that halves safe success."""
    budgets: tuple[str, ...] = ()
    """With --ports: budgets of a port, e.g. observation=0.05,0.1 force=0.5,1."""
    episodes: int = 50
    """Scenarios per rung; the same ones for all."""
    search_episodes: int = 8
    """Scenarios that each tried attack meets; never the reported ones."""
    seed: int = REPORTED
    """First scenario seed; attacks are trained from it too."""
    success: str = ""
    """What success is, e.g. "return>=3000"; a default where the world has one."""
    unsafe: str = ""
    """What is unsafe, e.g. "terminated", "fall>0 or speed>2.5", module:function."""
    trust: bool = False
    """Open a stable-baselines3 zip, which can run code."""
    statistics: Path | None = None
    """VecNormalize's statistics of the zip; needs --trust."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import")] = ()
    """Modules to import first, those that register your environment."""
    reference: Path | None = None
    """reference.json of another audit or ladder: what one sigma is."""
    save_card: bool = False
    """Write the card beside the bundle too, for `robo-adv zoo show` and `robo-adv leaderboard`."""
    threads: int = 0
    """Physics threads; 0 takes every CPU."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Go on with this run folder; finished rungs are kept, other options come from it."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        config, start, runs = self._config()
        if self.save_card:
            card_folder(config.subject.controller)
            if config.only or config.aim or self.ports:
                raise RoboAdvError(
                    "--save-card takes whole suites only; leave out --attacks, --aim and --ports"
                )
        try:
            with _progress(console) as tell:
                if config.ports:
                    ports = compare_ports(config, start, tell, console.print)
                else:
                    found = ladder(config, start, tell, console.print)
        except KeyboardInterrupt:
            if not runs:
                raise
            raise KeyboardInterrupt(f"stopped; {_go_on(runs[0])}") from None
        except RoboAdvError as error:
            if not runs:
                raise
            raise RoboAdvError(f"{error}; {_go_on(runs[0])}") from error
        folder = runs[0].folder
        if config.ports:
            print_ports(console, ports)
            return Outcome(ports, folder, f"open {folder / 'report.html'}")
        print_card(console, found.card)
        if self.save_card:
            console.print(f"card: {save_card(found.card)}")
        console.print(f"report: {folder / 'report.html'}")
        return Outcome({"card": found.card.model_dump(mode="json")}, folder, _next(found.card))

    def _config(self) -> tuple[LadderConfig, Callable[[str], Run], list[Run]]:
        """The config, what starts the run, and where the started run is kept."""
        runs: list[Run] = []
        if self.resume is not None:
            old = Run.open(self.resume)
            if old.config.get("verb") != "ladder":
                raise RoboAdvError(f"{self.resume} is not the run of a ladder")
            if given := self._beside_resume():
                raise RoboAdvError(
                    f"--resume takes everything from {self.resume}; leave out {', '.join(given)}"
                )

            def resume(world: str) -> Run:
                runs.append(old)
                return old

            return _read(old), resume, runs
        if not self.controller:
            raise RoboAdvError("a ladder needs a controller, for example zoo:push-panda-s1")
        subject = AuditConfig(
            controller=self.controller, env=self.env, options=parse_options(self.set),
            player=self.player, opponent=self.opponent, episodes=self.episodes,
            search=self.search_episodes, seed=self.seed, success=self.success, unsafe=self.unsafe,
            trust=self.trust, statistics=self.statistics, imports=self.imports,
            reference=self.reference, videos=0, threads=self.threads,
        )  # fmt: skip
        check_counts(subject)
        config = LadderConfig(
            subject, self.suite, self.port, self.budget or (USUAL,), self.unit, self.attacks,
            self.aim, self._asked_ports(),
        )  # fmt: skip

        def create(world: str) -> Run:
            name = world.replace("/", "-").replace(":", "-")
            runs.append(Run.create(name, "ladder", config, self.seed, self.runs))
            return runs[0]

        return config, create, runs

    def _asked_ports(self) -> dict[str, tuple[float, ...]]:
        budgets = parse_budgets(self.budgets)
        if not self.ports:
            if budgets:
                raise RoboAdvError("--budgets belongs to --ports; one ladder takes --budget NUMBER")
            return {}
        if self.budget or self.port != "observation":
            raise RoboAdvError("--ports takes --budgets PORT=..., not --port and --budget")
        if extra := [port for port in budgets if port not in self.ports]:
            raise RoboAdvError(f"--budgets names {', '.join(extra)}, which --ports does not")
        return {port: budgets.get(port, ()) for port in self.ports}

    def _beside_resume(self) -> list[str]:
        """Options that were given although the run says them."""
        free = ("resume", "json", "save_card", "runs")
        return [
            "the controller" if f.name == "controller" else f"--{f.name.replace('_', '-')}"
            for f in fields(self)
            if f.name not in free and getattr(self, f.name) != f.default
        ]


def _go_on(run: Run) -> str:
    return f"finished rungs are kept, go on with `robo-adv ladder --resume {run.folder}`"


def _next(card: RobustnessCard) -> str:
    if card.controller.startswith("zoo:"):
        return "robo-adv leaderboard"
    options = [f"{name}={json.dumps(value)}" for name, value in card.options.items()]
    words = ["robo-adv", "audit", card.controller, "--env", card.world]
    words += ["--set", *options] if options else []
    words += ["--unit", card.unit] if card.port == "observation" else []
    return shlex.join(words)


def _read(run: Run) -> LadderConfig:
    """The config of a run.

    Raises:
        RoboAdvError: config.json was edited, or written by another version.
    """
    try:
        return TypeAdapter(LadderConfig).validate_python(run.config.get("config"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RoboAdvError(
            f"{run.folder / 'config.json'} is not a ladder's config: {where}: {first['msg']}"
        ) from error
