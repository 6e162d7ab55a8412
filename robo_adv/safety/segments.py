"""Closest points of line segments and capsules, for any batch of pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_PARALLEL = 1e-12  # squared sine of the angle below which lines count as parallel
_TINY = 1e-300  # keeps divisions by the squared length of a point finite


def segment_distance(
    p0: npt.ArrayLike, p1: npt.ArrayLike, q0: npt.ArrayLike, q1: npt.ArrayLike
) -> tuple[Array, Array, Array]:
    """Distance between segments p0-p1 and q0-q1, of any length, 0 included.

    The squared distance is a convex quadratic of the two places along the segments, so its minimum
    over the unit square is that of the two lines, where it lies inside, or lies on one of four
    edges, where an end point is projected (cf. Ericson, Real-Time Collision Detection, 2005, 5.1.9).
    All five are computed and the best is taken, so no case needs a branch.

    Args:
        p0, p1, q0, q1: end points (..., 3) [m], broadcast against each other.

    Returns:
        distance (...) [m]; closest point on p (..., 3); closest point on q (..., 3). Where segments
        are parallel or cross, one of the closest pairs.
    """
    points = [np.asarray(x, dtype=np.float64) for x in (p0, p1, q0, q1)]
    p0, p1, q0, q1 = np.broadcast_arrays(*points)
    along_p, along_q, between = p1 - p0, q1 - q0, p0 - q0
    pp, qq, pq = _dot(along_p, along_p), _dot(along_q, along_q), _dot(along_p, along_q)
    pb, qb = _dot(along_p, between), _dot(along_q, between)
    # Squared distance of the lines at (s, t): |between + s along_p - t along_q|^2.
    determinant = pp * qq - pq * pq
    crossing = determinant > _PARALLEL * pp * qq
    inner = np.clip((pq * qb - qq * pb) / np.where(crossing, determinant, 1.0), 0.0, 1.0)
    zero, one = np.zeros_like(pp), np.ones_like(pp)
    onto_p = [np.clip((t * pq - pb) / np.maximum(pp, _TINY), 0.0, 1.0) for t in (zero, one)]
    s = np.stack([np.where(crossing, inner, 0.0), zero, one, *onto_p])
    onto_q = np.clip((s[:3] * pq + qb) / np.maximum(qq, _TINY), 0.0, 1.0)
    t = np.concatenate([onto_q, np.stack([zero, one])])
    gap = between + s[..., None] * along_p - t[..., None] * along_q  # (5, ..., 3)
    squared = _dot(gap, gap)
    best = squared.argmin(axis=0)[None]
    s, t = np.take_along_axis(s, best, 0)[0], np.take_along_axis(t, best, 0)[0]
    distance = np.sqrt(np.take_along_axis(squared, best, 0)[0])
    return distance, p0 + s[..., None] * along_p, q0 + t[..., None] * along_q


def capsule_distance(
    p0: npt.ArrayLike, p1: npt.ArrayLike, p_radius: npt.ArrayLike,
    q0: npt.ArrayLike, q1: npt.ArrayLike, q_radius: npt.ArrayLike,
) -> Array:  # fmt: skip
    """Distance (...) [m] between the surfaces of capsules around segments, negative where they
    overlap; radii broadcast against the segments without their last axis."""
    distance, _, _ = segment_distance(p0, p1, q0, q1)
    radii = np.asarray(p_radius, dtype=np.float64) + np.asarray(q_radius, dtype=np.float64)
    return np.asarray(distance - radii)


def _dot(a: Array, b: Array) -> Array:
    # Written out: the order of sums must not depend on the size of the batch.
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])
