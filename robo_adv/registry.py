"""Registries: a decorator puts a game, body or scripted policy in; a name takes it out.

A registry imports the modules of its folder on first look-up, so a new plug-in is one file and no
list is edited. Other distributions join through the entry-point group `robo_adv.<kind>`, whose
entries name a module to import.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from robo_adv.errors import unknown

T = TypeVar("T")


class Registry(Generic[T]):
    """Names to factories or objects of one kind.

    Args:
        kind: what the entries are, in the words of error messages ("game", "body").
        package: the package whose modules register entries when they are imported.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that enters an object under `name`; a name that is taken is an error."""

        def enter(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is already registered")
            self._entries[name] = entry
            return entry

        return enter

    def __getitem__(self, name: str) -> T:
        self._load()
        if name not in self._entries:
            raise unknown(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self._package)
        for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
            importlib.import_module(module.name)
        for point in entry_points(group=f"robo_adv.{self.kind}s".replace(" ", "_")):
            importlib.import_module(point.value)
