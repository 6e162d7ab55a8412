"""Learned attackers, where the optimum is known: they must find it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threats.cases.bench import PLAYER, engine, lost, row, taught
from threats.cases.linear import LOOP, WEIGHT, LinearPolicy, LinearSystem
from threats.cases.three_states import EVERYWHERE, Table, ThreeStates, nearest, sa_mdp

from robo_adv.threats.exact import optimal_adversary

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("actions", [(1, 0, 0), (1, 1, 0)])
def test_sa_rl_finds_the_optimal_adversary_of_the_three_states(
    actions: tuple[int, ...], tmp_path: Path
) -> None:
    """Of the second policy the largest change of the action would not do (test_exact_states.py)."""
    options: dict[str, Any] = {"horizon": 12}
    policy = Table(*actions)
    this = taught(
        engine(ThreeStates, policy, None, 12.0, **options), tmp_path, ThreeStates, **options
    )
    best = optimal_adversary(sa_mdp(gamma=1.0), policy.chances, 12)
    first = nearest(this.subject.world.reset(this.seeds)[PLAYER])
    played = this.play(row("sa-rl", EVERYWHERE, steps=6_000), EVERYWHERE)
    assert np.array_equal(played.episodes.returns[PLAYER], best.value[first])
    assert (best.clean[first] > best.value[first]).all()


@pytest.mark.parametrize(("name", "steps"), [("director", 16_000), ("sa-rl", 16_000)])
def test_learned_attackers_come_near_the_closed_form(name: str, steps: int, tmp_path: Path) -> None:
    """Its perturbation changes its mind with time, which a largest change of the action does not."""
    options: dict[str, Any] = {"horizon": 6, "noise": 0.0, "spread": 0.02}
    policy = LinearPolicy()
    most = LOOP.worst_linear(WEIGHT, 0.2, 6).value
    bench = engine(LinearSystem, policy, policy.access, 2.0 * most, **options)
    this = taught(bench, tmp_path, LinearSystem, **options)
    taken = lost(this, this.play(row(name, 0.2, steps=steps), 0.2))
    assert (taken <= most + 1e-6).all()
    assert taken.mean() >= 0.95 * most
