"""What a verb of the command line is: a frozen dataclass with `run() -> Outcome`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

HOLDS, FAILS, MISUSE, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True)
class Outcome:
    """What a verb did.

    Attributes:
        data: what `--json` prints, as JSON values. folder: the run folder, if one was made.
        next: the next useful command. code: exit code.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    next: str = ""
    code: int = HOLDS


class Verb(Protocol):
    """A verb's arguments; tyro makes the flags from its fields and their docstrings."""

    json: bool

    def run(self, console: Console) -> Outcome:
        """Do it; print to `console` (stderr when `--json` asks for a machine-readable stdout)."""
