"""Attacked: a controller under an observation or action threat, as a Policy -> Policy transform.

Only what the controller sees, or what it does, changes; the world and the rewards stay true
(state-adversarial MDP, Zhang et al. 2020). So it works wherever a policy does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy, State, begun, carried
from robo_adv.threats.access import Access
from robo_adv.threats.attack import Perturbation, View
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]


class Attacked:
    """A policy whose observations or actions an attack changes.

    Args:
        policy: the controller. threat: port, budget, schedule. attack: what proposes.
        scale: one unit of the budget per entry (d,), 0 where entries may not be touched.
        access: the controller from inside, for attacks that need it.
        low, high: bounds of the entries (d,); of actions, the action space.
        groups: which sensor each entry belongs to (d,); one group by default.
        trigger: index of the entry that the schedule's trigger looks at.

    After `witnessed`, `shown` lists what the first row saw in each step, of observation threats.
    `excess` is how many times its budget the worst proposal asked for so far; what exceeds 1 was
    clipped. `acted` says whether the schedule ever let the attack act.
    """

    def __init__(
        self,
        policy: Policy,
        threat: Threat,
        attack: Perturbation,
        scale: Array,
        *,
        access: Access | None = None,
        low: Array | float = -np.inf,
        high: Array | float = np.inf,
        groups: npt.NDArray[np.int64] | None = None,
        trigger: int = 0,
    ) -> None:
        if attack.port != threat.port or attack.norm != threat.norm:
            raise RoboAdvError(
                f"{type(attack).__name__} acts on port {attack.port!r} with norm {attack.norm!r}; the "
                f"threat is {threat}"
            )
        if missing := attack.missing(access):
            raise RoboAdvError(
                f"{type(attack).__name__} needs {', '.join(missing)} of the controller, which is a "
                "black box here"
            )
        self.policy, self.threat, self.attack = policy, threat, attack
        self.scale = np.asarray(scale, dtype=np.float64)
        self.access, self.trigger = access, trigger
        self.low = np.broadcast_to(np.asarray(low, dtype=np.float64), self.scale.shape)
        self.high = np.broadcast_to(np.asarray(high, dtype=np.float64), self.scale.shape)
        self.groups = np.zeros(len(self.scale), np.int64) if groups is None else groups
        self.excess, self.acted = 0.0, False
        self.shown: list[Array] | None = None
        self.past = int(threat.budget) if threat.norm == "steps" else 0

    def witnessed(self) -> Attacked:
        """Itself, keeping from now on what it shows to the first row."""
        self.shown = [] if self.threat.port == "observation" else None
        return self

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        """State: the attack's rows (seeds, step, used, spent, first, history), then the
        controller's."""
        n, d = len(seeds), len(self.scale)
        step = np.zeros(n, dtype=np.uint64)
        first = observation.copy() if self.threat.port == "observation" else np.zeros((n, d))
        history = np.repeat(first[:, None], self.past, axis=1)
        own = (seeds, step, np.zeros(n, dtype=np.int64), np.zeros(n), first, history)
        # A controller whose state starts from what it sees is shown the clean start.
        return own + begun(self.policy, seeds, observation)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        if state is None:
            state = self.start(np.arange(len(observation), dtype=np.uint64), observation)
        seeds, step, used, spent, first, history, *inner = state
        seen = None if self.threat.schedule.trigger is None else observation[:, self.trigger]
        schedule = self.threat.schedule
        on = schedule.active(step, used, seeds, seen)
        left = schedule.left(step, used, spent)
        shown, clean = observation, observation
        if self.threat.port == "observation":

            def ask(others: Array) -> Array:
                copies = len(others) // len(clean)
                memory = tuple(np.concatenate([part] * copies) for part in inner)
                starts = None if episode_start is None else np.tile(episode_start, copies)
                return np.asarray(
                    self.policy.predict(others, memory or None, starts, deterministic)[0]
                )

            shown = after = self._changed(
                clean, on, seeds, step, left, first, history, observation, ask, tuple(inner)
            )
            if self.shown is not None:
                self.shown.append(shown[0].copy())
        action, kept = self.policy.predict(
            shown, tuple(inner) or None, episode_start, deterministic
        )
        if self.threat.port == "action":
            clean = np.asarray(action, dtype=np.float64)
            fresh = (step == 0)[:, None]
            first = np.where(fresh, clean, first)
            history = np.where(fresh[:, None], clean[:, None], history)
            action = after = self._changed(
                clean, on, seeds, step, left, first, history, observation, None, tuple(inner)
            )
        if self.past:  # the last values (n, past, d), the newest first
            history = np.concatenate([clean[:, None], history[:, :-1]], axis=1)
        size = self._size(clean, after)
        spent = schedule.spent(step, spent, size)
        return action, (
            seeds, step + np.uint64(1), used + (size > 0), spent, first, history,
            *carried(self.policy, tuple(inner), kept),
        )  # fmt: skip

    def _size(self, clean: Array, after: Array) -> Array:
        """How large changes are (n,), in budgets; of norms without a size, 1 where there are any."""
        if self.threat.norm in ("linf", "l2") and self.threat.budget > 0:
            return self.threat.size(clean, after, self.scale) / self.threat.budget
        same = (clean == after) | (np.isnan(clean) & np.isnan(after))
        return np.asarray(~same.all(axis=1), dtype=np.float64)

    def _changed(
        self, clean: Array, on: Array, seeds: Array, step: Array, left: Array, first: Array,
        history: Array, observation: Array, ask: Callable[[Array], Array] | None = None,
        memory: tuple[Array, ...] = (),
    ) -> Array:  # fmt: skip
        if not on.any() or self.threat.budget == 0:
            return clean
        self.acted = True
        bounded = self.threat.norm in ("linf", "l2", "std")
        scale = self.scale
        if self.threat.schedule.shared > 1:  # what is left differs between episodes
            scale = scale * (left[:, -1:] * self.threat.schedule.shared)
        radius = scale * (self.threat.budget if bounded else 1.0)
        access = None if self.access is None else self.access.during(memory)
        view = View(
            clean, radius, self.low, self.high, first, history, seeds, step, self.groups,
            observation, left, access, ask,
        )  # fmt: skip
        proposal = np.asarray(self.attack.propose(view), dtype=np.float64)
        if self.past:
            out = self._nearest(view, proposal)
        else:
            self.excess = max(self.excess, self.threat.excess(clean, proposal, scale))
            out = self.threat.project(clean, proposal, scale, self._chance(view))
        finite = np.isfinite(clean).all(axis=1)  # what is broken already stays as it is
        return np.where((on & finite)[:, None], out, clean)

    def _nearest(self, view: View, proposal: Array) -> Array:
        """Of the present value and the last ones, that which is nearest to the proposal."""
        choices = np.concatenate([view.clean[:, None], view.history], axis=1)
        away = np.abs(choices - proposal[:, None]).max(axis=2)
        chosen = choices[np.arange(len(away)), away.argmin(axis=1)]
        return np.where(self.scale > 0, chosen, view.clean).astype(view.clean.dtype)

    def _chance(self, view: View) -> Array:
        if self.threat.norm != "probability":
            return np.zeros(1)
        count = int(self.groups.max()) + 1
        step = np.zeros_like(view.step) if self.attack.per_episode else view.step
        return seeding.uniform(view.seeds, seeding.CHANCE, count, step)[:, self.groups]
