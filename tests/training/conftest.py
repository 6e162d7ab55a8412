"""Every test of this folder but the learning test trains in a shrunken world."""

from __future__ import annotations

import pytest

from training.tiny import shrink


@pytest.fixture(autouse=True)
def _short_episodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.name != "test_learning.py":
        shrink(monkeypatch.setattr)
