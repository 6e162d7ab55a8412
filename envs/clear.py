"""Clear places: what would start, or have its goal, inside an obstacle moves out of it, for a batch.

Only + - * / and square roots of single elements are used, whose bits do not depend on the batch.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from robo_adv.envs.episode import Array, Bools

AIR = 1e-6  # [m] what a moved place keeps beyond its distance, so that rounding cannot eat it
_TIE = 1e-9  # [m] nearer to a centre than this, a place leaves its disc along y


def inside(places: Array, centres: Array, radii: Array) -> Bools:
    """Which places (n, c, 2) lie in a disc around `centres` (n, m, 2) of `radii` (n, m) [m]; one
    of radius 0 or less holds nothing."""
    away = places[:, :, None] - centres[:, None]
    square = away[..., 0] ** 2 + away[..., 1] ** 2  # (n, c, m)
    reach = np.maximum(radii, 0.0)[:, None]
    return cast(Bools, (square < reach * reach).any(axis=2))


def clear_places(
    places: Array, centres: Array, radii: Array, low: Array, high: Array
) -> tuple[Array, Bools]:
    """The nearest places (n, 2) outside all discs and inside the box `low`, `high` (2,) [m], and
    whether there are any (n,); a place for which there is none stays, as do those that are clear.

    The nearest point of a box without discs lies on one circle, where it leaves the disc radially,
    on two circles, or on a circle and an edge of the box; all of these are tried.
    """
    blocked = inside(places[:, None], centres, radii)[:, 0]
    out, found = places.copy(), ~blocked
    rows = np.flatnonzero(blocked)
    if len(rows):
        mine = (places[rows], centres[rows], radii[rows])
        tries = np.concatenate(
            [_ways_out(*mine), _crossings(*mine[1:]), _edges(*mine[1:], low, high)], axis=1
        )
        good = ~inside(tries, *mine[1:]) & ((tries >= low) & (tries <= high)).all(axis=2)
        away = tries - places[rows, None]
        square = np.where(good, away[..., 0] ** 2 + away[..., 1] ** 2, np.inf)
        best, some = square.argmin(axis=1), np.asarray(np.isfinite(square).any(axis=1))
        nearest = tries[np.arange(len(rows)), best]
        out[rows] = np.where(some[:, None], nearest, places[rows])
        found[rows] = some
    return out, found


def _ways_out(places: Array, centres: Array, radii: Array) -> Array:
    """Straight out of every disc (n, m, 2)."""
    away = places[:, None] - centres
    length = np.sqrt(away[..., 0] ** 2 + away[..., 1] ** 2)[..., None]
    unit = np.where(length > _TIE, away / np.maximum(length, _TIE), np.array([0.0, 1.0]))
    return centres + (np.maximum(radii, 0.0) + AIR)[..., None] * unit


def _crossings(centres: Array, radii: Array) -> Array:
    """Where two circles cross (n, m (m - 1), 2); NaN where they do not."""
    first, second = np.triu_indices(centres.shape[1], 1)
    a, b = radii[:, first] + AIR, radii[:, second] + AIR
    between = centres[:, second] - centres[:, first]
    square = between[..., 0] ** 2 + between[..., 1] ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        along = 0.5 * (1.0 + (a * a - b * b) / square)  # share of the way from the first centre
        aside = np.sqrt(a * a / square - along * along)
        normal = np.stack([-between[..., 1], between[..., 0]], axis=2)
        middle = centres[:, first] + along[..., None] * between
        offset = aside[..., None] * normal
        return np.concatenate([middle + offset, middle - offset], axis=1)


def _edges(centres: Array, radii: Array, low: Array, high: Array) -> Array:
    """Where circles cross the edges of the box (n, 8 m, 2); NaN where they do not."""
    out = []
    for axis in (0, 1):
        for edge in (low[axis], high[axis]):
            gap = edge - centres[..., axis]
            with np.errstate(invalid="ignore"):
                half = np.sqrt((radii + AIR) ** 2 - gap * gap)
            for side in (half, -half):
                place = np.empty_like(centres)
                place[..., axis] = edge
                place[..., 1 - axis] = centres[..., 1 - axis] + side
                out.append(place)
    return np.concatenate(out, axis=1)
