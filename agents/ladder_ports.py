"""Ladders at several ports of one controller, side by side: which one breaks it most cheaply?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from robo_adv.agents.ladder import (
    PORTS,
    LadderConfig,
    Say,
    Scene,
    Tell,
    play,
    refused,
    set_up,
)
from robo_adv.agents.ladder_words import stated
from robo_adv.audit.cheapest import cheapest, no_ladder
from robo_adv.audit.ladder import find_suite
from robo_adv.audit.plan import BUDGETS
from robo_adv.audit.report_ladder import write_ports_report
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.runs import Run, versions
from robo_adv.threats.threat import UNITS


def compare_ports(
    config: LadderConfig, start: Callable[[str], Run], tell: Tell | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:  # fmt: skip
    """A ladder at each of the config's ports, in the same scenarios; returns the summary.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    scenes: list[tuple[str, Scene]] = []
    for port in config.ports:
        if port not in PORTS:
            raise unknown("port of the ladder", port, PORTS)
    for port, budgets in config.ports.items():
        reference = scenes[0][1].bench.reference if scenes else None
        here = replace(
            config, port=port, budgets=budgets or usual(port), unit=unit_at(config.unit, port),
            only=chosen_at(config, port),
        )  # fmt: skip
        scenes.append((port, set_up(here, tell, reference)))
    why = {port: refused(scene) for port, scene in scenes}
    if all(why.values()):
        raise RoboAdvError("; ".join(f"port {port}: {told}" for port, told in why.items()))
    for port, scene in scenes:
        if not why[port]:
            say(stated(scene))
    run = start(scenes[0][1].world.id)
    scenes[0][1].bench.reference.save(run.folder / "reference.json")
    lines = []
    for port, scene in scenes:
        if why[port]:
            lines.append(no_ladder(port, why[port]))
            continue
        found = play(scene, run.folder / port, tell)
        lines.append(cheapest(found, config.subject.seed))
        scene.world.close()
    scene = scenes[0][1]
    summary = {
        "format": "robo_adv.ports/1", "controller": config.subject.controller,
        "controller_sha256": scene.bench.controller.digest, "world": scene.world.id,
        "suite": scene.suite.name, "suite_sha256": scene.suite.digest,
        "episodes": config.subject.episodes, "seed": config.subject.seed,
        "criterion": scene.bench.engine.subject.criterion.to_json(), "ports": lines,
        "versions": versions(), "command": run.command,
    }  # fmt: skip
    write_ports_report(run.folder / "report.html", summary)
    run.finish(summary)
    return summary


def chosen_at(config: LadderConfig, port: str) -> tuple[str, ...]:
    """Of the rungs that were asked for those at this port; () for all.

    Raises:
        RoboAdvError: none is at this port, or one is at no port.
    """
    ladders = find_suite(config.suite).ports
    known = {p: {rung.name for rung in ladders.get(p, ())} for p in config.ports}
    for name in config.only:
        if not any(name in names for names in known.values()):
            raise unknown("rung at these ports", name, sorted(set().union(*known.values())))
    found = tuple(name for name in config.only if name in known[port])
    if config.only and not found:
        raise RoboAdvError(f"--attacks names no rung at port {port}, which --ports has")
    return found


def usual(port: str) -> tuple[float, ...]:
    """The audit's budgets of a port."""
    return next(budgets for (name, _), budgets in BUDGETS.items() if name == port)


def unit_at(unit: str, port: str) -> str:
    """The unit, where the port has it; elsewhere the port's usual one."""
    return unit if any(unit in some for (name, _), some in UNITS.items() if name == port) else ""
