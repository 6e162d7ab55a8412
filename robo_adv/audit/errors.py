"""Where a controller errs against a baseline, and which of its errors do harm.

The error is measured at the states that the baseline visits. Contexts and mean errors come from
search scenarios; what is reported comes from the reported ones, where the baseline is swapped in for
one kind of error after the other and harm is counted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.audit.engine import SEARCH, Engine, Setting
from robo_adv.policy import Policy
from robo_adv.safety.context_tree import ContextTree, grow
from robo_adv.safety.error_parts import signed_errors
from robo_adv.safety.error_profile import profile
from robo_adv.safety.outcomes import Outcomes
from robo_adv.safety.swap import InBursts, InContext, Swapped, Where, WithoutMean, removals

Array = npt.NDArray[Any]
EXPLORED = 200  # search scenarios on which contexts are looked for
BLOCK = 0.2  # [s] about the time in which a robot's joints follow a command
BURST = 0.1  # size of a transient error that counts, in parts of the action's range
LEAF = 0.05  # least share of all steps in a context
DEPTH = 2  # of the tree of contexts: at most four


@dataclass(frozen=True)
class Errors:
    """Signed errors in steps of episodes, sorted by episode and time.

    Attributes:
        errors: (T, a), in parts of the action's range. seen: (T, d) observations.
        episodes: (T,) which episode. first: (n, d) first observations. outcomes: of the baseline.
    """

    errors: Array
    seen: Array
    episodes: Array
    first: Array
    outcomes: Outcomes


class _Beside:
    """The baseline acts; what both would do is kept."""

    def __init__(self) -> None:
        self.scenarios: list[Array] = []
        self.steps: list[tuple[Array, Array, Array]] = []

    def before(self, scenarios: Array, observations: Mapping[str, Array]) -> None:
        self.scenarios.append(scenarios.copy())

    def start(self, observation: Array) -> tuple[Array, ...]:
        return ()

    def choose(
        self, observation: Array, candidate: Array, baseline: Array, state: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...]]:
        live = self.scenarios[-1] >= 0
        n = len(live)
        self.steps.append((observation[:n][live], candidate[:n][live], baseline[:n][live]))
        return baseline, state


def measure_errors(engine: Engine, baseline: Policy, seeds: seeding.Seeds) -> Errors:
    """Errors of the engine's controller at the states that the baseline visits in `seeds` (n,).

    Raises:
        RoboAdvError: the action has no finite bounds.
    """
    subject, kept = engine.subject, _Beside()
    space = subject.world.action_space(subject.player)
    both = Swapped(subject.policy, baseline, kept)
    played = engine.episodes(Setting(both), seeds, kept.before)
    episodes = np.concatenate([s[s >= 0] for s in kept.scenarios])
    seen, candidate, other = (np.concatenate(parts) for parts in zip(*kept.steps, strict=True))
    finite = np.isfinite(candidate).all(axis=1) & np.isfinite(other).all(axis=1)
    order = np.argsort(episodes, kind="stable")
    order = order[finite[order]]
    errors = signed_errors(candidate[order], other[order], space.low, space.high)
    sorted_episodes = episodes[order]
    first = np.searchsorted(sorted_episodes, np.arange(len(seeds)))
    outcomes = subject.criterion.judge(played)
    return Errors(errors, seen[order], sorted_episodes, seen[order][first], outcomes)


def names_of(engine: Engine) -> list[str]:
    """Names of the observation's entries, for example `object_position[2]`."""
    layout = engine.subject.world.layouts[engine.subject.player]
    return [s.name if s.size == 1 else f"{s.name}[{k}]" for s in layout for k in range(s.size)]


def explored_seeds(count: int = EXPLORED) -> seeding.Seeds:
    """Search scenarios apart from those on which attacks are searched."""
    return np.arange(SEARCH + 10_000, SEARCH + 10_000 + count, dtype=np.uint64)


def error_profile(
    engine: Engine, baseline: Policy, explored: Errors, reported: Errors, own: Outcomes,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The profile of the controller's error, and what each kind of error does, as JSON values.

    Args:
        explored, reported: errors on search scenarios, from which contexts and means are taken, and
            on the reported ones. own: the controller's clean outcomes on the latter.
    """
    world, player = engine.subject.world, engine.subject.player
    space, dt = world.action_space(player), world.control_dt or 1.0
    block = max(2, round(BLOCK / dt))
    tree = contexts_of(engine, explored)
    labels, before = tree.labels(reported.seen), tree.labels(explored.seen)
    rng = np.random.default_rng([seed, 3])
    told = profile(reported.errors, reported.episodes, labels, block, rng).to_json()
    mean = explored.errors.mean(axis=0)
    swaps: dict[str, Where] = {
        "systematic: its mean error taken off": WithoutMean(mean, space.low, space.high),
        f"transient: bursts above {BURST:g} of the action's range replaced": InBursts(
            BURST, block, space.low, space.high, mean
        ),
    }
    if len(tree.names) > 1:
        sizes = [_size(explored.errors[before == k]) for k in range(len(tree.names))]
        worst = int(np.argmax(sizes))
        name = f"conditional: replaced where {tree.names[worst]}"
        swaps[name] = InContext(lambda seen: tree.labels(seen) == worst)
    judge, policy = engine.subject.criterion.judge, engine.subject.policy
    after = {
        name: judge(engine.episodes(Setting(Swapped(policy, baseline, where)), engine.seeds))
        for name, where in swaps.items()
    }
    return {
        **told,
        "block_seconds": block * dt,
        "contexts": [
            {"name": name, "share": float((labels == k).mean()),
             "size": _size(reported.errors[labels == k])}
            for k, name in enumerate(tree.names)
        ],
        "removals": {name: found.to_json() for name, found in removals(own, after).items()},
    }  # fmt: skip


def contexts_of(engine: Engine, explored: Errors) -> ContextTree:
    """Regions of the observation in which the error's size differs, found on search scenarios."""
    size = np.sqrt((explored.errors**2).sum(axis=1))
    leaf = max(1, round(LEAF * len(size)))
    return grow(explored.seen, size, names_of(engine), depth=DEPTH, leaf=leaf)


def _size(errors: Array) -> float:
    """Root mean square; 0 without any."""
    return float(np.sqrt((errors**2).sum(axis=1).mean())) if len(errors) else 0.0
