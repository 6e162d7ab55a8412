"""Sanity rules of an attack suite: signs that it looks weaker than it should, and so the controller
stronger than it is (Athalye et al. 2018, "Obfuscated gradients give a false sense of security"; Carlini
et al. 2019, "On evaluating adversarial robustness").

All compare the same scenarios, and a rule breaks only where its whole interval says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.bootstrap import Estimate, bootstrap, mean_difference
from robo_adv.safety.paired import rate_difference
from robo_adv.safety.statistics import CONFIDENCE, Rate
from robo_adv.threats.gradient_health import Gradients

Array = npt.NDArray[Any]
Kind = Literal["noise", "white-box", "black-box", "learned"]
Aim = Literal["action", "return"]
FLAT = 0.05  # share of states without a gradient from which on gradient attacks cannot be trusted
SHOWN = 3  # cases that a text names


@dataclass(frozen=True, eq=False)
class Rung:
    """One attack at one budget, on the same scenarios as all others.

    Attributes:
        name: of the attack. kind: what it knows. budget: at least 0.
        outcome: (n,) returns, or whether each was a safe success; larger is better for the defender.
        aim: what it raises: the change of the action, or the loss of return. Attacks with other aims
            than each other's may differ in strength without anything being wrong.
        steps, starts: its effort: gradient steps or queries, and restarts.
        restarts: (r, n) outcomes of r single starts, where they were played apart.
        gradients: what it met, if it uses any.

    Raises:
        RoboAdvError: no such kind or aim, a negative budget, outcomes of other shapes or not finite.
    """

    name: str
    kind: Kind
    budget: float
    outcome: Array
    aim: Aim = "action"
    steps: int = 1
    starts: int = 1
    restarts: Array | None = None
    gradients: Gradients | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise unknown("kind of attack", self.kind, get_args(Kind))
        if self.aim not in get_args(Aim):
            raise unknown("aim", self.aim, get_args(Aim))
        if not (np.isfinite(self.budget) and self.budget >= 0):
            raise RoboAdvError(f"a budget is a finite number of at least 0, got {self.budget}")
        n = np.shape(self.outcome)
        if len(n) != 1 or n[0] < 2 or not np.isfinite(self.outcome).all():
            raise RoboAdvError(
                f"{self}: outcomes must be (n,) finite numbers of at least 2 scenarios, got shape {n}"
            )
        if self.restarts is not None and np.shape(self.restarts)[1:] != n:
            raise RoboAdvError(
                f"{self}: restarts must be (starts, {n[0]}), got {np.shape(self.restarts)}"
            )

    def __str__(self) -> str:
        return f"{self.name}@{self.budget:g}"

    @property
    def effort(self) -> str:
        """For example `pgd@0.1`, `pgd@0.1 (20 steps, 2 starts)`."""
        told = [f"{self.steps} steps"] if self.steps > 1 else []
        told += [f"{self.starts} starts"] if self.starts > 1 else []
        return f"{self} ({', '.join(told)})" if told else str(self)


@dataclass(frozen=True)
class Check:
    """Attributes:
    name: of the rule. passed: whether nothing speaks against it; None where nothing could be compared.
    told: in words. figures: JSON values: `compared`, and `cases`, those that break it.
    """

    name: str
    passed: bool | None
    told: str
    figures: Mapping[str, Any] = field(default_factory=dict)


def check_all(rungs: Sequence[Rung], rng: np.random.Generator, margin: float = 0.0) -> list[Check]:
    """All rules.

    Args:
        margin: what is too small a difference to matter, in units of the outcomes.

    Raises:
        RoboAdvError: rungs of different numbers of scenarios.
    """
    return [
        grows_with_budget(rungs, rng, margin),
        effort_never_helps_the_defender(rungs, rng, margin),
        black_box_never_beats_white_box(rungs, rng, margin),
        starts_agree(rungs, rng, margin),
        gradients_exist(rungs),
    ]


def grows_with_budget(
    rungs: Sequence[Rung], rng: np.random.Generator, margin: float = 0.0
) -> Check:
    """The same attack with a larger budget does no less damage; budget 0 is the smallest of all."""
    pairs = [
        (weak, strong)
        for weak, strong in permutations(rungs, 2)
        if weak.budget < strong.budget and (_alike(weak, strong) or weak.budget == 0.0)
    ]
    return _none_better("damage grows with the budget", pairs, rng, margin)


def effort_never_helps_the_defender(
    rungs: Sequence[Rung], rng: np.random.Generator, margin: float = 0.0
) -> Check:
    """At the same budget, more steps or more starts do no less damage."""
    pairs = [
        (weak, strong)
        for weak, strong in permutations(rungs, 2)
        if (weak.name, weak.budget) == (strong.name, strong.budget)
        and weak.effort != strong.effort
        and weak.steps <= strong.steps
        and weak.starts <= strong.starts
    ]
    return _none_better("more steps and starts never help the defender", pairs, rng, margin)


def black_box_never_beats_white_box(
    rungs: Sequence[Rung], rng: np.random.Generator, margin: float = 0.0
) -> Check:
    """No attack that knows less does more damage than all that know more, at the same budget.

    Noise is held against all white-box attacks; a black-box attack against those with its own aim, and
    with the aim `return` against learned ones too. It must beat each of them (an intersection-union
    test, so that their number needs no correction).
    """
    held = [(rung, _knowing(rung, rungs)) for rung in rungs if rung.budget > 0]
    held = [(rung, white) for rung, white in held if white]
    cases = []
    for rung, white in held:
        best = min(white, key=lambda other: float(np.mean(other.outcome)))
        rises = [_rise(other.outcome, rung.outcome, rng, len(held), margin) for other in white]
        if all(rises):
            most = rises[white.index(best)]
            assert most is not None
            cases.append((rung.effort, best.effort, most))
    return _check(
        "black box never beats white box", len(held), cases,
        "{0} does {2} more damage than {1}, the best that knows more; the gradient may be masked",
    )  # fmt: skip


def starts_agree(rungs: Sequence[Rung], rng: np.random.Generator, margin: float = 0.0) -> Check:
    """No single start of an attack does more damage than another, in the mean over scenarios."""
    several = [(rung, rung.restarts) for rung in rungs if rung.restarts is not None]
    compared = sum(len(starts) * (len(starts) - 1) // 2 for _, starts in several)
    cases = []
    for rung, starts in several:
        means = np.mean(starts, axis=1)
        best, worst = int(np.argmin(means)), int(np.argmax(means))
        rise = _rise(starts[worst], starts[best], rng, compared, margin)
        if rise:
            cases.append((f"start {best} of {rung}", f"start {worst}", rise))
    return _check(
        "several starts agree", compared, cases,
        "{0} does {2} more damage than {1}; one start is not enough",
    )  # fmt: skip


def gradients_exist(rungs: Sequence[Rung], most: float = FLAT) -> Check:
    """Gradients are finite, and not proven to be zero on more than the share `most` of the states
    although the action changes there within the ball."""
    met = [(rung, rung.gradients) for rung in rungs if rung.gradients is not None]
    cases = []
    for rung, gradients in met:
        flat = Rate(gradients.flat, gradients.states)
        if flat.low > most or gradients.broken:
            broken = Rate(gradients.broken, gradients.states)
            told = (
                f"{rung} meets no gradient in {flat} of states though the action changes there, and a "
                f"broken one in {broken}"
            )
            figures = {"attack": rung.effort, "flat": flat.to_json(), "broken": broken.to_json()}
            cases.append((told, figures))
    return _told("gradients exist", len(met), cases)


def _alike(one: Rung, other: Rung) -> bool:
    return (one.name, one.steps, one.starts) == (other.name, other.steps, other.starts)


def _knowing(rung: Rung, rungs: Sequence[Rung]) -> list[Rung]:
    """The attacks that know more than `rung` and raise what it raises; of noise, all that know more."""
    if rung.kind not in ("noise", "black-box"):
        return []
    white = [other for other in rungs if other.budget == rung.budget and other.kind == "white-box"]
    if rung.kind == "noise":
        return white
    taught = [other for other in rungs if other.budget == rung.budget and other.kind == "learned"]
    return [other for other in [*white, *taught] if other.aim == rung.aim]


def _rise(
    first: Array, second: Array, rng: np.random.Generator, compared: int, margin: float
) -> Estimate | None:
    """How much larger outcomes (n,) are in the first, if the whole interval is above the margin.

    Intervals share the error probability of all comparisons (Bonferroni).
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape:
        raise RoboAdvError(
            f"rungs are compared on the same scenarios, got {len(first)} and {len(second)}"
        )
    away = first.astype(np.float64) - second
    if away.mean() - margin <= away.std() / np.sqrt(len(away)):
        return None  # one standard error is never proven, and a bootstrap takes its time
    confidence = 1.0 - (1.0 - CONFIDENCE) / compared
    if first.dtype == np.bool_ and second.dtype == np.bool_:
        found = rate_difference(first, second, rng, confidence)
    else:
        samples = [first.astype(np.float64), second.astype(np.float64)]
        found = bootstrap(mean_difference, samples, rng, confidence=confidence)
    return found if found.low > margin else None


def _none_better(
    name: str, pairs: Sequence[tuple[Rung, Rung]], rng: np.random.Generator, margin: float
) -> Check:
    """Of pairs (weak, strong), the controller does better under no strong one."""
    cases = []
    for weak, strong in pairs:
        if rise := _rise(strong.outcome, weak.outcome, rng, len(pairs), margin):
            cases.append((strong.effort, weak.effort, rise))
    return _check(
        name, len(pairs), cases, "under {0} the controller does {2} better than under {1}"
    )


def _check(
    name: str, compared: int, cases: Sequence[tuple[str, str, Estimate]], template: str
) -> Check:
    """The largest differences first."""
    ordered = sorted(cases, key=lambda case: -case[2].value)
    return _told(
        name, compared,
        [
            (template.format(one, other, rise),
             {"first": one, "second": other, "difference": rise.to_json()})
            for one, other, rise in ordered
        ],
    )  # fmt: skip


def _told(name: str, compared: int, cases: Sequence[tuple[str, dict[str, Any]]]) -> Check:
    figures = {"compared": compared, "cases": [found for _, found in cases]}
    if not compared:
        return Check(name, None, "nothing here could be compared", figures)
    if not cases:
        return Check(name, True, f"{compared} compared, nothing speaks against it", figures)
    told = "; ".join(text for text, _ in cases[:SHOWN])
    more = f"; and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
    return Check(name, False, told + more, figures)
