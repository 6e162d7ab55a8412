"""Regularisers against closed forms: linear networks, quadratics, given singular values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from robo_adv.imitation import regularisers as reg
from robo_adv.imitation.losses import mixup_shares
from robo_adv.imitation.networks import mlp


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=_generator(seed))


def _network(*hidden: int, seed: int = 0) -> nn.Sequential:
    network = mlp(4, hidden)
    for index, weight in enumerate(network.parameters()):
        weight.data = _normal(*weight.shape, seed=seed + index)
    return network


def _singular(network: nn.Module) -> list[torch.Tensor]:
    return [torch.linalg.svdvals(x.weight.detach().flatten(1)) for x in reg.linear_layers(network)]


def test_interpolates_lie_on_the_segments_between_rows() -> None:
    points = reg.interpolates(torch.zeros(500, 3), torch.ones(600, 3), _generator())
    assert points.shape == (500, 3)
    assert bool((points == points[:, :1]).all())
    assert 0.0 <= points.min().item() < 0.05
    assert 0.95 < points.max().item() <= 1.0
    assert points.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("weight", "target", "side", "expected"),
    [
        ((3.0, 4.0), 1.0, "one", 16.0),
        ((3.0, 4.0), 1.0, "two", 16.0),
        ((0.3, 0.4), 1.0, "one", 0.0),
        ((0.3, 0.4), 1.0, "two", 0.25),
        ((0.3, 0.4), 0.0, "one", 0.25),
    ],
)
def test_the_penalty_of_a_linear_function_is_that_of_its_slope(
    weight: tuple[float, float], target: float, side: reg.Side, expected: float
) -> None:
    norms = reg.gradient_norms(lambda x: x @ torch.tensor(weight), _normal(7, 2))
    assert reg.gradient_penalty(norms, target, side).item() == pytest.approx(expected, rel=1e-5)


def test_r1_of_a_quadratic_is_half_the_mean_squared_distance() -> None:
    points = _normal(50, 3)
    norms = reg.gradient_norms(lambda x: 0.5 * x.square().sum(1), points)
    expected = 0.5 * points.square().sum(1).mean().item()
    assert reg.r1_penalty(norms).item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_of_a_constant_function_has_a_finite_gradient() -> None:
    weight = torch.zeros(3, requires_grad=True)
    norms = reg.gradient_norms(lambda x: x @ weight, _normal(5, 3))
    reg.gradient_penalty(norms, 1.0, "two").backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert bool(torch.isfinite(weight.grad).all())


def test_the_penaltys_gradient_agrees_with_finite_differences() -> None:
    network = _network(8, 8).double()
    points = _normal(6, 4).double()

    def penalty() -> torch.Tensor:
        return reg.gradient_penalty(
            reg.gradient_norms(lambda x: network(x)[:, 0], points), 1.0, "two"
        )

    penalty().backward()  # type: ignore[no-untyped-call]
    for weight in network.parameters():
        if weight.grad is None or weight.ndim < 2:
            continue
        for index in ((0, 0), (weight.shape[0] - 1, weight.shape[1] - 1)):
            before, step = weight.data[index].item(), 1e-6
            weight.data[index] = before + step
            above = penalty().item()
            weight.data[index] = before - step
            below = penalty().item()
            weight.data[index] = before
            slope = (above - below) / (2 * step)
            assert weight.grad[index].item() == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_spectral_norm_makes_every_layers_largest_singular_value_one() -> None:
    network = _network(16, 16)
    assert max(float(v[0]) for v in _singular(network)) > 2.0
    reg.add_spectral_norm(network)
    for _ in range(200):
        network(_normal(3, 4))
    for values in _singular(network):
        assert values[0].item() == pytest.approx(1.0, abs=1e-4)
    norms = reg.gradient_norms(lambda x: network(x)[:, 0], 3 * _normal(200, 4))
    assert norms.max().item() <= 1.0 + 1e-4


def test_clipping_leaves_no_singular_value_above_the_limit_and_keeps_the_others() -> None:
    network = _network(16, 16)
    before = _singular(network)
    assert reg.clip_singular_values(network, 1.5) == 3
    for old, new in zip(before, _singular(network), strict=True):
        torch.testing.assert_close(new, old.clamp(max=1.5), rtol=1e-5, atol=1e-5)


def test_clipping_does_not_write_weights_whose_singular_values_are_small() -> None:
    network = _network(16)
    next(network.parameters()).data.mul_(0.01)
    before = [w.clone() for w in network.parameters()]
    assert reg.clip_singular_values(network, 1.0) == 1
    after = list(network.parameters())
    assert torch.equal(before[0], after[0])
    assert not torch.equal(before[2], after[2])
    assert torch.equal(before[1], after[1])
    assert torch.equal(before[3], after[3])


def test_a_clipped_network_is_lipschitz_with_the_limit_to_the_power_of_its_depth() -> None:
    network, limit = _network(16, 16, seed=3), 0.8
    reg.clip_singular_values(network, limit)
    left, right = _normal(400, 4, seed=1), _normal(400, 4, seed=2)
    with torch.no_grad():
        slope = (network(left) - network(right)).abs()[:, 0] / (left - right).norm(dim=1)
    assert slope.max().item() <= limit**3 * (1 + 1e-5)
    norms = reg.gradient_norms(lambda x: network(x)[:, 0], left)
    assert norms.max().item() <= limit**3 * (1 + 1e-5)


@pytest.mark.parametrize("d", [0.5, 0.1, 0.93])
def test_entropy_is_that_of_a_coin_with_probability_d(d: float) -> None:
    expected = -d * math.log(d) - (1 - d) * math.log(1 - d)
    logit = torch.tensor([math.log(d / (1 - d))], dtype=torch.float64)
    assert reg.bernoulli_entropy(logit).item() == pytest.approx(expected, rel=1e-9)


def test_dropout_keeps_the_mean_and_stands_still_when_not_training() -> None:
    layer = reg.Dropout(0.25)
    reg.draw_dropout_from(layer, _generator())
    x = torch.ones(200, 200)
    dropped = layer(x)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.02)
    assert layer.eval()(x) is x


def test_mixup_shares_are_beta_distributed() -> None:
    for alpha in (0.4, 1.0, 2.0):
        shares = mixup_shares(20_000, alpha, _generator())
        assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
