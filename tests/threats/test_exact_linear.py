"""Linear closed loops: the worst perturbation in closed form, played and never exceeded."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from threats.cases.bench import engine, lost, returns, row
from threats.cases.linear import (
    HORIZON,
    LOOP,
    WEIGHT,
    LinearPolicy,
    LinearSystem,
    Played,
    PlayedInL2,
    as_tuples,
)

from robo_adv.audit.engine import Engine
from robo_adv.errors import RoboAdvError
from robo_adv.threats.attack import ATTACKS, Perturbation, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.director import along
from robo_adv.threats.exact import LinearLoop
from robo_adv.threats.gradient import single_step
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]
EPS = 0.2
SCALES = np.array([0.5, 2.0, 1.0])
# Norms whose budget bounds each step's perturbation.
FITTING = [
    name for name in ATTACKS
    if ATTACKS[name].port == "observation" and ATTACKS[name].norm in ("linf", "l2")
]  # fmt: skip

FEW: dict[str, Any] = {"data": 1_000, "gammas": (0.9,), "boxes": (0.05,), "weights": (1.0,)}
SEARCHES: dict[str, dict[str, Any]] = {  # shorter than they are by default
    "robust-sarsa": FEW, "rs-mad": {**FEW, "mixes": (0.3,)}, "snooping": {"data": 1_000},
    "evolution": {"rounds": 2, "population": 4},
}  # fmt: skip


def worst(norm: str = "linf") -> float:
    return LOOP.worst_linear(WEIGHT, EPS, HORIZON, norm).value


@cache
def bench() -> Engine:
    """Without attack returns are near twice the worst loss, so that attacked ones stay above 0."""
    policy, bonus = LinearPolicy(), 2.0 * worst() / HORIZON
    return engine(LinearSystem, policy, policy.access, 2.0 * worst(), bonus=bonus)


@pytest.mark.parametrize("kind", [Played, PlayedInL2])
def test_playing_the_closed_form_takes_exactly_its_value_from_every_episode(
    kind: type[Played],
) -> None:
    best = LOOP.worst_linear(WEIGHT, EPS, HORIZON, kind.norm)
    down = returns(bench(), kind(as_tuples(best.attack)), EPS)
    up = returns(bench(), kind(as_tuples(-best.attack)), EPS)
    assert returns(bench()) - down == pytest.approx(best.value, abs=1e-9)
    assert up - returns(bench()) == pytest.approx(best.value, abs=1e-9)


def test_more_than_the_budget_is_not_granted_and_takes_no_more() -> None:
    best = LOOP.worst_linear(WEIGHT, EPS, HORIZON)
    down = returns(bench(), Played(as_tuples(best.attack), times=3.0), EPS)
    assert returns(bench()) - down == pytest.approx(best.value, abs=1e-9)


def test_the_closed_form_changes_its_mind_with_time() -> None:
    """So that neither a constant bias nor the largest change of the action reaches it."""
    signs = np.sign(LOOP.worst_linear(WEIGHT, EPS, HORIZON).attack)
    assert set(signs[:, 0]) == {-1.0, 1.0}
    assert np.abs(np.linalg.eigvals(LOOP.closed)).max() < 1.0


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_perturbation_within_the_budget_moves_the_last_state_further(norm: str) -> None:
    """Against 4000 random ones and the corners of a short horizon, in units of each sensor."""
    found = LOOP.worst_linear(WEIGHT, EPS, 3, norm, SCALES)
    rng = np.random.default_rng(0)
    tried = rng.normal(size=(4_000, 3, 3))
    if norm == "linf":
        corners = np.array(list(itertools.product([-1.0, 1.0], repeat=9))).reshape(-1, 3, 3)
        tried = np.concatenate([tried / np.abs(tried).max(axis=2, keepdims=True), corners])
    else:
        tried = tried / np.linalg.norm(tried, axis=2, keepdims=True)
    reached = [WEIGHT @ LOOP.states(np.zeros(3), EPS * SCALES * one)[-1] for one in tried]
    order = np.inf if norm == "linf" else 2
    assert np.linalg.norm(found.attack / SCALES, order, axis=1) == pytest.approx(EPS)
    assert WEIGHT @ LOOP.states(np.zeros(3), found.attack)[-1] == pytest.approx(found.value)
    assert 0.85 * found.value < max(reached) <= found.value + 1e-9


def quadratic(attack: Array, state_cost: Array, action_cost: Array) -> float:
    """The cost of the loop from the origin, step by step."""
    states = LOOP.states(np.zeros(3), attack)
    actions = -(states[:-1] + attack) @ LOOP.k.T
    return float(
        np.einsum("ti,ij,tj->", states[1:], state_cost, states[1:])
        + np.einsum("ti,ij,tj->", actions, action_cost, actions)
    )


def test_the_worst_energy_is_the_largest_eigenvector_and_nothing_costs_more() -> None:
    costs = np.diag([1.0, 0.1, 2.0]), np.array([[0.3]])
    found = LOOP.worst_quadratic(*costs, energy=0.7, horizon=HORIZON)
    assert np.linalg.norm(found.attack) == pytest.approx(0.7)
    assert quadratic(found.attack, *costs) == pytest.approx(found.value)
    rng = np.random.default_rng(0)
    best = 0.0
    for _ in range(30):
        one = rng.normal(size=found.attack.shape)
        best = max(best, quadratic(0.7 * one / np.linalg.norm(one), *costs))
        near = found.attack + 0.05 * one
        assert quadratic(0.7 * near / np.linalg.norm(near), *costs) <= found.value
    assert 0.0 < best < found.value


def test_no_attack_in_a_ball_exceeds_the_energy_that_the_ball_holds() -> None:
    """linf eps in each of T steps of d entries is at most eps sqrt(T d) of energy."""
    costs = np.diag([1.0, 0.1, 2.0]), np.array([[0.3]])
    most = LOOP.worst_quadratic(*costs, EPS * np.sqrt(HORIZON * 3), HORIZON).value
    linear = LOOP.worst_linear(WEIGHT, EPS, HORIZON).attack
    assert 0.2 * most < quadratic(linear, *costs) <= most


def view(attacked: Attacked, observation: Array) -> View:
    """What an attack sees in the first step."""
    n, d = observation.shape
    seeds = np.arange(n, dtype=np.uint64)
    bound, zero = np.full(d, np.inf), np.zeros(n, np.uint64)
    radius = attacked.scale * attacked.threat.budget
    return View(
        clean=observation, radius=radius, low=-bound, high=bound, first=observation,
        history=observation[:, None], seeds=seeds, step=zero, groups=np.zeros(d, np.int64),
        observation=observation, access=attacked.access,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_gradient_attacks_reach_the_one_step_optimum_of_a_linear_policy(name: str) -> None:
    policy, scale = LinearPolicy(), np.append(SCALES, 0.0)
    observation = np.random.default_rng(0).normal(size=(50, 4))
    attack = ATTACKS[name]()
    assert isinstance(attack, Perturbation)
    attacked = Attacked(policy, Threat("observation", EPS), attack, scale, access=policy.access)
    plain, _ = policy.predict(observation)
    moved, _ = attacked.predict(observation, None, None, True)
    scaled = LinearLoop(LOOP.a, LOOP.b, LOOP.k * SCALES)
    assert np.abs(moved - plain) == pytest.approx(
        np.tile(scaled.worst_action(EPS), (50, 1)), abs=1e-9
    )


def test_a_step_along_a_direction_of_two_actions_reaches_each_ones_optimum() -> None:
    rng = np.random.default_rng(1)
    two = LinearLoop(np.eye(4), rng.normal(size=(4, 2)), rng.normal(size=(2, 4)))
    policy, observation = LinearPolicy(two), rng.normal(size=(10, 5))
    attacked = Attacked(
        policy, Threat("observation", EPS), Played(), np.ones(5), access=policy.access
    )
    assert policy.access.mean is not None
    for j, most in enumerate(two.worst_action(EPS)):
        wanted = torch.zeros(10, 2)
        wanted[:, j] = 1.0
        seen = view(attacked, observation)
        shown = single_step(seen, along(policy.access.mean, wanted), 0.0 * observation)
        moved = policy.predict(shown)[0] - policy.predict(observation)[0]
        assert moved[:, j] == pytest.approx(most, abs=1e-9)


def test_one_observation_changes_an_action_by_the_dual_norm_of_its_row_and_no_more() -> None:
    rng = np.random.default_rng(2)
    two = LinearLoop(np.eye(4), np.ones((4, 2)), rng.normal(size=(2, 4)))
    corners = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    assert two.worst_action(EPS) == pytest.approx(EPS * (corners @ two.k.T).max(axis=0))
    ball = rng.normal(size=(50_000, 4))
    reached = (ball / np.linalg.norm(ball, axis=1, keepdims=True) @ two.k.T).max(axis=0)
    assert (reached <= two.worst_action(1.0, "l2")).all()
    assert reached == pytest.approx(two.worst_action(1.0, "l2"), rel=0.02)


@pytest.mark.parametrize("name", FITTING)
def test_no_attack_of_the_registry_takes_more_than_the_closed_form(name: str) -> None:
    this, line = bench(), row(name, EPS, **SEARCHES.get(name, {}))
    if why := this.why_not(line):
        pytest.skip(why)
    taken = lost(this, this.play(line, EPS))
    assert (taken <= worst(ATTACKS[name].norm) + 1e-6).all()
    if name != "none":
        assert np.abs(taken).max() > 0.02 * worst(), f"{name} is a dead knob"


def test_loops_that_do_not_fit_and_other_norms_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="fit together"):
        LinearLoop(LOOP.a, LOOP.b, LOOP.k[:, :2])
    with pytest.raises(RoboAdvError, match="matrices"):
        LinearLoop(LOOP.a, LOOP.b, LOOP.k[0])
    with pytest.raises(RoboAdvError, match="norm of a closed form 'l1'"):
        LOOP.worst_linear(WEIGHT, EPS, HORIZON, "l1")
    with pytest.raises(RoboAdvError, match="at least 1 step"):
        LOOP.worst_linear(WEIGHT, EPS, 0)
