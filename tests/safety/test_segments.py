"""Distances of segments against brute force, known cases, and what no motion may change."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from robo_adv.safety.segments import capsule_distance, segment_distance

Array = npt.NDArray[np.float64]
points = hnp.arrays(np.float64, (4, 3), elements=st.floats(-10, 10).map(lambda x: round(x, 3)))


def _brute(p0: Array, p1: Array, q0: Array, q1: Array, n: int = 401) -> float:
    """Least distance from points along p to the segment q, exact in one direction."""
    s = np.linspace(0.0, 1.0, n)[:, None]
    p, along = p0 + s * (p1 - p0), q1 - q0
    length = max(float(along @ along), 1e-300)
    t = np.clip(((p - q0) @ along) / length, 0.0, 1.0)[:, None]
    return float(np.linalg.norm(p - q0 - t * along, axis=1).min())


@pytest.mark.parametrize(
    ("p", "q", "distance"),
    [
        (((0, 0, 0), (1, 0, 0)), ((0.5, -1, 1), (0.5, 1, 1)), 1.0),  # crossing in the plan
        (((0, 0, 0), (1, 0, 0)), ((0, 2, 0), (1, 2, 0)), 2.0),  # parallel, side by side
        (((0, 0, 0), (1, 0, 0)), ((4, 0, 0), (5, 0, 0)), 3.0),  # on one line, apart
        (((0, 0, 0), (2, 0, 0)), ((1, 0, 0), (3, 0, 0)), 0.0),  # on one line, overlapping
        (((0, 0, 0), (1, 0, 0)), ((2, 1, 0), (2, 5, 0)), np.sqrt(2)),  # end to end
        (((0, 0, 0), (0, 0, 0)), ((3, 4, 0), (3, 4, 0)), 5.0),  # two points
        (((0, 0, 0), (0, 0, 0)), ((-1, 1, 0), (1, 1, 0)), 1.0),  # a point and a segment
    ],
)
def test_cases_with_known_distances(
    p: tuple[object, object], q: tuple[object, object], distance: float
) -> None:
    found, _, _ = segment_distance(p[0], p[1], q[0], q[1])  # type: ignore[arg-type]
    assert np.isclose(found, distance)


@pytest.mark.parametrize("kind", ["any", "parallel", "almost parallel", "points"])
def test_it_agrees_with_brute_force(kind: str) -> None:
    rng = np.random.default_rng(1)
    p0, p1, q0, q1 = rng.normal(size=(4, 300, 3))
    if kind != "any":
        bend = {"parallel": 0.0, "almost parallel": 1e-6, "points": 0.0}[kind]
        scale = 0.0 if kind == "points" else rng.normal(size=(300, 1))
        q1 = q0 + scale * (p1 - p0) + bend * rng.normal(size=(300, 3))
    found, _, _ = segment_distance(p0, p1, q0, q1)
    brute = np.array([_brute(*row) for row in zip(p0, p1, q0, q1, strict=True)])
    lengths = np.linalg.norm(p1 - p0, axis=1)
    assert (found <= brute + 1e-9).all()
    assert (found >= brute - lengths / 400).all()


@given(points)
def test_the_closest_points_lie_on_the_segments_and_are_that_far_apart(ends: Array) -> None:
    distance, p, q = segment_distance(*ends)
    assert np.isclose(np.linalg.norm(p - q), distance, atol=1e-9)
    for point, start, end in ((p, ends[0], ends[1]), (q, ends[2], ends[3])):
        detour = np.linalg.norm(point - start) + np.linalg.norm(end - point)
        assert np.isclose(detour, np.linalg.norm(end - start), atol=1e-6)


@given(points)
def test_order_and_direction_do_not_matter(ends: Array) -> None:
    a, b, c, d = ends
    distance = segment_distance(a, b, c, d)[0]
    for other in ((c, d, a, b), (b, a, c, d), (a, b, d, c)):
        assert np.isclose(segment_distance(*other)[0], distance, atol=1e-6)


@settings(max_examples=50)
@given(points, hnp.arrays(np.float64, 3, elements=st.floats(-3, 3)))
def test_moving_both_as_one_changes_nothing(ends: Array, turn: Array) -> None:
    moved = Rotation.from_rotvec(turn).apply(ends) + turn
    assert np.isclose(segment_distance(*moved)[0], segment_distance(*ends)[0], atol=1e-6)


@given(points)
def test_no_two_points_are_nearer_and_ends_bound_it_from_above(ends: Array) -> None:
    a, b, c, d = ends
    distance = segment_distance(a, b, c, d)[0]
    nearest_ends = min(np.linalg.norm(x - y) for x in (a, b) for y in (c, d))
    middles = float(np.linalg.norm(0.5 * (a + b) - 0.5 * (c + d)))
    reach = 0.5 * float(np.linalg.norm(b - a) + np.linalg.norm(d - c))
    assert max(middles - reach, 0.0) - 1e-9 <= distance <= nearest_ends + 1e-9


def test_a_batch_is_what_its_pairs_are() -> None:
    rng = np.random.default_rng(0)
    links, parts = rng.normal(size=(2, 5, 9, 1, 3)), rng.normal(size=(2, 5, 1, 2, 3))
    distance, p, q = segment_distance(links[0], links[1], parts[0], parts[1])
    assert distance.shape == (5, 9, 2) and p.shape == q.shape == (5, 9, 2, 3)
    for i, j, k in ((0, 0, 0), (4, 8, 1), (2, 3, 0)):
        one = (links[0, i, j, 0], links[1, i, j, 0], parts[0, i, 0, k], parts[1, i, 0, k])
        assert segment_distance(*one)[0] == distance[i, j, k]


def test_capsules_are_nearer_by_their_radii_and_negative_where_they_overlap() -> None:
    x = np.array([[0.0, 0, 0], [1, 0, 0]])
    found = capsule_distance(x[0], x[1], 0.1, x[0] + [0, 0, 1], x[1] + [0, 0, 1], [0.2, 1.0])
    assert np.allclose(found, [0.7, -0.1])
