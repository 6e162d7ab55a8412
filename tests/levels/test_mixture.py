"""Gaussian mixtures by expectation maximisation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import multivariate_normal

from robo_adv.levels.mixture import Mixture, fit, fit_best

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CENTRES = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]])


def three_clouds(rng: np.random.Generator) -> tuple[Array, Ints]:
    which = rng.choice(3, size=600, p=[0.5, 0.3, 0.2])
    return CENTRES[which] + 0.05 * rng.standard_normal((600, 2)), which


def test_densities_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    points, root = rng.random((7, 3)), rng.random((3, 3))
    cov = root @ root.T + np.eye(3)
    mixture = Mixture(np.array([0.25, 0.75]), rng.random((2, 3)), np.stack([cov, 2 * cov]))
    for k in range(2):
        expected = multivariate_normal(mixture.means[k], mixture.covariances[k]).logpdf(points)
        found = mixture.log_joint(points)[k] - np.log(mixture.weights[k])
        np.testing.assert_allclose(found, expected)


def test_clouds_are_found_with_their_weights_and_widths() -> None:
    rng = np.random.default_rng(1)
    points, which = three_clouds(rng)
    mixture = fit(points, 3, rng)
    order = np.array([((mixture.means - c) ** 2).sum(axis=1).argmin() for c in CENTRES])
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(mixture.means[order], CENTRES, atol=0.02)
    np.testing.assert_allclose(mixture.weights[order], np.bincount(which) / 600, atol=0.01)
    np.testing.assert_allclose(
        mixture.covariances, np.tile(0.0026 * np.eye(2), (3, 1, 1)), atol=8e-4
    )


def test_aic_finds_the_number_of_clouds() -> None:
    rng = np.random.default_rng(2)
    assert len(fit_best(three_clouds(rng)[0], range(1, 6), rng).weights) == 3


def test_equal_points_make_a_narrow_component_not_an_error() -> None:
    mixture = fit(np.full((20, 4), 0.5), 3, np.random.default_rng(0))
    assert np.isfinite(mixture.log_joint(np.full((1, 4), 0.5))).all()
    assert mixture.weights.sum() == pytest.approx(1.0)


def test_draws_have_the_mean_and_covariance_of_their_component() -> None:
    rng = np.random.default_rng(3)
    cov = np.array([[0.5, 0.2], [0.2, 0.3]])
    mixture = Mixture(np.ones(1), np.array([[1.0, -1.0]]), cov[None])
    draws = np.array([mixture.draw(0, rng) for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, -1.0], atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), cov, atol=0.05)
