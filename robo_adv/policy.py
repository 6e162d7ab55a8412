"""Policies: anything with stable-baselines3's `predict`, driven over many episodes at once.

A policy that needs something per episode (its own random numbers, a frozen observation) also has
`start(seeds, observation) -> state`. Its state is a tuple of arrays with one row per episode, so it
is a pure function and an episode does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError

if TYPE_CHECKING:
    from robo_adv.envs.layout import Layout

Array = npt.NDArray[Any]
State = tuple[Array, ...] | None
ROWS = 32  # network calls are padded to a multiple of this many rows


class Policy(Protocol):
    """stable-baselines3's prediction protocol on batches."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        """Actions (N, a) for observations (N, d), and the next state."""


@runtime_checkable
class EpisodicPolicy(Policy, Protocol):
    """A policy with per-episode state that starts from the scenario seeds."""

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        """State of n fresh episodes from seeds (n,) and first observations (n, d)."""


def begun(policy: Policy, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
    """State of a policy inside another one, of n fresh episodes; () when it keeps none."""
    return tuple(policy.start(seeds, observation)) if isinstance(policy, EpisodicPolicy) else ()


def carried(policy: Policy, before: tuple[Array, ...], after: State) -> tuple[Array, ...]:
    """State of a policy inside another one, after its `predict`.

    Raises:
        RoboAdvError: it keeps a state of which the rows are not known.
    """
    if after is not None and not before:
        raise RoboAdvError(
            f"{type(policy).__name__} keeps a state; inside another policy (a mask, a threat, a pool, "
            "a swap) it needs `start(seeds, observation)`, which gives one row of state per episode"
        )
    return before if after is None else tuple(after)


def padded_rows(x: Array, rows: int) -> Array:
    """`x` (n, ...) with copies of its last row appended up to `rows` rows."""
    if len(x) == rows:
        return x
    return np.concatenate([x, np.repeat(x[-1:], rows - len(x), axis=0)])


def predict_padded(
    policy: Policy, observation: Array, state: State, starts: Array, deterministic: bool
) -> tuple[Array, State]:
    """`policy.predict` on a multiple of 32 rows: the last bits of a matrix product depend on the
    width of narrow batches, and an episode must not depend on how many others run beside it."""
    n = len(observation)
    rows = -(-n // ROWS) * ROWS
    if rows == n:
        return policy.predict(observation, state, starts, deterministic)
    if isinstance(policy, EpisodicPolicy) and state is not None:
        state = tuple(padded_rows(part, rows) for part in state)
    action, state = policy.predict(
        padded_rows(observation, rows), state, padded_rows(starts, rows), deterministic
    )
    if isinstance(policy, EpisodicPolicy) and state is not None:
        state = tuple(part[:n] for part in state)
    return action[:n], state


class Driver:
    """Runs one policy over N parallel episodes and threads its state.

    Args:
        policy: the policy; one without `start` may keep any state of its own (recurrent ones do).
        num_envs: N.
        deterministic: whether stochastic policies act by their mode.
        lane: the player's index; players of one episode draw different random numbers.
    """

    def __init__(
        self, policy: Policy, num_envs: int, deterministic: bool = True, lane: int = 0
    ) -> None:
        self.policy, self.lane = policy, lane
        self.num_envs = num_envs
        self.deterministic = deterministic
        self.state: State = None
        self.starts = np.ones(num_envs, dtype=bool)

    def begin(self, ids: Array, seeds: seeding.Seeds, observation: Array) -> None:
        """Episodes with `seeds` (n,) begin in rows `ids` (n,); `observation` (N, d) is current."""
        self.starts[ids] = True
        if not isinstance(self.policy, EpisodicPolicy):
            return
        own = seeding.derive(seeds, seeding.PLAYER, self.lane)
        fresh = self.policy.start(own, observation[ids])
        if self.state is None:
            self.state = tuple(
                np.zeros((self.num_envs, *part.shape[1:]), part.dtype) for part in fresh
            )
        for whole, part in zip(self.state, fresh, strict=True):
            whole[ids] = part

    def act(self, observation: Array) -> Array:
        """Actions (N, a) for observations (N, d).

        Raises:
            RoboAdvError: the policy returned another shape.
        """
        action, state = predict_padded(
            self.policy, observation, self.state, self.starts, self.deterministic
        )
        if isinstance(self.policy, EpisodicPolicy) and state is not None:
            self.state = tuple(np.array(part) for part in state)
        else:
            self.state = state
        self.starts[:] = False
        action = np.asarray(action, dtype=np.float64)
        if action.ndim != 2 or len(action) != self.num_envs:
            raise RoboAdvError(
                f"{type(self.policy).__name__}.predict returned actions of shape {action.shape}, "
                f"expected ({self.num_envs}, number of actions)"
            )
        return action


def dict_slices(layout: Layout) -> dict[str, slice]:
    """Where the parts of the Dict observation lie in the flat one: `achieved_goal` and
    `desired_goal` when the layout begins with them, and the rest, `observation`."""
    goals = ["achieved_goal", "desired_goal"]
    found = {name: layout[name] for name in goals if layout.names[:2] == goals}
    first = max((place.stop for place in found.values()), default=0)
    return {**found, "observation": slice(first, layout.size)}


class DictPolicy:
    """A policy of Dict observations as one of flat observations (N, d).

    Args:
        policy: has `observation_space`, a Dict of `observation` and, where the game has goals,
            `achieved_goal` and `desired_goal`, as stable-baselines3's models do.
        layout: of the flat observation.

    Raises:
        RoboAdvError: the space has other keys or sizes than the layout gives.
    """

    def __init__(self, policy: Policy, layout: Layout) -> None:
        self.policy, self.slices = policy, dict_slices(layout)
        space = getattr(policy, "observation_space", None)
        name = type(policy).__name__
        if not isinstance(space, gymnasium.spaces.Dict):
            raise RoboAdvError(f"{name} has no Dict observation_space, got {space}")
        given = {key: (place.stop - place.start,) for key, place in self.slices.items()}
        wanted = {key: part.shape for key, part in space.spaces.items()}
        pictures = [
            key for key, shape in wanted.items() if key not in given and len(shape or ()) > 1
        ]
        if pictures:
            raise RoboAdvError(
                f"{name} wants pictures {pictures}; evaluation gives {[*given]} only, so play it on "
                "an environment made with cameras=(...) instead"
            )
        if wanted != given:
            raise RoboAdvError(f"{name} wants observations {wanted}, this game gives {given}")
        if isinstance(policy, EpisodicPolicy):
            self.start = self._start  # else it keeps any state of its own, as Driver allows

    def _start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        assert isinstance(self.policy, EpisodicPolicy)
        return self.policy.start(seeds, self._split(observation))  # type: ignore[arg-type]

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        parts: Any = self._split(observation)
        return self.policy.predict(parts, state, episode_start, deterministic)

    def _split(self, observation: Array) -> dict[str, Array]:
        return {name: observation[:, place].copy() for name, place in self.slices.items()}


class Pool:
    """Several policies of one player; each episode draws its member from the scenario seed.

    Args:
        members: the policies. weights: their probabilities, uniform by default (normalised here).
    """

    def __init__(self, members: Sequence[Policy], weights: Sequence[float] | None = None) -> None:
        if not members:
            raise RoboAdvError("a pool needs at least one policy")
        self.members = list(members)
        chances = np.ones(len(members)) if weights is None else np.asarray(weights, dtype=float)
        if chances.shape != (len(members),) or (chances < 0).any() or chances.sum() <= 0:
            raise RoboAdvError(
                f"a pool of {len(members)} needs as many weights >= 0, got {weights}"
            )
        self.cumulative = np.cumsum(chances) / chances.sum()
        self.widths = [0] * len(members)  # arrays of state per member; known after `start`

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        u = seeding.uniform(seeds, seeding.MEMBER, 1)[:, 0]
        member = np.searchsorted(self.cumulative, u, side="right").astype(np.int64)
        parts: list[Array] = [np.minimum(member, len(self.members) - 1)]
        for index, policy in enumerate(self.members):
            fresh = begun(policy, seeds, observation)
            self.widths[index] = len(fresh)
            parts.extend(fresh)
        return tuple(parts)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            raise RoboAdvError("a pool needs `start` before `predict` (use Driver)")
        starts = np.zeros(len(observation), bool) if episode_start is None else episode_start
        assigned, inner, actions = state[0], list(state[1:]), None
        for index, policy in enumerate(self.members):
            rows = np.flatnonzero(assigned == index)
            width = self.widths[index]
            mine, inner = inner[:width], inner[width:]
            if not len(rows):
                continue
            before = tuple(part[rows] for part in mine)
            action, after = predict_padded(
                policy, observation[rows], before or None, starts[rows], deterministic
            )
            for whole, part in zip(mine, carried(policy, before, after), strict=True):
                whole[rows] = part
            if actions is None:
                actions = np.zeros((len(observation), action.shape[1]))
            actions[rows] = action
        assert actions is not None  # every row has a member
        return actions, state
