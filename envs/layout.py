"""Layouts: the named slices of an observation, with units, that masks and budgets address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv.errors import unknown


@dataclass(frozen=True)
class Slice:
    """`size` consecutive numbers of an observation that mean one thing, in `unit`."""

    name: str
    size: int
    unit: str


@dataclass(frozen=True)
class Layout:
    """The slices of an observation in order; slices of size 0 are dropped."""

    slices: tuple[Slice, ...]

    @staticmethod
    def of(slices: Iterable[Slice]) -> Layout:
        return Layout(tuple(s for s in slices if s.size))

    def __iter__(self) -> Iterator[Slice]:
        return iter(self.slices)

    @property
    def size(self) -> int:
        return sum(s.size for s in self.slices)

    @property
    def names(self) -> list[str]:
        return [s.name for s in self.slices]

    def __getitem__(self, name: str) -> slice:
        """Where the slice called `name` lies in an observation."""
        start = 0
        for s in self.slices:
            if s.name == name:
                return slice(start, start + s.size)
            start += s.size
        raise unknown("observation slice", name, self.names)

    def index(self, names: Iterable[str]) -> npt.NDArray[np.int64]:
        """Indices (m,) of the named slices; a name that ends in `*` takes all that start so.

        Raises:
            UnknownNameError: a name, or a prefix, that no slice has.
        """
        out: list[int] = []
        for name in names:
            if name.endswith("*"):
                matches = [s for s in self.names if s.startswith(name[:-1])]
                if not matches:
                    raise unknown("observation slice", name, self.names)
            else:
                matches = [name]
            for match in matches:
                place = self[match]
                out.extend(range(place.start, place.stop))
        return np.array(sorted(set(out)), dtype=np.int64)

    def to_json(self) -> list[list[str | int]]:
        return [[s.name, s.size, s.unit] for s in self.slices]
