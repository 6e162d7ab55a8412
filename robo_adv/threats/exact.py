"""Where the worst attack is known exactly: finite state-adversarial MDPs and linear closed loops.

What an attack reaches there can be compared with what is possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown

Array = npt.NDArray[Any]
DUAL = {"linf": 1, "l2": 2}  # order of the norm that is dual to a budget's


@dataclass(frozen=True)
class FiniteSAMDP:
    """A state-adversarial MDP of S states and A actions (Zhang et al. 2020): an adversary chooses which
    state the controller sees; states and rewards stay true.

    Attributes:
        transition: probabilities (S, A, S) of the next state. reward: (S, A, S). gamma: discount.
        shown: (S, S) whether state j may be shown in state i, the set B(i).

    Raises:
        RoboAdvError: shapes that do not fit, rows that are no probabilities, a discount outside 0..1, a
            state in which nothing may be shown.
    """

    transition: Array
    reward: Array
    gamma: float
    shown: Array

    def __post_init__(self) -> None:
        shape = np.shape(self.transition)
        if len(shape) != 3 or shape[0] != shape[2] or np.shape(self.reward) != shape:
            raise RoboAdvError(
                "transition and reward must be (states, actions, states), got "
                f"{shape} and {np.shape(self.reward)}"
            )
        states = shape[0]
        _check_probabilities("transition", self.transition)
        if not 0.0 <= self.gamma <= 1.0:
            raise RoboAdvError(f"a discount lies in 0..1, got {self.gamma}")
        if np.shape(self.shown) != (states, states) or not np.any(self.shown, axis=1).all():
            raise RoboAdvError(
                f"shown must be ({states}, {states}) with something to show in every state, got "
                f"{np.asarray(self.shown).astype(int).tolist()}"
            )

    def backup(self, policy: Array, value: Array) -> tuple[Array, Array]:
        """The optimal adversary's Bellman operator, (L V)(s) = min over s' in B(s) of
        sum_a pi(a | s') sum_s2 p(s2 | s, a) [R + gamma V(s2)] (Zhang et al. 2020, theorem 2): L V (S,)
        and the minimising s' (S,). It is a contraction with modulus gamma.

        Args:
            policy: probabilities (S, A). value: V (S,).
        """
        acted = (self.transition * (self.reward + self.gamma * value)).sum(axis=2)  # (S, A)
        seen = np.where(self.shown, acted @ policy.T, np.inf)  # in state i, shown j
        return seen.min(axis=1), seen.argmin(axis=1)

    def without(self) -> FiniteSAMDP:
        """The same without an adversary: each state shows itself."""
        return FiniteSAMDP(self.transition, self.reward, self.gamma, np.eye(len(self.shown)) > 0)

    def value_bound(self, policy: Array) -> float:
        """What no adversary can take beyond, in any state (theorem 5): max_s (V - V_adv) <=
        alpha max_s max_{s' in B(s)} TV(pi(. | s), pi(. | s')), alpha = 2 [1 + gamma / (1 - gamma)^2]
        max |R|, TV half the sum of absolute differences."""
        away = 0.5 * np.abs(policy[:, None] - policy[None]).sum(axis=2)
        alpha = 2.0 * (1.0 + self.gamma / (1.0 - self.gamma) ** 2) * np.abs(self.reward).max()
        return float(alpha * away[np.asarray(self.shown, dtype=bool)].max())


@dataclass(frozen=True)
class Adversary:
    """The worst that can be shown.

    Attributes:
        value: expected return from each state under it (S,). clean: without it (S,).
        shown: the state it shows in each true state (S,), of a finite horizon (T, S), first step first.
    """

    value: Array
    clean: Array
    shown: npt.NDArray[np.int64]


def optimal_adversary(
    mdp: FiniteSAMDP, policy: npt.ArrayLike, horizon: int | None = None, tolerance: float = 1e-9
) -> Adversary:
    """The adversary that makes a fixed policy's return smallest.

    Args:
        policy: probabilities (S, A). horizon: steps of an episode; None for endless ones, which are
            discounted and solved by value iteration to `tolerance`.

    Raises:
        RoboAdvError: the policy is no (S, A) of probabilities, a horizon below 1, endless episodes
            without a discount below 1.
    """
    chances = np.asarray(policy, dtype=np.float64)
    if chances.shape != mdp.transition.shape[:2]:
        raise RoboAdvError(
            f"the policy must be {mdp.transition.shape[:2]}, one row per state, got {chances.shape}"
        )
    _check_probabilities("policy", chances)
    if horizon is None and mdp.gamma >= 1.0:
        raise RoboAdvError("endless episodes need a discount below 1; give a horizon")
    if horizon is not None and horizon < 1:
        raise RoboAdvError(f"a horizon is at least 1 step, got {horizon}")
    value, shown = _solved(mdp, chances, horizon, tolerance)
    return Adversary(value, _solved(mdp.without(), chances, horizon, tolerance)[0], shown)


def _solved(
    mdp: FiniteSAMDP, policy: Array, horizon: int | None, tolerance: float
) -> tuple[Array, Array]:
    value, chosen = np.zeros(len(policy)), list[Array]()
    while horizon is None or len(chosen) < horizon:
        before = value
        value, shown = mdp.backup(policy, before)
        if horizon is not None:
            chosen.insert(0, shown)
        elif np.abs(value - before).max() * mdp.gamma <= tolerance * (1.0 - mdp.gamma):
            return value, shown
    return value, np.array(chosen)


def _check_probabilities(name: str, rows: Array) -> None:
    if np.min(rows) < 0 or np.abs(np.sum(rows, axis=-1) - 1.0).max() > 1e-9:
        raise RoboAdvError(f"rows of {name} must be probabilities that sum to 1")


@dataclass(frozen=True)
class Worst:
    """Attributes:
    value: the most that perturbations can change an objective by. attack: those that do (T, d).
    """

    value: float
    attack: Array


@dataclass(frozen=True)
class LinearLoop:
    """x+ = A x + B u under u = -K (C x + delta), delta what an attack adds to the observation C x.

    Attributes:
        a, b: A (n, n), B (n, m). k: feedback (m, d). c: sensors (d, n); all of the state by default.

    Raises:
        RoboAdvError: shapes that do not fit.
    """

    a: Array
    b: Array
    k: Array
    c: Array | None = None

    def __post_init__(self) -> None:
        shapes = [np.shape(x) for x in (self.a, self.b, self.k, self.sensors)]
        if any(len(shape) != 2 for shape in shapes):
            raise RoboAdvError(f"A, B, K and C must be matrices, got shapes {shapes}")
        (n, _), (_, m), (_, d), _ = shapes
        if shapes != [(n, n), (n, m), (m, d), (d, n)]:
            raise RoboAdvError(
                f"A (n, n), B (n, m), K (m, d) and C (d, n) must fit together, got {shapes}"
            )

    @property
    def sensors(self) -> Array:
        """C (d, n)."""
        return np.eye(len(self.a)) if self.c is None else self.c

    @property
    def closed(self) -> Array:
        """A - B K C (n, n): without attack x+ = closed x."""
        return np.asarray(self.a - self.b @ self.k @ self.sensors)

    def states(self, start: Array, attack: Array) -> Array:
        """States (T + 1, n) from `start` (n,) under perturbations (T, d), without noise."""
        out = [np.asarray(start, dtype=np.float64)]
        for delta in attack:
            out.append(self.closed @ out[-1] - self.b @ (self.k @ delta))
        return np.array(out)

    def worst_action(self, budget: float, norm: str = "linf") -> Array:
        """The most that one observation can change each action by (m,): budget |K_j|_1 for a budget in
        linf, budget |K_j|_2 in l2."""
        return np.asarray(budget * np.linalg.norm(self.k, _dual(norm), axis=1))

    def worst_linear(
        self, weight: npt.ArrayLike, budget: float, horizon: int, norm: str = "linf",
        scale: npt.ArrayLike = 1.0,
    ) -> Worst:  # fmt: skip
        """The perturbations of at most `budget` in each step that raise weight^T x_T most.

        x_T moves by -sum_t (closed^(T-1-t)) B K delta_t whatever the start and the noise, so with
        g_t = -K^T B^T (closed^T)^(T-1-t) weight the best is budget sum_t |g_t| in the dual norm, at
        delta_t = budget sign(g_t), or budget g_t / |g_t| in l2. Minus it lowers weight^T x_T as much.

        Args:
            weight: (n,). scale: one unit of the budget per entry (d,).
        """
        units = np.broadcast_to(np.asarray(scale, dtype=np.float64), (self.k.shape[1],))
        slopes, ahead = list[Array](), np.asarray(weight, dtype=np.float64)
        for _ in range(_steps(horizon)):
            slopes.insert(0, -units * (self.k.T @ (self.b.T @ ahead)))
            ahead = self.closed.T @ ahead
        slope = np.array(slopes)
        size = np.linalg.norm(slope, _dual(norm), axis=1)
        unit = np.sign(slope) if norm == "linf" else slope / np.maximum(size, 1e-300)[:, None]
        return Worst(float(budget * size.sum()), budget * unit * units)

    def worst_quadratic(
        self, state_cost: Array, action_cost: Array, energy: float, horizon: int
    ) -> Worst:
        """The perturbations with sum_t |delta_t|^2 <= energy^2 that make sum_t (x_t+1^T Q x_t+1 +
        u_t^T R u_t) largest from x_0 = 0: states and actions are linear in all perturbations together,
        the cost is a quadratic form, and the worst is energy^2 times its largest eigenvalue.

        Args:
            state_cost, action_cost: Q (n, n) and R (m, m), symmetric. energy: l2 over the episode.
        """
        d, steps = self.k.shape[1], _steps(horizon)
        form = np.zeros((steps * d, steps * d))
        effect = np.zeros((len(self.a), steps * d))  # of all perturbations on the state of now
        for t in range(steps):
            here = np.zeros((d, steps * d))
            here[:, t * d : (t + 1) * d] = np.eye(d)
            action = -self.k @ (self.sensors @ effect + here)
            effect = self.a @ effect + self.b @ action
            form += effect.T @ state_cost @ effect + action.T @ action_cost @ action
        values, vectors = np.linalg.eigh(form)
        return Worst(float(energy**2 * values[-1]), (energy * vectors[:, -1]).reshape(steps, d))


def _dual(norm: str) -> int:
    if norm not in DUAL:
        raise unknown("norm of a closed form", norm, DUAL)
    return DUAL[norm]


def _steps(horizon: int) -> int:
    if horizon < 1:
        raise RoboAdvError(f"a horizon is at least 1 step, got {horizon}")
    return horizon
