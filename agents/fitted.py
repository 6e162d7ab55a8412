"""Bundles in any world: our policies take float32 and act in [-1, 1], other worlds may not."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.agents.access import network_access, on_range
from robo_adv.envs.episode import World
from robo_adv.errors import BundleError
from robo_adv.policy import Policy, State
from robo_adv.threats.access import Access
from robo_adv.training.network import NetworkPolicy

Array = npt.NDArray[Any]


class Fitted:
    """A bundle's policy on a world's own scale: actions in [-1, 1] become [low, high] (a,)."""

    def __init__(self, policy: NetworkPolicy, low: Array, high: Array) -> None:
        self.policy, self.sight = policy, policy.sight
        self.half, self.middle = (high - low) / 2.0, (high + low) / 2.0

    def start(self, seeds: seeding.Seeds, observation: Array) -> tuple[Array, ...]:
        return self.policy.start(seeds, observation.astype(np.float32))

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        action, state = self.policy.predict(
            observation.astype(np.float32), state, episode_start, deterministic
        )
        return self.middle + self.half * action, state


def fitted_bundle(policy: NetworkPolicy, world: World, player: str) -> tuple[Policy, Access]:
    """A bundle's policy as it plays in a world, and access to it on the same scale.

    Raises:
        BundleError: the world's actions have no bounds.
    """
    low, high = action_range(world, player)
    access = on_range(network_access(policy), low, high)
    unit = (low == -1.0).all() and (high == 1.0).all()
    if unit and world.observation_space(player).dtype == np.float32:
        return policy, access
    return Fitted(policy, low, high), access


def action_range(world: World, player: str) -> tuple[Array, Array]:
    """Ends (a,) of the actions.

    Raises:
        BundleError: they are not finite.
    """
    space = world.action_space(player)
    if not space.is_bounded():
        raise BundleError(
            f"the actions of {world.id} have no finite bounds, between which a bundle acts; audit the "
            "policy as module:callable, ONNX file or zip instead"
        )
    return space.low.astype(np.float64), space.high.astype(np.float64)
