"""Probability of rare failures by adaptive multilevel splitting (subset simulation).

Au and Beck 2001, "Estimation of small failure probabilities in high dimensions by subset simulation",
Probabilistic Engineering Mechanics 16(4), with the conditional sampling of Papaioannou et al. 2015
(same journal, 41): z' = sqrt(1 - b^2) z + b xi leaves the nominal density unchanged and is accepted
where the margin stays below the level.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Estimate, Floats
from robo_adv.safety.failure_space import Margin, Nominal, Probability, Simulator, log_interval
from robo_adv.safety.statistics import CONFIDENCE, Rate

ACCEPTED = 0.44  # share of accepted steps that the step length is steered to


def splitting(
    margin: Margin,
    nominal: Nominal,
    rng: np.random.Generator,
    *,
    particles: int = 500,
    runs: int = 8,
    share: float = 0.1,
    levels: int = 30,
    confidence: float = CONFIDENCE,
    simulator: Simulator | None = None,
) -> Probability:
    """Product of the shares of particles that pass each level, averaged over independent runs.

    Chains within a run depend on each other, so the interval comes from the runs alone: their mean,
    with Student's t on the logarithmic scale.

    Args:
        particles: per run and level. share: that passes a level. levels: most of them per run.
        simulator: counts on top of an earlier search.
    """
    if runs < 3 or particles * share < 5.0 or not 0.0 < share <= 0.5:
        raise RoboAdvError(
            "splitting needs at least 3 runs, a share in 0..0.5 and particles x share >= 5, got "
            f"{runs} runs, {particles} x {share}"
        )
    play = simulator or Simulator(margin, nominal)
    before = play.simulations
    found = np.array([_run(play, nominal.size, rng, particles, share, levels) for _ in range(runs)])
    value, used = float(found.mean()), play.simulations - before
    missed = int((found == 0.0).sum())
    note = f"{missed} of {runs} runs met no failure" if missed else ""
    if value == 0.0:
        high = Rate(0, runs * particles, confidence).high  # the first level is a plain sample
        estimate = Estimate(0.0, 0.0, high, confidence)
        return Probability("splitting", estimate, used, 0.0, note=note)
    relative = float(found.std(ddof=1)) / value / math.sqrt(runs)
    quantile = float(stats.t.ppf(0.5 + confidence / 2.0, runs - 1))
    estimate = log_interval(value, relative, quantile, confidence)
    effective = 1.0 / max(relative, 1e-9) ** 2
    return Probability("splitting", estimate, used, effective, note=note)


def _run(
    play: Simulator,
    size: int,
    rng: np.random.Generator,
    particles: int,
    share: float,
    levels: int,
) -> float:
    """One estimate; 0 when the levels stop falling before failure."""
    z = rng.standard_normal((particles, size))
    margins = play(z)
    probability, last = 1.0, math.inf
    for _ in range(levels):
        level = float(
            np.partition(margins, round(particles * share) - 1)[round(particles * share) - 1]
        )
        passed = margins <= max(level, 0.0)
        probability *= float(passed.mean())
        if level <= 0.0:
            return probability
        if level >= last:
            return 0.0
        last = level
        z, margins = _chains(play, z[passed], margins[passed], level, particles, rng)
    return 0.0


def _chains(
    play: Simulator,
    z: Floats,
    margins: Floats,
    level: float,
    particles: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """`particles` points below the level: the chains' starts and their later states."""
    order = rng.permutation(len(z))
    z, margins = z[order], margins[order]
    points, values, step = [z], [margins], 0.8
    while sum(map(len, points)) < particles:
        moved = math.sqrt(1.0 - step**2) * z + step * rng.standard_normal(z.shape)
        tried = play(moved)
        accept = tried <= level
        z, margins = np.where(accept[:, None], moved, z), np.where(accept, tried, margins)
        step = float(np.clip(step * math.exp(accept.mean() - ACCEPTED), 0.05, 1.0))
        points.append(z)
        values.append(margins)
    return np.concatenate(points)[:particles], np.concatenate(values)[:particles]
