"""One live line of progress: steps/s, win (or success) rate with interval, time left."""

from __future__ import annotations

import sys
import time
from collections import deque
from types import TracebackType

from robo_adv.safety.statistics import Rate

WINDOW = 500  # episodes of the running win rate


class Progress:
    """A line that rewrites itself on a terminal, and a line every `quiet_every` seconds elsewhere.

    Args:
        total: environment steps to reach. done: steps that an earlier part of the run made.
        label: what is trained. enabled: False prints nothing. outcome: what a win is called.
    """

    def __init__(
        self,
        total: int,
        done: int,
        label: str,
        enabled: bool = True,
        quiet_every: float = 15.0,
        outcome: str = "wins",
    ) -> None:
        self.total, self.first, self.label, self.enabled = total, done, label, enabled
        self.outcome = outcome
        self.live = sys.stderr.isatty()
        self.quiet_every = quiet_every
        self.began = self.printed = time.monotonic()
        self.recent: deque[tuple[int, int]] = deque()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.enabled and self.live:
            sys.stderr.write("\n")

    def update(self, steps: int, wins: float, episodes: float, note: str = "") -> float:
        """Show the state at `steps`; returns steps per second so far."""
        now = time.monotonic()
        speed = (steps - self.first) / max(now - self.began, 1e-9)
        self.recent.append((int(wins), int(episodes)))
        while sum(n for _, n in self.recent) - self.recent[0][1] >= WINDOW:
            self.recent.popleft()
        if self.enabled and (self.live or now - self.printed >= self.quiet_every):
            self.printed = now
            text = self._text(steps, speed, note)
            sys.stderr.write(f"\r\x1b[2K{text}" if self.live else f"{text}\n")
            sys.stderr.flush()
        return speed

    def _text(self, steps: int, speed: float, note: str) -> str:
        total = sum(n for _, n in self.recent)
        rate = str(Rate(sum(w for w, _ in self.recent), total)) if total else "-"
        left = max(self.total - steps, 0) / max(speed, 1e-9)
        return (
            f"{self.label}: {steps:,}/{self.total:,} steps  {speed:,.0f} steps/s  "
            f"{self.outcome} {rate}  {int(left // 60)}:{int(left % 60):02d} left {note}".rstrip()
        )
