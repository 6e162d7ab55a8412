"""Probability of rare failures by cross-entropy importance sampling.

Rubinstein and Kroese 2004, "The cross-entropy method", chapter 3; for black-box systems Corso et al.
2021, "A survey of algorithms for black-box safety validation" (arXiv 2005.02979), section 7. Proposals
are mixtures of unit normals, fitted by expectation maximisation so that several modes survive; their
covariance stays 1, since a fitted one that is too narrow makes weights without a variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Estimate, Floats
from robo_adv.safety.failure_space import Margin, Nominal, Probability, Simulator, log_interval
from robo_adv.safety.statistics import CONFIDENCE, Rate

DEFENSIVE = 0.1  # share of the nominal density in every proposal: no weight exceeds 1 / 0.1
ENOUGH = 30.0  # effective failures below which the interval is too narrow


@dataclass(frozen=True)
class Proposal:
    """0.1 p + 0.9 sum_k share_k N(mean_k, 1) in standard normal coordinates (Hesterberg 1995,
    Technometrics 37(2): defensive mixtures). means (m, d), shares (m,)."""

    means: Floats
    shares: Floats

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """(count, d); the nominal part gets its exact share, which leaves estimates unbiased."""
        z = rng.standard_normal((count, self.means.shape[1]))
        moved = count - round(DEFENSIVE * count)
        z[:moved] += self.means[rng.choice(len(self.shares), size=moved, p=self.shares)]
        return z

    def weight(self, z: Floats) -> Floats:
        """Nominal over proposal density (n,), at most 10."""
        ratio = self.shares @ np.exp(np.minimum(self._log_ratio(z), 700.0))
        return np.asarray(1.0 / (DEFENSIVE + (1.0 - DEFENSIVE) * ratio))

    def _log_ratio(self, z: Floats) -> Floats:
        """log N(z; mean_k, 1) - log p(z): (m, n)."""
        return np.asarray(self.means @ z.T - (self.means**2).sum(axis=1)[:, None] / 2.0)

    def fitted(self, z: Floats, weight: Floats, rounds: int = 20) -> Proposal:
        """Expectation maximisation on points z (n, d) with weights (n,), from these means."""
        means, shares = self.means, self.shares
        for _ in range(rounds):
            with np.errstate(divide="ignore"):
                log = Proposal(means, shares)._log_ratio(z) + np.log(shares)[:, None]
            part = np.exp(log - special.logsumexp(log, axis=0)) * weight
            mass = part.sum(axis=1)
            means = np.where(
                mass[:, None] > 0.0, part @ z / np.maximum(mass, 1e-300)[:, None], means
            )
            shares = mass / mass.sum()
        return Proposal(means, shares)


def cross_entropy(
    margin: Margin,
    nominal: Nominal,
    rng: np.random.Generator,
    *,
    per_level: int = 1000,
    final: int = 4000,
    elite: float = 0.1,
    components: int = 4,
    levels: int = 20,
    confidence: float = CONFIDENCE,
    simulator: Simulator | None = None,
) -> Probability:
    """Lower the margin of the worst tenth level by level, then weigh a fresh sample.

    The interval is p exp(+- z s / (p sqrt(N))). A region of failures that no level met is seen by the
    nominal tenth of the sample only; then the interval is too narrow, which `splitting` may show.

    Args:
        per_level, final: simulations of each level and of the estimate. elite: share kept.
        components: normals in the proposal. levels: most of them.
        simulator: counts on top of an earlier search.
    """
    if per_level * elite < 2 * components or final < 100:
        raise RoboAdvError(
            f"cross entropy needs per_level x elite >= {2 * components} and final >= 100, got "
            f"{per_level} x {elite} and {final}"
        )
    play = simulator or Simulator(margin, nominal)
    before = play.simulations
    proposal, reached = _adapt(play, nominal.size, rng, per_level, elite, components, levels)
    z = proposal.sample(final, rng)
    weighted = np.where(play(z) <= 0.0, proposal.weight(z), 0.0)
    modes = _modes(play, proposal)
    return _estimate(weighted, modes, play.simulations - before, reached, confidence)


def _modes(play: Simulator, proposal: Proposal) -> int:
    """Means with 2 % of the elites or more that no straight line of failures connects."""
    kept: list[Floats] = []
    between = np.linspace(0.0, 1.0, 5)[1:-1, None]
    for k in np.flatnonzero(proposal.shares >= 0.02):
        lines = [(1.0 - between) * proposal.means[k] + between * other for other in kept]
        if not any((play(line) <= 0.0).all() for line in lines):
            kept.append(proposal.means[k])
    return len(kept)


def _adapt(
    play: Simulator,
    size: int,
    rng: np.random.Generator,
    count: int,
    elite: float,
    components: int,
    levels: int,
) -> tuple[Proposal, bool]:
    """The proposal at the last level, and whether that level is failure itself."""
    proposal = Proposal(np.zeros((components, size)), np.full(components, 1.0 / components))
    for level in range(levels):
        z = proposal.sample(count, rng)
        margins = play(z)
        threshold = max(float(np.quantile(margins, elite)), 0.0)
        kept = margins <= threshold
        points, weight = z[kept], proposal.weight(z[kept])
        if level == 0:
            proposal = Proposal(_spread_out(points, components, rng), proposal.shares)
        proposal = proposal.fitted(points, weight)
        if threshold == 0.0:
            return proposal, True
    return proposal, False


def _spread_out(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """First means (count, d): k-means++ (Arthur and Vassilvitskii 2007)."""
    means = [points[rng.integers(len(points))]]
    for _ in range(count - 1):
        distance = np.min([((points - mean) ** 2).sum(axis=1) for mean in means], axis=0)
        total = distance.sum()
        chance = distance / total if total > 0.0 else np.full(len(points), 1.0 / len(points))
        means.append(points[rng.choice(len(points), p=chance)])
    return np.stack(means)


def _estimate(
    weighted: Floats, modes: int, simulations: int, reached: bool, confidence: float
) -> Probability:
    count, value = len(weighted), float(weighted.mean())
    note = (
        "" if reached else "failures were not reached by the levels: a lower bound of what exists"
    )
    if value == 0.0:
        high = min(1.0, Rate(0, count, confidence).high / DEFENSIVE)
        return Probability(
            "cross_entropy", Estimate(0.0, 0.0, high, confidence), simulations, 0.0, 0, note
        )  # fmt: skip
    effective = float(weighted.sum() ** 2 / (weighted**2).sum())
    if effective < ENOUGH:
        note = note or f"only {effective:.0f} effective failures: the interval is too narrow"
    relative = float(weighted.std(ddof=1)) / value / math.sqrt(count)
    quantile = float(stats.norm.ppf(0.5 + confidence / 2.0))
    estimate = log_interval(value, relative, quantile, confidence)
    return Probability(
        "cross_entropy", estimate, simulations, effective, modes, note
    )  # fmt: skip
