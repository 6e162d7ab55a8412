"""Masks: what a policy sees of chosen slices is replaced; nothing else of the world changes.

After Gleave et al. 2020, section 5 (masked victims). A mask is a Policy -> Policy transform, so it
works on evaluated policies and on players bound inside a Seat alike.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import unknown
from robo_adv.policy import Policy, State, begun, carried

Array = npt.NDArray[Any]
MaskKind = Literal["initial", "zeros", "noise"]
MASKS: tuple[str, ...] = get_args(MaskKind)


class Masked:
    """A policy that sees some entries of its observation masked.

    Args:
        policy: the policy to mask.
        index: entries (m,) of the observation, e.g. `layout.index(["opponent_*"])`.
        kind: `initial` freezes them at their value at the start of the episode, `zeros` sets them to
            0, `noise` adds Gaussian noise drawn from the episode's own seed at every step.
        sigma: standard deviation of the noise, in the entries' units.

    Raises:
        UnknownNameError: no such kind.
    """

    def __init__(
        self, policy: Policy, index: npt.NDArray[np.int64], kind: str, sigma: float = 1.0
    ) -> None:
        if kind not in MASKS:
            raise unknown("mask", kind, MASKS)
        self.policy, self.index, self.kind, self.sigma = policy, index, kind, sigma

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        initial = observation[:, self.index].copy()
        step = np.zeros(len(seeds), dtype=np.uint64)
        own = (initial, seeds, step)
        return own + begun(self.policy, seeds, self._masked(observation, *own))

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        initial, seeds, step, *inner = state
        if episode_start is not None:
            fresh = np.asarray(episode_start, dtype=bool)[:, None]
            initial = np.where(fresh, observation[:, self.index], initial)
        seen = self._masked(observation, initial, seeds, step)
        action, after = self.policy.predict(
            seen, tuple(inner) or None, episode_start, deterministic
        )
        kept = carried(self.policy, tuple(inner), after)
        return action, (initial, seeds, step + np.uint64(1), *kept)

    def _masked(self, observation: Array, initial: Array, seeds: Array, step: Array) -> Array:
        seen = observation.copy()
        if self.kind == "initial":
            seen[:, self.index] = initial
        elif self.kind == "zeros":
            seen[:, self.index] = 0.0
        else:
            noise = seeding.normal(seeds, seeding.MASK, len(self.index), step)
            seen[:, self.index] += (self.sigma * noise).astype(seen.dtype)
        return seen
