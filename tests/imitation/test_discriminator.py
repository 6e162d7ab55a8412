"""A discriminator finds the log density ratio; regularisers flatten it as they must."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from robo_adv.imitation.discriminator import Discriminator, DiscriminatorConfig
from robo_adv.imitation.regularisers import gradient_norms
from robo_adv.imitation.transitions import Transitions

HALF = np.array([0.5, -0.25, 0.0])  # the expert's mean; the learner's is its negative
PLAIN = DiscriminatorConfig(
    inputs="state", net_arch=(), learning_rate=2e-2, gradient_penalty=0.0, entropy=0.0, updates=150
)
HIDDEN = replace(PLAIN, net_arch=(32, 32), learning_rate=3e-3)


def _gaussian(mean: float, n: int, seed: int) -> Transitions:
    """Steps with states of mean `mean` x HALF, standard deviation 1."""
    noise = np.random.default_rng(seed).normal(size=(n, 3))
    noise -= noise.mean(0)
    state = (mean * HALF + noise).astype(np.float32)
    return Transitions(state, state[:, :1], state, np.zeros(n, bool))


def _learned(config: DiscriminatorConfig, swapped: bool = False) -> Discriminator:
    expert, learner = _gaussian(1.0, 4000, 0), _gaussian(-1.0, 4000, 1)
    if swapped:
        expert, learner = learner, expert
    discriminator = Discriminator(3, 1, config)
    discriminator.fit_normaliser(expert)
    discriminator.train_round(expert, learner, torch.Generator().manual_seed(0))
    return discriminator


def _weight(discriminator: Discriminator) -> torch.Tensor:
    """The weight (3,) of a linear discriminator, in raw units."""
    weight: torch.Tensor = discriminator.network[0].weight  # type: ignore[index]
    return (weight[0] / discriminator.std).detach()


def _steepest(discriminator: Discriminator) -> float:
    points = torch.randn(500, 3, generator=torch.Generator().manual_seed(2))
    return gradient_norms(lambda x: discriminator.network(x)[:, 0], points).max().item()


def test_a_linear_discriminator_of_two_gaussians_finds_the_log_density_ratio() -> None:
    weight = _weight(_learned(replace(PLAIN, updates=400, batch_size=2000)))
    np.testing.assert_allclose(weight, 2 * HALF, atol=0.12)


def test_a_network_finds_the_log_density_ratio_too() -> None:
    discriminator = _learned(replace(HIDDEN, updates=400, batch_size=500))
    states = torch.randn(300, 3, generator=torch.Generator().manual_seed(2)).clamp(-1.5, 1.5)
    with torch.no_grad():
        logit = discriminator.logit(states, states[:, :1], states).numpy()
    exact = states.numpy() @ (2 * HALF)
    assert np.abs(logit - exact).mean() < 0.15


def test_swapped_labels_flip_the_sign() -> None:
    direction = torch.as_tensor(HALF, dtype=torch.float32)
    assert float(_weight(_learned(PLAIN)) @ direction) > 0.3
    assert float(_weight(_learned(PLAIN, swapped=True)) @ direction) < -0.3


@pytest.mark.parametrize("reward", ["gail", "negative", "airl", "bounded", "amp"])
def test_the_experts_steps_earn_more_than_the_learners(reward: Any) -> None:
    loss: Any = "least-squares" if reward == "amp" else "bce"
    discriminator = _learned(replace(HIDDEN, loss=loss, reward=reward))
    expert, learner = (discriminator.reward(_gaussian(m, 1000, 5)) for m in (1.0, -1.0))
    assert expert.dtype == np.float64
    assert expert.mean() > learner.mean() + 0.1


def test_least_squares_find_the_difference_of_densities_over_their_sum() -> None:
    discriminator = _learned(replace(HIDDEN, loss="least-squares", reward="amp", updates=300))
    states = torch.randn(300, 3, generator=torch.Generator().manual_seed(2)).clamp(-1.5, 1.5)
    with torch.no_grad():
        output = discriminator.logit(states, states[:, :1], states).numpy()
    exact = np.tanh(states.numpy() @ HALF)
    assert np.abs(output - exact).mean() < 0.1


def test_spectral_norm_bounds_the_slope_by_one() -> None:
    assert _steepest(_learned(HIDDEN)) > 1.05
    assert _steepest(_learned(replace(HIDDEN, spectral_norm=True))) <= 1.02
    weight = _learned(replace(PLAIN, spectral_norm=True)).network[0].weight  # type: ignore[index]
    assert weight.norm().item() == pytest.approx(1.0, abs=1e-4)


def test_clipped_singular_values_bound_the_slope() -> None:
    config = replace(HIDDEN, singular_value_clip=0.7, singular_value_every=5)
    assert _steepest(_learned(config)) <= 0.7**3 * 1.001
    weight = _weight(_learned(replace(PLAIN, singular_value_clip=0.4, singular_value_every=1)))
    assert weight.norm().item() == pytest.approx(0.4, rel=0.05)


def test_singular_values_are_clipped_every_k_updates() -> None:
    config = replace(PLAIN, singular_value_clip=0.01, singular_value_every=3, updates=5)
    assert _learned(config).network[0].weight.norm().item() > 0.02  # type: ignore[index]
    config = replace(config, updates=6)
    assert _learned(config).network[0].weight.norm().item() <= 0.0101  # type: ignore[index]


def test_a_gradient_penalty_holds_the_slope_near_its_target() -> None:
    strong = replace(PLAIN, gradient_penalty=100.0, gradient_penalty_target=0.5)
    one, two = (_weight(_learned(replace(strong, gradient_penalty_side=s))) for s in ("one", "two"))
    assert one.norm().item() == pytest.approx(0.5, abs=0.05)
    assert two.norm().item() == pytest.approx(0.5, abs=0.05)
    far = replace(strong, gradient_penalty_target=3.0)
    one, two = (_weight(_learned(replace(far, gradient_penalty_side=s))) for s in ("one", "two"))
    free = _weight(_learned(PLAIN))
    torch.testing.assert_close(one, free, rtol=0, atol=0.1)
    assert two.norm().item() > 1.5 * free.norm().item()


@pytest.mark.parametrize("change", [{"r1": 20.0}, {"entropy": 20.0}, {"weight_decay": 20.0}])
def test_penalties_towards_zero_flatten_the_logit(change: dict[str, float]) -> None:
    free, flat = _weight(_learned(PLAIN)), _weight(_learned(replace(PLAIN, **change)))  # type: ignore[arg-type]
    assert flat.norm().item() < 0.3 * free.norm().item()


def test_r1_of_a_linear_discriminator_has_its_closed_form_minimum() -> None:
    """R1 is a ridge: at the minimum its gradient r1 w equals that of the cross entropy."""
    expert, learner = _gaussian(1.0, 4000, 0), _gaussian(-1.0, 4000, 1)
    config = replace(PLAIN, r1=0.5, batch_size=2000, updates=400)
    discriminator = _learned(config)
    weight: torch.Tensor = discriminator.network[0].weight[0].detach().double()  # type: ignore[index]
    bias: torch.Tensor = discriminator.network[0].bias.detach().double()  # type: ignore[index]
    x = [discriminator._inputs(of, "expert").double() for of in (expert, learner)]
    d = [torch.sigmoid(of @ weight + bias) for of in x]
    pull = 0.5 * ((1 - d[0]) @ x[0] / 4000 - d[1] @ x[1] / 4000)
    torch.testing.assert_close(0.5 * weight, pull, rtol=0, atol=0.03)


def test_transitions_share_the_statistics_of_the_first_observation() -> None:
    steps = _gaussian(1.0, 100, 0)
    moved = replace(steps, next_observation=steps.observation + np.float32(7.0))
    discriminator = Discriminator(3, 1, replace(PLAIN, inputs="transition"))
    discriminator.fit_normaliser(moved)
    assert torch.equal(discriminator.mean[:3], discriminator.mean[3:])
    assert torch.equal(discriminator.std[:3], discriminator.std[3:])
    x = discriminator._inputs(moved, "expert")
    np.testing.assert_allclose(x[:, :3].mean(0), 0.0, atol=1e-5)
    np.testing.assert_allclose(x[:, :3].std(0, correction=0), 1.0, atol=1e-5)


def test_a_constant_feature_has_the_floor_as_its_standard_deviation() -> None:
    steps = _gaussian(1.0, 100, 0)
    steps.observation[:, 2] = 4.0
    discriminator = Discriminator(3, 1, replace(PLAIN, std_floor=0.25))
    discriminator.fit_normaliser(steps)
    assert discriminator.std[2].item() == 0.25
    assert discriminator._inputs(steps, "expert")[:, 2].abs().max().item() < 1e-5


def test_statistics_stay_the_experts_during_training() -> None:
    discriminator = Discriminator(3, 1, PLAIN)
    discriminator.fit_normaliser(_gaussian(1.0, 100, 0))
    mean, std = discriminator.mean.clone(), discriminator.std.clone()
    generator = torch.Generator().manual_seed(0)
    discriminator.update(_gaussian(1.0, 100, 0), _gaussian(9.0, 100, 1), generator)
    assert torch.equal(mean, discriminator.mean)
    assert torch.equal(std, discriminator.std)
