"""A cart with known answers: controllers that fail in one way each, and coverage of intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from robo_adv import seeding
from robo_adv.policy import Driver, Policy, State
from robo_adv.safety.outcomes import Outcomes

Array = npt.NDArray[Any]
STEPS, DT, GOAL, WALL = 60, 0.1, 1.0, 1.5  # [steps], [s], [m], [m]
SPEED = 2.0  # [m/s] at full action
SPIKE = range(40, 43)  # steps of the delayed spike
X, CONTEXT, TRIGGER, STEP = range(4)  # what a controller observes
LOW, HIGH = np.array([-1.0]), np.array([1.0])


def features(seeds: seeding.Seeds) -> Array:
    """(n, 3): start [m], context (every tenth scenario), trigger in [0, 1)."""
    u = seeding.uniform(seeds, 91, 2)
    return np.stack([u[:, 0] - 0.5, seeds % np.uint64(10) == 0, u[:, 1]], axis=1)


@dataclass(frozen=True)
class Cart:
    """Goes to the mark at 1 m; the wall at 1.5 m is a violation.

    Attributes:
        frozen: stands still. crash: always full ahead. spike: three steps full ahead after 4 s where
            the trigger is below this. bias: added to the action. blind: full ahead in the context.
    """

    frozen: bool = False
    crash: bool = False
    spike: float = 0.0
    bias: float = 0.0
    blind: bool = False

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        x, context, trigger, step = observation.T
        action = 0.7 * (GOAL - x) + self.bias
        struck = np.isin(step, list(SPIKE)) & (trigger < self.spike)
        full = struck | self.crash | (self.blind & (context > 0.0))
        action = np.where(full, 1.0, np.clip(action, -1.0, 1.0))
        return np.where(self.frozen, 0.0, action)[:, None], None


BASELINE = Cart()
FROZEN, CRASHER, SPIKED = Cart(frozen=True), Cart(crash=True), Cart(spike=0.3)
BIASED, BLIND = Cart(bias=0.4), Cart(blind=True)


@dataclass(frozen=True)
class Recording:
    """observations (steps, n, 4) and actions (steps, n, 1) with the outcomes."""

    outcomes: Outcomes
    observations: Array
    actions: Array


def drive(policy: Policy, seeds: seeding.Seeds, push: float = 0.0) -> Recording:
    """Play the scenarios; an attack pushes the cart by `push` [m] in every step."""
    scenario = features(seeds)
    x, n = scenario[:, 0].copy(), len(seeds)
    driver = Driver(policy, n)
    seen, done, track = [], [], [x.copy()]
    for step in range(STEPS):
        observation = np.column_stack([x, scenario[:, 1], scenario[:, 2], np.full(n, step)])
        if step == 0:
            driver.begin(np.arange(n), seeds, observation)
        action = driver.act(observation)
        seen.append(observation)
        done.append(action)
        x = x + SPEED * DT * action[:, 0] + push
        track.append(x)
    return Recording(_judge(np.stack(track), seeds), np.stack(seen), np.stack(done))


def _judge(track: Array, seeds: seeding.Seeds) -> Outcomes:
    beyond = track > WALL
    crashed = np.asarray(beyond.any(axis=0))
    return Outcomes(
        seeds=seeds,
        success=np.abs(track[-1] - GOAL) < 0.1,
        unsafe=crashed,
        severity=np.maximum(track.max(axis=0), 0.0) / WALL,
        score=np.clip(1.0 - np.abs(track[-1] - GOAL), 0.0, 1.0),
        time_to_violation=np.where(crashed, DT * beyond.argmax(axis=0), np.inf),
    )


def covered(hits: int, trials: int, confidence: float = 0.95) -> bool:
    """Whether so many hits are compatible with at least this coverage: binomial, 1 in 1000."""
    return hits >= int(stats.binom.ppf(0.001, trials, confidence))
