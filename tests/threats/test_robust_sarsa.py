"""Robust Sarsa goes down its critic, mixes as it says, and keeps the member that harms most."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from threats.linear import FakeLab, Linear, view

from robo_adv.agents.controllers import controller
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import REFERENCE, measure
from robo_adv.envs.game import make_game
from robo_adv.rollout import scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.attack import ATTACKS, Attack
from robo_adv.threats.attacks.robust_sarsa import RobustSarsa, RobustSarsaMad, mixed
from robo_adv.threats.lab import Transitions
from robo_adv.threats.mlp import MLP, Layer
from robo_adv.threats.sarsa import Critic, Member, SarsaFit, fit_critics
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]
SIZE, ACTIONS, BUDGET = 5, 2, 0.5
RNG = np.random.default_rng(3)
CLEAN = RNG.normal(size=(32, SIZE))
SCALE = RNG.uniform(0.2, 2.0, SIZE)
POLICY = Linear(RNG.normal(size=(SIZE, ACTIONS)))
LIKES = np.array([1.0, -3.0])  # Q = LIKES . a
FEW = SarsaFit(epochs=1)


def critic() -> Critic:
    weight = torch.as_tensor(np.concatenate([np.zeros(SIZE), LIKES])[None]).float()
    size = SIZE + ACTIONS
    network = MLP((Layer(weight, torch.zeros(1), "none"),), torch.zeros(size), torch.ones(size))
    far = torch.full((ACTIONS,), 100.0)
    return Critic(network, -far, far, Member(0.9, 0.1, 1.0))


def test_a_linear_critic_and_controller_give_the_exact_corner() -> None:
    shown = POLICY.shown(RobustSarsa(critic=critic()), CLEAN, SCALE, BUDGET, POLICY.access)
    wanted = CLEAN - BUDGET * SCALE * np.sign(POLICY.gains @ LIKES)
    assert shown == pytest.approx(wanted, abs=1e-5)


def test_without_a_critic_the_action_difference_is_what_is_left() -> None:
    attacks = (RobustSarsa(), ATTACKS["pgd"](steps=10), ATTACKS["corner"]())  # type: ignore[call-arg]
    shown = [POLICY.shown(attack, CLEAN, SCALE, BUDGET, POLICY.access) for attack in attacks]
    away = [np.linalg.norm((one - CLEAN) @ POLICY.gains) for one in shown]
    assert away[0] == pytest.approx(away[1], rel=0.02) and away[0] > away[2]


def test_a_mixture_is_the_sum_that_it_says_with_its_gradient() -> None:
    attack = RobustSarsaMad(critic=critic(), mix=0.3, units=(4.0, 6.0))
    assert POLICY.access.mean is not None
    objective = mixed(view(CLEAN, BUDGET * SCALE), POLICY.access.mean, attack)
    z = CLEAN + RNG.uniform(-1.0, 1.0, CLEAN.shape) * SCALE

    def told(z: Array) -> Array:
        moved = (z - CLEAN) @ POLICY.gains
        harm, change = -(z @ POLICY.gains @ LIKES), (moved**2).sum(axis=1)
        return np.asarray(0.7 * harm / 4.0 + 0.3 * change / 6.0)

    value, slope = objective.value_and_slope(torch.as_tensor(z).float())
    assert value.numpy() == pytest.approx(told(z), rel=1e-4, abs=1e-4)
    steps = np.eye(SIZE) * 1e-4
    wanted = np.stack([(told(z + step) - told(z - step)) / 2e-4 for step in steps], axis=1)
    assert slope.numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_the_search_keeps_the_critic_and_the_mixture_that_harm_most() -> None:
    def mark(attack: Attack) -> float:
        assert isinstance(attack, RobustSarsa) and attack.critic is not None
        liked = attack.critic.member == Member(0.9, 0.2, 1.0)
        return float(liked) + (0.5 if liked and attack.mix == 0.3 else 0.0)

    lab = FakeLab(POLICY, SCALE, mark, POLICY.access)
    plain, both = RobustSarsa(data=400, fit=FEW), RobustSarsaMad(data=400, fit=FEW)
    found = plain.search(lab)
    assert lab.judged == 8 and found.told == "critic of discount 0.9, box 0.2, weight 1"
    found = both.search(lab)
    assert lab.judged == 8 + 14 and found.told.endswith("weight 1, 30% action difference")
    assert isinstance(found, RobustSarsaMad) and min(found.units) > 0
    assert found.search(lab) is found


def test_what_was_found_is_the_same_for_the_same_seed() -> None:
    found = [
        RobustSarsa(data=400, fit=FEW).search(FakeLab(POLICY, SCALE, access=POLICY.access))
        for _ in range(2)
    ]
    one, two = (POLICY.shown(attack, CLEAN, SCALE, BUDGET, POLICY.access) for attack in found)
    assert np.array_equal(one, two)


NAME, EPISODES = "zoo:reach-panda-s1", 12
SMALL: dict[str, dict[str, Any]] = {
    "robust-sarsa": {"data": 3000, "gammas": (0.9,), "steps": 5},
    "rs-mad": {"data": 3000, "gammas": (0.9,), "boxes": (0.2,), "steps": 5},
    "snooping": {"data": 4000},
    "square": {},
    "directional": {},
    "evolution": {"rounds": 1},
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    game = make_game("Reach-v0", EPISODES, threads=1)
    found = controller(NAME, game, "arm")
    seen = measure(NAME, game, "arm", {"arm": found.policy}, scenarios(REFERENCE, EPISODES))[0]
    subject = Subject(
        NAME, "arm", found.policy, game, make_criterion(game, "arm"), access=found.access
    )
    return Engine(subject, seen, scenarios(77, EPISODES), search=4)


@pytest.fixture(scope="module")
def under_noise(engine: Engine) -> float:
    return under(engine, "uniform")


def under(engine: Engine, name: str) -> float:
    row = Row(name, Threat("observation", 0.0), (0.2,), SMALL.get(name, {}))
    return float(engine.play(row, 0.2).episodes.returns["arm"].mean())


@pytest.mark.parametrize("name", SMALL)
def test_on_an_arm_every_searched_attack_takes_more_than_uniform_noise(
    name: str, engine: Engine, under_noise: float
) -> None:
    blind = name in ("square", "snooping", "evolution")
    this = engine.changed(access=None) if blind else engine
    assert under(this, name) < under_noise


def test_what_was_done_next_counts_and_what_would_be_done_only_where_an_episode_was_cut() -> None:
    """Critics do not depend on what the controller is said to do in steps after which it went on."""
    rng = np.random.default_rng(0)
    steps, rows = 6, 2
    ended = np.zeros((steps, rows), dtype=bool)
    ended[2, 0] = True
    seen = Transitions(
        rng.normal(size=(steps, rows, 3)), rng.normal(size=(steps, rows, 1)),
        rng.normal(size=(steps, rows)), rng.normal(size=(steps, rows, 3)),
        np.zeros((steps, rows), dtype=bool), ended,
    )  # fmt: skip
    cut = np.zeros((steps, rows), dtype=bool)
    cut[2, 0] = cut[-1] = True
    asked = torch.as_tensor(seen.next_observation.reshape(-1, 3), dtype=torch.float32)
    family, how = [Member(0.9, 0.1, 1.0)], SarsaFit(epochs=2)

    def fitted(where: Array) -> torch.Tensor:
        """The critic's first layer when the controller is said to do something else there."""
        said = torch.zeros(len(asked), 1)
        said[torch.as_tensor(where.reshape(-1))] = 0.5
        (critic,) = fit_critics(seen, lambda x: said, family, np.random.default_rng(1), how)
        return critic.network.layers[0].weight

    usual = fitted(np.zeros_like(cut))
    assert torch.equal(usual, fitted(~cut))
    assert not torch.equal(usual, fitted(cut))
