"""SA-PPO's regulariser: the divergence, its maximum over the box, and its place in PPO's loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.distributions import Independent, Normal, kl_divergence

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.training.learner import Learner, PPOConfig
from robo_adv.training.network import (
    NormalisedObservation,
    build_network,
    load_network_weights,
    network_weights,
    policy_kwargs,
)
from robo_adv.training.smooth import SmoothConfig, Smoothness, actor_mlp, gaussian_kl
from robo_adv.training.vec_env import VectorToVecEnv
from training.tiny import GAME, ONE_THREAD

CONFIG = PPOConfig(num_envs=8, n_steps=16, batch_size=64, n_epochs=2, net_arch=(16,))
SIZE, ACTIONS = 7, 3


def _network(net_arch: tuple[int, ...] = (16, 16), actions: int = ACTIONS) -> ActorCriticPolicy:
    """A lively network whose normaliser has seen something."""
    torch.manual_seed(0)
    network = build_network(SIZE, actions, net_arch, "tanh")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    extractor = network.features_extractor
    assert isinstance(extractor, NormalisedObservation)
    extractor.update(torch.randn(50, SIZE) * torch.arange(1.0, SIZE + 1.0) + 3.0)
    return network


def _smoothness(scale: Any = 1.0, **changes: Any) -> Smoothness:
    """At its full budget."""
    config = SmoothConfig(**{"weight": 2.0, "budget": 0.3, "ramp": 0.0, **changes})
    penalty = Smoothness(config, np.broadcast_to(np.asarray(scale, float), (SIZE,)), 0, 1)
    penalty.begin(1)
    return penalty


def _mean(network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network.get_distribution(observations).mode()


def test_the_divergence_is_that_of_torch_between_gaussians_of_one_deviation() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, other = torch.randn(2, 20, ACTIONS, generator=generator)
    log_std = torch.tensor([-2.0, 0.0, 0.7])
    one, two = (Independent(Normal(m, log_std.exp()), 1) for m in (mean, other))
    torch.testing.assert_close(gaussian_kl(mean, other, log_std), kl_divergence(one, two))


def test_the_fast_actor_is_the_networks_own_mean() -> None:
    network, observations = _network(), 5.0 * torch.randn(40, SIZE)
    torch.testing.assert_close(actor_mlp(network)(observations), _mean(network, observations))


def test_found_observations_stay_in_the_box_and_untouched_sensors_keep_every_bit() -> None:
    scale = np.array([0.0, 1.0, 2.0, 0.0, 0.1, 1.0, 5.0])
    network, observations = _network(), torch.randn(64, SIZE)
    penalty = _smoothness(scale)
    found = penalty.worst(network, observations, _mean(network, observations))
    away = (found - observations).abs()
    assert torch.equal(found[:, scale == 0], observations[:, scale == 0])
    assert (away <= 0.3 * penalty.scale + 1e-5).all()
    assert away[:, scale > 0].amax(dim=0).min() > 0.02, "a sensor hardly moved"


def test_of_a_linear_policy_the_maximum_is_found_exactly() -> None:
    """max |w (s' - s)| over the box is radius * |w|_1, the divergence half its square over std^2."""
    network, observations = _network(net_arch=(), actions=1), torch.randn(64, SIZE)
    extractor = network.features_extractor
    assert isinstance(extractor, NormalisedObservation)
    weight = dict(network.named_parameters())["action_net.weight"].detach()[0]
    slope = weight / extractor.var.float().sqrt()
    std = network.log_std.detach().exp()
    expected = 0.5 * (0.3 * slope.abs().sum() / std).square()
    torch.testing.assert_close(
        _smoothness()(network, observations), (2.0 * expected).expand(64), rtol=1e-3, atol=0.0
    )


def test_the_search_finds_far_more_than_chance() -> None:
    network, observations = _network(), torch.randn(256, SIZE)
    chance = 0.3 * (2.0 * torch.rand(256, SIZE) - 1.0)
    target = _mean(network, observations)
    random = gaussian_kl(target, _mean(network, observations + chance), network.log_std.detach())
    found = _smoothness()(network, observations).detach() / 2.0
    assert found.mean() > 3.0 * random.mean()
    assert (found >= random).float().mean() > 0.95


def test_the_gradient_reaches_the_actor_and_neither_its_deviation_nor_the_critic() -> None:
    network = _network()
    torch.autograd.backward(_smoothness()(network, torch.randn(64, SIZE)).mean())
    moved = {name for name, p in network.named_parameters() if p.grad is not None}
    assert moved == {n for n, _ in network.named_parameters() if "policy_net" in n or "action" in n}


def test_the_gradient_is_that_of_the_divergence_at_the_found_observations() -> None:
    network, observations = _network(), torch.randn(32, SIZE)
    weight = dict(network.named_parameters())["action_net.weight"]
    state = torch.get_rng_state()
    (got,) = torch.autograd.grad(_smoothness()(network, observations).sum(), [weight])
    torch.set_rng_state(state)
    target, std = _mean(network, observations), network.log_std.detach().exp()
    found = _smoothness().worst(network, observations, target)
    fixed = Independent(Normal(target, std), 1)
    moving = Independent(Normal(network.get_distribution(found).mode(), std), 1)
    (expected,) = torch.autograd.grad(2.0 * kl_divergence(fixed, moving).sum(), [weight])
    torch.testing.assert_close(got, expected)


def test_the_budget_grows_linearly_after_the_warm_up() -> None:
    penalty = Smoothness(SmoothConfig(budget=0.2, ramp=0.5), np.ones(SIZE), 100, 1100)
    assert [penalty.budget_at(s) for s in (0, 100, 350, 600, 1100)] == [0.0, 0.0, 0.1, 0.2, 0.2]
    network, observations = _network(), torch.randn(4, SIZE)
    state = torch.get_rng_state()
    penalty.begin(50)
    assert torch.equal(penalty(network, observations), torch.zeros(4))
    assert torch.equal(torch.get_rng_state(), state), "it drew numbers that it did not need"
    sudden = Smoothness(SmoothConfig(budget=0.2, ramp=0.0), np.ones(SIZE), 100, 1100)
    assert sudden.budget_at(100) == 0.0 and sudden.budget_at(101) == 0.2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"weight": -0.1}, "smooth.weight must be a finite number of at least 0, got -0.1"),
        ({"weight": float("nan")}, "smooth.weight must be a finite number"),
        ({"budget": float("inf")}, "smooth.budget must be a finite number"),
        ({"unit": "meters"}, "unknown unit of smooth.budget 'meters'"),
        ({"steps": 0}, "smooth.steps must be at least 1, got 0"),
        ({"ramp": 1.5}, r"in 0..1, got 1.5"),
        ({"ramp": float("nan")}, r"in 0..1, got nan"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        SmoothConfig(**changes)


def _seat() -> Seat:
    game = make_game(GAME, 8, threads=1, arms=0)
    return Seat(game, "kicker", {"keeper": SCRIPTED["random"](game, "keeper")})


def _weights(network: Any) -> dict[str, torch.Tensor]:
    return {k: v for k, v in network_weights(network).items() if "features_extractor" not in k}


def test_without_a_penalty_the_update_is_stable_baselines3s_to_the_bit() -> None:
    learner = Learner(_seat(), replace(CONFIG, ent_coef=0.01), 5, ONE_THREAD)
    learner.iterate()
    plain = PPO(
        "MlpPolicy", VectorToVecEnv(_seat()), learning_rate=CONFIG.learning_rate, n_steps=16,
        batch_size=64, n_epochs=2, gamma=CONFIG.gamma, gae_lambda=CONFIG.gae_lambda, ent_coef=0.01,
        policy_kwargs=policy_kwargs((16,), "tanh", CONFIG.log_std_init), seed=5, device="cpu",
    )  # fmt: skip
    plain.set_logger(Logger(folder=None, output_formats=[]))
    plain.learn(CONFIG.rollout)
    expected, got = _weights(plain.policy), _weights(learner.ppo.policy)
    assert all(torch.equal(expected[name], got[name]) for name in expected)


class _Pull:
    """A penalty with a known gradient: half the squared distance of all log_std from `to`."""

    def __init__(self, to: float, weight: float) -> None:
        self.to, self.weight, self.begun = to, weight, 0

    def begin(self, steps: int) -> None:
        self.begun += 1

    def metrics(self) -> dict[str, float]:
        return {"pull": self.weight}

    def __call__(self, network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
        away = 0.5 * self.weight * (network.log_std - self.to).square().sum()
        return away.expand(len(observations))


def _loss_gradients(learner: Learner) -> dict[str, torch.Tensor]:
    """Gradients of the first minibatch's loss, before they are clipped."""
    learner.ppo.max_grad_norm = 1e9
    optimiser = learner.ppo.policy.optimizer
    found: dict[str, torch.Tensor] = {}

    def step() -> None:
        if not found:
            named = learner.ppo.policy.named_parameters()
            found.update({name: p.grad.clone() for name, p in named if p.grad is not None})

    optimiser.step = step  # type: ignore[method-assign,assignment]
    learner.iterate()
    return found


@pytest.mark.parametrize("ent_coef", [0.0, 0.02])
def test_a_penalty_adds_its_mean_to_the_loss_and_leaves_the_entropy_bonus(ent_coef: float) -> None:
    config = replace(CONFIG, ent_coef=ent_coef)
    without = _loss_gradients(Learner(_seat(), config, 1, ONE_THREAD))
    learner = Learner(_seat(), config, 1, ONE_THREAD)
    penalty = _Pull(to=-1.5, weight=3.0)
    learner.penalise(penalty)
    got = _loss_gradients(learner)
    assert penalty.begun == 1
    for name, gradient in without.items():
        added = 3.0 * (CONFIG.log_std_init + 1.5) if name == "log_std" else 0.0
        torch.testing.assert_close(got[name], gradient + added, rtol=1e-5, atol=1e-7)


def test_the_metrics_of_an_iteration_tell_budget_and_divergence() -> None:
    learner = Learner(_seat(), CONFIG, 2, ONE_THREAD)
    size = learner.policy.observation_size
    learner.penalise(Smoothness(SmoothConfig(ramp=0.0), np.ones(size), -1, 1))
    metrics = learner.iterate()
    assert metrics["smooth_budget"] == 0.15 and metrics["smooth_kl"] > 0.0


def test_a_heavy_penalty_makes_the_policy_smoother_than_no_penalty_does() -> None:
    found = {}
    for weight in (0.0, 50.0):
        learner = Learner(_seat(), replace(CONFIG, n_epochs=5), 3, ONE_THREAD)
        load_network_weights(learner.ppo.policy, _lively(learner))
        size = learner.policy.observation_size
        learner.penalise(Smoothness(SmoothConfig(weight, ramp=0.0), np.ones(size), -1, 1))
        for _ in range(4):
            found[weight] = learner.iterate()["smooth_kl"]
    assert found[50.0] < 0.7 * found[0.0]


def _lively(learner: Learner) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    weights = network_weights(learner.ppo.policy)
    return {n: w * 20.0 if n.startswith("action_net") else w for n, w in weights.items()}


def test_with_a_frozen_actor_the_critic_alone_learns() -> None:
    learner = Learner(_seat(), CONFIG, 4, ONE_THREAD)
    learner.normaliser_learns = False
    before = network_weights(learner.ppo.policy)
    learner.freeze_actor(True)
    learner.iterate()
    after = network_weights(learner.ppo.policy)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "value_net" in name}
    learner.freeze_actor(False)
    learner.iterate()
    final = network_weights(learner.ppo.policy)
    still = {name for name in before if torch.equal(before[name], final[name])}
    assert still == {name for name in before if name.startswith("features_extractor")}
