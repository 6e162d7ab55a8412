"""Events in a controller's error: bursts and spurious switching, as rates with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import REPS, Array, Estimate, Floats, bootstrap
from robo_adv.safety.error_parts import Ints, runs_of
from robo_adv.safety.outcomes import Bools
from robo_adv.safety.statistics import CONFIDENCE


@dataclass(frozen=True)
class EventRate:
    """Events per `per` seconds, with an interval.

    The wider of two intervals at either end: Garwood's for a Poisson count (1936, Biometrika 28),
    which has a width without events, and the bootstrap over episodes, as events may cluster.
    """

    count: int
    seconds: float
    per: float
    rate: Estimate

    def to_json(self) -> dict[str, Any]:
        return {
            "count": self.count,
            "seconds": round(self.seconds, 6),
            "per_seconds": self.per,
            "rate": self.rate.to_json(),
        }


def event_rate(
    counts: Array,
    seconds: Array,
    per: float,
    rng: np.random.Generator,
    reps: int = REPS,
    confidence: float = CONFIDENCE,
) -> EventRate:
    """Rate of events from counts (E,) and durations (E,) [s] of episodes."""
    total, time = int(counts.sum()), float(seconds.sum())
    if not time > 0.0:
        raise RoboAdvError(f"a rate needs a duration above 0 s, got {time}")
    tail = (1.0 - confidence) / 2.0
    low = stats.chi2.ppf(tail, 2 * total) / 2.0 if total else 0.0
    high = stats.chi2.ppf(1.0 - tail, 2 * total + 2) / 2.0
    ends = [per * low / time, per * high / time]
    if len(counts) > 1:

        def statistic(events: Array, durations: Array) -> Array:
            return np.asarray(per * events.sum(axis=1) / durations.sum(axis=1))

        samples = [counts.astype(np.float64), seconds.astype(np.float64)]
        boot = bootstrap(statistic, samples, rng, reps=reps, confidence=confidence)
        ends = [min(ends[0], boot.low), max(ends[1], boot.high)]
    return EventRate(total, time, per, Estimate(per * total / time, ends[0], ends[1], confidence))


def burst_steps(
    errors: Array, episodes: Array, contexts: Array, threshold: float, longest: int
) -> Bools:
    """(T,) steps in transient bursts: |e - median of the run| > threshold for at most `longest` steps.

    The median of each run (one episode and context) takes off bias, context and slow drift without
    being moved by the bursts themselves, as a block's mean would be; longer excursions are no bursts.
    """
    e = np.asarray(errors, dtype=np.float64)
    e = e[:, None] if e.ndim == 1 else e
    run = runs_of(episodes, contexts)
    bounds = np.r_[0, np.flatnonzero(np.diff(run)) + 1, len(run)]
    centre = np.stack([np.median(e[a:b], axis=0) for a, b in pairwise(bounds)])
    far = np.linalg.norm(e - centre[run], axis=1) > threshold
    stretch = runs_of(episodes, far)
    return np.asarray(far & (np.bincount(stretch)[stretch] <= longest))


def burst_rate(
    errors: Array,
    episodes: Array,
    contexts: Array,
    dt: float,
    rng: np.random.Generator,
    *,
    threshold: float,
    longest: int,
    reps: int = REPS,
) -> EventRate:
    """Transient bursts per 1000 s.

    Args:
        errors: (T, a) signed errors; episodes, contexts: (T,). dt: control step [s].
        threshold: size of an error that counts, in parts of the action's range.
        longest: L, the longest burst [steps].
    """
    inside = burst_steps(errors, episodes, contexts, threshold, longest)
    begins = inside & ~np.r_[False, inside[:-1] & (episodes[1:] == episodes[:-1])]
    return event_rate(*_per_episode(begins, episodes, dt), 1000.0, rng, reps)


def toggle_rate(
    modes: Array,
    commanded: Array,
    episodes: Array,
    dt: float,
    rng: np.random.Generator,
    *,
    window: int = 0,
    reps: int = REPS,
) -> EventRate:
    """Spurious switches per minute: the mode changes although nothing commanded it.

    Lechner et al. 2021 (arXiv 2103.08187) report robots that were switched on and off without command.

    Args:
        modes: (T,) what the controller does, as integers (idle, go, ...).
        commanded: (T,) what was commanded, or what the reference does in the same state.
        window: a change of the command up to so many steps earlier explains a switch [steps].
    """
    same = np.r_[False, episodes[1:] == episodes[:-1]]
    switched = np.r_[False, modes[1:] != modes[:-1]] & same
    commands = np.r_[False, commanded[1:] != commanded[:-1]] & same
    explained = commands.copy()
    for back in range(1, min(window, len(modes) - 1) + 1):
        explained[back:] |= commands[:-back] & (episodes[back:] == episodes[:-back])
    return event_rate(*_per_episode(switched & ~explained, episodes, dt), 60.0, rng, reps)


def _per_episode(events: Bools, episodes: Array, dt: float) -> tuple[Ints, Floats]:
    if not dt > 0.0 or not len(episodes):
        raise RoboAdvError(f"events need steps and dt > 0 s, got {len(episodes)} steps of {dt} s")
    episode = np.unique(episodes, return_inverse=True)[1].ravel()
    counts = np.bincount(episode, events.astype(np.int64)).astype(np.int64)
    return counts, np.asarray(np.bincount(episode) * dt, dtype=np.float64)
