"""Cells of studies: work that is done several at a time, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice

Cell = tuple[str, str, int]  # task, what is compared, training seed
Work = Callable[[str, str, int], None]
Tell = Callable[[int, int, str], None]


def run_cells(cells: Sequence[Cell], work: Work, tell: Tell, jobs: int) -> None:
    """Do the work of every cell, `jobs` at a time.

    Args:
        work: can be pickled, and leaves what is done already. tell: hears of cells done, of all, and
            the last one's name.

    Raises:
        KeyboardInterrupt: Ctrl-C; the cells that ran were stopped by it, none was begun after it.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by the processes that are started here
    context = multiprocessing.get_context("spawn")
    jobs, left = min(jobs, len(cells)), iter(cells)
    waiting: dict[Future[None], Cell] = {}
    done = 0
    if not cells:
        return
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        while True:
            for cell in islice(left, jobs - len(waiting)):  # a queue would outlive Ctrl-C
                with _deaf():
                    waiting[pool.submit(_stoppable, work, cell)] = cell
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                future.result()
                task, what, seed = waiting.pop(future)
                done += 1
                tell(done, len(cells), f"{task} {what}, seed {seed}")


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C waits, also in processes that are started meanwhile: while they start, and when they have
    nothing to do, it would print a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_interrupted = threading.Event()  # this process heard Ctrl-C


def _stoppable(work: Work, cell: Cell) -> None:
    """What a process does: Ctrl-C, also one that waited, stops it, and `run_cells` hears of that. It
    then begins nothing that was meant for a process that is still starting."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        if _interrupted.is_set():
            raise KeyboardInterrupt
        work(*cell)
    except KeyboardInterrupt:
        _interrupted.set()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
