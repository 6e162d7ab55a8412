"""Counter-based random numbers: a pure function of (seed, stream, position), vectorised.

Nothing here keeps state, so episode j draws the same numbers in a batch of 1 or 256, in any order
and at any thread count. The mixer is SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators", OOPSLA; constants of its variant 13 by D. Stafford).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Seeds = npt.NDArray[np.uint64]

START = 1  # stream that places bodies at the start of an episode
MEMBER = 2  # stream that picks a pool member
ACTION = 3  # stream of a stochastic policy's actions
MASK = 4  # stream of a noise mask
LEVEL = 5  # stream that samples levels
NEXT = 6  # stream of the seeds of following episodes
PLAYER = 7  # stream of the seeds that each player's policy gets
SENSOR = 8  # stream of sensor noise
ATTACK = 9  # stream of an attack's proposals
CHANCE = 10  # stream by which a threat grants proposals
SCHEDULE = 11  # stream of a threat's schedule
SMOOTHING = 12  # stream of the noise of a smoothed policy

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(x: Seeds) -> Seeds:
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))


def as_seeds(seeds: npt.ArrayLike) -> Seeds:
    """Any integers as (n,) uint64 seeds; negative ones wrap, lists never pass through floats."""
    if not isinstance(seeds, np.ndarray):
        exact = np.atleast_1d(np.asarray(seeds, dtype=object))
        return np.array([int(seed) % 2**64 for seed in exact], dtype=np.uint64)
    return np.atleast_1d(seeds).astype(np.uint64)


def derive(seeds: npt.ArrayLike, stream: int, position: npt.ArrayLike = 0) -> Seeds:
    """(n,) new seeds from (n,) seeds, a stream number and a position (broadcast)."""
    with np.errstate(over="ignore"):
        x = _mix(as_seeds(seeds) + _GOLDEN * np.uint64(2 * stream + 1))
        return _mix(x + _GOLDEN * (as_seeds(position) + np.uint64(1)))


def uniform(
    seeds: npt.ArrayLike, stream: int, count: int, position: npt.ArrayLike = 0
) -> npt.NDArray[np.float64]:
    """(n, count) numbers in [0, 1) from (n,) seeds; `position` (n,) is a step counter."""
    base = derive(seeds, stream, position)
    with np.errstate(over="ignore"):
        bits = _mix(base[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64))
    return np.asarray((bits >> np.uint64(11)) * 2.0**-53)


def normal(
    seeds: npt.ArrayLike, stream: int, count: int, position: npt.ArrayLike = 0
) -> npt.NDArray[np.float64]:
    """(n, count) standard normal numbers (Box and Muller 1958), otherwise as `uniform`."""
    u = uniform(seeds, stream, 2 * count, position)
    radius = np.sqrt(-2.0 * np.log1p(-u[:, :count]))
    return np.asarray(radius * np.cos(2.0 * np.pi * u[:, count:]))
