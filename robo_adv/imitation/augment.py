"""Random transforms of what a discriminator is trained on, the same family for both classes.

After Zhao et al. 2020 ("Differentiable augmentation for data-efficient GAN training"): only a
transform of the expert's and the learner's samples alike keeps the optimum where it was. Inputs are
normalised: 0 is the expert's mean and 1 its standard deviation; pixels are in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from robo_adv.errors import RoboAdvError

Transform = Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]
Affine = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # indices, factors, offsets, all (D,)


def noise(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Gaussian noise of `strength` standard deviations on every entry."""
    return x + strength * torch.randn(x.shape, generator=generator)


def feature_dropout(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Every entry becomes the expert's mean with probability `strength`."""
    return x * (torch.rand(x.shape, generator=generator) >= strength)


def scale(x: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Every row times a factor drawn evenly from [1 - strength, 1 + strength]."""
    return x * (1.0 + strength * (2.0 * torch.rand(len(x), 1, generator=generator) - 1.0))


def shift(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Every image moved by up to `strength` of its height and width, its edges repeated."""
    indices = []
    for size in images.shape[2:]:
        reach = round(strength * size)
        move = torch.randint(-reach, reach + 1, (len(images), 1), generator=generator)
        indices.append((torch.arange(size) + move).clamp(0, size - 1))
    n, channels = images.shape[:2]
    rows, columns = indices[0][:, None, :, None], indices[1][:, None, None, :]
    image = torch.arange(n)[:, None, None, None]
    return images[image, torch.arange(channels)[None, :, None, None], rows, columns]


def cutout(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """A rectangle of `strength` times the height and width, somewhere in every image, turned grey."""
    inside = torch.ones(len(images), 1, 1, 1, dtype=torch.bool)
    for axis, size in enumerate(images.shape[2:]):
        side = round(strength * size)
        start = torch.randint(0, size - side + 1, (len(images), 1), generator=generator)
        pixels = torch.arange(size)
        within = (pixels >= start) & (pixels < start + side)
        inside = inside & (within[:, None, :, None] if axis == 0 else within[:, None, None, :])
    return images * ~inside


def brightness(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """An offset drawn evenly from [-strength, strength] on every image."""
    return images + strength * (2.0 * torch.rand(len(images), 1, 1, 1, generator=generator) - 1.0)


AUGMENTATIONS: dict[str, Transform] = {
    "noise": noise,
    "feature-dropout": feature_dropout,
    "scale": scale,
}
IMAGE_AUGMENTATIONS: dict[str, Transform] = {
    "shift": shift,
    "cutout": cutout,
    "brightness": brightness,
}
MIRROR = "mirror"
NAMES = (*AUGMENTATIONS, *IMAGE_AUGMENTATIONS, MIRROR)


@dataclass(frozen=True)
class Mirror:
    """A body's mirror symmetry in raw units: entry i becomes sign[i] * entry[index[i]].

    Raises RoboAdvError when doing it twice is not the identity.
    """

    observation_index: tuple[int, ...]
    observation_sign: tuple[int, ...]
    action_index: tuple[int, ...]
    action_sign: tuple[int, ...]

    def __post_init__(self) -> None:
        for of in ("observation", "action"):
            index = np.array(getattr(self, f"{of}_index"), int)
            sign = np.array(getattr(self, f"{of}_sign"), int)
            same = len(index) == len(sign) and sorted(index) == list(range(len(index)))
            twice = same and (index[index] == np.arange(len(index))).all()
            if not (twice and (np.abs(sign) == 1).all() and (sign * sign[index] == 1).all()):
                raise RoboAdvError(
                    f"a mirror applied twice must change nothing: got {of} index {index.tolist()} "
                    f"and sign {sign.tolist()}; give one index and one sign (1 or -1) per entry"
                )

    def affine(self, parts: tuple[str, ...], mean: torch.Tensor, std: torch.Tensor) -> Affine:
        """The mirror of inputs made of `parts` as x[:, index] * factor + offset of normalised ones.

        Args:
            parts: names of `Transitions` in their order; "terminated" is passed over.
            mean, std: statistics (D,) of the parts.
        """
        where: list[int] = []
        signs: list[int] = []
        for part in parts:
            if part == "terminated":
                continue
            of = "action" if part == "action" else "observation"
            start = len(where)
            where += [start + i for i in getattr(self, f"{of}_index")]
            signs += getattr(self, f"{of}_sign")
        index, sign = torch.tensor(where), torch.tensor(signs, dtype=mean.dtype)
        return index, sign * std[index] / std, (sign * mean[index] - mean) / std


def mirror(x: torch.Tensor, affine: Affine, generator: torch.Generator) -> torch.Tensor:
    """Every row mirrored with probability 1/2."""
    index, factor, offset = affine
    flip = torch.rand(len(x), 1, generator=generator) < 0.5
    return torch.where(flip, x[:, index] * factor + offset, x)


def augment(
    x: torch.Tensor,
    names: tuple[str, ...],
    strength: float,
    generator: torch.Generator,
    images: tuple[int, int, int] | None = None,
    affine: Affine | None = None,
) -> torch.Tensor:
    """Rows (n, D), of which the first C x H x W entries are pixels, by all transforms in order."""
    pixels = 0 if images is None else images[0] * images[1] * images[2]
    head, rest = x[:, :pixels], x[:, pixels:]
    for name in names:
        if name == MIRROR and affine is not None:
            rest = mirror(rest, affine, generator)
        elif name in AUGMENTATIONS:
            rest = AUGMENTATIONS[name](rest, strength, generator)
        elif images is not None:
            picture = head.reshape(-1, *images)
            head = IMAGE_AUGMENTATIONS[name](picture, strength, generator).flatten(1)
    return torch.cat([head, rest], 1) if pixels else rest
