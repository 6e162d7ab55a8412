"""Demonstrations made worse on purpose: noisy labels, wrong actions, episodes of somebody else.

What is corrupted depends on the seed and on each episode's own scenario seed, not on what else is in
the set, and a larger share contains a smaller one: curves over shares compare like with like. The
observations stay what they were; what was done is counted in the card.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstration_card import Corruption
from robo_adv.imitation.demonstrations import Demonstrations

Array = npt.NDArray[Any]
How = Literal["permuted", "random"]
CHOSEN, VALUE, MIXED = 22, 23, 24  # streams: which steps, what they become, which episodes


def noisy_actions(data: Demonstrations, sigma: float, share: float = 1.0, seed: int = 0) -> Demonstrations:  # fmt: skip  # noqa: E501
    """Gaussian noise on the actions of a share of the steps, clipped to their bounds.

    Args:
        sigma: standard deviation, in halves of the action range (of the actions' own standard
            deviations where the range is infinite).

    Raises:
        RoboAdvError: a share outside [0, 1] or a negative sigma.
    """
    if not (np.isfinite(sigma) and sigma >= 0):
        raise RoboAdvError(f"sigma must be a finite number of at least 0, got {sigma}")
    chosen = _chosen(data, share, seed)
    noise = seeding.normal(*_steps(data, seed, VALUE), data.actions.shape[1], _within(data))
    low, high = data.card.action_space.bounds()
    half = np.where(np.isfinite(high - low), 0.5 * (high - low), data.actions.std(axis=0))
    actions = np.where(chosen[:, None], data.actions + sigma * half * noise, data.actions)
    settings = {"sigma": sigma, "share": share}
    return _changed(data, np.clip(actions, low, high), "noisy actions", seed, settings)


def wrong_actions(
    data: Demonstrations, share: float, how: How = "permuted", seed: int = 0
) -> Demonstrations:
    """A share of the steps get another action: that of another of these steps, or a random one.

    Args:
        how: `permuted` keeps the distribution of actions (with share 1 the shuffled-action control);
            `random` draws evenly from the bounds.

    Raises:
        RoboAdvError: a share outside [0, 1], or random actions without bounds.
    """
    chosen = np.flatnonzero(_chosen(data, share, seed))
    actions = data.actions.astype(np.float64)
    if how == "random":
        low, high = data.card.action_space.bounds()
        if not np.isfinite([low, high]).all():
            raise RoboAdvError(f"random actions need finite bounds, got {data.card.action_space}")
        keys, stream = _steps(data, seed, VALUE)
        u = seeding.uniform(keys, stream, actions.shape[1], _within(data))
        actions[chosen] = (low + u * (high - low))[chosen]
    elif len(chosen):
        order = chosen[np.argsort(_draws(data, seed, VALUE)[chosen], kind="stable")]
        actions[order] = data.actions[np.roll(order, 1)]
    settings = {"share": share, "how": how}
    return _changed(data, actions, "wrong actions", seed, settings)


def mixed_episodes(
    data: Demonstrations, others: Demonstrations, share: float, seed: int = 0
) -> Demonstrations:
    """A share of the episodes, rounded, are replaced by the first ones of somebody else, such as an
    adversary's; the number of episodes stays.

    Raises:
        RoboAdvError: a share outside [0, 1], too few others, or others of another world.
    """
    _check_share(share)
    count = round(share * len(data))
    if count > len(others):
        raise RoboAdvError(
            f"a share of {share:g} of {len(data)} episodes is {count}, there are {len(others)} others"
        )
    u = seeding.uniform(seeding.derive(data.seeds, MIXED, seed), MIXED, 1)[:, 0]
    replaced = np.sort(np.argsort(u, kind="stable")[:count])
    index = np.arange(len(data))
    index[replaced] = len(data) + np.arange(count)
    mixed = data.joined(others).take(index) if count else data
    made = Corruption(
        kind="mixed episodes", seed=seed,
        settings={"share": share, "by": others.card.demonstrator.name, "sha256": others.digest},
        changed_steps=int(others.lengths[:count].sum()), changed_episodes=count,
    )  # fmt: skip
    return mixed.with_card(corruption=(*data.card.corruption, made))


def _check_share(share: float) -> None:
    if not 0.0 <= share <= 1.0:
        raise RoboAdvError(f"a share must lie in [0, 1], got {share}")


def _steps(data: Demonstrations, seed: int, stream: int) -> tuple[seeding.Seeds, int]:
    """Per step (N,) the key of its episode, and the stream."""
    return np.repeat(seeding.derive(data.seeds, stream, seed), data.lengths), stream


def _within(data: Demonstrations) -> Array:
    """(N,) each step's place in its episode."""
    return np.asarray(np.arange(data.steps) - np.repeat(data.starts, data.lengths))


def _draws(data: Demonstrations, seed: int, stream: int) -> Array:
    """(N,) numbers in [0, 1)."""
    return np.asarray(seeding.uniform(*_steps(data, seed, stream), 1, _within(data))[:, 0])


def _chosen(data: Demonstrations, share: float, seed: int) -> Array:
    """(N,) which steps are corrupted."""
    _check_share(share)
    return np.asarray(_draws(data, seed, CHOSEN) < share)


def _changed(
    data: Demonstrations, actions: Array, kind: str, seed: int, settings: dict[str, Any]
) -> Demonstrations:
    low, high = (bound.astype(np.float32) for bound in data.card.action_space.bounds())
    written = np.clip(actions.astype(np.float32), low, high)
    rows = (written != data.actions).any(axis=1)
    made = Corruption(
        kind=kind, seed=seed, settings=settings, changed_steps=int(rows.sum()),
        changed_episodes=int(np.logical_or.reduceat(rows, data.starts).sum()),
    )  # fmt: skip
    card = data.card.model_copy(update={"corruption": (*data.card.corruption, made)})
    return replace(data, actions=written, card=card)
