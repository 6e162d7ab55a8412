"""Policy smoothing: a controller that adds noise to what it sees, and what that certifies of returns.

Kumar, Levine and Feizi 2021, "Policy smoothing for provably robust reinforcement learning",
arXiv:2106.11420, theorem 1; Wu et al. 2021 (CROP), arXiv:2106.09292. With Gaussian noise of standard
deviation sigma on every observation, an attacker that moves observations by at most `radius` in l2 over
a whole episode lowers P(return >= t) from p to no less than Phi(Phi^-1(p) - radius / sigma), however it
adapts. Radius and sigma are in the same units. Nothing is said of the policy without noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from robo_adv import seeding
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.policy import Policy, State, begun, carried
from robo_adv.safety.statistics import CONFIDENCE

Array = npt.NDArray[Any]


class Smoothed:
    """A policy that sees its observations with fresh Gaussian noise in every step.

    Args:
        policy: the policy. sigma: standard deviation of the noise, in units of `scale`.
        scale: one unit per entry (d,); entries of scale 0 get no noise and may not be attacked either.

    Raises:
        RoboAdvError: a negative or infinite sigma or scale.
    """

    def __init__(self, policy: Policy, sigma: float, scale: Array) -> None:
        self.policy, self.sigma = policy, float(sigma)
        self.scale = np.asarray(scale, dtype=np.float64)
        if not (math.isfinite(sigma) and sigma >= 0):
            raise RoboAdvError(f"sigma is a finite number of at least 0, got {sigma}")
        if not (np.isfinite(self.scale).all() and (self.scale >= 0).all()):
            raise RoboAdvError("the scale of the noise needs finite numbers of at least 0")

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        """State: seeds and step, then the policy's own, which sees no observation without noise."""
        step = np.zeros(len(seeds), dtype=np.uint64)
        return (seeds, step, *begun(self.policy, seeds, self._noisy(observation, seeds, step)))

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        seeds, step, *inner = state
        action, after = self.policy.predict(
            self._noisy(observation, seeds, step), tuple(inner) or None, episode_start,
            deterministic,
        )  # fmt: skip
        kept = carried(self.policy, tuple(inner), after)
        return action, (seeds, step + np.uint64(1), *kept)

    def _noisy(self, observation: Array, seeds: seeding.Seeds, step: Array) -> Array:
        noise = seeding.normal(seeds, seeding.SMOOTHING, len(self.scale), step)
        noisy = observation + self.sigma * self.scale * noise
        return np.asarray(noisy, dtype=observation.dtype)


@dataclass(frozen=True)
class CertifiedReturns:
    """What n smoothed episodes certify at rising budgets (k,) per step.

    Attributes:
        eps: budget per step, in its norm. radius: the same in l2 over a whole episode.
        quantile: which quantile of the return is certified. value: lower bounds of it (k,), -inf where
            nothing is certified. clean: the quantile of the episodes as they are.
        sigma, steps, episodes, confidence: each bound holds with this confidence by itself.
    """

    eps: Array
    radius: Array
    quantile: float
    value: Array
    clean: float
    sigma: float
    steps: int
    episodes: int
    confidence: float

    @property
    def vacuous(self) -> npt.NDArray[np.bool_]:
        """(k,) where nothing is certified."""
        return np.isneginf(self.value)

    def to_json(self) -> dict[str, Any]:
        curve = zip(self.eps, self.radius / self.sigma, self.value, self.vacuous, strict=True)
        return {
            "sigma": self.sigma, "steps": self.steps, "episodes": self.episodes,
            "quantile": self.quantile, "confidence": self.confidence, "clean": self.clean,
            "budgets": [
                {"budget": float(eps), "shift": float(shift), "vacuous": bool(empty),
                 "return": None if empty else float(value)}
                for eps, shift, value, empty in curve
            ],
            "told": self.told(),
        }  # fmt: skip

    def told(self) -> str:
        """What it says, in a sentence."""
        useful = self.eps[~self.vacuous & (self.eps > 0)]
        if len(useful):
            said = f"Certifies a return up to a budget of {useful.max():g}"
            return said + (", beyond which it is vacuous." if self.vacuous.any() else ".")
        largest = _largest_shift(self.episodes, self.quantile, self.confidence)
        if largest <= 0.0:
            return f"Vacuous: {self.episodes} episodes are too few, even without an attack."
        shift = float((self.radius / self.sigma).min(initial=math.inf, where=self.eps > 0))
        return (
            f"Vacuous at every budget: over {self.steps} steps the smallest one is {shift:.3g} "
            f"standard deviations of the noise, and {self.episodes} episodes certify nothing beyond "
            f"{largest:.2g}."
        )


def episode_radius(eps: npt.ArrayLike, steps: int, norm: str = "l2", entries: int = 1) -> Array:
    """The l2 length over an episode of perturbations of `eps` in each of its steps.

    Args:
        norm: of eps: `l2`, or `linf`, whose ball of d entries lies in the l2 ball of eps sqrt(d).
        steps: most steps that an episode can have. entries: d, how many may be touched.

    Raises:
        UnknownNameError: another norm.
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm of a smoothing certificate", norm, ("l2", "linf"))
    wide = math.sqrt(entries) if norm == "linf" else 1.0
    return np.asarray(np.asarray(eps, dtype=np.float64) * wide * math.sqrt(steps))


def certified_share(
    count: int, episodes: int, radius: float, sigma: float, confidence: float = CONFIDENCE
) -> float:
    """Lower bound of a share of episodes under attack, from `count` of n smoothed ones without.

    Args:
        radius: l2 budget over an episode, in the units of sigma.
    """
    _check(episodes, sigma, confidence)
    if count == 0:
        return 0.0
    low = stats.beta.ppf(
        1.0 - confidence, count, episodes - count + 1
    )  # Clopper-Pearson, one-sided
    return float(stats.norm.cdf(stats.norm.ppf(low) - radius / sigma))


def certified_returns(
    returns: Array, eps: npt.ArrayLike, sigma: float, steps: int, *, norm: str = "l2",
    entries: int = 1, quantile: float = 0.5, confidence: float = CONFIDENCE,
) -> CertifiedReturns:  # fmt: skip
    """Lower bounds of a quantile of the return under attack.

    At shift s = radius / sigma the quantile q under attack is at least the quantile
    Phi(Phi^-1(q) - s) without, of which an order statistic is a lower confidence bound.

    Args:
        returns: of smoothed episodes without attack (n,), drawn independently.
        eps, norm, steps, entries: see `episode_radius`. quantile: 0.5 is the median.

    Raises:
        RoboAdvError: no episodes, or numbers out of range.
    """
    ranked, eps = np.sort(np.asarray(returns, dtype=np.float64)), np.atleast_1d(eps).astype(float)
    _check(len(ranked), sigma, confidence)
    if not 0.0 < quantile < 1.0:
        raise RoboAdvError(f"a quantile is between 0 and 1, got {quantile:g}")
    if not np.isfinite(ranked).all() or not (np.isfinite(eps) & (eps >= 0)).all() or steps < 1:
        raise RoboAdvError("certified returns need finite returns and budgets, and at least 1 step")
    radius = episode_radius(eps, steps, norm, entries)
    share = stats.norm.cdf(stats.norm.ppf(quantile) - radius / sigma)
    # The k-th smallest is at most the quantile `share` when at least k of n fall at or below it.
    k = stats.binom.ppf(1.0 - confidence, len(ranked), share).astype(int)
    k = np.where(stats.binom.sf(k - 1, len(ranked), share) >= confidence, k, k - 1)
    value = np.where(k >= 1, ranked[np.maximum(k, 1) - 1], -np.inf)
    return CertifiedReturns(
        eps, radius, quantile, value, float(np.quantile(ranked, quantile)), float(sigma), steps,
        len(ranked), confidence,
    )  # fmt: skip


def _largest_shift(episodes: int, quantile: float, confidence: float) -> float:
    """Beyond this many standard deviations of the noise n episodes certify nothing."""
    least = 1.0 - (1.0 - confidence) ** (1.0 / episodes)  # the smallest return bounds this quantile
    return float(stats.norm.ppf(quantile) - stats.norm.ppf(least))


def _check(episodes: int, sigma: float, confidence: float) -> None:
    if episodes < 1:
        raise RoboAdvError("a certificate of returns needs at least one episode")
    if not (math.isfinite(sigma) and sigma > 0):
        raise RoboAdvError(f"the noise of a certificate needs a sigma above 0, got {sigma:g}")
    if not 0.5 <= confidence < 1.0:
        raise RoboAdvError(f"a confidence is at least 0.5 and below 1, got {confidence:g}")
