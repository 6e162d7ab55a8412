"""The three-state SA-MDP of Zhang et al. 2020, appendix A, as tables and as a Gymnasium environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from robo_adv.policy import State
from robo_adv.threats.attack import Perturbation, View
from robo_adv.threats.exact import FiniteSAMDP
from robo_adv.threats.threat import Port

Array = npt.NDArray[Any]
PLACES = np.array([-1.0, 0.0, 1.0])  # of S1, S2, S3 on the line that is observed
NEXT = np.array([[0, 1], [1, 2], [2, 0]])  # state after the first (second) action
REWARD = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
EVERYWHERE, NEIGHBOURS = 2.0, 1.0  # radii that reach all states, and those beside the true one


def sa_mdp(radius: float = EVERYWHERE, gamma: float = 0.99) -> FiniteSAMDP:
    """The tables; a state may be shown where its place lies within `radius` of the true one's."""
    transition = np.eye(3)[NEXT]
    reward = np.repeat(REWARD[:, :, None], 3, axis=2)
    shown = np.abs(PLACES[:, None] - PLACES) <= radius
    return FiniteSAMDP(transition, reward, gamma, shown)


def nearest(observation: Array) -> npt.NDArray[np.int64]:
    """States (n,) that observations (n, 1) tell of."""
    return np.asarray(np.abs(observation - PLACES).argmin(axis=1))


class ThreeStates(gymnasium.Env[Any, Any]):
    """Observes the state's place on a line; starts anywhere; an action below 0 is the first one."""

    metadata = {"render_modes": []}

    def __init__(self, horizon: int = 20) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.horizon = horizon

    def reset(
        self, *, seed: int | None = None, options: Any = None
    ) -> tuple[Array, dict[str, Any]]:
        super().reset(seed=seed)
        self.state, self.steps = int(self.np_random.integers(3)), 0
        return PLACES[[self.state]], {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        chosen = int(action[0] >= 0)
        reward = float(REWARD[self.state, chosen])
        self.state, self.steps = int(NEXT[self.state, chosen]), self.steps + 1
        return PLACES[[self.state]], reward, False, self.steps >= self.horizon, {}


class Table:
    """A deterministic policy: which action (0 or 1) in which state (3,), of the nearest place seen."""

    def __init__(self, *actions: int) -> None:
        self.actions = np.array(actions)

    @property
    def chances(self) -> Array:
        """Probabilities (3, 2)."""
        return np.asarray(np.eye(2)[self.actions])

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        chosen = self.actions[nearest(observation)]
        return np.asarray(2.0 * chosen[:, None] - 1.0), state


@dataclass(frozen=True)
class Shown(Perturbation):
    """Shows what a table (T, 3) says: per step, and true state, a state."""

    port: ClassVar[Port] = "observation"
    table: tuple[tuple[int, ...], ...] = ()

    def propose(self, view: View) -> Array:
        table = np.array(self.table)
        return np.asarray(PLACES[table[view.step.astype(int), nearest(view.clean)]][:, None])
