"""Two controllers side by side: what the second costs and gains, cell by cell and as a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit.audit import Audit, Line
from robo_adv.audit.engine import Engine, Setting
from robo_adv.audit.errors import error_profile, explored_seeds, measure_errors, names_of
from robo_adv.errors import unknown
from robo_adv.policy import Policy
from robo_adv.safety.bootstrap import number
from robo_adv.safety.context_tree import grow
from robo_adv.safety.contexts import WorstContext, worst_context_of_outcomes
from robo_adv.safety.outcomes import Outcomes
from robo_adv.safety.paired import holm, paired_test, rate_difference
from robo_adv.safety.trade import trade_of_outcomes
from robo_adv.safety.verdict import Thresholds, judge

# Which row carries the verdict, unless one is named: the first of these that both controllers have.
PRIMARY = ("pgd", "corner", "nr-mdp", "action-corner", "worst-push", "random-push", "level-cem")


def compare(
    candidate: Audit,
    baseline: Audit,
    null: npt.ArrayLike,
    thresholds: Thresholds,
    primary: str = "",
    context: WorstContext | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Cells, trades and the verdict, as JSON values.

    Args:
        null: (n,) safe successes of a controller that knows nothing. primary: label of the row that
            carries the verdict. context: the worst one, if harm is judged.

    Raises:
        UnknownNameError: no row of that label that both have.
    """
    pairs = _pairs(candidate, baseline)
    chosen = primary_of(list(pairs), primary)
    rng = np.random.default_rng([seed, 4])
    trades = {
        label: trade_of_outcomes(
            [c.outcomes for c in mine.cells], [c.outcomes for c in theirs.cells],
            [c.budget for c in mine.cells], rng, null=null, prevalence=thresholds.prevalence,
        )
        for label, (mine, theirs) in pairs.items()
    }  # fmt: skip
    out: dict[str, Any] = {
        "cells": _cells(candidate, baseline, pairs, rng),
        "trades": {label: trade.to_json() for label, trade in trades.items()},
        "primary": chosen,
    }
    if chosen:
        worst = context.degradation if context is not None and context.name else None
        out["verdict"] = judge(trades[chosen], worst, thresholds).to_json()
    if context is not None:
        out["contexts"] = context.to_json()
    return out


def primary_of(labels: list[str], named: str) -> str:
    """The row that carries the verdict; '' when no threat reached both.

    Raises:
        UnknownNameError: no such row.
    """
    if named and named not in labels:
        raise unknown("row of --primary", named, labels)
    by_attack = {label.split("/")[1].split(" ")[0]: label for label in reversed(labels)}
    found = [by_attack[attack] for attack in PRIMARY if attack in by_attack]
    return named or next(iter([*found, *labels]), "")


def _pairs(candidate: Audit, baseline: Audit) -> dict[str, tuple[Line, Line]]:
    theirs = {line.row.label: line for line in baseline.lines if not line.skipped}
    return {
        line.row.label: (line, theirs[line.row.label])
        for line in candidate.lines
        if not line.skipped and line.row.label in theirs
    }


def _cells(
    candidate: Audit,
    baseline: Audit,
    pairs: Mapping[str, tuple[Line, Line]],
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """The difference of safe success in every cell, with tests corrected over the family."""
    both = [("no attack", 0.0, candidate.clean, baseline.clean)]
    for label, (mine, theirs) in pairs.items():
        cells = zip(mine.cells[1:], theirs.cells[1:], strict=True)
        both += [(label, a.budget, a, b) for a, b in cells]
    held = [(a.outcomes.safe_success, b.outcomes.safe_success) for _, _, a, b in both]
    tests = [paired_test(*pair) for pair in held]
    rows = zip(both, held, tests, holm(tests), strict=True)
    return [
        {
            "row": label, "budget": budget, "difference": rate_difference(*pair, rng).to_json(),
            "p": number(p), "p_holm": number(float(q)),
        }
        for (label, budget, _, _), pair, p, q in rows
    ]  # fmt: skip


def look_closer(
    engine: Engine, baseline: Policy, clean: tuple[Outcomes, Outcomes], seed: int = 0
) -> tuple[dict[str, Any], WorstContext | None]:
    """The error profile of the engine's controller against the baseline, and the worst context.

    Args:
        clean: outcomes of both on the reported scenarios.

    Raises:
        RoboAdvError: the action has no finite bounds.
    """
    seeds = explored_seeds()
    explored = measure_errors(engine, baseline, seeds)
    reported = measure_errors(engine, baseline, engine.seeds)
    told = error_profile(engine, baseline, explored, reported, clean[0], seed)
    if engine.subject.criterion.unsafe is None:
        return told, None
    # Contexts are grown on search scenarios from what is seen first, and judged on reported ones.
    own = engine.subject.criterion.judge(engine.episodes(Setting(engine.subject.policy), seeds))
    harm = own.unsafe.astype(np.float64) - explored.outcomes.unsafe
    tree = grow(explored.first, harm, names_of(engine))
    labels, rng = tree.labels(reported.first), np.random.default_rng([seed, 5])
    return told, worst_context_of_outcomes(*clean, labels, tree.names, rng)
