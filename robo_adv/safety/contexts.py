"""Where a controller degrades most: unsafe shares by context, against the baseline.

Contexts are bins of scenario features that were declared before the episodes were played, or leaves
of a small tree grown on *other* episodes (`context_tree`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Array, Estimate
from robo_adv.safety.outcomes import Outcomes, check_paired
from robo_adv.safety.paired import holm, paired_test, rate_difference
from robo_adv.safety.statistics import CONFIDENCE, Rate

ENOUGH = 50  # episodes without which a context is shown but not judged


@dataclass(frozen=True)
class Context:
    """One context.

    Attributes:
        candidate, baseline: unsafe shares. difference: candidate minus baseline, with the interval
            that holds for all judged contexts at once (Bonferroni).
        p: exact McNemar; with several training seeds a t-test of their differences.
        adjusted_p: Holm over the judged contexts; 1 where `judged` is false.
    """

    name: str
    candidate: Rate
    baseline: Rate
    difference: Estimate
    p: float
    adjusted_p: float
    judged: bool

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"name": self.name, "episodes": self.candidate.total}
        return out | {
            "candidate": self.candidate.to_json(),
            "baseline": self.baseline.to_json(),
            "difference": self.difference.to_json(),
            "p": self.p,
            "adjusted_p": self.adjusted_p,
            "judged": self.judged,
        }


@dataclass(frozen=True)
class WorstContext:
    """The worst-context degradation max_c [p_unsafe,c(candidate) - p_unsafe,c(baseline)].

    Attributes:
        name: the worst judged context, empty if none is large enough.
        degradation: from the largest lower to the largest upper simultaneous bound, which covers
            the true maximum although the context was picked for being worst.
        contexts: all of them, the worst first.
    """

    name: str
    degradation: Estimate
    contexts: tuple[Context, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "degradation": self.degradation.to_json(),
            "contexts": [context.to_json() for context in self.contexts],
        }


def bins(
    values: Array, edges: Sequence[float], name: str
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Labels (n,) of values (n,) between declared edges (m,), and m + 1 names with them.

    Raises:
        RoboAdvError: edges that do not increase, values that are not numbers.
    """
    cuts = np.asarray(edges, dtype=np.float64)
    if cuts.ndim != 1 or not len(cuts) or not (np.diff(cuts) > 0.0).all():
        raise RoboAdvError(f"bins of {name} need increasing edges, got {list(edges)}")
    if np.isnan(values).any():
        raise RoboAdvError(f"bins of {name} need numbers, {int(np.isnan(values).sum())} are NaN")
    middle = [f"{a:g} <= {name} < {b:g}" for a, b in pairwise(cuts)]
    names = [f"{name} < {cuts[0]:g}", *middle, f"{name} >= {cuts[-1]:g}"]
    return np.digitize(values, cuts).astype(np.int64), names


def worst_context(
    candidate: Array,
    baseline: Array,
    labels: Array,
    names: Sequence[str],
    rng: np.random.Generator,
    *,
    enough: int = ENOUGH,
    confidence: float = CONFIDENCE,
) -> WorstContext:
    """Compare unsafe episodes context by context.

    Args:
        candidate, baseline: unsafe, (n,) or (K, n) of K training seeds, same scenarios.
        labels: (n,) context of each scenario, an index into `names`.

    Raises:
        RoboAdvError: shapes that differ, labels without a name.
    """
    candidate, baseline = np.asarray(candidate, dtype=bool), np.asarray(baseline, dtype=bool)
    labels = np.asarray(labels)
    _check(candidate, baseline, labels, names)
    sizes = np.bincount(labels, minlength=len(names))
    judged = np.flatnonzero(sizes >= enough)
    each = 1.0 - (1.0 - confidence) / max(1, len(judged))
    present = np.flatnonzero(sizes)
    pairs = [(candidate[..., labels == c], baseline[..., labels == c]) for c in present]
    tests = np.array([_test(*pair) for pair in pairs])
    adjusted = np.ones(len(present))
    adjusted[np.isin(present, judged)] = holm(tests[np.isin(present, judged)])
    contexts = [
        Context(
            name=names[int(c)],
            candidate=_rate(pair[0]),
            baseline=_rate(pair[1]),
            difference=rate_difference(*pair, rng, confidence=each),
            p=float(p),
            adjusted_p=float(q),
            judged=bool(sizes[c] >= enough),
        )
        for c, pair, p, q in zip(present, pairs, tests, adjusted, strict=True)
    ]
    ranked = sorted(contexts, key=lambda c: (not c.judged, -c.difference.value))
    return _worst(tuple(ranked), confidence)


def _check(candidate: Array, baseline: Array, labels: Array, names: Sequence[str]) -> None:
    n = candidate.shape[-1] if candidate.ndim else 0
    if candidate.shape != baseline.shape or labels.shape != (n,) or not n:
        raise RoboAdvError(
            "contexts need unsafe (n,) or (training seeds, n) of both controllers and labels (n,), "
            f"got {candidate.shape}, {baseline.shape} and {labels.shape}"
        )
    if (
        not np.issubdtype(labels.dtype, np.integer)
        or labels.min() < 0
        or labels.max() >= len(names)
    ):
        raise RoboAdvError(
            f"labels are integers that index the {len(names)} names {list(names)}, got "
            f"{np.unique(labels).tolist()}"
        )


def _rate(unsafe: Array) -> Rate:
    """Over all episodes; with several training seeds these are not independent."""
    return Rate(int(unsafe.sum()), unsafe.size)


def _test(candidate: Array, baseline: Array) -> float:
    if candidate.ndim == 1 or len(candidate) == 1:
        return paired_test(np.atleast_2d(candidate)[0], np.atleast_2d(baseline)[0])
    differences = candidate.mean(axis=1) - baseline.mean(axis=1)
    if np.ptp(differences) == 0.0:
        return 1.0  # no spread to judge by
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def _worst(contexts: tuple[Context, ...], confidence: float) -> WorstContext:
    judged = [context.difference for context in contexts if context.judged]
    if not judged:
        return WorstContext("", Estimate(float("nan"), -1.0, 1.0, confidence), contexts)
    low, high = max(d.low for d in judged), max(d.high for d in judged)
    return WorstContext(
        contexts[0].name, Estimate(judged[0].value, low, high, confidence), contexts
    )  # fmt: skip


def worst_context_of_outcomes(
    candidate: Outcomes,
    baseline: Outcomes,
    labels: Array,
    names: Sequence[str],
    rng: np.random.Generator,
) -> WorstContext:
    """`worst_context` of paired outcomes.

    Raises:
        RoboAdvError: other scenarios.
    """
    check_paired(candidate, baseline)
    return worst_context(candidate.unsafe, baseline.unsafe, labels, names, rng)
