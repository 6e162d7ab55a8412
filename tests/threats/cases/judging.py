"""A lab for attacks that need nothing but a judge."""

from __future__ import annotations

from typing import Any

import numpy as np


class Judging:
    """A lab that only judges."""

    threat: Any = None
    access: Any = None
    scale: Any = None

    def __init__(self, judge: Any) -> None:
        self.judge, self.rng = judge, np.random.default_rng(0)

    def transitions(self, steps: int) -> Any:
        raise NotImplementedError

    def train(self, attack: Any) -> Any:
        raise NotImplementedError
