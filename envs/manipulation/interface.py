"""Interface: what lies between a policy and the world: delays of both directions, sensor noise.

Three level parameters of role `interface`, in every manipulation task. Noise and observation delay
touch everything the policy sees but the desired goal, which is a command and not a measurement.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.envs.episode import Array, Ints, Observation, Terms
from robo_adv.envs.layout import Layout
from robo_adv.levels import Parameter

MOST_DELAY = 4  # control steps
PARAMETERS = (
    Parameter("action_delay", 0, MOST_DELAY, 0, "control steps", "int", "interface"),
    Parameter("observation_delay", 0, MOST_DELAY, 0, "control steps", "int", "interface"),
    Parameter("sensor_noise", 0.0, 2.0, 0.0, "x reference", role="interface"),
)
# One reference standard deviation per unit. Encoders are far better than this; what the policy
# uses most, poses from cameras, is about this good.
REFERENCE_NOISE = {"m": 0.005, "m/s": 0.02, "rad": 0.003, "rad/s": 0.03, "1": 0.02}


class Interface:
    """Delay lines and noise of one player, for a batch.

    Its arrays live in the game's `memory`, so snapshots hold them. They cost nothing while no
    running episode has a delay.
    """

    def __init__(self, memory: dict[str, npt.NDArray[np.generic]], n: int, actions: int,
                 layout: Layout, fixed: slice) -> None:  # fmt: skip
        depth = MOST_DELAY + 1
        self.actions = memory["past_actions"] = np.zeros((n, depth, actions))
        self.observations = memory["past_observations"] = np.zeros(
            (n, depth, layout.size), dtype=np.float32
        )
        self.fixed = fixed
        self.sigma = np.concatenate(
            [np.full(s.size, REFERENCE_NOISE.get(s.unit, 0.0)) for s in layout]
        )
        self.sigma[fixed] = 0.0
        self._rows = np.arange(n)

    def begin(self, ids: Ints, first: Observation) -> None:
        """Fill the delay lines of starting episodes with zero actions and `first` (n, d)."""
        self.actions[ids] = 0.0
        self.observations[ids] = first[:, None, :]

    def delayed_action(self, action: Array, params: Terms, length: Ints) -> Array:
        """The action (N, a) that arrives at the arm at episode steps `length` (N,)."""
        delay = params["action_delay"].astype(np.int64)
        if not delay.any():
            return action
        depth = self.actions.shape[1]
        self.actions[self._rows, length % depth] = action
        return np.asarray(self.actions[self._rows, (length - delay) % depth])

    def record(self, observation: Observation, length: Ints) -> None:
        """Keep the true observation (N, d) of episode steps `length` (N,)."""
        self.observations[self._rows, length % self.observations.shape[1]] = observation

    def seen(
        self, now: Observation, ids: Ints, params: Terms, length: Ints, seeds: seeding.Seeds
    ) -> Observation:
        """What the policy sees of the true observations `now` (n, d) of simulations `ids` (n,)."""
        delay = params["observation_delay"][ids].astype(np.int64)
        if delay.any():
            depth = self.observations.shape[1]
            past = self.observations[ids, (length - delay) % depth]
            past[:, self.fixed] = now[:, self.fixed]
            now = np.where((delay > 0)[:, None], past, now)
        scale = params["sensor_noise"][ids]
        if scale.any():
            noise = seeding.normal(seeds, seeding.SENSOR, len(self.sigma), length.astype(np.uint64))
            noisy = now + (scale[:, None] * self.sigma * noise).astype(np.float32)
            now = np.where((scale > 0)[:, None], noisy, now)  # -0.0 + 0.0 is another bit pattern
        return now
