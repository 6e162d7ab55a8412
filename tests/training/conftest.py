"""Every test of this folder trains in a shrunken world."""

from __future__ import annotations

import pytest
from training.tiny import shrink


@pytest.fixture(autouse=True)
def _short_episodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "full_size" not in request.keywords:
        shrink(monkeypatch.setattr)
