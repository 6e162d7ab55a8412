"""Failure searched with a fixed number of simulations, in worlds with randomness of their own.

A job is a point z of standard normal coordinates and a scenario seed; margin <= 0 fails. First a plain
sample, as in service. From its jobs nearest to failure the search moves, with their seeds, to failures
near the origin: design points (Hasofer and Lind 1974), the first guess along the slope of a linear
response surface (Bucher and Bourgund 1990, Structural Safety 7(1)). Then importance sampling around
them (Au, Papadimitriou and Beck 1999, Structural Safety 21(2)), whose seeds are drawn as in service.
That needs far fewer simulations than `importance.cross_entropy`, which fits its proposal to noise when
a level has as few elites as there are coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Array, Estimate, Floats
from robo_adv.safety.failure_search import Answers, monte_carlo
from robo_adv.safety.failure_space import Failure, Nominal, Probability, log_interval
from robo_adv.safety.importance import Proposal
from robo_adv.safety.statistics import CONFIDENCE, Rate
from robo_adv.seeding import Seeds

Play = Callable[[Floats, Seeds], Array]
LEAST = 200  # simulations below which no part of the search is of use
PLAIN, SEARCHED = 0.4, 0.3  # shares of all simulations; the rest weighs
FREQUENT = 10  # failures of the plain sample from which more of the same tells most
TRUSTED = 20.0  # effective failures from which a weighted estimate is believed
CANDIDATES = 20  # tried side by side in a round of the search
FARTHEST = 4.5  # standard deviations along the slope


@dataclass(frozen=True)
class Found:
    """Attributes: answers: to the three questions. seed: of the most likely failure, None without.
    regions: design points that the weighted sample was drawn around."""

    answers: Answers
    seed: int | None
    regions: int = 0


class Jobs:
    """Plays jobs, with fresh seeds unless told otherwise, and keeps them all.

    Args:
        play: margins (n,) of points (n, size) with seeds (n,). first: of the fresh seeds.
    """

    def __init__(self, play: Play, size: int, first: int) -> None:
        self.play, self.next = play, first
        self.z, self.seeds = np.zeros((0, size)), np.zeros(0, dtype=np.uint64)
        self.margins = np.zeros(0)

    def __len__(self) -> int:
        return len(self.margins)

    def __call__(self, z: Floats, seed: int | None = None) -> Floats:
        """Margins (n,) of points z (n, size).

        Raises:
            RoboAdvError: `play` returned another shape or NaN.
        """
        seeds = np.arange(self.next, self.next + len(z), dtype=np.uint64)
        if seed is None:
            self.next += len(z)
        else:
            seeds[:] = seed
        margins = np.asarray(self.play(z, seeds), dtype=np.float64)
        if margins.shape != (len(z),) or np.isnan(margins).any():
            raise RoboAdvError(
                f"jobs must be played to ({len(z)},) margins without NaN, got shape {margins.shape}"
            )
        self.z, self.seeds = np.concatenate([self.z, z]), np.concatenate([self.seeds, seeds])
        self.margins = np.concatenate([self.margins, margins])
        return margins

    def best(self) -> tuple[Failure, int] | None:
        """The failure nearest to the origin, and its seed; of equally near ones that with the smallest
        margin."""
        failed = np.flatnonzero(self.margins <= 0.0)
        if not len(failed):
            return None
        distance = (self.z[failed] ** 2).sum(axis=1)
        j = failed[np.lexsort((self.margins[failed], distance))[0]]
        size = self.z.shape[1]
        surprise = Nominal("normal", size).surprise(self.z[[j]])[0] if size else 0.0
        failure = Failure(self.z[j].copy(), float(self.margins[j]), float(surprise))
        return failure, int(self.seeds[j])


def search(
    play: Play,
    size: int,
    rng: np.random.Generator,
    simulations: int,
    *,
    first: int = 0,
    confidence: float = CONFIDENCE,
) -> Found:
    """Falsified? most likely failure? how probable? with at most `simulations`.

    The probability is the plain one, with its exact interval, where failures are frequent, where none
    was met, and where the weighted sample met too few to be believed. A weighted one counts failures
    near those that were met; others are bounded by the plain sample alone, which every answer keeps.

    Args:
        size: coordinates of a point; with none, jobs differ by their seed and all are drawn plainly.
        first: scenario seed of the first job.

    Raises:
        RoboAdvError: fewer simulations than `LEAST`.
    """
    check_simulations(simulations)
    jobs = Jobs(play, size, first)
    if not size:
        margins = jobs(np.zeros((simulations, 0)))
        plain = Rate(int((margins <= 0.0).sum()), simulations, confidence)
        return _found(jobs, plain, monte_carlo(plain), 0)
    count = round(PLAIN * simulations)
    failed = int((jobs(rng.standard_normal((count, size))) <= 0.0).sum())
    centres = _design_points(jobs, rng, round(SEARCHED * simulations), _regions(simulations))
    rest = simulations - len(jobs)
    if failed >= FREQUENT or not len(centres) or not centres.any():
        failed += int((jobs(rng.standard_normal((rest, size))) <= 0.0).sum())
        plain = Rate(failed, count + rest, confidence)
        return _found(jobs, plain, monte_carlo(plain), len(centres))
    plain = Rate(failed, count, confidence)
    weighted = _weighted(jobs, centres, rng, rest, confidence)
    if weighted.effective < TRUSTED:
        why = f"the weighted sample met only {weighted.effective:.0f} effective failures"
        weighted = Probability("monte_carlo", monte_carlo(plain).estimate, count, failed, note=why)
    return _found(jobs, plain, weighted, len(centres))


def check_simulations(simulations: int) -> None:
    """Raises RoboAdvError: fewer than `LEAST`."""
    if simulations < LEAST:
        raise RoboAdvError(
            f"a failure search needs at least {LEAST} simulations (0 for none), got {simulations}"
        )


def _found(jobs: Jobs, plain: Rate, probability: Probability, regions: int) -> Found:
    failure, seed = jobs.best() or (None, None)
    return Found(Answers(plain, failure, probability, len(jobs)), seed, regions)


def _regions(simulations: int) -> int:
    """How many starts the search affords: a mixture of more dilutes a small sample."""
    return min(max(simulations // 500, 1), 4)


def _cost(z: Floats, margins: Floats) -> Floats:
    """What the search lowers (n,): the margin until failure, then the distance from the origin."""
    return np.where(margins <= 0.0, (z**2).sum(axis=-1) - 1e9, margins)


def _design_points(jobs: Jobs, rng: np.random.Generator, count: int, starts: int) -> Floats:
    """Failures near the origin (k, size), k <= starts; a later start lies beyond no earlier one."""
    z, margins, seeds = jobs.z.copy(), jobs.margins.copy(), jobs.seeds.copy()
    slope: Floats | None = _slope(z, margins)
    rounds, free = max(count // (starts * CANDIDATES), 1), np.full(len(z), True)
    centres: list[Floats] = []
    for _ in range(starts):
        left = np.flatnonzero(free)
        if not len(left):
            break
        j = left[_cost(z[left], margins[left]).argmin()]
        free[j] = False
        point, margin = _approach(jobs, z[j], margins[j], int(seeds[j]), rng, rounds, slope)
        slope = None  # the next one looks elsewhere
        if margin <= 0.0:
            centres.append(point)
            free &= z @ point <= (point**2).sum() / 2.0
    return np.array(centres).reshape(len(centres), z.shape[1])


def _slope(z: Floats, margins: Floats) -> Floats:
    """Direction (size,) in which the margin rises, by ridge regression."""
    design = np.column_stack([np.ones(len(z)), z])
    finite = margins[np.isfinite(margins)]
    values = np.clip(margins, finite.min(), finite.max()) if len(finite) else np.zeros(len(z))
    found = np.linalg.solve(design.T @ design + np.eye(design.shape[1]), design.T @ values)[1:]
    return np.asarray(found / max(float(np.linalg.norm(found)), 1e-9))


def _approach(
    jobs: Jobs, z: Floats, margin: float, seed: int, rng: np.random.Generator, rounds: int,
    slope: Floats | None,
) -> tuple[Floats, float]:  # fmt: skip
    """From a point to a failure near the origin, in the same scenario seed."""
    for k in range(rounds):
        tried = _candidates(z, margin <= 0.0, rng, 0.85**k)
        if k == 0 and slope is not None:
            reach = np.linspace(1.0, FARTHEST, CANDIDATES // 2)
            tried[: len(reach)] = -reach[:, None] * slope
        if k == rounds - 1 and margin <= 0.0:
            tried = _pruned(z)
        margins = jobs(tried, seed)
        cost = _cost(tried, margins)
        j = int(cost.argmin())
        if cost[j] < _cost(z, np.asarray(margin)):
            z, margin = tried[j], float(margins[j])
    return z, margin


def _candidates(z: Floats, failed: bool, rng: np.random.Generator, step: float) -> Floats:
    """Points (CANDIDATES, size) around z, in turn: some coordinates at 0, all scaled (inwards from a
    failure, else outwards), moved at random."""
    shape = CANDIDATES, len(z)
    keep = rng.random(shape) < rng.choice([0.5, 0.8], (CANDIDATES, 1))
    scale = rng.uniform(0.6, 1.0, (CANDIDATES, 1))
    length = (0.6 if failed else 1.2) * step / math.sqrt(len(z))
    moved = z * (0.93 if failed else 1.0) + length * rng.standard_normal(shape)
    scaled = z * (scale if failed else scale**-0.7)
    kind = np.arange(CANDIDATES)[:, None] % 3
    return np.where(kind == 0, z * keep, np.where(kind == 1, scaled, moved))


def _pruned(z: Floats) -> Floats:
    """Points (at most CANDIDATES, size): z with its one, two ... smallest coordinates at 0."""
    order = np.argsort(np.abs(z))
    rank = np.argsort(order)
    return np.where(rank < np.arange(1, min(len(z), CANDIDATES) + 1)[:, None], 0.0, z)


def _weighted(
    jobs: Jobs, centres: Floats, rng: np.random.Generator, count: int, confidence: float
) -> Probability:
    """Importance sampling around the centres: p exp(+- t s / (p sqrt(n))), t with as many degrees of
    freedom as failures count."""
    proposal = Proposal(centres, np.full(len(centres), 1.0 / len(centres)))
    z = proposal.sample(count, rng)
    weighted = np.where(jobs(z) <= 0.0, proposal.weight(z), 0.0)
    value = float(weighted.mean())
    if value == 0.0:
        return Probability("design_point", Estimate(0.0, 0.0, 1.0, confidence), count, 0.0)
    effective = float(weighted.sum() ** 2 / (weighted**2).sum())
    relative = float(weighted.std(ddof=1)) / value / math.sqrt(count)
    quantile = float(stats.t.ppf(0.5 + confidence / 2.0, max(effective - 1.0, 1.0)))
    estimate = log_interval(value, relative, quantile, confidence)
    return Probability("design_point", estimate, count, effective, len(centres))
