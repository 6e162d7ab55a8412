"""Cloning losses: their minima are the closed forms of a linear policy with Gaussian noise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal

from robo_adv.imitation.cloning import mean_squared_error, negative_log_likelihood

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    true = torch.tensor([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]], dtype=torch.float64)
    return x, x @ true + 0.3 * torch.randn(300, 2, generator=generator, dtype=torch.float64)


def _minimise(loss: Loss) -> tuple[torch.Tensor, torch.Tensor]:
    weight = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    log_std = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weight, log_std],
        max_iter=200,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-15,
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = loss(weight, log_std)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), log_std.exp().detach()


@pytest.mark.parametrize("entropy_weight", [0.0, 0.2])
def test_likelihood_has_its_maximum_at_least_squares_and_the_residuals_deviation(
    entropy_weight: float,
) -> None:
    x, y = _data()

    def loss(weight: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
        policy = Normal(x @ weight, log_std.exp().expand(len(x), 2))
        log_prob, entropy = policy.log_prob(y).sum(1), policy.entropy().sum(1)  # type: ignore[no-untyped-call]
        return negative_log_likelihood(log_prob, entropy, entropy_weight)

    weight, std = _minimise(loss)
    best = torch.linalg.lstsq(x, y).solution
    residual = (y - x @ best).square().mean(0)
    torch.testing.assert_close(weight, best, rtol=1e-4, atol=1e-5)
    # d/d log std of (1 - c) log std + residual / (2 std^2) is zero here.
    torch.testing.assert_close(std, (residual / (1 - entropy_weight)).sqrt(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_squared_error_has_its_minimum_at_ridge_regression(l2: float) -> None:
    x, y = _data()
    weight, _ = _minimise(lambda w, _: mean_squared_error(x @ w, y, [w], l2))
    inner = x.T @ x / len(x) + l2 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(
        weight, torch.linalg.solve(inner, x.T @ y / len(x)), rtol=1e-4, atol=1e-5
    )


def test_l2_adds_half_the_squared_weights_to_the_likelihood() -> None:
    weights = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    loss = negative_log_likelihood(torch.tensor([-1.0, -3.0]), parameters=weights, l2=0.1)
    assert loss.item() == pytest.approx(2.0 + 0.1 * 25 / 2)
