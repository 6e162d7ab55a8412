"""Choices of a discriminator, checked together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.imitation import augment, regularisers
from robo_adv.imitation.losses import LOSSES
from robo_adv.imitation.networks import ACTIVATIONS
from robo_adv.imitation.rewards import REWARDS

Inputs = Literal["state-action", "state", "transition", "shaped"]
PARTS = {
    "state-action": ("observation", "action"),
    "state": ("observation",),
    "transition": ("observation", "next_observation"),
    "shaped": ("observation", "next_observation", "action", "terminated"),
}


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Choices of a discriminator; a weight of 0 leaves a regulariser out.

    Raises RoboAdvError for values that do not exist or do not go together.
    """

    inputs: Inputs = "state-action"  # "shaped": (s, s', a, terminated), for AIRL
    net_arch: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    loss: Literal["bce", "least-squares", "mixup"] = "bce"
    reward: Literal["gail", "negative", "airl", "fairl", "bounded", "amp"] = "gail"
    learning_rate: float = 1e-3
    batch_size: int = 256  # rows of the expert, and as many of the learner
    updates: int = 20  # gradient steps per round
    spectral_norm: bool = False  # slopes are then at most 1, and a one-sided penalty is always 0
    gradient_penalty: float = 10.0  # weight
    gradient_penalty_target: float = 1.0
    gradient_penalty_side: regularisers.Side = "one"
    r1: float = 0.0  # weight of half the squared gradient at the expert's samples
    singular_value_clip: float = 0.0  # largest singular value of a layer
    singular_value_every: int = 5  # updates between two clippings
    input_dropout: float = 0.0  # probability
    dropout: float = 0.0  # probability, after every hidden layer
    weight_decay: float = 0.0  # decoupled (AdamW); moves nothing under spectral_norm
    entropy: float = 1e-3  # weight of the bonus; least squares have none
    mixup_alpha: float = 1.0
    augment: tuple[str, ...] = ()
    augment_strength: float = 0.1
    std_floor: float = 1e-2  # least standard deviation of an input, in its unit
    discount: float = 0.99  # of the shaping

    def __post_init__(self) -> None:
        known: dict[str, Collection[str]] = {
            "inputs": PARTS,
            "activation": ACTIVATIONS,
            "loss": LOSSES,
            "reward": REWARDS,
        }
        for name, names in known.items():
            if getattr(self, name) not in names:
                raise unknown(f"discriminator {name}", getattr(self, name), names)
        for name in self.augment:
            if name not in augment.NAMES:
                raise unknown("augmentation", name, augment.NAMES)
        if (self.loss == "least-squares") != (self.reward == "amp"):
            raise RoboAdvError(
                "the loss 'least-squares' and the reward 'amp' go together (its output is no "
                f"logit), got loss {self.loss!r} and reward {self.reward!r}"
            )
        if self.inputs == "shaped" and (self.loss, self.reward) != ("bce", "airl"):
            raise RoboAdvError(
                "shaped inputs (AIRL) go with loss 'bce' and reward 'airl', got "
                f"{self.loss!r} and {self.reward!r}"
            )
        if self.spectral_norm and self.singular_value_clip:
            raise RoboAdvError(
                "spectral_norm and singular_value_clip both bound the singular values; use one"
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        least = {"batch_size": 1, "updates": 0, "singular_value_every": 1}
        above = ("learning_rate", "std_floor", "mixup_alpha")
        shares = ("input_dropout", "dropout")
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            right = np.isfinite(value) and value >= least.get(name, 0)
            right &= not (name in above and value == 0) and not (name in shares and value >= 1)
            if not right:
                bound = "above 0" if name in above else f"{least.get(name, 0)} or more"
                bound += " and below 1" if name in shares else ""
                raise RoboAdvError(f"discriminator {name} must be {bound}, got {value}")
