"""Sight: policies that act from camera pictures, and the rows they are given.

A sighted row is a flat observation (d,) followed by the pixels (C,) of the cameras in order, each
picture row by row, 0 to 255: one float32 array (N, d + C). Whatever passes flat observations on
(padding, seats, rollout buffers) passes these on unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError, field_validator

from robo_adv.cameras import CameraRenderer
from robo_adv.cards import Strict
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.training.convolutions import SMALLEST

if TYPE_CHECKING:
    from robo_adv.envs.episode import World
    from robo_adv.envs.layout import Layout

Array = npt.NDArray[Any]
Name = Annotated[str, Field(min_length=1, max_length=100)]
LARGEST, MOST_CAMERAS = 128, 4  # pixels a side, and cameras, of a policy's sight
OWN = "own"  # stands for what a robot's own sensors tell
_OWN = ("joint_*", "tool_*", "gripper_*", "target_lead", "own_*", "clock")


class Sight(Strict):
    """What a policy sees.

    Attributes:
        cameras: names, in the order of their pixels. size: width and height [pixels].
        slices: of the observation, those it is told as numbers; it gets no others.
    """

    cameras: tuple[Name, ...] = Field(min_length=1, max_length=MOST_CAMERAS)
    size: int = Field(default=64, ge=SMALLEST, le=LARGEST)
    slices: tuple[Name, ...] = Field(default=(), max_length=100)

    @field_validator("cameras", "slices")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("a name is given twice")
        return names

    @property
    def pixels(self) -> int:
        """Numbers of all pictures, C."""
        return len(self.cameras) * self.size * self.size * 3

    def columns(self, layout: Iterable[Sequence[Any]]) -> tuple[int, ...]:
        """Which numbers of an observation it is told; `layout` is as in a card: (name, size, unit).

        Raises:
            UnknownNameError: a slice that the layout does not have.
        """
        parts = [(str(part[0]), int(part[1])) for part in layout]
        for name in self.slices:
            if name not in dict(parts):
                raise unknown("observation slice", name, dict(parts))
        owner = [name for name, size in parts for _ in range(size)]
        return tuple(i for i, name in enumerate(owner) if name in self.slices)

    def told(self, layout: Layout) -> str:
        """What it sees and what not, in a sentence."""
        hidden = [name for name in layout.names if name not in self.slices]
        numbers = f"the numbers {', '.join(self.slices)}" if self.slices else "no numbers"
        return (
            f"it sees pictures of {self.size} x {self.size} pixels from {', '.join(self.cameras)}, and "
            f"{numbers}; not {', '.join(hidden)}"
        )


def sight(cameras: Sequence[str], size: int, slices: Sequence[str] = ()) -> Sight:
    """A sight, from what a user asked for.

    Raises:
        RoboAdvError: too many cameras, one of them twice, or pictures of another size.
    """
    try:
        return Sight(cameras=tuple(cameras), size=size, slices=tuple(slices))
    except ValidationError as problem:
        told = problem.errors()[0]["msg"]
        raise RoboAdvError(
            f"up to {MOST_CAMERAS} cameras give pictures of {SMALLEST} to {LARGEST} pixels a side; got "
            f"{', '.join(cameras)} of {size}: {told}"
        ) from problem


def seen_slices(layout: Layout, names: Iterable[str]) -> tuple[str, ...]:
    """Names of slices, in the layout's order: `own` stands for those of a robot's own sensors (not
    goals and things, which pictures are to show), and a name ending in `*` for all that start so.

    Raises:
        UnknownNameError: a name that no slice has.
    """
    wanted = set()
    for name in names:
        if name == OWN:
            wanted |= {s for s in layout.names if any(fnmatch(s, own) for own in _OWN)}
        else:
            places = set(layout.index([name]).tolist())
            wanted |= {s for s in layout.names if layout[s].start in places}
    return tuple(s for s in layout.names if s in wanted)


def sight_of(policy: object) -> Sight | None:
    """What a policy must be shown beside its observation; None for most."""
    found = getattr(policy, "sight", None)
    return found if isinstance(found, Sight) else None


class Eyes:
    """Shows a world's pictures to a policy.

    Raises:
        RoboAdvError: the world has no cameras, or not those.
    """

    def __init__(self, world: World, sight: Sight) -> None:
        batch = getattr(world, "batch", None)
        if batch is None:
            raise RoboAdvError(
                f"{world.id} shows no pictures, and wanted are those of the cameras "
                f"{', '.join(sight.cameras)}: cameras belong to our own games"
            )
        self.everyone = np.arange(world.num_envs)
        self.renderer = CameraRenderer(batch, sight.cameras, sight.size)

    def __call__(self, observation: Array) -> Array:
        """Sighted rows (N, d + C) of observations (N, d) of all simulations as they stand."""
        return sighted(observation, self.look())

    def look(self, ids: Array | None = None) -> Array:
        """Pictures (n, k, S, S, 3) uint8 of simulations `ids`, all by default."""
        return stacked(self.renderer.draw(self.everyone if ids is None else ids))

    def close(self) -> None:
        self.renderer.close()


@contextmanager
def shown(world: World, policies: Mapping[str, object]) -> Iterator[Callable[[str, Array], Array]]:
    """What players are given: function of a player's name and its observation (N, d), which adds the
    pictures of cameras (N, d + C) for the ones whose policy sees.

    Raises:
        RoboAdvError: one of them sees, and the world has no cameras, or not those.
    """
    with ExitStack() as opened:
        eyes: dict[str, Eyes] = {}
        for player, policy in policies.items():
            if (sight := sight_of(policy)) is not None:
                eyes[player] = Eyes(world, sight)
                opened.callback(eyes[player].close)
        yield lambda player, observed: eyes[player](observed) if player in eyes else observed


def stacked(pictures: Mapping[str, Array]) -> Array:
    """Pictures (N, S, S, 3) per camera as (N, k, S, S, 3)."""
    return np.stack(list(pictures.values()), axis=1)


def sighted(observation: Array, pictures: Array) -> Array:
    """Rows (n, d + C) float32 of observations (n, d) and pictures (n, k, S, S, 3)."""
    flat = pictures.reshape(len(pictures), -1)
    return np.concatenate([observation, flat], axis=1, dtype=np.float32)


class SightedRows:
    """Sighted rows that keep pixels as bytes, a quarter of the memory, until they are asked for.

    Args:
        observation: (m, d). pictures: (m, k, S, S, 3) uint8, or (m, C).
        rows: (n,) which of these they are, in order; all by default.
    """

    def __init__(self, observation: Array, pictures: Array, rows: Array | None = None) -> None:
        self.base = np.asarray(observation, dtype=np.float32)
        self.pixels = np.asarray(pictures, dtype=np.uint8).reshape(len(pictures), -1)
        self.rows = np.arange(len(self.base)) if rows is None else rows

    @staticmethod
    def of(rows: Array, size: int) -> SightedRows:
        """From sighted rows (n, d + C) of observations of `size` numbers."""
        return SightedRows(rows[:, :size], rows[:, size:].astype(np.uint8))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d + C)."""
        return len(self), self.base.shape[1] + self.pixels.shape[1]

    @property
    def observation(self) -> Array:
        """(n, d), without pixels."""
        return np.asarray(self.base[self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Array:
        """Those rows as one float32 array."""
        rows = self.rows[np.asarray(chosen) if not isinstance(chosen, slice) else chosen]
        return sighted(self.base[rows], self.pixels[rows])

    def take(self, chosen: Any) -> SightedRows:
        """Those rows, pixels still as bytes."""
        return SightedRows(self.base, self.pixels, self.rows[np.asarray(chosen)])

    def and_then(self, more: SightedRows) -> SightedRows:
        """These rows, then more."""
        return SightedRows(
            np.concatenate([self.observation, more.observation]),
            np.concatenate([self.pixels[self.rows], more.pixels[more.rows]]),
        )
