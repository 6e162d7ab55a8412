"""Audit recipe: a controller by name, in a world by name, over every port, into a run folder."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robo_adv.agents.controllers import Controller, controller
from robo_adv.agents.evaluation import normal_opponents, opponent_policy, other_player, world_of
from robo_adv.agents.named import bundle_folder, find_card, zoo_names
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.audit.audit import Audit, run_audit
from robo_adv.audit.engine import SEARCH, Engine, Subject
from robo_adv.audit.failures import Failure, choose, recorded
from robo_adv.audit.film import Panel, film
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.reference import REFERENCE, Reference, measure
from robo_adv.audit.replay import Replay
from robo_adv.audit.report import write_audit_report
from robo_adv.audit.store import Store
from robo_adv.audit.summary import summarise
from robo_adv.bundle import read_card
from robo_adv.envs.episode import World
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED, even_width, scenarios
from robo_adv.runs import Run, plain, versions, write_text
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import PORTS

OUTCOMES = {"safe_success": "safe success", "unsafe": "unsafe", "frozen": "safe, but no success"}
WIDTH = 128  # simulations side by side at most
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class AuditConfig:
    """What `robo-adv audit` does; see its options.

    Attributes:
        controller, env: names. options: of the game, or keywords of the environment.
        opponent: who plays the other player under normal conditions. adversaries: of port `opponent`.
        budgets: per port, instead of the suite's. search: scenarios per tried attack.
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


def make_world(config: AuditConfig, num_envs: int) -> World:
    """The world that a config means: one of our games, or a Gymnasium environment.

    Raises:
        RoboAdvError: it cannot be made.
    """
    for module in config.imports:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise RoboAdvError(f"--import {module}: {error}") from error
    name = config.env.removeprefix("robo_adv/")
    if not name or name in GAMES:
        names = [config.controller] if config.controller else []
        found = world_of(names, name or None, config.options)
        if name not in ("", found.game):  # a bundle of another game: its check will say so
            found = type(found)(name, dict(config.options))
        game: World = make_game(found.game, num_envs, threads=config.threads, **found.options)
        return game
    return GymnasiumWorld(config.env, num_envs, **config.options)


@dataclass(frozen=True)
class Bench:
    """What an audit plays with."""

    engine: Engine
    controller: Controller
    reference: Reference
    rows: list[Row]


def prepare(config: AuditConfig, world: World) -> Bench:
    """Names to policies, the reference and the plan.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    player = config.player or _own_player(config.controller) or world.players[0]
    found = controller(
        config.controller, world, player, trust=config.trust, statistics=config.statistics
    )
    others = _others(config, world, player)
    reference = _reference(config, world, player, found.policy, others)
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
    world = make_world(config, even_width(config.episodes, WIDTH))
    bench = prepare(config, world)
    run = start(world.id)
    bench.reference.save(run.folder / "reference.json")
    found = run_audit(bench.engine, bench.rows, Store(run.folder), tell)
    engine, subject = bench.engine, bench.engine.subject
    summary: dict[str, Any] = {
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
    summary |= summarise(found, _horizon(world, found), engine.null())
    if tell:
        tell(1, 1, "recording the failures")
    summary["failures"] = _failures(config, run, engine, found)
    summary["command"] = (run.folder / "command.txt").read_text(encoding="utf-8").strip()
    summary["seconds"] = round(time.monotonic() - began, 1)
    cells = [found.clean, *(cell for line in found.lines for cell in line.cells[1:])]
    lines = "".join(json.dumps(line) + "\n" for cell in cells for line in cell.lines())
    write_text(run.folder / "episodes.jsonl", lines)
    write_audit_report(run.folder / "report.html", summary, cells, run.folder)
    run.finish(summary)
    world.close()
    return summary


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


def _failures(config: AuditConfig, run: Run, engine: Engine, found: Audit) -> list[dict[str, Any]]:
    """Record the chosen failures, film them, and say how each is replayed."""
    chosen = choose(found, config.videos)
    if not chosen:
        return []
    world = make_world(config, 1)
    about = {
        "game": config.env or world.id, "options": plain(getattr(world, "options", {})),
        "controller": config.controller, "imports": list(config.imports),
        "success": config.success, "unsafe": config.unsafe,
        "reference_return": engine.reference.returns,
    }  # fmt: skip
    out = []
    for k, failure in enumerate(chosen):
        folder = run.folder / "failures" / f"{k + 1}"
        recording, outcomes = recorded(engine, failure, world, about)
        recording.save(folder)
        entry = {
            **failure.to_json(), "bundle": str(folder.relative_to(run.folder)),
            "command": f"robo-adv replay {folder}",
            "reproduced": bool(
                outcomes.unsafe[0] == failure.cell.outcomes.unsafe[failure.index]
                and outcomes.success[0] == failure.cell.outcomes.success[failure.index]
            ),
        }  # fmt: skip
        try:
            entry["video"] = _film(run, world, engine, failure, recording, about, k)
        except DependencyError as error:
            entry["video"], entry["why_no_video"] = "", str(error)
        out.append(entry)
    world.close()
    return out


def _film(
    run: Run, world: World, engine: Engine, failure: Failure, recording: Replay,
    about: Mapping[str, Any], k: int,
) -> str:  # fmt: skip
    subject = engine.subject
    panels = [Panel(_title(failure), recording, OUTCOMES[failure.outcome])]
    if failure.row is not None:
        calm = replace(failure, row=None, cell=replace(failure.cell, budget=0.0))
        before, _ = recorded(engine, calm, world, about)
        panels.insert(0, Panel("no attack", before, OUTCOMES["safe_success"]))
    names = {p: subject.name if p == subject.player else "" for p in world.players}
    path = run.folder / "videos" / f"failure-{k + 1}.mp4"
    film(path, world, panels, names)
    return str(path.relative_to(run.folder))


def _title(failure: Failure) -> str:
    if failure.row is None:
        return "no attack"
    threat = failure.row.threat
    return f"{failure.label} at {failure.cell.budget:g} {threat.unit}"
