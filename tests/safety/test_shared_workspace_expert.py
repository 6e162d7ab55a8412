"""The expert of SharedWorkspace reaches its goals and keeps away from the person."""

from __future__ import annotations

import numpy as np
import pytest

from robo_adv.agents.expert_shared_workspace import SharedWorkspaceExpert
from robo_adv.envs.game import make_game
from robo_adv.envs.manipulation.human_costs import HUMAN_COSTS
from robo_adv.errors import RoboAdvError


def test_the_expert_reaches_its_goals_and_touches_nobody() -> None:
    game = make_game("SharedWorkspace-v0", 12, threads=2)
    expert = SharedWorkspaceExpert(game, "arm")
    obs, final = game.reset(np.arange(12)), None
    while final is None:
        result = game.step({"arm": expert.act(obs["arm"])})
        obs, final = result.obs, result.final
    assert (final.winner == 0).all()
    for name in HUMAN_COSTS:
        assert (final.costs["arm"][name] <= (0.02 if name == "separation_shortfall" else 0.0)).all()


def test_the_expert_goes_to_its_refuge_when_the_hand_is_at_the_goal() -> None:
    game = make_game("SharedWorkspace-v0", 1, threads=1)
    expert = SharedWorkspaceExpert(game, "arm")
    seen = game.reset([0])["arm"]
    layout = game.layouts["arm"]
    free = expert.act(seen)
    seen[:, layout["human_hand_position"]] = seen[:, layout["desired_goal"]]
    seen[:, layout["human_forearm_position"]] = seen[:, layout["desired_goal"]] + [0.0, 0.2, 0.0]
    away = expert.act(seen)
    tool = seen[:, layout["tool_position"]]
    assert (free * (seen[:, layout["desired_goal"]] - tool)).sum() > 0
    assert (away * (expert.refuge - tool)).sum() > 0


def test_the_expert_refuses_another_game() -> None:
    with pytest.raises(RoboAdvError, match="solves SharedWorkspace-v0, got Reach-v0"):
        SharedWorkspaceExpert(make_game("Reach-v0", 1), "arm")
