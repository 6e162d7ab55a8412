"""Cells of a study being worked on: a bar on a terminal, a line per cell in a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from robo_adv.agents.cells import Cell, run_cells


def run_shown(
    console: Console, some: Sequence[Cell], work: Callable[..., None], jobs: int, word: str
) -> None:
    """`run_cells`, and what it hears: `word` says what became of a cell."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn())  # fmt: skip
    bar = Progress(*columns, console=console, disable=not console.is_terminal)

    def tell(done: int, total: int, name: str) -> None:
        bar.update(shown, completed=done, description=f"{word}: {name}")
        if not console.is_terminal:
            console.print(f"{done} of {total} {word}: {name}")

    with bar:
        shown = bar.add_task("working", total=len(some))
        run_cells(some, work, tell, jobs)
