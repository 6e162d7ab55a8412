"""`robo-adv audit`: how a controller fails, how badly, and how sure we are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from robo_adv.agents.audit import AuditConfig, Tell, audit
from robo_adv.cli.options import parse_options
from robo_adv.cli.train import check_seed
from robo_adv.cli.verb import FAILS, HOLDS, INCONCLUSIVE, Outcome
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import REPORTED
from robo_adv.runs import Run
from robo_adv.safety.statistics import FailIf, Rate
from robo_adv.threats.threat import PORTS

MEASURES = ("safe_success", "unsafe", "frozen")
_HEAT = ((0.9, "green"), (0.5, "yellow"), (0.0, "red"))


@dataclass(frozen=True)
class AuditVerb:
    """Audit a controller over every port of the loop; writes a report with videos."""

    controller: Annotated[str, tyro.conf.Positional] = ""
    """zoo:<name>, a bundle's or run's folder, FILE.onnx, module:callable, a scripted policy, or
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
    ports: tuple[str, ...] = PORTS
    """Which ports to attack: observation action force level opponent."""
    suite: str = "standard"
    """Which attacks: quick, standard or full."""
    attacks: tuple[str, ...] = ()
    """Attacks by name, in place of the suite's."""
    budgets: tuple[str, ...] = ()
    """Budgets of a port, in place of the suite's, e.g. observation=0.05,0.15 force=1,2."""
    unit: str = ""
    """Unit of the observation budgets: sigma (of the reference's nominal episodes), policy (of the
    controller's own normaliser) or raw."""
    slices: tuple[str, ...] = ("*",)
    """Slices of the observation that may be touched, e.g. object_position opponent_*."""
    schedule: str = "always"
    """When threats act: always, every:K, burst:LENGTH/PERIOD, window:FIRST-LAST, at-most:M, share:P,
    when:SLICE[I]<NUMBER, joined by +."""
    episodes: int = 50
    """Scenarios per cell; the same ones in all cells."""
    search_episodes: int = 8
    """Scenarios that each tried push or level meets; never the reported ones."""
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
        config, start, runs = self._config()
        if config.episodes < 2 or config.search < 1 or config.videos < 0:
            raise RoboAdvError(
                "an audit needs at least 2 episodes, 1 search episode and 0 videos, got "
                f"{config.episodes}, {config.search}, {config.videos}"
            )
        try:
            with _progress(console) as tell:
                summary = audit(config, start, tell)
        except KeyboardInterrupt:
            if not runs:
                raise
            raise KeyboardInterrupt(
                f"stopped; finished cells are kept, go on with `robo-adv audit --resume "
                f"{runs[0].folder}`"
            ) from None
        run = runs[0]
        _print(console, summary)
        code = _judge(console, conditions, summary)
        data = {key: summary[key] for key in ("controller", "world", "clean", "ports", "rows")}
        if "compare" in summary:
            told = summary["compare"]
            data["compare"] = {k: told[k] for k in ("verdict", "primary", "cells") if k in told}
        return Outcome(data, run.folder, _next(summary, run.folder), code)

    def _config(self) -> tuple[AuditConfig, Callable[[str], Run], list[Run]]:
        """The config, what starts the run, and where the started run is kept."""
        runs: list[Run] = []
        if self.resume is not None:
            old = Run.open(self.resume)
            if old.config.get("verb") != "audit":
                raise RoboAdvError(f"{self.resume} is not the run of an audit")

            def resume(world: str) -> Run:
                runs.append(old)
                return old

            return _read(old.config["config"]), resume, runs
        check_seed(self.seed, 2**63)
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
            ports=self.ports, suite=self.suite, attacks=self.attacks,
            budgets=parse_budgets(self.budgets), unit=self.unit, slices=self.slices,
            schedule=self.schedule, episodes=self.episodes, search=self.search_episodes,
            seed=self.seed, success=self.success, unsafe=self.unsafe, trust=self.trust,
            statistics=self.statistics, imports=self.imports, reference=self.reference,
            videos=self.videos, threads=self.threads,
        )  # fmt: skip

        def create(world: str) -> Run:
            name = world.replace("/", "-").replace(":", "-")
            runs.append(Run.create(name, "audit", config, self.seed, self.runs))
            return runs[0]

        return config, create, runs


def parse_budgets(pairs: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """`PORT=B1,B2,...` pairs.

    Raises:
        RoboAdvError: another form, or no such port.
    """
    out = {}
    for pair in pairs:
        port, _, numbers = pair.partition("=")
        if port not in PORTS:
            raise unknown("port", port, PORTS)
        try:
            out[port] = tuple(float(number) for number in numbers.split(","))
        except ValueError as error:
            raise RoboAdvError(
                f"budgets {pair!r} are not PORT=NUMBER,NUMBER,..., for example observation=0.05,0.15"
            ) from error
    return out


def parse_shares(pairs: tuple[str, ...]) -> dict[str, float]:
    """`NAME=NUMBER` pairs.

    Raises:
        RoboAdvError: another form.
    """
    out = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            out[name] = float(number)
        except ValueError as error:
            raise RoboAdvError(f"--declare {pair!r} is not NAME=NUMBER, e.g. tax=0.02") from error
    return out


def _read(values: dict[str, Any]) -> AuditConfig:
    """A config from a run's config.json."""
    known = {f.name for f in fields(AuditConfig)}
    kept: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known
    }
    kept["budgets"] = {port: tuple(budgets) for port, budgets in kept["budgets"].items()}
    for name in ("statistics", "reference"):
        kept[name] = Path(kept[name]) if kept[name] else None
    return AuditConfig(**kept)


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


def _print(console: Console, summary: dict[str, Any]) -> None:
    clean = summary["clean"]
    console.print(f"{summary['controller']} in {summary['world']}, {summary['episodes']} scenarios")
    for name, told in summary["criterion"].items():
        console.print(f"  {name}: {told}")
    for name in MEASURES:
        console.print(f"  {name:<13} {_rate(clean[name])} without attack")
    table = Table("threat", "unit", "safe success at budget", title="safe success under attack")
    for row in summary["rows"]:
        if row["skipped"]:
            table.add_row(row["label"], row["unit"], f"[dim]{row['skipped']}[/dim]")
            continue
        cells = [_cell(cell, clean) for cell in row["cells"][1:]]
        table.add_row(row["label"], row["unit"], "  ".join(cells))
    console.print(table)
    for port in summary["ports"]:
        at = port["halved_at"]
        told = "keeps half of its safe successes" if at is None else f"halved at {at:g}"
        told = told if clean["safe_success"]["count"] else "no safe success to lose"
        console.print(f"  {port['port']:<12} weakest against {port['row']}: {told}")
    if "compare" in summary:
        said = summary["compare"].get("verdict")
        name = summary["compare"]["baseline"]["controller"]
        console.print(f"against {name}: {said['verdict'] if said else 'no threat reached both'}")
        for reason in said["reasons"] if said else ():
            console.print(f"  {reason}")
    for notice in summary["notices"]:
        console.print(notice)


def _cell(cell: dict[str, Any], clean: dict[str, Any]) -> str:
    rate = cell["safe_success"]["rate"]
    share = rate / max(clean["safe_success"]["rate"], 1e-9)
    colour = next(name for least, name in _HEAT if share >= least)
    return f"{cell['budget']:g}: [{colour}]{100 * rate:.0f} %[/{colour}]"


def _rate(values: dict[str, Any]) -> str:
    return str(Rate(values["count"], values["episodes"]))


def _next(summary: dict[str, Any], folder: Path) -> str:
    failures = summary["failures"]
    return failures[0]["command"] if failures else f"open {folder / 'report.html'}"


@dataclass(frozen=True)
class Gate:
    """A condition of --fail-if: of the clean cell, or of a port's cells up to a budget."""

    condition: FailIf
    port: str = ""
    budget: float = 0.0

    @staticmethod
    def parse(text: str) -> Gate:
        """Read `MEASURE<NUMBER` or `MEASURE@PORT<=BUDGET<NUMBER`.

        Raises:
            RoboAdvError: another form, no such measure or port.
        """
        name, at, rest = text.partition("@")
        if not at:
            gate = Gate(FailIf.parse(text))
        else:
            port, sign, tail = rest.partition("<=")
            cut = next((i for i, c in enumerate(tail) if c in "<>"), -1)
            try:
                budget = float(tail[:cut])
            except ValueError:
                budget = -1.0
            if not sign or cut < 0 or budget < 0:
                raise RoboAdvError(
                    f"--fail-if {text!r} is not MEASURE<NUMBER or MEASURE@PORT<=BUDGET<NUMBER, for "
                    'example "unsafe@force<=0.5>0.1"'
                )
            if port not in PORTS:
                raise unknown("port", port, PORTS)
            gate = Gate(FailIf.parse(name + tail[cut:]), port, budget)
        if gate.condition.name not in MEASURES:
            raise unknown("measure of --fail-if", gate.condition.name, MEASURES)
        return gate

    def cells(self, summary: dict[str, Any]) -> Iterator[tuple[str, Rate]]:
        """What it is judged on, with names."""
        name = self.condition.name
        rows = [row for row in summary["rows"] if row["port"] == self.port and not row["skipped"]]
        cells = [("no attack", summary["clean"])] if not self.port else [
            (f"{row['label']} {cell['budget']:g}", cell)
            for row in rows for cell in row["cells"][1:] if cell["budget"] <= self.budget
        ]  # fmt: skip
        for label, cell in cells:
            yield label, Rate(cell[name]["count"], cell[name]["episodes"])


def _judge(console: Console, gates: list[Gate], summary: dict[str, Any]) -> int:
    code = HOLDS
    for gate in gates:
        condition, judged = gate.condition, list(gate.cells(summary))
        if not judged:
            raise RoboAdvError(f"--fail-if: no cell of port {gate.port!r} up to {gate.budget:g}")
        for label, rate in judged:
            verdict = condition.judge(rate)
            word = {"fails": "FAILS", "inconclusive": "OPEN ", "holds": "HOLDS"}[verdict]
            console.print(f"{word}  {label}: {condition.name} {rate}")
            if verdict == "fails":
                code = FAILS
            elif verdict == "inconclusive" and code == HOLDS:
                code = INCONCLUSIVE
    return code
