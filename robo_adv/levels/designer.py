"""Designer: a policy that proposes points of the unit cube in one step, trained by PPO.

One shot makes designing a contextual bandit, without the long-horizon credit assignment of designers
that place one thing at a time (Azad et al. 2023, "CLUTR", ICML).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.errors import RoboAdvError
from robo_adv.levels.heads import HEADS, HeadName
from robo_adv.training.state import Tensors, load_optimiser, optimiser_tensors, with_prefix

Array = npt.NDArray[np.float64]
REWARD_LIMIT = 5.0  # of a normalised reward


@dataclass(frozen=True)
class Proposal:
    """Designs: context (n, c), points (n, P) and the log density (n,) they were drawn with."""

    context: Array
    points: Array
    log_prob: Array


@dataclass
class RunningStd:
    """Standard deviation of all numbers seen (Welford 1962, batches as in Chan et al. 1979)."""

    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    def update(self, values: Array) -> None:
        """Count values (n,) in."""
        if not len(values):
            return
        total, gap = self.count + len(values), float(values.mean()) - self.mean
        self.squares += float(((values - values.mean()) ** 2).sum())
        self.squares += gap**2 * self.count * len(values) / total
        self.mean += gap * len(values) / total
        self.count = total

    @property
    def std(self) -> float:
        """1 until the numbers differ."""
        return float(np.sqrt(self.squares / self.count)) if self.squares > 0 else 1.0


class Designer:
    """A small network from a context (random numbers, what is known of the students) to a
    distribution over the unit cube.

    Args:
        context: c, how many numbers a context has. size: P, dimensions of the cube.
        rng: what the initial weights are drawn from.
        epochs: gradient steps per `learn`, each on the whole memory. memory: designs kept.
        clip: of the probability ratio. normalise: divide rewards by their running standard deviation.
    """

    def __init__(
        self,
        context: int,
        size: int,
        rng: np.random.Generator,
        *,
        head: HeadName = "beta",
        hidden: int = 32,
        learning_rate: float = 1e-3,
        epochs: int = 8,
        memory: int = 64,
        clip: float = 0.2,
        normalise: bool = True,
    ) -> None:
        self.size, self.epochs, self.memory, self.clip = size, epochs, memory, clip
        self.normalise = normalise
        self.head = HEADS[head]
        self.network = _network(context, size, hidden, self.head.start, rng)
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), learning_rate, eps=1e-5, fused=True
        )
        self.scale = RunningStd()
        self._kept = {
            "context": np.empty((0, context)),
            "points": np.empty((0, size)),
            "log_prob": np.empty(0),
            "reward": np.empty(0),
        }

    def propose(self, context: Array, rng: np.random.Generator) -> Proposal:
        """One design per row of `context` (n, c)."""
        with torch.no_grad():
            numbers = self._numbers(torch.as_tensor(context))
            points = self.head.sample(numbers.numpy(), rng)
            log_prob = self.head.log_prob(numbers, torch.as_tensor(points))
        return Proposal(context, points, log_prob.numpy())

    def learn(self, proposal: Proposal, reward: Array, entropy: float) -> dict[str, float]:
        """Make designs with high rewards (n,) more likely: PPO on these and the last ones kept.

        Ratios are clipped around the density a design was drawn with, over its whole stay in the
        memory. Clipping around that of now learns sooner, but a few lucky designs are then raised
        again every round and the designer may close in on them.

        Args:
            proposal: the designs as they were proposed, whatever repair made of them.
            entropy: weight of the entropy bonus.
        """
        self.scale.update(reward)
        self._keep(proposal, reward)
        context, points, log_prob, kept = (torch.as_tensor(v) for v in self._kept.values())
        if not len(kept):
            return {}
        scaled = kept / self.scale.std if self.normalise else kept
        scaled = scaled.clamp(-REWARD_LIMIT, REWARD_LIMIT)
        advantage = scaled - scaled.mean()
        for _ in range(self.epochs):
            numbers = self._numbers(context)
            ratio = (self.head.log_prob(numbers, points) - log_prob).exp()
            clipped = ratio.clamp(1.0 - self.clip, 1.0 + self.clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage).mean()
            bonus = self.head.entropy(numbers).mean()
            self.optimiser.zero_grad()
            (-gain - entropy * bonus).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
            self.optimiser.step()
        return {
            "designer_entropy": float(bonus.detach()) / self.size,
            "designer_clip_fraction": float(((ratio - 1.0).abs() > self.clip).double().mean()),
            "designer_kl": float((ratio - 1.0 - ratio.log()).mean().detach()),
        }

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Weights, moments and memory; the running statistics."""
        tensors = {f"weight.{k}": v.clone() for k, v in self.network.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser, "moment.")
        tensors |= {f"kept.{k}": torch.as_tensor(v.copy()) for k, v in self._kept.items()}
        return tensors, {"scale": [self.scale.count, self.scale.mean, self.scale.squares]}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Continue from `state`.

        Raises:
            RoboAdvError: it is the state of a network of another shape.
        """
        weights = with_prefix(tensors, "weight.")
        here = {k: tuple(v.shape) for k, v in self.network.state_dict().items()}
        there = {k: tuple(v.shape) for k, v in weights.items()}
        if here != there:
            raise RoboAdvError(
                f"the designer's state has weights {there}, this one {here}; resume with the "
                "hyper-parameters it was trained with"
            )
        self.network.load_state_dict(weights)
        load_optimiser(self.optimiser, with_prefix(tensors, "moment."))
        self._kept = {k: tensors[f"kept.{k}"].numpy().copy() for k in self._kept}
        self.scale = RunningStd(*values["scale"])

    def _numbers(self, context: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.network(context)
        return out.reshape(-1, 2, self.size)

    def _keep(self, proposal: Proposal, reward: Array) -> None:
        new = {
            "context": proposal.context,
            "points": proposal.points,
            "log_prob": proposal.log_prob,
            "reward": reward,
        }
        for name, values in new.items():
            self._kept[name] = np.concatenate([self._kept[name], values])[-self.memory :]


def _network(
    context: int, size: int, hidden: int, start: tuple[float, float], rng: np.random.Generator
) -> torch.nn.Sequential:
    """Two tanh layers; orthogonal weights, the last ones small so that designs begin wide."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    widths, gains = (context, hidden, hidden, 2 * size), (2**0.5, 2**0.5, 0.01)
    layers: list[torch.nn.Module] = []
    for inputs, outputs, gain in zip(widths[:-1], widths[1:], gains, strict=True):
        layer = torch.nn.Linear(
            inputs, outputs, device="meta", dtype=torch.float64
        )  # draws nothing
        layer.to_empty(device="cpu")
        torch.nn.init.orthogonal_(layer.weight, gain, generator=generator)
        torch.nn.init.zeros_(layer.bias)
        layers += [layer, torch.nn.Tanh()]
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(start, dtype=torch.float64).repeat_interleave(size))
    return torch.nn.Sequential(*layers[:-1])
