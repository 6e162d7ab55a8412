"""What an audit is about: names of controllers, worlds and opponents become what can be played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from robo_adv.agents.attackers import untrained
from robo_adv.agents.controllers import Controller, controller
from robo_adv.agents.evaluation import normal_opponents, opponent_policy, other_player
from robo_adv.agents.named import bundle_folder, find_card, zoo_names
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.agents.worlds import make_world
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.reference import REFERENCE, Reference, layout_of, measure
from robo_adv.audit.service import REACH
from robo_adv.bundle import read_card
from robo_adv.envs.episode import World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED, scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.safety.verdict import Thresholds
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import PORTS

TRAINED = "trained"  # on port `opponent`: who is trained within the audit


@dataclass(frozen=True)
class AuditConfig:
    """What `robo-adv audit` does; see its options.

    Attributes:
        controller, env: names. options: of the game, or keywords of the environment.
        opponent: who plays the other player under normal conditions. adversaries: of port `opponent`.
        train_adversary: steps for which one more is trained against the controller, 0 for none.
        budgets: per port, instead of the suite's. search: scenarios per tried attack.
        failure_search: simulations of the search for failures in service, 0 for none.
        failure_reach: standard deviations from a parameter's nominal value to the ends of its range.
        smoothing: noise of policy smoothing's certificate, in units of observation budgets; 0 for none.
        baseline: a controller to compare with; `primary` names the row that carries the verdict, by
            `thresholds` (names of `verdict.Thresholds`).
    """

    controller: str
    env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    player: str = ""
    opponent: str = ""
    adversaries: tuple[str, ...] = ()
    train_adversary: int = 0
    ports: tuple[str, ...] = PORTS
    suite: str = "standard"
    attacks: tuple[str, ...] = ()
    budgets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    units: tuple[str, ...] = ()
    slices: tuple[str, ...] = ("*",)
    schedule: str = "always"
    episodes: int = 50
    search: int = 8
    failure_search: int = 0
    failure_reach: float = REACH
    smoothing: float = 0.0
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
    if not config.slices:
        raise RoboAdvError("--slices names no slice; leave it out to touch all of them")
    rows = plan(
        ports, suite=config.suite, attacks=config.attacks, budgets=config.budgets,
        units=config.units, slices=config.slices, schedule=Schedule.parse(config.schedule),
        opponents=[*([TRAINED] if config.train_adversary else []), *opponents],
    )  # fmt: skip
    if not rows:
        raise RoboAdvError(
            f"there is nothing to try on ports {', '.join(config.ports)} of {world.id}"
        )
    engine = Engine(subject, reference, scenarios(config.seed, config.episodes), config.search)
    engine.trainer, engine.make = untrained, partial(world_for, config)
    reasons = {row.label: engine.why_not(row) for row in rows if row.name != TRAINED}
    if reasons and all(reasons.values()):
        told = "; ".join(f"{label}: {why}" for label, why in reasons.items())
        raise RoboAdvError(f"none of the attacks can be tried here: {told}")
    for row in rows:
        if row.threat.port in ("observation", "action") and not engine.why_not(row):
            engine.attacked(row.threat, row.attack())  # type: ignore[arg-type]
    return Bench(engine, found, reference, rows)


def world_for(config: AuditConfig, num_envs: int) -> World:
    """The config's world."""
    return make_world(
        config.env, num_envs, options=config.options, controller=config.controller,
        imports=config.imports, threads=config.threads,
    )  # fmt: skip


def thresholds_of(config: AuditConfig) -> Thresholds:
    """What was declared for the verdict.

    Raises:
        RoboAdvError: no such threshold, or not a share.
    """
    for name in config.thresholds:
        if name not in vars(Thresholds()):
            raise unknown("threshold", name, vars(Thresholds()))
    return Thresholds(**config.thresholds)


def _own_player(name: str) -> str:
    """Whom a bundle plays; '' for what is none."""
    if Path(name).is_file():
        return ""
    return find_card(name).player if bundle_folder(name) is not None else ""


def _others(config: AuditConfig, world: World, player: str) -> dict[str, Policy]:
    """The other players' policies under normal conditions."""
    if config.train_adversary and "opponent" not in config.ports:
        raise RoboAdvError(
            f"an adversary is trained for port opponent, which is not among {' '.join(config.ports)}"
        )
    if len(world.players) == 1:
        if config.opponent or config.adversaries or config.train_adversary:
            raise RoboAdvError(f"{world.id} has one player and no opponents; leave them out")
        return {}
    assert isinstance(world, Game)
    other = other_player(world, player)
    return {other: opponent_policy(opponent_name(config, world, player), world, other)}


def opponent_name(config: AuditConfig, world: World, player: str) -> str:
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
    if config.reference is not None:
        reference = Reference.load(config.reference)
        reference.check_fits(layout_of(world, player))
        return reference
    seeds = scenarios(REFERENCE, max(config.episodes, 20))
    return measure(config.controller, world, player, {**others, player: policy}, seeds)[0]


def _bodies(world: World, player: str) -> tuple[str, ...]:
    """What pushes act on: the game's choice, or the first body of a foreign model."""
    if isinstance(world, Game):
        return world.pushable(player)
    model: Any = getattr(world, "model", None)
    return () if model is None else (model.body(1).name,)
