"""The numbers of a ladder: what each rung leaves, the best of them, and whether to believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit import sanity
from robo_adv.audit.certificates import certificates, observations
from robo_adv.audit.engine import Engine
from robo_adv.audit.ladder_run import Climb, Step
from robo_adv.audit.report_certificates import sentence
from robo_adv.audit.robustness import (
    BudgetCard,
    CertificateCard,
    CheckCard,
    Interval,
    Measure,
    Numbers,
    RungCard,
    Share,
)
from robo_adv.safety.bootstrap import Estimate, bootstrap, mean
from robo_adv.safety.statistics import Rate
from robo_adv.threats.gradient_health import Gradients, measure_gradients

Array = npt.NDArray[Any]
REPS = 2_000
MARGIN = 0.02  # of the mean without attack: differences of returns below it do not matter
STATES = 256  # at which gradients are looked at
MASKED = (
    "the controller may look more robust than it is (gradient masking): trust the learned and the "
    "black-box rungs, and try the suite full-v0"
)


def interquartile_mean(sample: Array) -> Array:
    """Mean of the middle half of each resample (reps, rows) -> (reps,); values that a quarter cuts
    enter with the rest of their weight (Agarwal et al. 2021, "Deep RL at the edge of the statistical
    precipice")."""
    rows = sample.shape[1]
    edges = np.arange(rows + 1) / rows
    weight = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0.0, None)
    return np.asarray((np.sort(sample, axis=1) * weight).sum(axis=1) / weight.sum())


def numbers(returns: Array, success: Array, unsafe: Array, clean: Array, seed: int = 0) -> Numbers:
    """Of n scenarios: returns, success and harm (n,), with the returns without attack (n,)."""
    rng = np.random.default_rng([seed, 1])

    def estimate(statistic: Any, samples: Sequence[Array]) -> Interval:
        return _interval(bootstrap(statistic, samples, rng, reps=REPS))

    def ratio(attacked: Array, before: Array) -> Array:
        return np.asarray(attacked.mean(axis=1) / before.mean(axis=1))

    positive = clean.mean() > 0 and (clean > 0).mean() > 0.9  # else no share of it means anything
    return Numbers(
        returns=estimate(mean, [returns]),
        median=estimate(lambda sample: np.median(sample, axis=1), [returns]),
        iqm=estimate(interquartile_mean, [returns]),
        share=estimate(ratio, [returns, clean]) if positive else None,
        success=_share(success), safe_success=_share(success & ~unsafe), unsafe=_share(unsafe),
    )  # fmt: skip


def rung_card(step: Step, clean: Step, seed: int = 0) -> RungCard:
    """One rung with all its numbers."""
    rung, cell = step.rung, step.cell
    returns, success, unsafe = _columns(step)
    return RungCard(
        name=rung.name, attack=rung.attack, kind=rung.kind, raises=rung.raises, aim=rung.aim,
        parameters=dict(rung.parameters), costs=dict(step.spent.costs), told=cell.attack,
        numbers=numbers(returns, success, unsafe, np.array(clean.cell.returns), seed),
        env_steps=step.env_steps, queries=cell.calls, seconds=cell.seconds,
    )  # fmt: skip


def budget_card(
    found: Climb, budget: float, measure: Measure, engine: Engine | None = None, seed: int = 0
) -> BudgetCard:
    """The ladder at one budget.

    Args:
        engine: for certificates and the look at gradients; without one there are none.
    """
    steps = found.at(budget)
    cards = [rung_card(step, found.clean, seed) for step in steps]
    returns, success, unsafe = worst(steps)
    suite = numbers(returns, success, unsafe, np.array(found.clean.cell.returns), seed)
    alone = len(found.budgets) == 1
    spent = [one for one in found.steps if alone or one.budget == budget]
    unsafest = max(cards, key=lambda card: card.numbers.unsafe.rate)
    return BudgetCard(
        budget=budget, rungs=tuple(cards), skipped=dict(found.skipped),
        best=best(cards, measure), unsafest=unsafest.name, suite=suite,
        env_steps=sum(one.env_steps for one in spent),
        queries=sum(one.cell.calls for one in spent),
        sanity=tuple(checks(found, budget, measure, engine, seed)),
        certificate=certificate(found, budget, engine, seed),
    )  # fmt: skip


def worst(steps: Sequence[Step]) -> tuple[Array, Array, Array]:
    """Best-of-suite per scenario (n,): the lowest return, whether every rung left a success, and
    whether any was unsafe. Attacks on safety count for safety only."""
    columns = [_columns(step) for step in steps]
    hunting = [c for c, step in zip(columns, steps, strict=True) if step.rung.aim == "return"]
    returns = np.min([c[0] for c in hunting or columns], axis=0)
    success = np.all([c[1] for c in columns], axis=0)
    return returns, success, np.any([c[2] for c in columns], axis=0)


def best(cards: Sequence[RungCard], measure: Measure) -> str:
    """The single rung that leaves least; attacks on safety compete where safe success is measured."""
    hunting = [card for card in cards if card.aim == "return" or measure == "safe_success"]

    def left(card: RungCard) -> tuple[float, float]:
        found = card.numbers
        rate = found.safe_success.rate if measure == "safe_success" else 0.0
        return rate, found.returns.value

    return min(hunting or cards, key=left).name


def checks(
    found: Climb, budget: float, measure: Measure, engine: Engine | None, seed: int = 0
) -> list[CheckCard]:
    """The sanity rules at one budget; with several budgets, over all up to it."""
    many = len(found.budgets) > 1
    steps = [
        one for one in found.steps
        if one.rung.aim == "return" and (one.budget <= budget if many else True)
    ]  # fmt: skip
    starts = [
        _outcome(one, measure) for one in steps
        if one.budget == budget and one.probe is not None and one.probe.start is not None
    ]  # fmt: skip
    rungs = []
    for one in steps:
        if one.probe is not None and one.probe.start is not None:
            continue
        effort, restarts = one.rung.effort
        mine = one.rung.attack == "pgd" and one.budget == budget and one.probe is None
        several = np.array([_outcome(one, measure), *starts]) if mine and starts else None
        rungs.append(
            sanity.Rung(
                one.rung.attack, one.rung.kind, one.budget, _outcome(one, measure),
                one.rung.raises, effort, restarts, several, _gradients(one, engine, found.unit, seed),
            )
        )  # fmt: skip
    level = abs(float(np.mean(found.clean.cell.returns)))
    margin = MARGIN * (level if measure == "return" else 1.0)
    rng = np.random.default_rng([seed, 3])
    made = sanity.check_all(rungs, rng, margin)
    return [CheckCard(name=c.name, passed=c.passed, told=c.told) for c in made]


def _gradients(step: Step, engine: Engine | None, unit: str, seed: int) -> Gradients | None:
    """What the attack's gradients are like, of PGD's, which stand for all that use the action's."""
    if engine is None or step.rung.attack != "pgd" or step.probe is not None:
        return None
    access = engine.subject.access
    assert access is not None  # else it could not have been played
    threat = step.rung.row("observation", step.budget, unit).threat
    rng = np.random.default_rng([seed, 4])
    return measure_gradients(
        access, observations(engine, STATES), step.budget * engine.scale(threat), rng
    )


def warnings(cards: Sequence[BudgetCard]) -> list[str]:
    """Why the numbers may flatter the controller, in sentences."""
    out = []
    for card in cards:
        broken = [check for check in card.sanity if check.passed is False]
        out += [
            f"At {card.budget:g}: {check.name} does not hold: {check.told}." for check in broken
        ]
    return [*out, f"So {MASKED}."] if out else []


def certificate(
    found: Climb, budget: float, engine: Engine | None, seed: int = 0
) -> CertificateCard | None:
    """What no attack on the observation can do at this budget, if anything is known."""
    if engine is None or found.port != "observation":
        return None
    steps = found.at(budget)
    row = steps[0].rung.row(found.port, budget, found.unit)
    kinds: list[Mapping[str, Any]] = list(certificates(engine, [row], seed=seed))
    if not kinds:
        return None
    kind, cells = kinds[0], kinds[0]["budgets"]
    told = sentence(kind)
    if not cells:
        return CertificateCard(told=told)
    cell = cells[0]
    return CertificateCard(
        told=told, vacuous=cell["vacuous"], change=cell["change"], found=cell["found"]
    )


def _columns(step: Step) -> tuple[Array, Array, Array]:
    """Returns, success, harm (n,)."""
    outcomes = step.cell.outcomes
    return np.array(step.cell.returns), outcomes.success, outcomes.unsafe


def _outcome(step: Step, measure: Measure) -> Array:
    return _columns(step)[0] if measure == "return" else step.cell.outcomes.safe_success


def _interval(found: Estimate) -> Interval:
    low, value, high = (float(f"{x:.9g}") for x in (found.low, found.value, found.high))
    return Interval(value=value, low=min(low, value), high=max(high, value))


def _share(held: Array) -> Share:
    return Share.model_validate(Rate(int(held.sum()), len(held)).to_json())
