"""Finite SA-MDPs: the optimal adversary is the published one, and attacks can be held against it."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from threats.cases.bench import engine, returns
from threats.cases.three_states import (
    EVERYWHERE,
    NEIGHBOURS,
    Shown,
    Table,
    ThreeStates,
    nearest,
    sa_mdp,
)

from robo_adv.audit.engine import Engine
from robo_adv.errors import RoboAdvError
from robo_adv.threats.exact import FiniteSAMDP, optimal_adversary

Array = npt.NDArray[Any]
HORIZON = 20
# Appendix A of the paper: policy (S, A), values of S1, S2, S3 without and with the adversary.
PRINTED: list[tuple[list[list[float]], list[float], list[float]]] = [
    ([[0, 1], [1, 0], [1, 0]], [100, 100, 100], [0, 0, 0]),
    ([[0.5, 0.5]] * 3, [50, 50, 50], [50, 50, 50]),
    ([[1, 0]] * 3, [0, 100, 100], [0, 100, 100]),
    ([[0, 1]] * 3, [33.67, 33.00, 33.33], [33.67, 33.00, 33.33]),
]


def random_mdp(seed: int, gamma: float, states: int = 3, actions: int = 2) -> FiniteSAMDP:
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(states), (states, actions))
    shown = (rng.uniform(size=(states, states)) < 0.6) | (np.eye(states) > 0)
    return FiniteSAMDP(transition, rng.normal(size=transition.shape), gamma, shown)


def random_policy(seed: int, states: int = 3, actions: int = 2) -> Array:
    return np.random.default_rng([seed, 1]).dirichlet(np.ones(actions), states)


@pytest.mark.parametrize(("policy", "clean", "attacked"), PRINTED)
def test_the_values_printed_in_the_paper_are_found(
    policy: list[list[float]], clean: list[float], attacked: list[float]
) -> None:
    found = optimal_adversary(sa_mdp(), policy)
    assert found.clean == pytest.approx(clean, abs=1e-2)
    assert found.value == pytest.approx(attacked, abs=1e-2)


@pytest.mark.parametrize("seed", range(8))
def test_no_choice_of_what_to_show_is_worse_than_the_optimal_one(seed: int) -> None:
    """Against all of them, each solved as a Markov chain."""
    mdp, policy = random_mdp(seed, 0.9), random_policy(seed)
    found = optimal_adversary(mdp, policy)
    values = []
    for choice in itertools.product(range(3), repeat=3):
        if not mdp.shown[np.arange(3), choice].all():
            continue
        acted = policy[list(choice)]
        chain = np.einsum("sa,sat->st", acted, mdp.transition)
        reward = np.einsum("sa,sat,sat->s", acted, mdp.transition, mdp.reward)
        value = np.linalg.solve(np.eye(3) - 0.9 * chain, reward)
        values.append(value)
        if choice == tuple(found.shown):
            assert value == pytest.approx(found.value, abs=1e-7)
    assert np.min(values, axis=0) == pytest.approx(found.value, abs=1e-7)
    clean = np.linalg.solve(
        np.eye(3) - 0.9 * np.einsum("sa,sat->st", policy, mdp.transition),
        np.einsum("sa,sat,sat->s", policy, mdp.transition, mdp.reward),
    )
    assert found.clean == pytest.approx(clean, abs=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_the_adversarys_operator_is_a_contraction_of_modulus_gamma(seed: int) -> None:
    mdp, policy = random_mdp(seed, 0.7), random_policy(seed)
    rng = np.random.default_rng([seed, 2])
    one, other = rng.normal(size=3), rng.normal(size=3)
    away = np.abs(mdp.backup(policy, one)[0] - mdp.backup(policy, other)[0]).max()
    assert away <= 0.7 * np.abs(one - other).max() + 1e-12
    raised = mdp.backup(policy, one + 2.0)[0] - mdp.backup(policy, one)[0]
    assert raised == pytest.approx(0.7 * 2.0)  # so no smaller modulus holds


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.95])
def test_no_adversary_takes_more_than_the_bound_of_theorem_5(seed: int, gamma: float) -> None:
    mdp, policy = random_mdp(seed, gamma), random_policy(seed)
    found = optimal_adversary(mdp, policy)
    assert (found.clean >= found.value - 1e-9).all()
    assert (found.clean - found.value).max() <= mdp.value_bound(policy)


def test_the_bound_is_met_where_only_the_next_reward_counts() -> None:
    """gamma 0, rewards of 1 and -1: what is lost is 2 max|R| TV."""
    reward = np.array([[[1.0, 1.0], [-1.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    mdp = FiniteSAMDP(np.full((2, 2, 2), 0.5), reward, 0.0, np.ones((2, 2)) > 0)
    policy = np.array([[0.9, 0.1], [0.3, 0.7]])
    found = optimal_adversary(mdp, policy)
    assert found.clean[0] - found.value[0] == pytest.approx(2.0 * 0.6)
    assert mdp.value_bound(policy) == pytest.approx(2.0 * 0.6)
    assert mdp.without().value_bound(policy) == 0.0


def test_the_table_of_a_finite_horizon_played_forward_gives_its_value() -> None:
    changing = 0
    for seed in range(12):
        mdp, policy = random_mdp(seed, 1.0), random_policy(seed)
        found = optimal_adversary(mdp, policy, 5)
        changing += len({tuple(row) for row in found.shown}) > 1
        for start in range(3):
            there, total = np.eye(3)[start], 0.0
            for shown in found.shown:
                acted = there[:, None] * policy[shown]  # (S, A)
                total += float((acted[:, :, None] * mdp.transition * mdp.reward).sum())
                there = np.einsum("sa,sat->t", acted, mdp.transition)
            assert total == pytest.approx(found.value[start])
    assert changing >= 2  # what is best to show depends on the time left


@cache
def bench(*actions: int) -> Engine:
    return engine(ThreeStates, Table(*actions), None, float(HORIZON), horizon=HORIZON)


def starts(this: Engine) -> Array:
    """States (n,) in which the reported scenarios start."""
    width = this.subject.world.num_envs
    assert width >= len(this.seeds)
    return nearest(this.subject.world.reset(this.seeds)["agent"])


@pytest.mark.parametrize("radius", [EVERYWHERE, NEIGHBOURS])
@pytest.mark.parametrize("actions", [(1, 0, 0), (1, 1, 0), (0, 1, 0), (1, 1, 1)])
def test_playing_the_optimal_adversary_gives_its_value_in_every_episode(
    actions: tuple[int, ...], radius: float
) -> None:
    this, policy = bench(*actions), Table(*actions).chances
    found = optimal_adversary(sa_mdp(radius, gamma=1.0), policy, HORIZON)
    first = starts(this)
    assert set(first) == {0, 1, 2}
    assert np.array_equal(returns(this), found.clean[first])
    table = tuple(tuple(int(s) for s in row) for row in found.shown)
    assert np.array_equal(returns(this, Shown(table), radius), found.value[first])


def test_a_smaller_ball_leaves_the_adversary_less() -> None:
    """To lose in S3 the policy must be shown S1, which is out of reach; so S2 is left once at most."""
    policy = Table(1, 0, 0).chances
    far, near = (optimal_adversary(sa_mdp(r, 1.0), policy, HORIZON) for r in (2.0, 1.0))
    assert far.value.tolist() == [0.0, 0.0, 0.0]
    assert near.value.tolist() == [0.0, HORIZON - 1, HORIZON]


def test_the_largest_change_of_the_action_can_be_the_controllers_best_friend() -> None:
    """In S2 policy (a2, a2, a1) leaves a reward behind; fooled into the other action it stays."""
    this = bench(1, 1, 0)
    other = tuple((2, 2, 1) for _ in range(HORIZON))  # shows where the policy acts otherwise
    fooled, first = returns(this, Shown(other), EVERYWHERE), starts(this)
    best = optimal_adversary(sa_mdp(gamma=1.0), Table(1, 1, 0).chances, HORIZON)
    assert (fooled[first == 1] == HORIZON).all()
    assert (best.value == 0).all() and (best.clean >= HORIZON - 1).all()


def test_tables_that_make_no_sense_are_refused_with_what_was_expected() -> None:
    good = sa_mdp()
    with pytest.raises(RoboAdvError, match="sum to 1"):
        FiniteSAMDP(2.0 * good.transition, good.reward, 0.9, good.shown)
    with pytest.raises(RoboAdvError, match=r"states, actions, states"):
        FiniteSAMDP(good.transition, good.reward[:, :, 0], 0.9, good.shown)
    with pytest.raises(RoboAdvError, match="something to show"):
        FiniteSAMDP(good.transition, good.reward, 0.9, np.zeros((3, 3), bool))
    with pytest.raises(RoboAdvError, match=r"0\.\.1"):
        FiniteSAMDP(good.transition, good.reward, 1.1, good.shown)
    with pytest.raises(RoboAdvError, match=r"policy must be \(3, 2\)"):
        optimal_adversary(good, np.ones((2, 2)) / 2)
    with pytest.raises(RoboAdvError, match="give a horizon"):
        optimal_adversary(sa_mdp(gamma=1.0), Table(1, 0, 0).chances)
    with pytest.raises(RoboAdvError, match="at least 1 step"):
        optimal_adversary(good, Table(1, 0, 0).chances, 0)
