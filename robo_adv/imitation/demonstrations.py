"""Demonstrations: whole episodes of an expert, checked when they are made, whoever made them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.imitation import demonstrations_file as file
from robo_adv.imitation.demonstration_card import Card, FileCard, Statistics
from robo_adv.imitation.demonstration_checks import check_shapes, check_values, fits
from robo_adv.imitation.transitions import Transitions
from robo_adv.sight import SightedRows

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]
DEMONSTRATED = 9_000_000  # first scenario seed of recordings; none is used for anything else
SUBSAMPLE = 21  # stream of the steps that subsampling begins at


@dataclass(frozen=True)
class Episode:
    """One episode of T steps.

    Attributes:
        observations: (T + 1, d). actions: (T, a), on the environment's own scale, within its bounds.
        rewards: (T,). terminated, truncated: how it ended. success: 1 or 0, NaN if unknown.
        pictures: (T + 1, k, S, S, 3) uint8 of k cameras, or None.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminated: bool
    truncated: bool
    seed: int = 0
    success: float = np.nan
    pictures: Array | None = None


@dataclass(frozen=True, eq=False)
class Demonstrations:
    """n whole episodes, one after the other; T_k is the length of episode k and N the sum of all.

    Attributes:
        observations: (N + n, d) float32, T_k + 1 rows per episode. actions: (N, a) float32, on the
            environment's own scale, clipped to its bounds: what was played. rewards: (N,) float64.
        terminations, truncations: (N,) bool; at least one is true in the last step of an episode,
            none before. lengths: (n,) int64, T_k. seeds: (n,) uint64. success: (n,) float64, NaN
            where it is unknown. pictures: (N + n, k, S, S, 3) uint8, one per observation and camera
            of the card, or None.

    Raises:
        RoboAdvError: empty, of other shapes or dtypes, not finite, cut in the wrong places, or with
            actions beyond the card's bounds.
    """

    observations: Array
    actions: Array
    rewards: Array
    terminations: Array
    truncations: Array
    lengths: Array
    seeds: Array
    success: Array
    card: Card
    pictures: Array | None = None

    def __post_init__(self) -> None:
        check_shapes(self.arrays(), self.card)
        check_values(self.arrays(), self.card)
        for array in self.arrays().values():
            array.flags.writeable = False

    @staticmethod
    def of(episodes: Sequence[Episode], card: Card) -> Demonstrations:
        """A set of such episodes; numbers are converted to the set's dtypes."""
        if not episodes:
            raise RoboAdvError("there are no demonstrations: not one episode")
        lengths = np.array([len(e.rewards) for e in episodes], dtype=np.int64)
        for k, e in enumerate(episodes):
            if len(e.actions) != lengths[k] or len(e.observations) != lengths[k] + 1:
                raise RoboAdvError(
                    f"episode {k} has {lengths[k]} rewards, {len(e.actions)} actions and "
                    f"{len(e.observations)} observations; expected T, T and T + 1"
                )
            if e.pictures is not None and len(e.pictures) != lengths[k] + 1:
                raise RoboAdvError(
                    f"episode {k} has {len(e.pictures)} pictures of {lengths[k]} steps; expected T + 1"
                )
        seen = [e.pictures for e in episodes if e.pictures is not None]
        if seen and len(seen) < len(episodes):
            raise RoboAdvError(f"{len(seen)} of {len(episodes)} episodes have pictures")
        ends = np.cumsum(lengths) - 1
        flags = {name: np.zeros(lengths.sum(), dtype=bool) for name in ("terminated", "truncated")}
        for name, flag in flags.items():
            flag[ends[lengths > 0]] = [getattr(e, name) for e in episodes if len(e.rewards)]
        return Demonstrations(
            observations=_stacked([e.observations for e in episodes], np.float32),
            actions=_stacked([e.actions for e in episodes], np.float32),
            rewards=_stacked([e.rewards for e in episodes], np.float64),
            terminations=flags["terminated"],
            truncations=flags["truncated"],
            lengths=lengths,
            seeds=seeding.as_seeds([e.seed for e in episodes]),
            success=np.array([e.success for e in episodes], dtype=np.float64),
            card=card,
            pictures=_stacked(seen, np.uint8) if seen else None,
        )

    # What is in it.

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.lengths)

    @property
    def steps(self) -> int:
        """N, steps of all episodes."""
        return len(self.actions)

    @property
    def returns(self) -> Array:
        """(n,) sums of rewards."""
        return np.add.reduceat(self.rewards, self.starts)

    @property
    def starts(self) -> Array:
        """(n,) row of each episode's first step in `actions`."""
        return np.cumsum(self.lengths) - self.lengths

    def _rows(self) -> Array:
        """(N,) row of each step's observation."""
        return np.arange(self.steps) + np.repeat(np.arange(len(self)), self.lengths)

    @property
    def digest(self) -> str:
        """sha256 of all numbers: the same for the same data, whatever their card says."""
        hashes = [file.array_card(array).sha256 for array in self.arrays().values()]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    def arrays(self) -> dict[str, Array]:
        """All arrays by name."""
        every = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "card"}
        return {name: array for name, array in every.items() if array is not None}

    def pairs(self) -> tuple[Array, Array]:
        """Observations (N, d) and actions (N, a) of all steps."""
        return self.observations[self._rows()], self.actions

    def transitions(self, cameras: Sequence[str] = ()) -> Transitions:
        """All steps in order; with cameras, of sighted rows (`robo_adv.sight.SightedRows`).

        Raises:
            RoboAdvError: a camera whose pictures are not there.
        """
        rows = self._rows()
        if cameras:
            seen = self._pictures_of(cameras)
            now, following = (SightedRows(self.observations, seen, rows + k) for k in (0, 1))
            return Transitions(now, self.actions, following, self.terminations)  # type: ignore[arg-type]
        return Transitions(
            self.observations[rows], self.actions, self.observations[rows + 1], self.terminations
        )

    def _pictures_of(self, cameras: Sequence[str]) -> Array:
        """(N + n, k, S, S, 3) of these cameras, in this order."""
        self.check_shows(cameras)
        assert self.pictures is not None
        have = self.card.cameras
        chosen = [have.index(name) for name in cameras]
        return self.pictures if tuple(cameras) == have else self.pictures[:, chosen]

    def check_shows(self, cameras: Sequence[str]) -> None:
        """Raises RoboAdvError unless there are pictures of these cameras."""
        have = self.card.cameras
        if not set(cameras) <= set(have):
            raise RoboAdvError(
                f"these demonstrations have pictures of {', '.join(have) or 'no camera'}, asked for "
                f"{', '.join(cameras)}; `robo-adv data record ... --cameras {' '.join(cameras)}` "
                "records them"
            )

    def windows(self, length: int, stride: int = 1) -> Array:
        """Rows of `pairs` (W, length) of windows that lie within one episode, `stride` steps apart,
        and one at each episode's end; episodes shorter than a window have none.

        Raises:
            RoboAdvError: no episode is as long as a window.
        """
        if length < 1 or stride < 1:
            raise RoboAdvError(
                f"windows need length and stride of at least 1, got {length}, {stride}"
            )
        if length > self.lengths.max():
            raise RoboAdvError(
                f"no episode is as long as a window of {length} steps: the longest of {len(self)} has "
                f"{self.lengths.max()}; use shorter windows or whole episodes"
            )
        first: list[Array] = []
        for start, steps in zip(self.starts, self.lengths, strict=True):
            if steps >= length:
                offsets = np.append(np.arange(0, steps - length, stride), steps - length)
                first.append(start + offsets)
        return np.concatenate(first)[:, None] + np.arange(length)

    def episodes(self) -> Iterator[Episode]:
        """The episodes one by one."""
        for k, (start, steps) in enumerate(zip(self.starts, self.lengths, strict=True)):
            rows, seen = slice(start, start + steps), slice(start + k, start + k + steps + 1)
            yield Episode(
                self.observations[seen], self.actions[rows], self.rewards[rows],
                bool(self.terminations[rows][-1]), bool(self.truncations[rows][-1]),
                int(self.seeds[k]), float(self.success[k]),
                None if self.pictures is None else self.pictures[seen],
            )  # fmt: skip

    # Parts of it.

    def take(self, indices: npt.ArrayLike) -> Demonstrations:
        """Those episodes, in that order; indices, or a mask (n,).

        Raises:
            RoboAdvError: none is left, or there is no such episode.
        """
        chosen = np.asarray(indices)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        if not len(chosen):
            raise RoboAdvError(f"no episode is left of {len(self)}")
        if chosen.min() < -len(self) or chosen.max() >= len(self):
            raise RoboAdvError(
                f"there are episodes 0 to {len(self) - 1}, got {chosen.tolist()[:5]}"
            )
        every = list(self.episodes())
        return Demonstrations.of([every[k] for k in chosen], self.card)

    def first(self, count: int) -> Demonstrations:
        """The first episodes.

        Raises:
            RoboAdvError: there are fewer.
        """
        if not 1 <= count <= len(self):
            raise RoboAdvError(f"there are {len(self)} demonstrations, asked for the first {count}")
        part = self.take(np.arange(count))
        return part if count == len(self) else part._noted(f"The first {count} of {len(self)}.")

    def successful(self) -> Demonstrations:
        """The episodes that succeeded.

        Raises:
            RoboAdvError: success is not known, or there is none.
        """
        if np.isnan(self.success).all():
            raise RoboAdvError("the demonstrations do not tell which of them succeeded")
        good = self.success == 1.0
        part = self.take(good)
        return part._noted(f"The {good.sum()} of {len(self)} that succeeded.")

    def subsample(self, every: int, seed: int = 0, cameras: Sequence[str] = ()) -> Transitions:
        """Every so many steps of each episode, from a first step drawn per episode (Ho and Ermon
        2016, section 6); an episode's draw depends on (seed, its scenario seed) alone. Cameras as in
        `transitions`."""
        if every < 1:
            raise RoboAdvError(f"subsampling takes every k-th step, k at least 1, got {every}")
        keys = seeding.derive(self.seeds, SUBSAMPLE, seed)
        u = seeding.uniform(keys, SUBSAMPLE, 1)[:, 0]
        offsets = np.floor(u * np.minimum(every, self.lengths)).astype(np.int64)
        rows = [
            np.arange(start + offset, start + steps, every)
            for start, offset, steps in zip(self.starts, offsets, self.lengths, strict=True)
        ]
        return self.transitions(cameras).take(np.concatenate(rows))

    def joined(self, other: Demonstrations) -> Demonstrations:
        """The episodes of both, under the card of the first; theirs must fit together.

        Raises:
            RoboAdvError: they are of other worlds.
        """
        for name in ("game", "player", "layout", "action_space", "cameras", "camera_size"):
            mine, theirs = getattr(self.card, name), getattr(other.card, name)
            if mine != theirs:
                raise RoboAdvError(f"these demonstrations differ in {name}: {mine} and {theirs}")
        return Demonstrations.of([*self.episodes(), *other.episodes()], self.card)

    def with_card(self, **changes: Any) -> Demonstrations:
        """The same numbers under a changed card."""
        return replace(self, card=self.card.model_copy(update=changes))

    def _noted(self, note: str) -> Demonstrations:
        return replace(self, card=self.card.noted(note))

    # Where it belongs.

    def check_fits(self, world: World, player: str) -> tuple[str, ...]:
        """Whether a learner of `player` in `world` can use them; sentences on what differs without
        being in the way.

        Raises:
            RoboAdvError: another environment, player, observation or action space.
        """
        return fits(self.card, world, player)

    # On disk.

    def file_card(self) -> FileCard:
        """The card with statistics and hashes."""
        return FileCard(
            **{name: getattr(self.card, name) for name in Card.model_fields},
            episodes=len(self),
            steps=self.steps,
            statistics=self.statistics(),
            arrays={name: file.array_card(array) for name, array in self.arrays().items()},
        )

    def statistics(self) -> Statistics:
        """Returns, lengths and successes over episodes."""
        returns, judged = self.returns, self.success[np.isfinite(self.success)]
        return Statistics(
            return_mean=float(returns.mean()), return_std=float(returns.std()),
            return_min=float(returns.min()), return_max=float(returns.max()),
            length_mean=float(self.lengths.mean()), length_min=int(self.lengths.min()),
            length_max=int(self.lengths.max()), successes=int((judged == 1.0).sum()),
            judged=len(judged),
        )  # fmt: skip

    def save(self, path: Path | str) -> None:
        """Write the set as a folder, atomically; replaces a set, never anything else.

        Raises:
            RoboAdvError: the folder holds other things or cannot be written.
        """
        file.write(Path(path), self.file_card(), self.arrays())


def load_demonstrations(path: Path | str) -> Demonstrations:
    """The set in a folder (or of one of its two files), after all checks.

    Raises:
        RoboAdvError: whatever is wrong with it, in one sentence.
    """
    card, arrays = file.read(Path(path))
    kept = {name: getattr(card, name) for name in Card.model_fields}
    try:
        found = Demonstrations(**arrays, card=Card(**kept))
    except RoboAdvError as problem:
        raise RoboAdvError(f"{path}: {problem}") from problem
    said, is_ = card.statistics.model_dump(), found.statistics().model_dump()
    for name, value in is_.items():
        if not np.isclose(said[name], value, rtol=1e-6):
            raise RoboAdvError(
                f"{path}: the card says {name} {said[name]}, the numbers say {value}"
            )
    return found


def _stacked(parts: Sequence[Array], dtype: Any) -> Array:
    shapes = {np.shape(part)[1:] for part in parts}
    if len(shapes) != 1:
        raise RoboAdvError(f"episodes differ in the shape of their rows: {sorted(shapes)}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is refused
        return np.concatenate([np.asarray(part) for part in parts]).astype(dtype)
