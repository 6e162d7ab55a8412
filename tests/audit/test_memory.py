"""Memory of an audit is flat in the number of episodes, but for the results of each."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training.tiny import shrink

from robo_adv.agents.audit import audit
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.engine import Engine
from robo_adv.runs import Run

FEW, MANY = 256, 768
CELLS = 3  # one without attack, two budgets
ROOM = 800  # [bytes] per episode of a cell: its numbers (about 100), as kept and as written


def peak(episodes: int, folder: Path) -> int:
    """Most memory that an audit of so many scenarios per cell held at once [bytes]."""
    config = AuditConfig(
        "chase-ball", env="KickAndDefend-v0", options={"arms": 0}, opponent="zero",
        ports=("action",), attacks=("action-corner",), budgets={"action": (0.5, 1.0)},
        episodes=episodes, search=1, videos=0, threads=1,
    )  # fmt: skip
    run = Run.at(folder / str(episodes), "KickAndDefend-v0", "audit", config, 0)
    gc.collect()
    tracemalloc.start()
    try:
        audit(config, lambda world: run)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(folder: Path) -> float:
    """Bytes per further episode of a cell."""
    few = peak(FEW, folder)
    return (peak(MANY, folder) - few) / (CELLS * (MANY - FEW))


@pytest.fixture(autouse=True)
def _short_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch.setattr, clock_steps=10)


def test_memory_is_flat_in_the_number_of_episodes(tmp_path: Path) -> None:
    peak(4, tmp_path)  # what is imported and cached once
    assert growth(tmp_path) < ROOM


def test_a_leak_of_the_observations_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    original = Engine.episodes

    def leaking(self: Engine, setting: Any, seeds: Any, look: Any = None) -> Any:
        def keep(playing: Any, seen: Mapping[str, Any]) -> None:
            kept.append(np.concatenate(list(seen.values()), axis=1))

        return original(self, setting, seeds, keep)

    monkeypatch.setattr(Engine, "episodes", leaking)
    assert growth(tmp_path) > 2 * ROOM
