"""Certificate: how far a threat can move a controller's actions at most, beside what attacks reach.

It speaks of single actions in the states it is given, not of what a chain of moved actions leads to: a
small certified change is no certified reward, and a large one does not mean that an attack exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.threats.access import Access
from robo_adv.threats.attack import Perturbation, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.bounds import Ball, Method, output_bounds
from robo_adv.threats.gradient import Objective, ascend
from robo_adv.threats.mlp import MLP
from robo_adv.threats.threat import Norm, Port, Threat

Array = npt.NDArray[Any]
STEPS = 20  # gradient steps per attack


@dataclass(frozen=True)
class Certificate:
    """Bounds of n states' actions (n, a), clipped to the action space.

    Attributes:
        norm, method: of the bounds. clean: actions without attack.
        low, high: no attack within the budget leads beyond these.
        found: largest change (n, a) that an attack found, never above `change`.
        raw_width: mean width of the bounds before they were clipped, in the actions' units.
        space_low, space_high: of the action space (a,).
    """

    norm: str
    method: str
    clean: Array
    low: Array
    high: Array
    found: Array
    raw_width: float
    space_low: Array
    space_high: Array

    @property
    def span(self) -> Array:
        """The action range (a,)."""
        return self.space_high - self.space_low

    @property
    def change(self) -> Array:
        """(n, a) by how much an action can change at most."""
        return np.asarray(np.maximum(self.high - self.clean, self.clean - self.low))

    @property
    def vacuous(self) -> Array:
        """(n, a) whether every action of the range is allowed: such a bound says nothing."""
        return np.asarray((self.low <= self.space_low) & (self.high >= self.space_high))

    def to_json(self) -> dict[str, Any]:
        """Shares of the action range, over all states and actions."""
        width = (self.high - self.low) / self.span
        change, found = self.change / self.span, self.found / self.span
        return {
            "norm": self.norm, "method": self.method,
            "states": len(self.clean), "actions": self.clean.shape[1],
            "width": float(width.mean()), "width_median": float(np.median(width)),
            "half_width": float(0.5 * width.mean()), "raw_width": self.raw_width,
            "vacuous": float(self.vacuous.mean()),
            "change": float(change.mean()), "change_most": float(change.max()),
            "found": float(found.mean()), "found_most": float(found.max()),
            "told": self.told(),
        }  # fmt: skip

    def told(self) -> str:
        """What it says, in a sentence."""
        share, most = float(self.vacuous.mean()), float((self.change / self.span).max())
        if share == 1.0:
            return "Vacuous: in none of these states is any action ruled out."
        if share > 0.0:
            shown = min(max(100.0 * share, 0.1), 99.9)
            return f"Vacuous for {shown:.3g} % of the pairs of state and action."
        return f"In these states no action changes by more than {100 * most:.3g} % of its range."


def why_not(access: Access | None, low: Array, high: Array) -> str:
    """Why a controller's actions cannot be bounded; '' when they can.

    Args:
        low, high: of the action space (a,).
    """
    if access is None or access.mean is None:
        return "bounds need the controller's network, which is a black box here"
    if not isinstance(access.mean, MLP):
        return (
            "bounds need a network of Linear layers with Tanh or ReLU between them, without memory; "
            "this controller computes its actions in another way"
        )
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (np.asarray(high) > low).all()):
        return "the actions have no finite range to measure a change by"
    return ""


def certify(
    access: Access, observation: Array, radius: Array, low: Array, high: Array, *,
    norm: Ball = "linf", method: Method = "crown", seed: int = 0,
) -> Certificate:  # fmt: skip
    """The certificate of a controller in states that it sees.

    Args:
        observation: raw (n, d). radius: the budget per entry (d,), 0 where the threat may not act.
        low, high: of the action space (a,). seed: of the attacks' random starts.

    Raises:
        RoboAdvError: it cannot be bounded (see `why_not`), or something does not fit.
    """
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if why := why_not(access, low, high):
        raise RoboAdvError(why)
    mean, observation = _network(access), np.asarray(observation)
    if observation.ndim != 2 or not len(observation):
        raise RoboAdvError(f"a certificate needs observations (n, d), got {observation.shape}")
    bounds = output_bounds(mean, observation, radius, norm, method)
    if bounds.low.shape[1:] != low.shape:
        raise RoboAdvError(
            f"the network gives {bounds.low.shape[1]} actions, their space has {len(low)}"
        )
    inside, clean = bounds.clipped(low, high), np.clip(_outputs(mean, observation), low, high)
    found = np.zeros_like(clean)
    for tried in _attacked(access, observation, np.asarray(radius, np.float64), norm, seed):
        moved = np.clip(_outputs(mean, tried), low, high) - clean
        found = np.maximum(found, np.abs(moved))
    return Certificate(
        norm, method, clean, inside.low, inside.high, found, float(bounds.width.mean()), low, high
    )


def _outputs(mean: MLP, observation: Array) -> Array:
    return mean(torch.as_tensor(observation, dtype=torch.float32)).numpy().astype(np.float64)


def _attacked(
    access: Access, observation: Array, radius: Array, norm: Ball, seed: int
) -> Iterator[Array]:
    """Observations (n, d) that attacks show, as the threat grants them."""
    n, size = len(observation), len(_network(access).layers[-1].bias)
    seeds = seeding.derive(np.arange(n, dtype=np.uint64), seeding.ATTACK, seed)
    kind = SingleAction if norm == "linf" else SingleActionL2
    tried: list[Perturbation] = [kind(k, sign) for k in range(size) for sign in (1.0, -1.0)]
    for attack in [PGD(STEPS), *tried] if norm == "linf" else tried:
        threat = Threat("observation", 1.0, norm, "raw")
        shown = Attacked(_Seen(), threat, attack, radius, access=access)
        yield shown.predict(observation, shown.start(seeds, observation))[0]


def _network(access: Access | None) -> MLP:
    assert access is not None and isinstance(access.mean, MLP)
    return access.mean


class _Seen:
    """Its action is what it sees."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return observation, None


@dataclass(frozen=True)
class SingleAction(Perturbation):
    """Gradient ascent (or descent, with sign -1) of one action. Attributes: action: its index."""

    action: int = 0
    sign: float = 1.0
    port: ClassVar[Port] = "observation"
    needs: ClassVar[tuple[str, ...]] = ("mean",)
    passes: ClassVar[tuple[int, int]] = (STEPS + 1, STEPS)

    def propose(self, view: View) -> Array:
        return ascend(view, self.objective(view), view.uniform(), 2.5 / STEPS, STEPS)

    def objective(self, view: View) -> Objective:
        """The action, signed."""

        def head(out: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            derivative = torch.zeros_like(out)
            derivative[:, self.action] = self.sign
            return self.sign * out[:, self.action], derivative

        return Objective(_network(view.access), head)


@dataclass(frozen=True)
class SingleActionL2(SingleAction):
    """The same in an l2 ball: steps of unit length along the gradient, each back into the ball."""

    norm: ClassVar[Norm] = "l2"

    def propose(self, view: View) -> Array:
        clean = torch.as_tensor(view.clean, dtype=torch.float32)
        radius = torch.as_tensor(view.radius, dtype=torch.float32)
        objective = self.objective(view)
        u = 0.5 * _unit(torch.as_tensor(view.normal(), dtype=torch.float32))
        for _ in range(STEPS):
            _, slope = objective.value_and_slope(torch.addcmul(clean, radius, u))
            u = u + 2.5 / STEPS * _unit(slope * radius)
            u = u / u.norm(dim=1, keepdim=True).clamp_min(1.0)
        return np.asarray(view.clean + view.radius * u.double().numpy())


def _unit(x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = x / x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return out
