"""Audit recipe: a controller by name, in a world by name, over every port, into a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robo_adv.agents.controllers import Controller, controller
from robo_adv.agents.evaluation import normal_opponents, opponent_policy, other_player
from robo_adv.agents.failures import record
from robo_adv.agents.named import bundle_folder, find_card, zoo_names
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.agents.worlds import make_world
from robo_adv.audit.audit import Audit, run_audit
from robo_adv.audit.compare import compare, look_closer, primary_of
from robo_adv.audit.engine import SEARCH, Engine, Subject
from robo_adv.audit.failures import choose
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.reference import REFERENCE, Reference, measure
from robo_adv.audit.report import write_audit_report
from robo_adv.audit.store import Store
from robo_adv.audit.summary import summarise
from robo_adv.bundle import read_card
from robo_adv.envs.episode import World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED, even_width, scenarios
from robo_adv.runs import Run, plain, versions, write_text
from robo_adv.safety.criteria import make_criterion
from robo_adv.safety.verdict import Thresholds
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import PORTS

WIDTH = 128  # simulations side by side at most
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class AuditConfig:
    """What `robo-adv audit` does; see its options.

    Attributes:
        controller, env: names. options: of the game, or keywords of the environment.
        opponent: who plays the other player under normal conditions. adversaries: of port `opponent`.
        budgets: per port, instead of the suite's. search: scenarios per tried attack.
        baseline: a controller to compare with; `primary` names the row that carries the verdict, by
            `thresholds` (names of `verdict.Thresholds`).
    """

    controller: str
    env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    player: str = ""
    opponent: str = ""
    adversaries: tuple[str, ...] = ()
    ports: tuple[str, ...] = PORTS
    suite: str = "standard"
    attacks: tuple[str, ...] = ()
    budgets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    unit: str = ""
    slices: tuple[str, ...] = ("*",)
    schedule: str = "always"
    episodes: int = 50
    search: int = 8
    seed: int = REPORTED
    success: str = ""
    unsafe: str = ""
    trust: bool = False
    statistics: Path | None = None
    imports: tuple[str, ...] = ()
    reference: Path | None = None
    videos: int = 3
    threads: int = 0
    baseline: str = ""
    primary: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Bench:
    """What an audit plays with."""

    engine: Engine
    controller: Controller
    reference: Reference
    rows: list[Row]


def prepare(config: AuditConfig, world: World, reference: Reference | None = None) -> Bench:
    """Names to policies, the reference (measured on the controller, unless one is given) and the plan.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    player = config.player or _own_player(config.controller) or world.players[0]
    found = controller(
        config.controller, world, player, trust=config.trust, statistics=config.statistics
    )
    others = _others(config, world, player)
    reference = reference or _reference(config, world, player, found.policy, others)
    judge = make_criterion(
        world, player, success=config.success, unsafe=config.unsafe, reference=reference.returns
    )
    opponents = _adversaries(config, world, player)
    subject = Subject(
        name=config.controller, player=player, policy=found.policy, world=world, criterion=judge,
        others=others, access=found.access, bodies=_bodies(world, player),
        nulls=tuple(SCRIPTED[name](world, player) for name in ("zero", "random")),  # type: ignore[arg-type]
        opponents=opponents,
    )  # fmt: skip
    ports = [port for port in config.ports if port != "opponent" or opponents]
    rows = plan(
        ports, suite=config.suite, attacks=config.attacks, budgets=config.budgets,
        unit=config.unit, slices=config.slices, schedule=Schedule.parse(config.schedule),
        opponents=opponents,
    )  # fmt: skip
    if not rows:
        raise RoboAdvError(
            f"there is nothing to try on ports {', '.join(config.ports)} of {world.id}"
        )
    engine = Engine(subject, reference, scenarios(config.seed, config.episodes), config.search)
    for row in rows:
        if row.threat.port == "observation" and not engine.why_not(row):
            engine.attacked(row.threat, row.attack())  # type: ignore[arg-type]
    return Bench(engine, found, reference, rows)


def audit(
    config: AuditConfig, start: Callable[[str], Run], tell: Tell | None = None
) -> dict[str, Any]:
    """Audit a controller; returns the summary. Cells that the run folder holds are not played again.

    Args:
        start: world's id -> the run's folder; called when all names are known to exist and to fit.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    began = time.monotonic()
    torch.set_num_threads(1)  # the small matrices of a control step are fastest on one
    limits = thresholds_of(config)
    world = world_for(config, even_width(config.episodes, WIDTH))
    first = replace(config, controller=config.baseline) if config.baseline else config
    baseline = prepare(first, world)
    bench = prepare(config, world, baseline.reference) if config.baseline else baseline
    if config.baseline and bench.engine.subject.player != baseline.engine.subject.player:
        raise RoboAdvError(
            f"{config.baseline} plays {baseline.engine.subject.player}, {config.controller} plays "
            f"{bench.engine.subject.player}; compare controllers of one player"
        )
    if config.baseline:
        common = [row.label for row in bench.rows
                  if not bench.engine.why_not(row) and not baseline.engine.why_not(row)]  # fmt: skip
        primary_of(common, config.primary)
    run = start(world.id)
    bench.reference.save(run.folder / "reference.json")
    engine, null = bench.engine, bench.engine.null()
    summary = _about(config, bench, world)
    tell_first, tell_second = _halves(tell, config) if config.baseline else (None, tell)
    if config.baseline:
        theirs = run_audit(
            baseline.engine, baseline.rows, Store(run.folder / "baseline"), tell_first
        )
    found = run_audit(engine, bench.rows, Store(run.folder), tell_second)
    summary |= summarise(found, _horizon(world, found), null)
    if config.baseline:
        if tell:
            tell(1, 1, "where they differ, and what that does")
        summary |= _compared(config, limits, (bench, found), (baseline, theirs), null)
    summary["failures"] = _recorded(config, run, engine, found, tell)
    summary["command"] = (run.folder / "command.txt").read_text(encoding="utf-8").strip()
    summary["seconds"] = round(time.monotonic() - began, 1)
    cells = [found.clean, *(cell for line in found.lines for cell in line.cells[1:])]
    lines = "".join(json.dumps(line) + "\n" for cell in cells for line in cell.lines())
    write_text(run.folder / "episodes.jsonl", lines)
    write_audit_report(run.folder / "report.html", summary, cells, run.folder)
    run.finish(summary)
    world.close()
    return summary


def thresholds_of(config: AuditConfig) -> Thresholds:
    """What was declared for the verdict.

    Raises:
        RoboAdvError: no such threshold, or not a share.
    """
    for name in config.thresholds:
        if name not in vars(Thresholds()):
            raise unknown("threshold", name, vars(Thresholds()))
    return Thresholds(**config.thresholds)


def _about(config: AuditConfig, bench: Bench, world: World) -> dict[str, Any]:
    """Who is audited, where and how."""
    subject = bench.engine.subject
    return {
        "format": "robo_adv.audit/1",
        "controller": config.controller, "kind": bench.controller.kind, "world": world.id,
        "options": plain(getattr(world, "options", {})), "player": subject.player,
        "criterion": subject.criterion.to_json(), "suite": config.suite,
        "episodes": config.episodes, "seed": config.seed, "search_episodes": config.search,
        "search_seed": SEARCH, "access": _access(bench.controller),
        "deterministic": bench.controller.deterministic,
        "notices": _notices(bench.controller, world),
        "reference": {k: plain(getattr(bench.reference, k))
                      for k in ("controller", "world", "episodes", "seed", "returns")},
        "versions": versions(), "opponent": _opponent_name(config, world, subject.player),
    }  # fmt: skip


def _halves(tell: Tell | None, config: AuditConfig) -> tuple[Tell | None, Tell | None]:
    """Progress of the baseline's cells, and of the candidate's after them."""
    if tell is None:
        return None, None
    said = tell
    return (
        lambda done, total, what: said(done, 2 * total, f"{config.baseline}: {what}"),
        lambda done, total, what: said(total + done, 2 * total, f"{config.controller}: {what}"),
    )


def _compared(
    config: AuditConfig, limits: Thresholds, candidate: tuple[Bench, Audit],
    baseline: tuple[Bench, Audit], null: float,
) -> dict[str, Any]:  # fmt: skip
    """The comparison and the error profile, as fields of the summary."""
    (bench, found), (other, theirs) = candidate, baseline
    clean = found.clean.outcomes, theirs.clean.outcomes
    world, context = bench.engine.subject.world, None
    profile: dict[str, Any]
    try:
        profile, context = look_closer(bench.engine, other.engine.subject.policy, clean)
        profile["baseline"] = config.baseline
    except RoboAdvError as error:  # actions without bounds have no error in parts of their range
        profile = {"why_not": str(error), "baseline": config.baseline}
    summary = summarise(theirs, _horizon(world, theirs), null)
    summary |= {"controller": config.baseline, "kind": other.controller.kind}
    side = compare(found, theirs, null, limits, config.primary, context)
    return {"compare": {"baseline": summary, **side}, "error_profile": profile}


def world_for(config: AuditConfig, num_envs: int) -> World:
    """The config's world."""
    return make_world(
        config.env, num_envs, options=config.options, controller=config.controller,
        imports=config.imports, threads=config.threads,
    )  # fmt: skip


def _recorded(
    config: AuditConfig, run: Run, engine: Engine, found: Audit, tell: Tell | None
) -> list[dict[str, Any]]:
    """Record and film the failures that show most."""
    chosen = choose(found, config.videos)
    if not chosen:
        return []
    world = world_for(config, 1)
    about = {
        "game": config.env or world.id, "options": plain(getattr(world, "options", {})),
        "controller": config.controller, "imports": config.imports, "success": config.success,
        "unsafe": config.unsafe, "reference_return": engine.reference.returns,
    }  # fmt: skip
    out = record(
        chosen, run.folder, world, engine, about, lambda text: tell(1, 1, text) if tell else None
    )
    world.close()
    return out


def _own_player(name: str) -> str:
    """Whom a bundle plays; '' for what is none."""
    return find_card(name).player if bundle_folder(name) is not None else ""


def _others(config: AuditConfig, world: World, player: str) -> dict[str, Policy]:
    """The other players' policies under normal conditions."""
    if len(world.players) == 1:
        if config.opponent or config.adversaries:
            raise RoboAdvError(f"{world.id} has one player and no opponents; leave them out")
        return {}
    assert isinstance(world, Game)
    other = other_player(world, player)
    return {other: opponent_policy(_opponent_name(config, world, player), world, other)}


def _opponent_name(config: AuditConfig, world: World, player: str) -> str:
    if len(world.players) == 1:
        return ""
    assert isinstance(world, Game)
    normal = normal_opponents(world, other_player(world, player))
    return config.opponent or ("normal" if normal else "zero")


def _adversaries(config: AuditConfig, world: World, player: str) -> dict[str, dict[str, Policy]]:
    """Opponents to try: those named, or the zoo's adversaries and three that hardly play."""
    if len(world.players) == 1:
        return {}
    assert isinstance(world, Game)
    other = other_player(world, player)
    names = config.adversaries or (*_zoo_adversaries(world, other), "zero", "random")
    return {name: {other: opponent_policy(name, world, other)} for name in names}


def _zoo_adversaries(game: Game, player: str) -> list[str]:
    layout = [tuple(part) for part in game.layouts[player].to_json()]
    found = []
    for name in zoo_names():
        folder = bundle_folder(f"zoo:{name}")
        assert folder is not None
        card = read_card(folder)
        same = [tuple(part) for part in card.layout] == layout
        if card.game == game.id and card.player == player and same \
                and card.provenance.get("recipe") == "adversary":  # fmt: skip
            found.append(f"zoo:{name}")
    return found


def _reference(
    config: AuditConfig, world: World, player: str, policy: Policy, others: Mapping[str, Policy]
) -> Reference:
    layout = tuple((s.name, s.size, s.unit) for s in world.layouts[player])
    if config.reference is not None:
        reference = Reference.load(config.reference)
        reference.check_fits(layout)
        return reference
    seeds = scenarios(REFERENCE, max(config.episodes, 20))
    return measure(config.controller, world, player, {**others, player: policy}, seeds)[0]


def _bodies(world: World, player: str) -> tuple[str, ...]:
    """What pushes act on: the game's choice, or the first body of a foreign model."""
    if isinstance(world, Game):
        return world.pushable(player)
    model: Any = getattr(world, "model", None)
    return () if model is None else (model.body(1).name,)


def _access(found: Controller) -> list[str]:
    names = ("mean", "std", "value", "q", "normaliser")
    return [name for name in names if getattr(found.access, name) is not None]


def _notices(found: Controller, world: World) -> list[str]:
    out = list(found.notes)
    if not getattr(world, "seeded", True):
        out.append("The environment ignores seeds: scenarios are not paired.")
    if not getattr(world, "varied", True):
        out.append("The environment starts alike whatever its seed: all scenarios are one.")
    if notice := getattr(world, "notice", ""):
        out.append(notice)
    return out


def _horizon(world: World, found: Audit) -> float:
    """Longest episode that was seen [s]."""
    cells = [found.clean, *(cell for line in found.lines for cell in line.cells)]
    return float(max(max(cell.length) for cell in cells) * (world.control_dt or 1.0))
