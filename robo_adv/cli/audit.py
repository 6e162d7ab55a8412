"""`robo-adv audit`: how a controller fails, how badly, and how sure we are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from robo_adv.agents.audit import Tell, audit
from robo_adv.agents.export import check_target, export_tests, finished
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.gates import Gate
from robo_adv.audit.service import REACH
from robo_adv.cli.audit_options import check_counts, check_gates, parse_budgets, parse_shares
from robo_adv.cli.audit_print import judge, next_command, print_summary
from robo_adv.cli.options import parse_options
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run
from robo_adv.threats.threat import PORTS


@dataclass(frozen=True)
class AuditVerb:
    """Audit a controller over every port of the loop; writes a report with videos."""

    controller: Annotated[str, tyro.conf.Positional] = ""
    """zoo:<name>, a bundle's or run's folder, FILE.onnx, FILE.model as SA-PPO's code publishes them,
    module:callable, a scripted policy, or
    FILE.zip of stable-baselines3 with --trust. (With --compare or --resume: leave it out.)"""
    compare: tuple[str, str] | None = None
    """Two controllers, BEFORE AFTER: both are audited in the same scenarios, in units of the first;
    the report says what the second costs and gains, as a verdict."""
    primary: str = ""
    """With --compare: the row that carries the verdict, e.g. observation/pgd."""
    declare: tuple[str, ...] = ()
    """With --compare: what does not matter, and how many episodes are attacked in service, as shares,
    e.g. tax=0.02 harm=0.01 context=0.05 prevalence=0.1 (these)."""
    env: str = ""
    """A game (`robo-adv list`), or any Gymnasium environment with Box actions, e.g. Hopper-v5; by
    default what the controller's card says."""
    set: tuple[str, ...] = ()
    """Options of the game, or keywords of the environment, e.g. arms=4."""
    player: str = ""
    """Who the controller plays; a bundle's card says it."""
    opponent: str = ""
    """Who plays the other player under normal conditions: a policy, or `normal`."""
    adversaries: tuple[str, ...] = ()
    """Policies of port `opponent`; by default the zoo's adversaries, zero and random."""
    train_adversary: int = 0
    """Train one more opponent for so many environment steps, e.g. 1000000, against the controller; it
    joins port `opponent`."""
    ports: tuple[str, ...] = PORTS
    """Which ports to attack: observation action force level opponent."""
    suite: str = "standard"
    """Which attacks: quick, standard or full."""
    attacks: tuple[str, ...] = ()
    """Attacks by name, in place of the suite's."""
    budgets: tuple[str, ...] = ()
    """Budgets of a port, in place of the suite's, e.g. observation=0.05,0.15 force=1,2."""
    unit: tuple[str, ...] = ()
    """Units of budgets. Of observations: sigma (of the reference's nominal episodes), policy (of the
    controller's own normaliser) or raw; of forces: weight (of the robot) or N."""
    slices: tuple[str, ...] = ("*",)
    """Slices of the observation that may be touched, e.g. object_position opponent_*."""
    schedule: str = "always"
    """When threats act: always, every:K, burst:LENGTH/PERIOD, window:FIRST-LAST, at-most:M, share:P,
    when:SLICE[I]<NUMBER, joined by +."""
    episodes: int = 50
    """Scenarios per cell; the same ones in all cells."""
    search_episodes: int = 8
    """Scenarios that each tried push or level meets; never the reported ones."""
    failure_search: int = 0
    """Also search for failures as they come in service, without an attack, with so many simulations,
    e.g. 400: does it fail, how most likely, and how often?"""
    failure_reach: float = REACH
    """How much worlds differ in service: every parameter of the world varies normally around its
    nominal value, with the ends of its range at so many standard deviations."""
    smoothing: float = 0.0
    """What the return keeps for certain if the controller sees its observations with noise of so many
    units (policy smoothing); 0 for none."""
    seed: int = REPORTED
    """First scenario seed."""
    success: str = ""
    """What success is, e.g. "return>=3000"; a default where the world has one."""
    unsafe: str = ""
    """What is unsafe, e.g. "terminated", "fall>0 or speed>2.5", "velocity", module:function."""
    trust: bool = False
    """Open a stable-baselines3 zip, which can run code."""
    statistics: Path | None = None
    """VecNormalize's statistics of the zip; needs --trust."""
    imports: Annotated[tuple[str, ...], tyro.conf.arg(name="import")] = ()
    """Modules to import first, those that register your environment."""
    reference: Path | None = None
    """reference.json of another audit: what one sigma is."""
    videos: int = 3
    """How many failures are recorded and filmed."""
    fail_if: tuple[str, ...] = ()
    """Conditions such as "safe_success<0.9" (without attack) or "unsafe@force<=0.5>0.1" (under every
    attack on that port up to that budget), judged by 95 % intervals: exit 1 when one is met, 3 when
    undecided."""
    export_tests: Path | None = None
    """Also write a pytest suite that guards the controller to this new folder: the failures, the
    scenarios it was safe in, and --fail-if. With --resume of a finished run nothing is played."""
    threads: int = 0
    """Physics threads; 0 takes every CPU."""
    runs: Path = Path("runs")
    """Where run folders go."""
    resume: Path | None = None
    """Go on with this run folder; finished cells are kept, other options come from it."""
    json: bool = False
    """Print one machine-readable line last."""

    def run(self, console: Console) -> Outcome:
        conditions = [Gate.parse(text) for text in self.fail_if]
        if self.export_tests is not None:
            check_target(self.export_tests)
        config, start, runs = self._config()
        check_counts(config)
        try:
            if self.resume is not None and Run.open(self.resume).done:
                summary = finished(start(config.env))
                console.print("this audit is finished; nothing is played")
            else:
                with _progress(console) as tell:
                    summary = audit(config, start, tell, partial(check_gates, conditions))
        except KeyboardInterrupt:
            if not runs:
                raise
            raise KeyboardInterrupt(f"stopped; {_go_on(runs[0])}") from None
        except RoboAdvError as error:
            if not runs:
                raise
            raise RoboAdvError(f"{error}; {_go_on(runs[0])}") from error
        run = runs[0]
        print_summary(console, summary)
        code = judge(console, conditions, summary)
        if self.export_tests is not None:
            suite = export_tests(run, self.export_tests, self.fail_if)
            console.print(f"tests: {suite}; run `pytest {self.export_tests}`")
        data = {key: summary[key] for key in ("controller", "world", "clean", "ports", "rows")}
        if "compare" in summary:
            told = summary["compare"]
            data["compare"] = {k: told[k] for k in ("verdict", "primary", "cells") if k in told}
        return Outcome(data, run.folder, next_command(summary, run.folder), code)

    def _config(self) -> tuple[AuditConfig, Callable[[str], Run], list[Run]]:
        """The config, what starts the run, and where the started run is kept."""
        runs: list[Run] = []
        if self.resume is not None:
            old = Run.open(self.resume)
            if old.config.get("verb") != "audit":
                raise RoboAdvError(f"{self.resume} is not the run of an audit")
            if given := self._beside_resume():
                raise RoboAdvError(
                    f"--resume takes everything from {self.resume}; leave out {', '.join(given)}"
                )

            def resume(world: str) -> Run:
                runs.append(old)
                return old

            return _read(old), resume, runs
        if bool(self.controller) == bool(self.compare):
            raise RoboAdvError(
                "an audit needs one controller, or --compare BEFORE AFTER; got "
                + (f"both {self.controller} and --compare" if self.compare else "none")
            )
        before, after = self.compare or ("", self.controller)
        config = AuditConfig(
            controller=after, baseline=before, primary=self.primary,
            thresholds=parse_shares(self.declare), env=self.env, options=parse_options(self.set),
            player=self.player, opponent=self.opponent, adversaries=self.adversaries,
            train_adversary=self.train_adversary,
            ports=self.ports, suite=self.suite, attacks=self.attacks,
            budgets=parse_budgets(self.budgets), units=self.unit, slices=self.slices,
            schedule=self.schedule, episodes=self.episodes, search=self.search_episodes,
            failure_search=self.failure_search, failure_reach=self.failure_reach,
            smoothing=self.smoothing,
            seed=self.seed, success=self.success, unsafe=self.unsafe, trust=self.trust,
            statistics=self.statistics, imports=self.imports, reference=self.reference,
            videos=self.videos, threads=self.threads,
        )  # fmt: skip

        def create(world: str) -> Run:
            name = world.replace("/", "-").replace(":", "-")
            runs.append(Run.create(name, "audit", config, self.seed, self.runs))
            return runs[0]

        return config, create, runs

    def _beside_resume(self) -> list[str]:
        """Options that were given although the run says them."""
        free = ("resume", "json", "fail_if", "export_tests", "runs")
        return [
            "the controller" if f.name == "controller" else f"--{f.name.replace('_', '-')}"
            for f in fields(self)
            if f.name not in free and getattr(self, f.name) != f.default
        ]


def _go_on(run: Run) -> str:
    return f"finished cells are kept, go on with `robo-adv audit --resume {run.folder}`"


def _read(run: Run) -> AuditConfig:
    """The config of a run.

    Raises:
        RoboAdvError: config.json was edited, or written by another version.
    """
    try:
        return TypeAdapter(AuditConfig).validate_python(run.config.get("config"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RoboAdvError(
            f"{run.folder / 'config.json'} is not an audit's config: {where}: {first['msg']}"
        ) from error


@contextmanager
def _progress(console: Console) -> Iterator[Tell]:
    columns = (
        TextColumn("{task.description:<34}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("preparing", total=None)

        def tell(done: int, total: int, what: str) -> None:
            shown.update(task, completed=done, total=total, description=what)
            if not console.is_terminal:
                console.print(f"{done}/{total} {what}")

        yield tell
