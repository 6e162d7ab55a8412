"""Transitions are rows of four arrays that agree."""

from __future__ import annotations

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.transitions import Transitions


def _steps(n: int, first: int = 0) -> Transitions:
    count = np.arange(first, first + n, dtype=np.float32)
    return Transitions(count[:, None], -count[:, None], count[:, None] + 1, count % 2 == 0)


def test_taking_rows_takes_them_from_every_array() -> None:
    taken = _steps(5).take(np.array([3, 0]))
    np.testing.assert_array_equal(taken.observation[:, 0], [3, 0])
    np.testing.assert_array_equal(taken.action[:, 0], [-3, 0])
    np.testing.assert_array_equal(taken.next_observation[:, 0], [4, 1])
    np.testing.assert_array_equal(taken.terminated, [False, True])


def test_concatenating_keeps_the_order_of_parts_and_rows() -> None:
    whole = Transitions.concatenate([_steps(2), _steps(3, first=2)])
    assert len(whole) == 5
    np.testing.assert_array_equal(whole.next_observation, _steps(5).next_observation)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(RoboAdvError, match=r"one row per step.*action \(3, 1\)"):
        Transitions(np.zeros((4, 2)), np.zeros((3, 1)), np.zeros((4, 2)), np.zeros(4, bool))


def test_two_observations_of_different_shapes_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="agree in shape"):
        Transitions(np.zeros((4, 2)), np.zeros((4, 1)), np.zeros((4, 3)), np.zeros(4, bool))


def test_concatenating_nothing_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="at least one part"):
        Transitions.concatenate([])
