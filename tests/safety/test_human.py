"""Random reaches are smooth, bounded, begin and end at rest, and depend on nothing but u and t."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.safety.human import PEAK, Reaches, ReachStyle, minimum_jerk, random_reaches

STYLE = ReachStyle(rest=(0.6, 0.9, 0.3), low=(0.4, -0.2, 0.1), high=(0.6, 0.2, 0.3))
Array = npt.NDArray[np.float64]


def _numbers(n: int) -> Array:
    return np.random.default_rng(0).random((n, STYLE.numbers))


def _ends(paths: Reaches) -> Array:
    return np.asarray(paths.begins[:, -1] + paths.durations[:, -1])


def _sampled(paths: Reaches, dt: float) -> tuple[Array, Array]:
    times = np.arange(0.0, _ends(paths).max() + 0.5, dt)
    found = [paths.at(np.full(len(paths.begins), t)) for t in times]
    return np.stack([p for p, _ in found]), np.stack([v for _, v in found])


def test_a_minimum_jerk_movement_has_the_published_shape() -> None:
    way, speed = minimum_jerk(np.array([0.0, 0.5, 1.0]))
    assert way.tolist() == [0.0, 0.5, 1.0]
    assert speed.tolist() == [0.0, PEAK, 0.0]


def test_the_peak_speed_is_1_875_times_the_mean_speed() -> None:
    paths = random_reaches(STYLE, _numbers(20))
    middle = paths.begins + 0.5 * paths.durations
    for k in range(middle.shape[1]):
        _, velocity = paths.at(middle[:, k])
        mean = np.linalg.norm(paths.points[:, k + 1] - paths.points[:, k], axis=1)
        mean /= paths.durations[:, k]
        assert np.allclose(np.linalg.norm(velocity, axis=1), 1.875 * mean, rtol=1e-9)
        assert np.allclose(paths.peak_speeds()[:, k], 1.875 * mean, rtol=1e-12)


def test_speeds_stay_within_the_style() -> None:
    paths = random_reaches(STYLE, _numbers(500))
    peaks = paths.peak_speeds()
    assert (peaks <= STYLE.speed[1] + 1e-9).all()
    slowed = np.isclose(paths.durations, STYLE.shortest)
    assert (peaks[~slowed] >= STYLE.speed[0] - 1e-9).all()
    _, velocity = _sampled(random_reaches(STYLE, _numbers(20)), 0.01)
    assert np.linalg.norm(velocity, axis=2).max() <= STYLE.speed[1] + 1e-9


@pytest.mark.parametrize("tempo", [0.5, 2.0])
def test_tempo_scales_the_speeds(tempo: float) -> None:
    plain, scaled = (random_reaches(STYLE, _numbers(50), t) for t in (1.0, tempo))
    free = ~np.isclose(plain.durations, STYLE.shortest) & ~np.isclose(
        scaled.durations, STYLE.shortest
    )
    assert free.any()
    assert np.allclose(scaled.peak_speeds()[free], tempo * plain.peak_speeds()[free])


def test_paths_begin_and_end_at_rest_outside() -> None:
    paths = random_reaches(STYLE, _numbers(50))
    for time in (np.zeros(50), _ends(paths), _ends(paths) + 100.0, np.full(50, -1.0)):
        position, velocity = paths.at(time)
        assert np.allclose(position, STYLE.rest) and np.allclose(velocity, 0.0)


def test_waypoints_fill_the_box_and_the_spread_draws_them_together() -> None:
    inner = random_reaches(STYLE, _numbers(2000)).points[:, 1:-1]
    assert (inner >= STYLE.low).all() and (inner <= STYLE.high).all()
    size = np.subtract(STYLE.high, STYLE.low)
    assert (np.ptp(inner, axis=(0, 1)) > 0.98 * size).all()
    together = random_reaches(STYLE, _numbers(5), spread=0.0).points[:, 1:-1]
    assert np.allclose(together, 0.5 * np.add(STYLE.low, STYLE.high))


def test_position_is_continuous_and_velocity_is_its_derivative() -> None:
    dt = 0.002
    position, velocity = _sampled(random_reaches(STYLE, _numbers(10)), dt)
    step = np.diff(position, axis=0)
    assert np.linalg.norm(step, axis=2).max() <= STYLE.speed[1] * dt + 1e-12
    # Trapezoid rule: the error is of the order of dt^3 times the jerk.
    assert np.allclose(step, 0.5 * dt * (velocity[1:] + velocity[:-1]), rtol=0, atol=2e-6)
    # A reach of 0.3 s at 1 m/s accelerates with at most 5.77/1.875 x v/T.
    assert np.linalg.norm(np.diff(velocity, axis=0), axis=2).max() / dt < 12.0


def test_the_hand_pauses_where_it_reached() -> None:
    paths = random_reaches(STYLE, _numbers(50))
    arrived = paths.begins[:, 0] + paths.durations[:, 0]
    stays = paths.begins[:, 1] - arrived
    assert (stays >= STYLE.pause[0] - 1e-12).all() and (stays <= STYLE.pause[1]).all()
    position, velocity = paths.at(arrived + 0.5 * stays)
    assert np.allclose(position, paths.points[:, 1]) and np.allclose(velocity, 0.0, atol=1e-9)


def test_a_path_is_the_same_alone_and_in_a_batch() -> None:
    u, time = _numbers(64), np.linspace(0.0, 8.0, 64)
    together = random_reaches(STYLE, u).at(time)
    for i in (0, 17, 63):
        alone = random_reaches(STYLE, u[i : i + 1]).at(time[i : i + 1])
        assert np.array_equal(alone[0][0], together[0][i])
        assert np.array_equal(alone[1][0], together[1][i])
