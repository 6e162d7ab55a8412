"""A discriminator tells an expert's steps (label 1) from a learner's (label 0)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.utils import get_total_norm, parametrize

from robo_adv.errors import RoboAdvError
from robo_adv.imitation import augment, regularisers
from robo_adv.imitation.airl import ShapedNetwork
from robo_adv.imitation.config import PARTS, DiscriminatorConfig
from robo_adv.imitation.networks import ImageTrunk, mlp
from robo_adv.imitation.objective import objective
from robo_adv.imitation.rewards import REWARDS, RewardFunction
from robo_adv.imitation.transitions import Transitions
from robo_adv.training.state import Tensors, load_optimiser, optimiser_tensors, with_prefix

__all__ = ["Discriminator", "DiscriminatorConfig"]

Array = npt.NDArray[Any]
LogProbs = tuple[Array, Array]  # log pi(a|s) of the expert's and of the learner's rows
Trunk = Callable[[int], tuple[nn.Module, int]]  # size D to a network (n, D) -> (n, k), and k
CLIP = 10.0  # normalised inputs are held within this many of the expert's standard deviations


class Discriminator(nn.Module):
    """Logits of expert against learner.

    Args:
        observations: number of an observation's entries, or the shape (C, H, W) of uint8 images.
        actions: number of an action's entries.
        seed: of the first weights. No global generator is read or moved, here or later.
        trunk: makes another network in front of the hidden layers; images have a small CNN.
        mirror: the symmetry that the augmentation "mirror" uses.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        observations: int | tuple[int, ...],
        actions: int,
        config: DiscriminatorConfig = DiscriminatorConfig(),  # noqa: B008
        seed: int = 0,
        trunk: Trunk | None = None,
        mirror: augment.Mirror | None = None,
    ) -> None:
        super().__init__()
        self.config, self.mirror, self.updates = config, mirror, 0
        shape = observations if isinstance(observations, tuple) else (observations,)
        self.shapes = {"observation": shape, "next_observation": shape, "action": (actions,)}
        self.shapes["terminated"] = ()
        self.parts = PARTS[config.inputs]
        self.images = _images(shape, self.parts)
        self._check_augmentations()
        size = sum(prod(self.shapes[part]) for part in self.parts)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.network = self._build(size, trunk)
            if config.spectral_norm:
                regularisers.add_spectral_norm(self.network)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.eval()

    def _build(self, size: int, trunk: Trunk | None) -> nn.Module:
        c = self.config

        def head(inputs: int) -> nn.Module:
            return mlp(inputs, c.net_arch, c.activation, c.input_dropout, c.dropout)

        if c.inputs == "shaped":
            state, actions = prod(self.shapes["observation"]), prod(self.shapes["action"])
            if trunk is not None or self.images is not None:
                raise RoboAdvError("shaped inputs (AIRL) need vector observations and no trunk")
            return ShapedNetwork(state, actions, head, c.discount)
        if trunk is not None:
            front, features = trunk(size)
            return nn.Sequential(front, head(features))
        if self.images is not None:
            image = ImageTrunk(self.images, size - prod(self.images))
            return nn.Sequential(image, head(image.size))
        return head(size)

    def _check_augmentations(self) -> None:
        names = self.config.augment
        if self.images is None and (
            wrong := [n for n in names if n in augment.IMAGE_AUGMENTATIONS]
        ):
            raise RoboAdvError(
                f"augmentation {wrong[0]!r} is for images (C, H, W), got observations of shape "
                f"{self.shapes['observation']}; vectors have {', '.join(augment.AUGMENTATIONS)}"
            )
        if augment.MIRROR not in names:
            return
        if self.mirror is None or self.images is not None:
            raise RoboAdvError("augmentation 'mirror' needs vectors and the body's Mirror")
        got = len(self.mirror.observation_index), len(self.mirror.action_index)
        sizes = prod(self.shapes["observation"]), prod(self.shapes["action"])
        if got != sizes:
            raise RoboAdvError(f"the mirror is of (observation, action) sizes {got}, not {sizes}")

    @property
    def reward_function(self) -> RewardFunction:
        """How logits become rewards, and its survival bias."""
        return REWARDS[self.config.reward]

    def fit_normaliser(self, expert: Transitions) -> None:
        """Take means and standard deviations of the expert's steps; they stay as they are.

        Both observations of a step share the statistics of the first. Pixels go to [-1, 1].
        """
        self._inputs(expert, "expert")  # refuses what is not finite or has other shapes
        means, stds = [], []
        for part in self.parts:
            source = "observation" if part == "next_observation" else part
            values = _tensor(getattr(expert, source)).double().reshape(len(expert), -1)
            mean, std = values.mean(0), values.std(0, correction=0)
            if source == "terminated":
                mean, std = torch.zeros_like(mean), torch.ones_like(std)
            elif source == "observation" and self.images is not None:
                mean, std = torch.full_like(mean, 127.5), torch.full_like(std, 127.5)
            means.append(mean)
            stds.append(std.clamp(min=self.config.std_floor))
        self.mean.copy_(torch.cat(means))
        self.std.copy_(torch.cat(stds))

    def _normalise(self, parts: dict[str, torch.Tensor]) -> torch.Tensor:
        flat = [parts[name].float().reshape(len(parts[name]), -1) for name in self.parts]
        return ((torch.cat(flat, 1) - self.mean) / self.std).clamp(-CLIP, CLIP)

    def _inputs(self, batch: Transitions, whose: str) -> torch.Tensor:
        """Normalised inputs (N, D) of a batch; raises RoboAdvError when it cannot be used."""
        if not len(batch):
            raise RoboAdvError(f"the {whose}'s batch is empty; give at least one step")
        for name in self.parts:
            array = getattr(batch, name)
            if array.shape[1:] != self.shapes[name]:
                raise RoboAdvError(
                    f"the {whose}'s {name} has shape {array.shape}, this discriminator was made "
                    f"for (N{''.join(f', {n}' for n in self.shapes[name])})"
                )
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise RoboAdvError(
                    f"the {whose}'s {name} holds values that are not finite, first in row {row}; "
                    "leave out or repair such steps"
                )
        return self._normalise({n: _tensor(getattr(batch, n)) for n in self.parts})

    def _logit(self, inputs: torch.Tensor) -> torch.Tensor:
        logit: torch.Tensor = self.network(inputs)
        return logit[:, 0]

    def logit(
        self,
        observation: torch.Tensor,
        action: torch.Tensor,
        next_observation: torch.Tensor,
        terminated: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits (N,), differentiable in everything; f where inputs are shaped."""
        ended = torch.zeros(len(observation)) if terminated is None else terminated
        values = (observation, action, next_observation, ended)
        names = (f.name for f in fields(Transitions))
        return self._logit(self._normalise(dict(zip(names, values, strict=True))))

    @torch.no_grad()
    def reward(self, batch: Transitions) -> Array:
        """Rewards (N,) float64 of steps; without dropout and augmentation."""
        logit = self._logit(self._inputs(batch, "learner"))
        return self.reward_function(logit).double().numpy()

    def update(
        self,
        expert: Transitions,
        learner: Transitions,
        generator: torch.Generator,
        log_probs: LogProbs | None = None,
    ) -> dict[str, float]:
        """One gradient step on two batches; `log_probs` are taken off the logits (AIRL).

        Returns `loss`, `penalty` (its weighted part in it), `expert_accuracy`, `learner_accuracy`
        and `gradient_norm` (of the weights). Raises RoboAdvError for batches that cannot be used.
        """
        inputs = self._inputs(expert, "expert"), self._inputs(learner, "learner")
        offsets = None if log_probs is None else [-torch.as_tensor(p).float() for p in log_probs]
        if offsets is not None and not all(bool(torch.isfinite(of).all()) for of in offsets):
            raise RoboAdvError(
                "log-probabilities must be finite; the policy gives some step's action none "
                "(actions at or beyond a squashed policy's bounds have none)"
            )
        self.train()
        regularisers.draw_dropout_from(self.network, generator)
        with parametrize.cached():
            metrics = objective(
                self._logit, self._augment(*inputs, generator), self.config, generator, offsets
            )
        if not bool(torch.isfinite(metrics["loss"])):
            raise RoboAdvError(
                f"the discriminator's loss is {float(metrics['loss'].detach())} after "
                f"{self.updates} updates; lower its learning rate or the weights of its penalties"
            )
        self.optimiser.zero_grad()
        metrics["loss"].backward()  # type: ignore[no-untyped-call]
        gradients = [w.grad for w in self.network.parameters() if w.grad is not None]
        metrics["gradient_norm"] = get_total_norm(gradients)
        self.optimiser.step()
        self.eval()
        self.updates += 1
        limit = self.config.singular_value_clip
        if limit and self.updates % self.config.singular_value_every == 0:
            regularisers.clip_singular_values(self.network, limit)
        return {name: value.detach().item() for name, value in metrics.items()}

    def _augment(
        self, expert: torch.Tensor, learner: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both batches by one draw of the transforms, row by row; `terminated` stays."""
        if not self.config.augment:
            return expert, learner
        x = torch.cat([expert, learner])
        kept = x.shape[1] - (self.parts[-1] == "terminated")
        affine = None
        if self.mirror is not None:
            affine = self.mirror.affine(self.parts, self.mean[:kept], self.std[:kept])
        names, strength = self.config.augment, self.config.augment_strength
        changed = augment.augment(x[:, :kept], names, strength, generator, self.images, affine)
        x = torch.cat([changed, x[:, kept:]], 1)
        return x[: len(expert)], x[len(expert) :]

    def train_round(
        self,
        expert: Transitions,
        learner: Transitions,
        generator: torch.Generator,
        log_probs: LogProbs | None = None,
    ) -> dict[str, float]:
        """`config.updates` updates on random rows of both; means of what they gave."""
        size, gave = self.config.batch_size, []
        for _ in range(self.config.updates):
            rows = [
                torch.randint(len(x), (size,), generator=generator).numpy()
                for x in (expert, learner)
            ]
            taken = None if log_probs is None else (log_probs[0][rows[0]], log_probs[1][rows[1]])
            gave.append(self.update(expert.take(rows[0]), learner.take(rows[1]), generator, taken))
        return {name: float(np.mean([g[name] for g in gave])) for name in (gave[0] if gave else ())}

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Copies of weights, statistics and optimiser as tensors; counters as JSON values."""
        weights = {f"discriminator.{k}": v.detach().clone() for k, v in self.state_dict().items()}
        return {**weights, **optimiser_tensors(self.optimiser, "optimiser.")}, {
            "updates": self.updates
        }

    def load_state(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Continue bit by bit with what `state` gave; RoboAdvError when it is another network's."""
        try:
            self.load_state_dict(with_prefix(tensors, "discriminator."))
        except RuntimeError as error:
            raise RoboAdvError(
                f"this state is of another discriminator: {error}; load it with the "
                "configuration it was saved with"
            ) from error
        load_optimiser(self.optimiser, with_prefix(tensors, "optimiser."))
        self.updates = int(values["updates"])


def _tensor(array: Array) -> torch.Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _images(shape: tuple[int, ...], parts: tuple[str, ...]) -> tuple[int, int, int] | None:
    """(C, H, W) of the images in an input; both of a transition are stacked as channels."""
    if len(shape) != 3:
        return None
    return shape[0] * (1 + ("next_observation" in parts)), shape[1], shape[2]
