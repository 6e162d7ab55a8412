"""Gaussian mixtures, fitted by expectation maximisation; the number of components by AIC."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FLOOR = 1e-4  # added to variances: no component is narrower than 0.01
STEPS, GAIN = 60, 1e-3  # most steps; least gain of the mean log likelihood that continues


@dataclass(frozen=True)
class Mixture:
    """Attributes:
    weights: (k,) that sum to 1. means: (k, d). covariances: (k, d, d).
    """

    weights: Array
    means: Array
    covariances: Array

    def log_joint(self, points: Array) -> Array:
        """Log of weight times density (k, m) of each component at points (m, d)."""
        roots = np.linalg.cholesky(self.covariances)
        apart = (points[None] - self.means[:, None]).transpose(0, 2, 1)
        white = np.linalg.inv(roots) @ apart
        scale = np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        constant = np.log(self.weights) - scale - 0.5 * points.shape[1] * np.log(2.0 * np.pi)
        return np.asarray(constant[:, None] - 0.5 * (white**2).sum(axis=1))

    def aic(self, points: Array) -> float:
        """Akaike's information criterion 2 * parameters - 2 * log likelihood (Akaike 1974)."""
        k, d = self.means.shape
        parameters = k - 1 + k * d + k * d * (d + 1) // 2
        return float(2 * parameters - 2 * np.logaddexp.reduce(self.log_joint(points)).sum())

    def draw(self, component: int, rng: np.random.Generator) -> Array:
        """A point (d,) of one component."""
        root = np.linalg.cholesky(self.covariances[component])
        noise = rng.standard_normal(self.means.shape[1])
        return np.asarray(self.means[component] + root @ noise)


def fit(points: Array, k: int, rng: np.random.Generator) -> Mixture:
    """A mixture of k components with full covariances for points (m, d), m >= k.

    Expectation maximisation (Dempster, Laird and Rubin 1977) from the cells of k centres that are
    drawn as k-means++ does (Arthur and Vassilvitskii 2007).
    """
    centres = _centres(points, k, rng)
    nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    mixture = _maximise(points, np.eye(k)[:, nearest])
    before = -np.inf
    for _ in range(STEPS):
        joint = mixture.log_joint(points)
        total = np.logaddexp.reduce(joint)
        if total.mean() - before < GAIN:
            break
        before = total.mean()
        mixture = _maximise(points, np.exp(joint - total))
    return mixture


def fit_best(points: Array, sizes: Iterable[int], rng: np.random.Generator) -> Mixture:
    """The mixture with the lowest AIC of those with so many components."""
    mixtures = [fit(points, k, rng) for k in sizes]
    return mixtures[int(np.argmin([mixture.aic(points) for mixture in mixtures]))]


def _centres(points: Array, k: int, rng: np.random.Generator) -> Array:
    """k of the points, each drawn in proportion to its squared distance from those drawn before."""
    chosen = [int(rng.integers(len(points)))]
    far = np.full(len(points), np.inf)
    while len(chosen) < k:
        far = np.minimum(far, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = far.sum()
        share = far / total if total > 0 else np.full(len(far), 1.0 / len(far))
        chosen.append(int(rng.choice(len(points), p=share)))
    return points[chosen]


def _maximise(points: Array, shares: Array) -> Mixture:
    """The mixture of highest likelihood when points (m, d) belong to components by shares (k, m)."""
    mass = shares.sum(axis=1) + 1e-9
    means = shares @ points / mass[:, None]
    apart = points[None] - means[:, None]
    spread = (shares[:, :, None] * apart).transpose(0, 2, 1) @ apart
    covariances = spread / mass[:, None, None] + FLOOR * np.eye(points.shape[1])
    return Mixture(mass / mass.sum(), means, covariances)
