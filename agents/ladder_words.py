"""What a ladder says of itself: what it will cost, what a reader must know, how it is repeated."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_adv.agents.notices import BROKEN, before_playing
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.ladder_run import Climb
from robo_adv.rollout import REPORTED

if TYPE_CHECKING:
    from robo_adv.agents.ladder import LadderConfig, Scene

HORIZON = 1_000  # steps of an episode of worlds that do not tell


def stated(scene: Scene) -> str:
    """What the ladder costs at most, in words."""
    config, subject = scene.config, scene.config.subject
    horizon = int(
        getattr(scene.world, "time_limit", 0) or getattr(scene.world, "clock_steps", 1000)
    )
    actions = scene.world.action_size(scene.bench.engine.subject.player)
    engine = scene.bench.engine
    able = {
        rung.name for rung in scene.rungs
        if not engine.why_not(rung.row(config.port, config.budgets[0], config.unit))
    }  # fmt: skip
    able -= {rung.name for rung in scene.rungs if rung.instead in able}
    costs = [
        r.cost(subject.episodes, subject.search, horizon, actions)
        for r in scene.rungs if r.name in able
    ]  # fmt: skip
    steps, queries = (len(config.budgets) * sum(c[k] for c in costs) for k in (0, 1))
    return (
        f"{scene.suite.name} at port {config.port}: {len(able)} of {len(scene.rungs)} rungs can be "
        f"tried at {len(config.budgets)} budget(s), with at most {steps:,} environment steps and "
        f"{queries:,} queries of the controller"
    )


def command_of(config: LadderConfig) -> str:
    """The command that plays it, without where it is written."""
    s, usual = config.subject, AuditConfig("")
    words = ["robo-adv", "ladder", s.controller]
    flags: list[tuple[str, Any, Any]] = [
        ("--env", s.env, ""), ("--set", [f"{k}={json.dumps(v)}" for k, v in s.options.items()], []),
        ("--player", s.player, ""), ("--opponent", s.opponent, ""),
        ("--suite", config.suite, ""), ("--port", config.port, "observation"),
        ("--budget", [f"{b:g}" for b in config.budgets], []), ("--unit", config.unit, ""),
        ("--attacks", list(config.only), []), ("--aim", config.aim, ""),
        ("--episodes", s.episodes, usual.episodes), ("--search-episodes", s.search, usual.search),
        ("--seed", s.seed, REPORTED), ("--success", s.success, ""), ("--unsafe", s.unsafe, ""),
        ("--import", list(s.imports), []),
        ("--statistics", str(s.statistics or ""), ""), ("--reference", str(s.reference or ""), ""),
    ]  # fmt: skip
    for flag, value, default in flags:
        if value != default:
            words += [flag, *(map(str, value) if isinstance(value, list) else [str(value)])]
    return shlex.join([*words, *(["--trust"] if s.trust else [])])


def notices(scene: Scene, found: Climb) -> list[str]:
    """What a reader of the numbers must know, in sentences."""
    out = before_playing(scene.bench.controller, scene.world)
    if not scene.bench.controller.deterministic:
        out.append(
            "The numbers are averages over its own random numbers too; the best of the suite in each "
            "scenario also picks among its unlucky draws."
        )
    if found.skipped and scene.bench.controller.black_box:
        tried = len({step.rung.name for step in found.steps if step.probe is None})
        out.append(f"The black-box ladder was played: {tried} rungs that ask nothing from inside.")
    out += beyond_sensors(scene)
    cells = [found.clean.cell, *(step.cell for step in found.steps)]
    episodes = sum(len(cell.outcomes) for cell in cells)
    for kind, what in BROKEN.items():
        if count := sum(cell.ended.count(kind) for cell in cells):
            out.append(f"In {count} of {episodes} episodes {what}; they count as no success.")
    return out


def beyond_sensors(scene: Scene) -> list[str]:
    """Whether false readings can leave the range that the world declares for its sensors."""
    config, engine = scene.config, scene.bench.engine
    if config.port == "action" and config.budgets[-1] >= 2.0:
        return ["A budget of 2 half ranges or more replaces an action altogether."]
    if config.port != "observation":
        return []
    space = scene.world.observation_space(engine.subject.player)
    low, high = np.ravel(space.low), np.ravel(space.high)
    bounded = np.isfinite(low) & np.isfinite(high) & (high - low < 1e6)
    row = scene.rungs[0].row(config.port, config.budgets[-1], config.unit)
    reach = config.budgets[-1] * engine.scale(row.threat)
    wide = bounded & (reach > 0.5 * np.where(bounded, high - low, np.inf))
    if wide.any():
        return [
            f"At {config.budgets[-1]:g} {wide.sum()} of {len(low)} readings can move by more than half "
            "of the range that their sensor has at all: the budget is beyond what such sensors can say."
        ]
    if bounded.any():
        return [
            f"{bounded.sum()} of {len(low)} sensors have a declared range; false readings are limited "
            "by the budget alone and may leave it."
        ]
    return []
