"""Audit recipe: a controller by name, in a world by name, over every port, into a run folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from robo_adv.agents.attackers import trainer, training_seed
from robo_adv.agents.controllers import Controller
from robo_adv.agents.failures import record
from robo_adv.agents.notices import after_playing, before_playing
from robo_adv.agents.service import search_failures
from robo_adv.agents.subject import (
    TRAINED,
    AuditConfig,
    Bench,
    opponent_name,
    prepare,
    thresholds_of,
    world_for,
)
from robo_adv.agents.trained import with_trained
from robo_adv.audit.audit import Audit, run_audit
from robo_adv.audit.certificates import certificates, smoothed
from robo_adv.audit.compare import compare, look_closer, primary_of
from robo_adv.audit.engine import SEARCH, Engine
from robo_adv.audit.failures import choose
from robo_adv.audit.plan import Row
from robo_adv.audit.report import write_audit_report
from robo_adv.audit.service import check_search
from robo_adv.audit.store import Cell, Store
from robo_adv.audit.suite import searched
from robo_adv.audit.summary import summarise
from robo_adv.envs.episode import World
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import even_width
from robo_adv.runs import Run, plain, versions, write_with
from robo_adv.safety.verdict import Thresholds
from robo_adv.training.learner import Threads

WIDTH = 128  # simulations side by side at most
Tell = Callable[[int, int, str], None]


def audit(
    config: AuditConfig, start: Callable[[str], Run], tell: Tell | None = None,
    check: Callable[[list[Row]], None] = lambda rows: None,
) -> dict[str, Any]:  # fmt: skip
    """Audit a controller; returns the summary. Cells that the run folder holds are not played again.

    Args:
        start: world's id -> the run's folder; called when all names are known to exist and to fit.
        check: looks at the plan before that, and may refuse it.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    began = time.monotonic()
    torch.set_num_threads(1)  # the small matrices of a control step are fastest on one
    limits = thresholds_of(config)
    if config.smoothing < 0 or not math.isfinite(config.smoothing):
        raise RoboAdvError(f"--smoothing is a finite number of at least 0, got {config.smoothing}")
    if config.failure_search:
        check_search(config.failure_search, config.failure_reach)
    world = world_for(config, even_width(config.episodes, WIDTH))
    if tell:
        tell(0, 1, "nominal episodes, for reference")
    first = replace(config, controller=config.baseline) if config.baseline else config
    baseline = prepare(first, world)
    bench = prepare(config, world, baseline.reference) if config.baseline else baseline
    if config.baseline and bench.engine.subject.player != baseline.engine.subject.player:
        raise RoboAdvError(
            f"{config.baseline} plays {baseline.engine.subject.player}, {config.controller} plays "
            f"{bench.engine.subject.player}; compare controllers of one player"
        )
    if config.baseline:
        common = [row.label for row in bench.rows if row.name == TRAINED
                  or not (bench.engine.why_not(row) or baseline.engine.why_not(row))]  # fmt: skip
        primary_of(common, config.primary)
    check(bench.rows)
    run = start(world.id)
    bench.reference.save(run.folder / "reference.json")
    _can_train(bench, config, run.folder, tell)
    if config.baseline:
        _can_train(baseline, first, run.folder / "baseline", tell)
    if config.train_adversary:
        bench = with_trained(bench, config, run.folder / "adversary", tell)
    if config.train_adversary and config.baseline:
        baseline = with_trained(baseline, first, run.folder / "baseline" / "adversary", tell)
    engine, null = bench.engine, bench.engine.null()
    summary = _about(config, bench, world)
    tell_first, tell_second = _halves(tell, config) if config.baseline else (None, tell)
    if config.baseline:
        theirs = run_audit(
            baseline.engine,
            baseline.rows,
            Store(run.folder / "baseline", _key(first, baseline, world)),
            tell_first,
        )
    found = run_audit(
        engine, bench.rows, Store(run.folder, _key(config, bench, world)), tell_second
    )
    summary |= summarise(found, _horizon(world, found), null)
    summary["notices"] += after_playing(bench, found)
    if config.baseline:
        if tell:
            tell(1, 1, "where they differ, and what that does")
        summary |= _compared(config, limits, (bench, found), (baseline, theirs), null)
    summary["searched"] = searched(engine, bench.rows)
    summary["certificates"] = certificates(engine, bench.rows)
    if config.smoothing:
        summary["smoothing"] = smoothed(engine, bench.rows, config.smoothing)
    summary["failures"] = _recorded(config, run, engine, found, tell)
    if config.failure_search:
        summary["failure_search"] = search_failures(
            config.failure_search, run.folder, engine, _replayed(config, engine),
            lambda: world_for(config, 1), tell, config.videos > 0, config.failure_reach,
        )  # fmt: skip
    summary["command"] = run.command
    summary["seconds"] = round(time.monotonic() - began, 1)
    cells = [found.clean, *(cell for line in found.lines for cell in line.cells[1:])]
    write_with(run.folder / "episodes.jsonl", lambda path: _write_lines(path, cells))
    write_audit_report(run.folder / "report.html", summary, cells, run.folder)
    run.finish(summary)
    world.close()
    return summary


def _can_train(bench: Bench, config: AuditConfig, folder: Path, tell: Tell | None) -> None:
    """Let the bench's learned attacks train under `folder`."""
    bench.engine.trainer = trainer(
        folder / "attackers", lambda rows: world_for(config, rows), bench.controller.digest,
        training_seed(config.seed), Threads(physics=config.threads, update=1), tell,
    )  # fmt: skip


def _about(config: AuditConfig, bench: Bench, world: World) -> dict[str, Any]:
    """Who is audited, where and how."""
    subject = bench.engine.subject
    return {
        "format": "robo_adv.audit/1", "controller_sha256": bench.controller.digest,
        "controller": config.controller, "kind": bench.controller.kind, "world": world.id,
        "options": plain(getattr(world, "options", {})), "player": subject.player,
        "criterion": subject.criterion.to_json(), "suite": config.suite,
        "episodes": config.episodes, "seed": config.seed, "search_episodes": config.search,
        "search_seed": SEARCH, "access": _access(bench.controller),
        "deterministic": bench.controller.deterministic,
        "notices": before_playing(bench.controller, world),
        "reference": {k: plain(getattr(bench.reference, k))
                      for k in ("controller", "world", "episodes", "seed", "returns")},
        "versions": versions(), "opponent": opponent_name(config, world, subject.player),
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
    baseline: tuple[Bench, Audit], null: npt.ArrayLike,
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


def _recorded(
    config: AuditConfig, run: Run, engine: Engine, found: Audit, tell: Tell | None
) -> list[dict[str, Any]]:
    """Record and film the failures that show most."""
    chosen = choose(found, config.videos)
    if not chosen:
        return []
    world = world_for(config, 1)
    out = record(
        chosen, run.folder, world, engine, _replayed(config, engine),
        lambda text: tell(1, 1, text) if tell else None,
    )  # fmt: skip
    world.close()
    return out


def _replayed(config: AuditConfig, engine: Engine) -> dict[str, Any]:
    """What a replay says of world and controller."""
    world = engine.subject.world
    return {
        "game": config.env or world.id,
        "options": {**plain(getattr(world, "options", {})), **plain(config.options)},
        "controller": config.controller, "imports": config.imports, "success": config.success,
        "unsafe": config.unsafe, "reference_return": engine.reference.returns,
    }  # fmt: skip


def _write_lines(path: Path, cells: Sequence[Cell]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for cell in cells for line in cell.lines())


def _access(found: Controller) -> list[str]:
    names = ("mean", "std", "value", "q", "normaliser")
    return [name for name in names if getattr(found.access, name) is not None]


def _key(config: AuditConfig, bench: Bench, world: World) -> str:
    """What every cell depends on: cells of a run with another key are played again."""
    about = {**_about(config, bench, world), "notices": []}
    return json.dumps([about, plain(bench.reference)], sort_keys=True)


def _horizon(world: World, found: Audit) -> float:
    """Longest episode that was seen [s]."""
    cells = [found.clean, *(cell for line in found.lines for cell in line.cells)]
    return float(max(max(cell.length) for cell in cells) * (world.control_dt or 1.0))
