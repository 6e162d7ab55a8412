"""ASAF on bandits: its optimum in closed form, and descent on it finds the expert's policy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.asaf import asaf_loss, episode_sums, window_indices, window_sums

EXPERT = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2, 2])  # actions in the shares 0.5, 0.3, 0.2
LEARNER = torch.tensor([0, 1, 1, 2])  # 0.25, 0.5, 0.25
P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.25, 0.5, 0.25])


def _bandit_loss(logits: torch.Tensor) -> torch.Tensor:
    """The loss's exact expectation: both batches hold the actions in exact shares."""
    log_pi, log_q = torch.log_softmax(logits, 0), torch.log(torch.as_tensor(Q))
    return asaf_loss(log_pi[EXPERT], log_q[EXPERT], log_pi[LEARNER], log_q[LEARNER])


def test_the_losss_optimum_is_the_experts_policy() -> None:
    logits = torch.log(torch.as_tensor(P)).requires_grad_(True)
    loss = _bandit_loss(logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(gradient, torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)
    for change in torch.eye(3, dtype=torch.float64).repeat(2, 1) * 0.1:
        assert _bandit_loss(logits.detach() + change) > loss
        assert _bandit_loss(logits.detach() - change) > loss


def test_the_losss_least_value_is_that_of_the_jensen_shannon_divergence() -> None:
    middle = (P + Q) / 2
    divergence = 0.5 * (P * np.log(P / middle)).sum() + 0.5 * (Q * np.log(Q / middle)).sum()
    least = _bandit_loss(torch.log(torch.as_tensor(P))).item()
    assert least == pytest.approx(2 * math.log(2) - 2 * divergence, rel=1e-12)


def test_equal_policies_lose_two_log_two() -> None:
    assert _bandit_loss(torch.log(torch.as_tensor(Q))).item() == pytest.approx(2 * math.log(2))


def test_swapped_data_move_a_policy_away_from_the_experts() -> None:
    log_q = torch.log(torch.as_tensor(Q))
    logits = log_q.clone().requires_grad_(True)
    log_pi = torch.log_softmax(logits, 0)
    right = asaf_loss(log_pi[EXPERT], log_q[EXPERT], log_pi[LEARNER], log_q[LEARNER])
    (toward,) = torch.autograd.grad(right, logits, retain_graph=True)
    wrong = asaf_loss(log_pi[LEARNER], log_q[LEARNER], log_pi[EXPERT], log_q[EXPERT])
    (away,) = torch.autograd.grad(wrong, logits)
    torch.testing.assert_close(-toward, torch.as_tensor(P - Q) / 2)
    torch.testing.assert_close(away, -toward)


@pytest.mark.parametrize("window", [1, 4])
def test_descent_moves_a_gaussian_policy_to_the_experts(window: int) -> None:
    generator = torch.Generator().manual_seed(window)
    expert = 1.0 + 0.5 * torch.randn(512, window, generator=generator)
    mean, log_std = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([mean, log_std], lr=0.02)
    for _ in range(25):
        frozen = Normal(mean.detach().clone(), log_std.exp().detach().clone())
        learner = frozen.loc + frozen.scale * torch.randn(512, window, generator=generator)
        for _ in range(8):
            policy = Normal(mean, log_std.exp())
            sums = [of.log_prob(x).sum(1) for x in (expert, learner) for of in (policy, frozen)]  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            asaf_loss(*sums).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    assert mean.item() == pytest.approx(expert.mean().item(), abs=0.1)
    assert log_std.exp().item() == pytest.approx(expert.std().item(), abs=0.1)


def test_windows_stay_within_episodes() -> None:
    windows = window_indices([5, 2, 3], length=3, stride=2)
    np.testing.assert_array_equal(windows, [[0, 1, 2], [2, 3, 4], [7, 8, 9]])


def test_window_sums_add_the_windows_steps() -> None:
    log_prob = torch.arange(10.0)
    sums = window_sums(log_prob, window_indices([5, 2, 3], length=3, stride=2))
    assert sums.tolist() == [3.0, 9.0, 24.0]
    ones = window_sums(log_prob, window_indices([5, 2, 3], length=1))
    assert torch.equal(ones, log_prob)


def test_episode_sums_add_whole_episodes_and_pass_gradients() -> None:
    log_prob = torch.arange(10.0, requires_grad=True)
    sums = episode_sums(log_prob, [5, 2, 3])
    assert sums.tolist() == [10.0, 11.0, 24.0]
    sums[1].backward()  # type: ignore[no-untyped-call]
    assert log_prob.grad is not None
    assert log_prob.grad.tolist() == [0.0] * 5 + [1.0] * 2 + [0.0] * 3


def test_windows_longer_than_every_episode_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="windows of 6 steps do not fit: the longest of 3"):
        window_indices([5, 2, 3], length=6)
    with pytest.raises(RoboAdvError, match="1 or more"):
        window_indices([5], length=2, stride=0)


def test_lengths_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="episodes of 9 steps"):
        episode_sums(torch.zeros(10), [5, 4])
