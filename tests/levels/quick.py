"""Makes trainings on levels quick."""

from __future__ import annotations

import pytest

from robo_adv.agents import design


def select_by_few(patch: pytest.MonkeyPatch) -> None:
    """Choose checkpoints by 8 episodes."""
    patch.setattr(design, "SELECTION_EPISODES", 8)
    patch.setattr("robo_adv.agents.player.SELECTION_EPISODES", 8)
