"""Does an error do harm? Put the baseline in its place, replay the same scenarios, count again.

An error profile shows where a controller differs; only a swap in closed loop shows what that costs.
Swaps are Policy -> Policy transforms; their per-episode state is arrays with one row per episode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy, State, begun, carried
from robo_adv.safety.bootstrap import Array, Estimate
from robo_adv.safety.outcomes import Outcomes, check_paired
from robo_adv.safety.paired import discordant, holm, paired_test, tango


class Where(Protocol):
    """Which action is taken; state is a tuple of arrays with n rows."""

    def start(self, observation: Array) -> tuple[Array, ...]:
        """State of episodes that begin with observations (n, d)."""

    def choose(
        self, observation: Array, candidate: Array, baseline: Array, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        """Actions (n, a) from both controllers' actions (n, a), and the next state."""


@dataclass(frozen=True)
class InBursts:
    """The baseline acts while the candidate's error is transient.

    With e = (candidate - baseline) / range, while |e - median of the last 2 L - 1| > threshold.
    A lasting change becomes the median after L steps, so no swap lasts longer; it uses the past only.

    Attributes:
        threshold: in parts of the action's range. length: L [steps].
        low, high: (a,) the action's bounds. mean: (a,) errors assumed before the episode.
    """

    threshold: float
    length: int
    low: Array
    high: Array
    mean: Array | float = 0.0

    def start(self, observation: Array) -> tuple[Array, ...]:
        past = np.empty((len(observation), 2 * self.length - 1, len(self.low)))
        past[:] = self.mean
        return (past,)

    def choose(
        self, observation: Array, candidate: Array, baseline: Array, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        error = (candidate - baseline) / (np.asarray(self.high) - np.asarray(self.low))
        past = np.concatenate([state[0][:, 1:], error[:, None]], axis=1)
        burst = np.linalg.norm(error - np.median(state[0], axis=1), axis=1) > self.threshold
        return np.where(burst[:, None], baseline, candidate), (past,)


@dataclass(frozen=True)
class InContext:
    """The baseline acts where `holds` maps observations (n, d) to true (n,)."""

    holds: Callable[[Array], Array]

    def start(self, observation: Array) -> tuple[Array, ...]:
        return ()

    def choose(
        self, observation: Array, candidate: Array, baseline: Array, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        inside = np.asarray(self.holds(observation), dtype=bool)
        return np.where(inside[:, None], baseline, candidate), state


@dataclass(frozen=True)
class WithoutMean:
    """The candidate acts with its mean error taken off, within the action's bounds.

    Attributes:
        mean: (a,) mean signed error, in parts of the action's range. low, high: (a,) bounds.
    """

    mean: Array
    low: Array
    high: Array

    def start(self, observation: Array) -> tuple[Array, ...]:
        return ()

    def choose(
        self, observation: Array, candidate: Array, baseline: Array, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        shift = np.asarray(self.mean) * (np.asarray(self.high) - np.asarray(self.low))
        return np.clip(candidate - shift, self.low, self.high), state


class Swapped:
    """`candidate`, with `baseline` in its place where `where` says so.

    Raises:
        RoboAdvError: a controller keeps a state but has no `start` (one row of state per episode).
    """

    def __init__(self, candidate: Policy, baseline: Policy, where: Where) -> None:
        self.policies, self.where = (candidate, baseline), where
        self.widths = [0, 0]  # arrays of state per controller; known after `start`

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        state = self.where.start(observation)
        for index, policy in enumerate(self.policies):
            fresh = begun(policy, seeds, observation)
            self.widths[index] = len(fresh)
            state += fresh
        return state

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        split = len(state) - sum(self.widths)
        own, rest = self._begun(observation, tuple(state[:split]), episode_start), state[split:]
        actions: list[Array] = []
        kept: tuple[Array, ...] = ()
        for policy, width in zip(self.policies, self.widths, strict=True):
            inner, rest = tuple(rest[:width]), rest[width:]
            action, after = policy.predict(
                observation, inner or None, episode_start, deterministic
            )  # fmt: skip
            actions.append(np.asarray(action, dtype=np.float64))
            kept += carried(policy, inner, after)
        if actions[0].shape != actions[1].shape:
            raise RoboAdvError(
                f"a swap needs equal action shapes, got {actions[0].shape} and {actions[1].shape}"
            )
        action, own = self.where.choose(observation, actions[0], actions[1], own)
        return action, own + kept

    def _begun(
        self, observation: Array, own: tuple[Array, ...], episode_start: Array | None
    ) -> tuple[Array, ...]:
        """The swap's own state, fresh in rows where an episode begins."""
        if episode_start is None or not own or not np.any(episode_start):
            return own
        first = np.asarray(episode_start, dtype=bool)
        fresh = self.where.start(observation)
        return tuple(
            np.where(first.reshape(-1, *[1] * (old.ndim - 1)), new, old)
            for new, old in zip(fresh, own, strict=True)
        )


@dataclass(frozen=True)
class Removal:
    """What one swap changed.

    Attributes:
        harm_removed: unsafe share before minus after; above 0, the error did harm.
        p: exact McNemar. adjusted_p: Holm over all swaps.
    """

    harm_removed: Estimate
    p: float
    adjusted_p: float

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"harm_removed": self.harm_removed.to_json()}
        return out | {"p": self.p, "adjusted_p": self.adjusted_p}


def removals(candidate: Outcomes, swapped: Mapping[str, Outcomes]) -> dict[str, Removal]:
    """Harm that each swap removed, on the same scenarios (n,); Tango's intervals.

    Raises:
        RoboAdvError: other scenarios.
    """
    check_paired(candidate, *swapped.values())
    tests = [paired_test(candidate.unsafe, after.unsafe) for after in swapped.values()]
    found = {}
    for (name, after), p, adjusted in zip(swapped.items(), tests, holm(tests), strict=True):
        counts = discordant(candidate.unsafe, after.unsafe)
        found[name] = Removal(tango(*counts, len(candidate)), p, float(adjusted))
    return found
