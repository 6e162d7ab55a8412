"""Energy model, separation distance and force ratios against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robo_adv.safety.contact_limits import load_limits
from robo_adv.safety.contact_model import (
    WALKING_SPEED,
    Separation,
    energy_force,
    force_ratio,
    max_speed,
    reduced_mass,
    robot_mass,
    shortfall,
)

positive = st.floats(1e-3, 1e6)
# v_max [m/s] for effective robot masses of 2, 5, 10 and 20 kg, to two digits (two of them are
# rounded the other way than here: 0.48497 and 0.12498).
TABLE = {
    "hand": (1.50, 1.40, 1.36, 1.34),
    "forearm": (1.60, 1.34, 1.24, 1.19),
    "chest": (1.28, 0.84, 0.63, 0.49),
    "face": (0.20, 0.16, 0.14, 0.13),
    "skull": (0.29, 0.22, 0.19, 0.18),
}


@pytest.mark.parametrize("region", TABLE)
def test_the_fastest_allowed_blows_are_those_of_the_published_calculation(region: str) -> None:
    limit = load_limits()[region]
    mass = reduced_mass(limit.mass.value, np.array([2.0, 5.0, 10.0, 20.0]))
    speed = max_speed(limit.impact_force, mass, limit.stiffness_si)
    assert np.allclose(speed, TABLE[region], rtol=0, atol=0.0051)


def test_half_of_the_moving_mass_and_all_of_the_payload_count() -> None:
    assert robot_mass(16.0).tolist() == 8.0
    assert robot_mass(np.array([16.0, 4.0]), 1.5).tolist() == [9.5, 3.5]


def test_equal_masses_have_half_the_reduced_mass_and_a_wall_gives_it_all() -> None:
    assert reduced_mass(3.0, 3.0) == 1.5
    assert np.isclose(reduced_mass(0.6, 1e12), 0.6)


def test_the_force_of_a_blow_by_hand() -> None:
    # mu = 1 kg, k = 10 000 N/m, v = 0.5 m/s: F = 0.5 x 100.
    assert energy_force(0.5, reduced_mass(2.0, 2.0), 10_000.0) == 50.0


@given(positive, positive, positive)
def test_force_and_speed_are_inverse(speed: float, mass: float, stiffness: float) -> None:
    force = energy_force(speed, mass, stiffness)
    assert np.isclose(max_speed(force, mass, stiffness), speed, rtol=1e-12)
    # The spring holds all of the energy at the peak.
    assert np.isclose(force**2 / (2 * stiffness), 0.5 * mass * speed**2, rtol=1e-12)


def test_the_protective_distance_by_hand() -> None:
    world = Separation(reaction_time=0.2, deceleration=2.0, intrusion=0.1,
                       human_uncertainty=0.03, robot_uncertainty=0.01)  # fmt: skip
    # Robot at 1 m/s: T_s = 0.5 s, S_r = 0.2, S_s = 0.25; human at 1.6 m/s: S_h = 1.6 x 0.7 = 1.12.
    assert np.isclose(world.distance(1.0), 1.12 + 0.2 + 0.25 + 0.1 + 0.03 + 0.01)
    assert WALKING_SPEED == 1.6


def test_a_standing_robot_still_keeps_the_reaction_time_s_way_of_the_human() -> None:
    world = Separation(0.1, 3.0, 0.0, 0.0, 0.0)
    assert np.allclose(world.distance(0.0, np.array([0.0, 1.0])), [0.0, 0.1])


@given(positive, positive, positive)
def test_faster_robots_and_humans_need_more_room(v_r: float, v_h: float, more: float) -> None:
    world = Separation()
    assert world.distance(v_r + more, v_h) >= world.distance(v_r, v_h)
    assert world.distance(v_r, v_h + more) >= world.distance(v_r, v_h)


def test_only_missing_distance_is_a_shortfall() -> None:
    assert np.allclose(shortfall(0.5, np.array([0.2, 0.5, 0.9])), [0.3, 0.0, 0.0])


def test_ratios_are_forces_over_limits_and_infinite_where_no_contact_is_allowed() -> None:
    ratio = force_ratio(np.array([70.0, 280.0, 0.0, 5.0]), np.array([140.0, 140.0, np.nan, np.nan]))
    assert ratio.tolist() == [0.5, 2.0, 0.0, np.inf]
