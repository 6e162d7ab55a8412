"""Ladder recipe: a controller by name, a suite of attacks at one port, a run folder and a card."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from robo_adv.agents.attackers import trainer, training_seed
from robo_adv.agents.ladder_words import command_of, notices, stated
from robo_adv.agents.named import bundle_folder
from robo_adv.agents.subject import AuditConfig, Bench, opponent_name, prepare, world_for
from robo_adv.audit.engine import Engine, Found
from robo_adv.audit.ladder import DEFAULT, Rung, RungRow, Suite, find_suite
from robo_adv.audit.ladder_numbers import budget_card, rung_card, warnings
from robo_adv.audit.ladder_run import Climb, climb
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import Reference
from robo_adv.audit.report_ladder import write_ladder_report
from robo_adv.audit.robustness import CARD, Measure, RobustnessCard, card_name
from robo_adv.audit.store import Store
from robo_adv.bundle import CARD as POLICY
from robo_adv.envs.episode import World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import even_width
from robo_adv.runs import Run, plain, versions, write_with
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.threat import UNITS, meaning
from robo_adv.training.learner import Threads

WIDTH = 128  # simulations side by side at most
PORTS = ("observation", "action", "force", "level")
USUAL = 0.15  # budget
Tell = Callable[[int, int, str], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class LadderConfig:
    """What `robo-adv ladder` does; see its options.

    Attributes:
        subject: who is attacked, where and how it is judged; its ports, suite, attacks, budgets and
            units are not used. suite: which ladder. port, budgets: rising, and unit: the threat.
        only: rungs by name, all by default. aim: only rungs with this aim; '' for all.
        ports: to compare, with their budgets (() for the usual ones); {} for one ladder.
    """

    subject: AuditConfig
    suite: str = DEFAULT
    port: str = "observation"
    budgets: tuple[float, ...] = (USUAL,)
    unit: str = ""
    only: tuple[str, ...] = ()
    aim: str = ""
    ports: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Climbed:
    """What came out. Attributes: card: of it. climb: with all outcomes."""

    card: RobustnessCard
    climb: Climb


@dataclass(frozen=True)
class Scene:
    """What a ladder plays with."""

    config: LadderConfig
    bench: Bench
    world: World
    suite: Suite
    rungs: tuple[Rung, ...] = field(default_factory=tuple)


def ladder(
    config: LadderConfig, start: Callable[[str], Run], tell: Tell | None = None,
    say: Say = lambda text: None,
) -> Climbed:  # fmt: skip
    """Attack a controller with a suite; rungs that the run folder holds are not played again.

    Args:
        start: world's id -> the run's folder; called when all names are known to exist and to fit.
        say: is told what it will cost, before anything is played.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    began = time.monotonic()
    scene = set_up(config, tell)
    if why := refused(scene):
        raise RoboAdvError(f"none of the rungs can be tried here: {why}")
    say(stated(scene))
    run = start(scene.world.id)
    scene.bench.reference.save(run.folder / "reference.json")
    found = play(scene, run.folder, tell)
    if tell:
        tell(1, 1, "certificates, sanity rules and the report")
    card = card_of(scene, found)
    card.save(run.folder / CARD)
    write_with(run.folder / "episodes.jsonl", lambda path: _write_lines(path, found))
    write_ladder_report(run.folder / "report.html", card)
    seconds = round(time.monotonic() - began, 1)
    run.finish({"card": card.model_dump(mode="json"), "seconds": seconds, "command": run.command})
    scene.world.close()
    return Climbed(card, found)


def set_up(
    config: LadderConfig, tell: Tell | None = None, reference: Reference | None = None
) -> Scene:
    """Names to what can be played.

    Args:
        reference: what one sigma is; measured, or read from the config's file, by default.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    torch.set_num_threads(1)  # the small matrices of a control step are fastest on one
    suite = find_suite(config.suite)
    rungs = suite.rungs(config.port, config.only, config.aim)
    _check_threat(config)
    subject = replace(
        config.subject, ports=("observation",), suite="quick", attacks=(), budgets={}, units=()
    )
    world = world_for(subject, even_width(subject.episodes, WIDTH))
    if tell:
        tell(0, 1, "nominal episodes, for reference")
    bench = prepare(subject, world, reference)
    normaliser = bench.controller.access.normaliser
    if config.unit == "policy" and normaliser is None:
        raise RoboAdvError(
            f"unit `policy` is the controller's own normaliser, and none can be seen in "
            f"{subject.controller}; use --unit sigma (standard deviations of its nominal episodes) or "
            "raw"
        )
    return Scene(config, bench, world, suite, rungs)


def refused(scene: Scene) -> str:
    """Why no rung can be tried; '' when some can."""
    config, engine = scene.config, scene.bench.engine
    row = {r.name: r.row(config.port, config.budgets[0], config.unit) for r in scene.rungs}
    reasons = {name: engine.why_not(one) for name, one in row.items()}
    told: dict[str, list[str]] = {}
    for name, why in reasons.items():
        told.setdefault(why, []).append(name)
    return "" if "" in told else "; ".join(f"{', '.join(n)}: {why}" for why, n in told.items())


def play(scene: Scene, folder: Path, tell: Tell | None = None) -> Climb:
    """Every rung at every budget, in a run's folder."""
    config, engine = scene.config, scene.bench.engine
    engine.trainer = _trainer(scene, folder, tell)
    return climb(
        engine, config.port, scene.rungs, config.budgets, config.unit,
        Store(folder, _key(scene)), tell,
    )  # fmt: skip


def _trainer(
    scene: Scene, folder: Path, tell: Tell | None
) -> Callable[[Engine, Row, LearnedAttack], Found]:
    """Trains each rung in a folder of its own: the same attack may stand on several."""
    subject = scene.config.subject

    def train(engine: Engine, row: Row, attack: LearnedAttack) -> Found:
        name = row.rung if isinstance(row, RungRow) else row.name
        one = trainer(
            folder / "attackers" / name, lambda rows: world_for(subject, rows),
            scene.bench.controller.digest, training_seed(subject.seed),
            Threads(physics=subject.threads, update=1), tell,
        )  # fmt: skip
        return one(engine, row, attack)

    return train


def card_of(scene: Scene, found: Climb) -> RobustnessCard:
    """The robustness card of what was played."""
    config, subject, bench = scene.config, scene.config.subject, scene.bench
    engine, player = bench.engine, bench.engine.subject.player
    judged = measure_of(scene.world)
    cards = [budget_card(found, b, judged, engine, subject.seed) for b in found.budgets]
    return RobustnessCard(
        suite=scene.suite.name, suite_sha256=scene.suite.digest,
        partial=bool(config.only or config.aim),
        controller=subject.controller, controller_sha256=bench.controller.digest,
        world=scene.world.id, options=plain(getattr(scene.world, "options", {})), player=player,
        opponent=opponent_name(subject, scene.world, player), port=found.port, unit=found.unit,
        unit_meaning=meaning(found.port, found.unit), reference=bench.reference.controller,
        measure=judged, criterion=dict(engine.subject.criterion.to_json()), seed=subject.seed,
        episodes=subject.episodes, clean=rung_card(found.clean, found.clean, subject.seed),
        budgets=tuple(cards), notices=tuple(notices(scene, found)),
        warnings=tuple(warnings(cards)), versions=versions(), command=command_of(config),
    )  # fmt: skip


def measure_of(world: World) -> Measure:
    """By what attacks are ranked: safe success in games, the return in foreign environments."""
    return "safe_success" if isinstance(world, Game) else "return"


def save_card(card: RobustnessCard) -> Path:
    """Write a card beside its bundle; returns the file.

    Raises:
        RoboAdvError: the controller is no bundle, or only a part of the suite was played.
    """
    if card.partial:
        raise RoboAdvError(
            "a card is saved of whole suites only; leave out --attacks and --aim, or choose another "
            "--suite"
        )
    path = card_folder(card.controller) / card_name(card.port)
    card.save(path)
    return path


def card_folder(controller: str) -> Path:
    """The bundle whose card is written.

    Raises:
        RoboAdvError: the controller is no bundle.
    """
    folder = None if Path(controller).is_file() else bundle_folder(controller)
    if folder is None or not (folder / POLICY).exists():
        raise RoboAdvError(
            f"--save-card writes beside a bundle (zoo:<name>, or a folder), and {controller} is none; "
            f"the run's folder holds the card as {CARD}"
        )
    return folder


def _check_threat(config: LadderConfig) -> None:
    """Raises RoboAdvError for budgets and units that the port cannot have."""
    budgets = config.budgets
    fine = all(math.isfinite(b) and b > 0 for b in budgets)
    if not budgets or not fine or any(a >= b for a, b in pairwise(budgets)):
        raise RoboAdvError(
            f"--budget takes numbers above 0 that rise, for example 0.15, got {list(budgets)}; "
            "no attack is always played"
        )
    known = next(units for (port, _), units in UNITS.items() if port == config.port)
    if config.unit and config.unit not in known:
        raise unknown(f"unit at port {config.port!r}", config.unit, known)
    if config.port == "level" and budgets[-1] > 1.0:
        raise RoboAdvError(
            f"at port level a budget is a share of each parameter's range, at most 1, got "
            f"{budgets[-1]:g}"
        )


def _key(scene: Scene) -> str:
    """What every cell depends on: cells of a run with another key are played again."""
    subject, engine = scene.config.subject, scene.bench.engine
    about = {
        "controller": scene.bench.controller.digest, "name": subject.controller,
        "world": scene.world.id, "options": plain(getattr(scene.world, "options", {})),
        "player": engine.subject.player, "others": subject.opponent, "seed": subject.seed,
        "episodes": subject.episodes, "search": subject.search, "versions": versions(),
        "criterion": engine.subject.criterion.to_json(), "reference": plain(scene.bench.reference),
    }  # fmt: skip
    return json.dumps(about, sort_keys=True)


def _write_lines(path: Path, found: Climb) -> None:
    cells: Sequence[Any] = [found.clean.cell, *(step.cell for step in found.steps)]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for cell in cells for line in cell.lines())
