"""An engine around a small world and a policy, as an audit has it, with budgets in raw units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.attackers import trainer
from robo_adv.audit.engine import Engine, Played, Subject
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import Reference, layout_of
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.policy import Policy
from robo_adv.rollout import scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.access import Access
from robo_adv.threats.attack import ATTACKS, Attack, Perturbation
from robo_adv.threats.threat import Threat
from robo_adv.training.learner import PPOConfig, Threads

Array = npt.NDArray[Any]
PLAYER = "agent"
# For worlds of a few steps: short rollouts, many updates, returns that are not discounted.
TINY = PPOConfig(
    num_envs=16, n_steps=24, batch_size=128, n_epochs=10, learning_rate=1e-3, gamma=1.0,
    log_std_init=0.0, scale_reward=True,
)  # fmt: skip


def engine(
    make: Callable[..., Any], policy: Policy, access: Access | None, reference: float,
    episodes: int = 24, num_envs: int = 24, unsafe: str = "", **options: Any,
) -> Engine:  # fmt: skip
    """Args:
    reference: the return without attack. options: what `make` makes environments with.
    """
    world = world_of(make, num_envs, **options)
    layout = layout_of(world, PLAYER)
    size = sum(part[1] for part in layout)
    nothing = (0.0,) * size
    measured = Reference("clean", world.id, 1, 0, nothing, (1.0,) * size, layout, reference)
    judge = make_criterion(world, PLAYER, unsafe=unsafe, reference=reference)
    subject = Subject("subject", PLAYER, policy, world, judge, access=access)
    return Engine(subject, measured, scenarios(500, episodes), search=8)


def world_of(make: Callable[..., Any], num_envs: int, **options: Any) -> GymnasiumWorld:
    """Environments side by side."""
    return GymnasiumWorld(make, num_envs, **options)


def taught(bench: Engine, folder: Path, make: Callable[..., Any], **options: Any) -> Engine:
    """The same bench, where attacks can be trained in worlds like its own."""
    this = bench.changed()
    this.trainer = trainer(
        folder, lambda width: world_of(make, width, **options), "digest", 0, Threads(1, 1, 1),
        ppo=TINY,
    )  # fmt: skip
    return this


def row(name: str, *budgets: float, **parameters: Any) -> Row:
    """An attack of the registry on observations, with budgets in the observation's own units."""
    kind = ATTACKS[name]
    return Row(name, Threat(kind.port, 0.0, kind.norm, "raw"), budgets, parameters)


def returns(bench: Engine, attack: Attack | None = None, budget: float = 0.0) -> Array:
    """Returns (n,) of the reported scenarios under an attack as it is, or without any."""
    policy = bench.subject.policy
    if attack is not None:
        assert isinstance(attack, Perturbation)
        threat = Threat("observation", budget, attack.norm, "raw")
        policy = bench.attacked(threat, attack)
    return returned(bench, policy)


def returned(bench: Engine, policy: Policy) -> Array:
    """Returns (n,) of the reported scenarios when `policy` plays them."""
    played = bench.changed(policy=policy).play()
    return played.episodes.returns[PLAYER]


def lost(bench: Engine, played: Played) -> Array:
    """What an attack took (n,) of each scenario's return."""
    return np.asarray(returns(bench) - played.episodes.returns[PLAYER])
