"""The card of a set of demonstrations: where it was recorded, who demonstrated, what is in it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, field_validator

from robo_adv.cards import Strict
from robo_adv.sight import LARGEST, MOST_CAMERAS

MOST_EPISODES, MOST_STEPS, MOST_SIZE = 1_000_000, 100_000_000, 1_000_000
Number = Annotated[float, Field(allow_inf_nan=False)]
MOST_TEXT = 1000
Text = Annotated[str, Field(max_length=MOST_TEXT)]
Option = bool | int | float | str | None
_JSON = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Space(Strict):
    """A Box: `low` and `high` are one number, or one per entry; shape (k,).

    Infinite bounds are written as the words "Infinity" and "-Infinity", so that the file stays JSON.
    """

    model_config = _JSON

    low: float | tuple[float, ...]
    high: float | tuple[float, ...]
    shape: tuple[Annotated[int, Field(ge=1, le=MOST_SIZE)]]
    dtype: str = Field(pattern="^(float|int|uint|bool)[0-9]*$")

    def model_post_init(self, context: Any) -> None:
        for bound in (self.low, self.high):
            if isinstance(bound, tuple) and len(bound) != self.size:
                raise ValueError(f"{len(bound)} bounds for {self.size} numbers")
            if np.isnan(bound).any():
                raise ValueError("a bound is no number")
        if np.any(np.asarray(self.low) > np.asarray(self.high)):
            raise ValueError("a lower bound is above the upper one")

    @property
    def size(self) -> int:
        return self.shape[0]

    def bounds(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Lower and upper ends (k,)."""
        return np.broadcast_to(self.low, self.shape), np.broadcast_to(self.high, self.shape)

    def __str__(self) -> str:
        """For example `3 in [-1, 1]`."""
        low, high = self.bounds()
        if (low == low[0]).all() and (high == high[0]).all():
            return f"{self.size} in [{low[0]:.4g}, {high[0]:.4g}]"
        ends = ", ".join(f"[{a:.4g}, {b:.4g}]" for a, b in zip(low[:6], high[:6], strict=True))
        return f"{self.size} in {ends}{' ...' if self.size > 6 else ''}"

    @staticmethod
    def of(box: gymnasium.spaces.Box) -> Space:
        """The card of a flat Box (k,)."""
        (size,) = box.shape
        return Space(
            low=_short(box.low), high=_short(box.high), shape=(size,), dtype=str(box.dtype)
        )


def _short(bounds: npt.NDArray[Any]) -> float | tuple[float, ...]:
    values = bounds.astype(np.float64).reshape(-1)
    return float(values[0]) if (values == values[0]).all() else tuple(values.tolist())


class Demonstrator(Strict):
    """Who demonstrated.

    Attributes:
        kind: scripted, bundle, onnx, sb3, callable, file or mixed. sha256: of its weights or file; ''
            where it has none. deterministic: whether it acted by its mode, None if unknown.
    """

    name: Text
    kind: Text = ""
    sha256: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    deterministic: bool | None = None
    notes: tuple[Text, ...] = ()


class Recording(Strict):
    """How episodes were chosen; all 0 for imported ones.

    Attributes:
        first_seed: scenario seeds were tried from here on. played: how many, up to the last kept.
        failed, diverged, forfeited: thrown away for want of success, as the physics diverged, as an
            action was not finite.
    """

    first_seed: int = Field(default=0, ge=0, lt=2**63)
    played: int = Field(default=0, ge=0)
    only_successful: bool = False
    success: Text = ""
    failed: int = Field(default=0, ge=0)
    diverged: int = Field(default=0, ge=0)
    forfeited: int = Field(default=0, ge=0)

    @property
    def thrown_away(self) -> int:
        return self.failed + self.diverged + self.forfeited


class Corruption(Strict):
    """What was done to the data on purpose, and to how much of it (see `corruption`)."""

    kind: Text
    seed: int = Field(ge=0, lt=2**64)
    settings: dict[str, Option] = Field(default_factory=dict)
    changed_steps: int = Field(ge=0)
    changed_episodes: int = Field(ge=0)


class Card(Strict):
    """What is known of demonstrations besides their numbers.

    Attributes:
        game, options, player, layout: as in a policy's card; the layout is that of the observations.
        others: who played the other players, by name.
        cameras, camera_size: of the pictures that were recorded beside the observations, in their
            order; width and height [pixels]. () and 0 without.
        action_scaling: actions are on the environment's own scale, clipped to `action_space`: what
            was played. There is no other scaling.
        notes: what a user of the data must know, in sentences.
    """

    model_config = _JSON  # the outermost model decides how infinities are written

    format: Literal["robo_adv.demonstrations/1"] = "robo_adv.demonstrations/1"
    game: str = Field(min_length=1, max_length=200)
    options: dict[str, Any] = Field(default_factory=dict)
    player: str = Field(min_length=1, max_length=100)
    layout: tuple[tuple[str, int, str], ...] = Field(min_length=1)
    others: dict[str, Text] = Field(default_factory=dict)
    cameras: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), max_length=MOST_CAMERAS
    )
    camera_size: int = Field(default=0, ge=0, le=LARGEST)
    observation_space: Space
    action_space: Space
    action_scaling: Literal["environment, clipped"] = "environment, clipped"
    control_dt: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    demonstrator: Demonstrator
    recording: Recording = Recording()
    corruption: tuple[Corruption, ...] = ()
    notes: tuple[Text, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("layout")
    @classmethod
    def _sizes(cls, layout: tuple[tuple[str, int, str], ...]) -> tuple[tuple[str, int, str], ...]:
        if any(size < 1 for _, size, _ in layout):
            raise ValueError("a slice has no size")
        return layout

    def model_post_init(self, context: Any) -> None:
        if len(set(self.cameras)) != len(self.cameras):
            raise ValueError("a camera is named twice")
        if bool(self.cameras) != bool(self.camera_size):
            raise ValueError(f"{len(self.cameras)} cameras of {self.camera_size} pixels")

    def noted(self, *notes: str) -> Card:
        """The card with more notes."""
        return self.model_copy(update={"notes": (*self.notes, *notes)})


class ArrayCard(Strict):
    """One array of the file."""

    dtype: str = Field(max_length=10)
    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=5)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Statistics(Strict):
    """Numbers over episodes; `success` is the share of those of which it is known, or None."""

    return_mean: Number
    return_std: Number
    return_min: Number
    return_max: Number
    length_mean: Number
    length_min: int
    length_max: int
    successes: int = Field(ge=0)
    judged: int = Field(ge=0)

    @property
    def success(self) -> float | None:
        return self.successes / self.judged if self.judged else None


class FileCard(Card):
    """demonstrations.json: the card, and what the arrays hold, for those who do not open them."""

    episodes: int = Field(ge=1, le=MOST_EPISODES)
    steps: int = Field(ge=1, le=MOST_STEPS)
    statistics: Statistics
    arrays: dict[str, ArrayCard]
