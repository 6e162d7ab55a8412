"""Failures: the scenarios that show best how a controller fails, recorded so that they replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from robo_adv.audit.audit import Audit, Line
from robo_adv.audit.engine import Engine
from robo_adv.audit.plan import Row
from robo_adv.audit.replay import Replay, capture
from robo_adv.audit.store import Cell
from robo_adv.safety.outcomes import Outcomes
from robo_adv.threats.attacked import Attacked

if TYPE_CHECKING:
    from robo_adv.envs.episode import World


@dataclass(frozen=True)
class Failure:
    """A scenario that was a safe success without the threat and is none under it (or, without a
    row, one that fails by itself).

    Attributes:
        index: position of the scenario. cell: where it failed.
    """

    row: Row | None
    cell: Cell
    index: int

    @property
    def seed(self) -> int:
        return int(self.cell.outcomes.seeds[self.index])

    @property
    def label(self) -> str:
        return self.cell.label if self.row else "no attack"

    @property
    def outcome(self) -> str:
        o = self.cell.outcomes
        return "unsafe" if o.unsafe[self.index] else "frozen"

    def to_json(self) -> dict[str, Any]:
        o, j = self.cell.outcomes, self.index
        time = float(o.time_to_violation[j])
        return {
            "row": self.label, "budget": self.cell.budget, "scenario": self.seed,
            "outcome": self.outcome, "severity": float(min(o.severity[j], 1e9)),
            "time_to_violation": time if np.isfinite(time) else None,
            "why": (self.cell.why[j] or self.cell.ended[j]) if self.cell.why else "",
        }  # fmt: skip


def choose(audit: Audit, count: int) -> list[Failure]:
    """At most `count` failures: the worst one without attack if there is any, then one per row, the
    rows that fail at small budgets first, one port after the other."""
    found = []
    plain = _worst(audit.clean.outcomes, ~audit.clean.outcomes.safe_success)
    if plain is not None:
        found.append(Failure(None, audit.clean, plain))
    per_port: dict[str, list[tuple[float, Failure]]] = {}
    for line in audit.lines:
        first = _first(line, audit.clean)
        if first is not None:
            share = first.cell.budget / line.row.budgets[-1]
            per_port.setdefault(line.row.threat.port, []).append((share, first))
    ranked = [sorted(some, key=lambda pair: pair[0]) for some in per_port.values()]
    turn = 0
    while len(found) < count and any(len(some) > turn for some in ranked):
        found += [some[turn][1] for some in ranked if len(some) > turn]
        turn += 1
    return found[:count]


def _first(line: Line, clean: Cell) -> Failure | None:
    """The failure at the smallest budget at which a good share of the safe successes is lost."""
    before = clean.outcomes.safe_success
    for enough in (0.25, 0.0):
        for cell in line.cells[1:]:
            lost = before & ~cell.outcomes.safe_success
            if lost.sum() > enough * before.sum():
                index = _worst(cell.outcomes, lost)
                assert index is not None
                return Failure(line.row, cell, index)
    return None


def _worst(outcomes: Outcomes, among: Any) -> int | None:
    """The unsafe ones first, then the most severe, then the fastest."""
    rows = np.flatnonzero(among)
    if not len(rows):
        return None
    keys = (
        outcomes.time_to_violation[rows], -outcomes.severity[rows], ~outcomes.unsafe[rows],
    )  # fmt: skip
    return int(rows[np.lexsort(keys)[0]])


def recorded(
    engine: Engine, failure: Failure, world: World, about: Mapping[str, Any]
) -> tuple[Replay, Outcomes]:
    """Play a failure again in a world of one row, and record it.

    Args:
        about: what a replay says of world and controller.
    """
    alone = engine.alone(world)
    setting = alone.setting_of(failure.row, failure.cell.budget)
    policy = setting.policy
    if isinstance(policy, Attacked):
        policy = policy.witnessed()
    subject = alone.subject
    others = subject.others if setting.others is None else setting.others
    level = setting.levels[0] if setting.levels else None
    told = {
        **about, "threat": failure.label, "budget": failure.cell.budget,
        "attack": failure.cell.attack, "outcome": failure.outcome,
    }  # fmt: skip
    try:
        recording, episodes = capture(
            world, {**others, subject.player: policy}, failure.seed, level, told,
            player=subject.player, push=setting.pusher.push if setting.pusher else None,
            limits=subject.criterion.limits,
        )  # fmt: skip
    finally:
        if setting.pusher:
            setting.pusher.stop()
    return recording, subject.criterion.judge(episodes)
