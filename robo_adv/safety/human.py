"""Random reaches of a human hand: minimum-jerk movements between waypoints, with pauses.

A model, no recording. Single reaches follow the minimum-jerk polynomial of Flash and Hogan, "The
coordination of arm movements", J. Neuroscience 5(7), 1985, which starts and ends at rest and whose
peak speed is 1.875 x distance / duration. Speeds, pauses and waypoints are our choices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
PEAK = 1.875  # peak over mean speed of a minimum-jerk movement: 30 t^2 (1-t)^2 at t = 1/2


@dataclass(frozen=True)
class ReachStyle:
    """How a human reaches into a workspace.

    Attributes:
        rest: where the hand begins and ends (3,) [m].
        low, high: corners (3,) [m] of the box that waypoints are uniform in.
        reaches: waypoints before the hand goes back.
        speed: least and greatest peak speed of a reach [m/s].
        pause: least and greatest time at a waypoint [s].
        wait: least and greatest time at rest before the first reach [s].
        shortest: duration below which no reach falls [s]: small corrections are slow.
    """

    rest: tuple[float, float, float]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    reaches: int = 3
    speed: tuple[float, float] = (0.2, 1.0)
    pause: tuple[float, float] = (0.1, 0.6)
    wait: tuple[float, float] = (0.0, 0.6)
    shortest: float = 0.3

    @property
    def numbers(self) -> int:
        """Uniform numbers per path: the wait; position, speed and pause of each waypoint; the speed
        of the way back."""
        return 2 + 5 * self.reaches


@dataclass(frozen=True)
class Reaches:
    """n paths of a hand, plain arrays.

    Attributes:
        points: waypoints (n, m + 1, 3) [m]. begins: when the hand leaves point k (n, m) [s].
        durations: of the movement from point k to k + 1 (n, m) [s].
    """

    points: Array
    begins: Array
    durations: Array

    def at(self, time: npt.ArrayLike) -> tuple[Array, Array]:
        """Position (n, 3) [m] and velocity (n, 3) [m/s] at `time` (n,) or () [s]; at rest before the
        first and after the last movement."""
        n, m = self.begins.shape
        time = np.broadcast_to(np.asarray(time, dtype=np.float64), (n,))
        k = np.clip((self.begins <= time[:, None]).sum(axis=1) - 1, 0, m - 1)
        rows = np.arange(n)
        duration = self.durations[rows, k]
        share = np.clip((time - self.begins[rows, k]) / duration, 0.0, 1.0)
        way = self.points[rows, k + 1] - self.points[rows, k]
        done, speed = minimum_jerk(share)
        position = self.points[rows, k] + done[:, None] * way
        return position, (speed / duration)[:, None] * way

    def peak_speeds(self) -> Array:
        """Peak speed (n, m) [m/s] of each movement, in closed form."""
        way = np.linalg.norm(np.diff(self.points, axis=1), axis=2)
        return np.asarray(PEAK * way / self.durations)


def minimum_jerk(share: npt.ArrayLike) -> tuple[Array, Array]:
    """Share of the way, and its derivative, at a share of the duration in [0, 1]."""
    t = np.asarray(share, dtype=np.float64)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0)), 30.0 * (t * (1.0 - t)) ** 2


def random_reaches(
    style: ReachStyle, u: Array, tempo: npt.ArrayLike = 1.0, spread: npt.ArrayLike = 1.0
) -> Reaches:
    """Paths as a pure function of uniform numbers.

    Args:
        u: (n, style.numbers) in [0, 1).
        tempo: factor (n,) on the speeds. spread: factor (n,) on the waypoints' distance from the
            middle of their box.
    """
    n, m = len(u), style.reaches
    tempo = np.broadcast_to(np.asarray(tempo, dtype=np.float64), (n,))[:, None]
    spread = np.broadcast_to(np.asarray(spread, dtype=np.float64), (n,))[:, None, None]
    each = u[:, 2:].reshape(n, m, 5)
    low, high = np.array(style.low), np.array(style.high)
    points = np.empty((n, m + 2, 3))
    points[:, [0, -1]] = style.rest
    points[:, 1:-1] = 0.5 * (low + high) + spread * (each[:, :, :3] - 0.5) * (high - low)
    speed = tempo * _between(style.speed, np.hstack([each[:, :, 3], u[:, 1:2]]))
    way = np.linalg.norm(np.diff(points, axis=1), axis=2)
    durations = np.maximum(PEAK * way / speed, style.shortest)
    stays = np.hstack([_between(style.wait, u[:, :1]), _between(style.pause, each[:, :, 4])])
    begins = stays.cumsum(axis=1)
    begins[:, 1:] += durations[:, :-1].cumsum(axis=1)
    return Reaches(points, begins, durations)


def _between(bounds: tuple[float, float], u: Array) -> Array:
    return bounds[0] + (bounds[1] - bounds[0]) * u
