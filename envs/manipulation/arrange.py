"""Arrangements of discs on a table: pushed apart until they keep their distance, for a batch."""

from __future__ import annotations

import numpy as np

from robo_adv.envs.episode import Array, Bools

ROUNDS = 60
SLACK = 1e-3  # [m] what may be missing of a distance in the end
_TIE = 1e-6  # [m] discs nearer than this have no direction; they part along fixed ones


def gaps(places: Array, others: Array) -> tuple[Array, Array]:
    """Vectors (n, k, m, 2) from `others` (n, m, 2) to `places` (n, k, 2), and lengths (n, k, m) [m]."""
    away = places[:, :, None] - others[:, None]
    return away, np.sqrt(away[..., 0] ** 2 + away[..., 1] ** 2)


def too_near(places: Array, fixed: Array, least: Array) -> Bools:
    """Which places (n, k) are nearer than `least` (n,) to each other or to the `fixed` of others.

    `fixed` (n, k, 2) or (n, 0, 2): fixed place j is no obstacle for place j.
    """
    return np.asarray(_missing(places, fixed, least)[1].max(axis=2) > SLACK)


def push_apart(
    places: Array, fixed: Array, least: Array, low: Array, high: Array
) -> tuple[Array, Bools]:
    """`places` (n, k, 2) moved as far as needed that they keep `least` (n,) [m] from each other and
    from `fixed` (n, k, 2) of others, inside the box `low`, `high` (2,); and whether they do (n,).

    Two that are too near share what is missing, round by round (Jacobi projections), so the result
    depends on nothing but the arguments. Rows that need nothing keep their bits.
    """
    places, rows = places.copy(), np.arange(len(places))
    for _ in range(ROUNDS):
        mine = places[rows]
        away, missing = _missing(mine, fixed[rows], least[rows])
        share = np.where(np.arange(missing.shape[2]) < places.shape[1], 0.55, 1.0)
        push = ((share * missing)[..., None] * away).sum(axis=2)
        pushed = np.where(push != 0.0, mine + push, mine)
        pushed = np.minimum(np.maximum(pushed, low), high)
        places[rows] = pushed
        rows = rows[(pushed != mine).any(axis=(1, 2))]  # what stands still has come to its end
        if not len(rows):
            break
    return places, np.asarray(~too_near(places, fixed, least).any(axis=1))


def _missing(places: Array, fixed: Array, least: Array) -> tuple[Array, Array]:
    """Unit vectors (n, k, m, 2) away from every other place and fixed place, and what is missing
    (n, k, m) of the distance `least` to it, 0 where nothing is."""
    count = places.shape[1]
    away, length = gaps(places, np.concatenate([places, fixed], axis=1))
    angle = 2.0 * np.pi * np.arange(count) / max(count, 1)
    tie = np.stack([np.cos(angle), np.sin(angle)], axis=1)[None, :, None]
    unit = np.where(length[..., None] > _TIE, away / np.maximum(length, _TIE)[..., None], tie)
    missing = np.maximum(least[:, None, None] - length, 0.0)
    own = np.arange(count)
    missing[:, own, own] = 0.0
    if fixed.shape[1]:
        missing[:, own, count + own] = 0.0
    return unit, missing
