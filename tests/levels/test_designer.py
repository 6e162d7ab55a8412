"""The designer: its distributions are what they say, it learns from rewards, and it resumes exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.levels.designer import Designer, RunningStd
from robo_adv.levels.heads import HEADS

Array = npt.NDArray[np.float64]
NUMBERS = np.array([[[-1.0, 2.0, 0.3], [-0.2, -3.0, 0.1]], [[-4.0, 0.0, 1.0], [-0.5, 3.0, -1.0]]])


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def density(head: str, numbers: Array, points: Array) -> Array:
    """Log density by scipy, coordinate by coordinate."""
    first, second = numbers[:, 0], numbers[:, 1]
    if head == "beta":
        a, b = (1.0 + np.log1p(np.exp(x)) for x in (first, second))
        return np.asarray(stats.beta(a, b).logpdf(points).sum(axis=1))
    x = np.arctanh(2.0 * points - 1.0)
    std = np.exp(np.clip(second, -4.0, 1.0))
    slope = 2.0 / (1.0 - (2.0 * points - 1.0) ** 2)  # of x over the point
    return np.asarray((stats.norm(first, std).logpdf(x) + np.log(slope)).sum(axis=1))


@pytest.mark.parametrize("head", HEADS)
def test_log_densities_are_those_of_scipy(head: str) -> None:
    points = rng().uniform(0.01, 0.99, (2, 3))
    got = HEADS[head].log_prob(torch.as_tensor(NUMBERS), torch.as_tensor(points))
    assert got.numpy() == pytest.approx(density(head, NUMBERS, points), abs=1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_the_density_of_one_coordinate_integrates_to_one(head: str) -> None:
    grid = (np.arange(200_000) + 0.5) / 200_000
    numbers = torch.as_tensor(NUMBERS[0, :, 2:]).expand(len(grid), 2, 1)
    density = HEADS[head].log_prob(numbers, torch.as_tensor(grid)[:, None]).exp()
    assert float(density.mean()) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("head", HEADS)
def test_samples_have_the_density_they_are_given(head: str) -> None:
    """The probability integral transform of samples, through the density, is uniform."""
    numbers = np.tile(NUMBERS[:1, :, :1], (4000, 1, 1))
    points = HEADS[head].sample(numbers, rng())[:, 0]
    grid = (np.arange(20_000) + 0.5) / 20_000
    log_density = HEADS[head].log_prob(
        torch.as_tensor(np.tile(NUMBERS[:1, :, :1], (len(grid), 1, 1))),
        torch.as_tensor(grid)[:, None],
    )
    cumulative = np.cumsum(log_density.exp().numpy()) / len(grid)
    assert stats.kstest(np.interp(points, grid, cumulative), "uniform").pvalue > 0.01


@pytest.mark.parametrize("head", HEADS)
def test_entropies_are_the_mean_of_minus_the_log_density(head: str) -> None:
    numbers = np.tile(NUMBERS[:1], (100_000, 1, 1))
    points = HEADS[head].sample(numbers, rng())
    log_prob = HEADS[head].log_prob(torch.as_tensor(numbers), torch.as_tensor(points)).numpy()
    got = float(HEADS[head].entropy(torch.as_tensor(NUMBERS[:1])))
    assert got == pytest.approx(-log_prob.mean(), abs=4.0 * log_prob.std() / np.sqrt(len(log_prob)))


@pytest.mark.parametrize("head", HEADS)
def test_a_fresh_designer_is_close_to_uniform(head: str) -> None:
    designer = Designer(8, 2, rng(), head=head)  # type: ignore[arg-type]
    points = designer.propose(rng().standard_normal((4000, 8)), rng()).points
    inner = (points.reshape(-1, 1) < np.array([0.1, 0.25, 0.5, 0.75, 0.9])).mean(axis=0)
    assert inner == pytest.approx([0.1, 0.25, 0.5, 0.75, 0.9], abs=0.06)


def learned(head: str, rounds: int = 60, sign: float = 1.0) -> Array:
    """Designs after training towards the corner (1, 0)."""
    source, designer = rng(), Designer(4, 2, rng(), head=head, learning_rate=3e-3)  # type: ignore[arg-type]
    for _ in range(rounds):
        proposal = designer.propose(source.standard_normal((16, 4)), source)
        reward = sign * (proposal.points[:, 0] - proposal.points[:, 1])
        designer.learn(proposal, 100.0 * reward + 7.0, entropy=0.01)
    return designer.propose(source.standard_normal((400, 4)), source).points


@pytest.mark.parametrize("head", HEADS)
def test_it_learns_to_propose_what_is_rewarded_whatever_the_scale(head: str) -> None:
    x, y = learned(head).mean(axis=0)
    assert x > 0.8
    assert y < 0.2


def test_entropy_alone_widens_a_narrow_designer() -> None:
    source, designer = rng(), Designer(4, 2, rng(), learning_rate=1e-2)
    with torch.no_grad():
        list(designer.network.parameters())[-1].fill_(4.0)  # Beta(5, 5)
    before = designer.propose(source.standard_normal((400, 4)), source).points.std()
    for _ in range(30):
        proposal = designer.propose(source.standard_normal((16, 4)), source)
        metrics = designer.learn(proposal, np.zeros(16), entropy=0.1)
    after = designer.propose(source.standard_normal((400, 4)), source).points.std()
    assert after > 1.2 * before
    assert -0.2 < metrics["designer_entropy"] < 0.0


def test_the_ratio_of_new_designs_starts_at_one() -> None:
    """Densities are recomputed from the points that were proposed, so they agree before a step."""
    designer = Designer(4, 3, rng(), epochs=1)
    proposal = designer.propose(rng().standard_normal((16, 4)), rng())
    metrics = designer.learn(proposal, rng().random(16), entropy=0.0)
    assert metrics["designer_kl"] == pytest.approx(0.0, abs=1e-12)
    assert metrics["designer_clip_fraction"] == 0.0


def test_the_first_step_is_the_policy_gradient() -> None:
    """Plain stochastic gradient of -mean(advantage * log density), to first order in the step."""
    designer = Designer(4, 2, rng(), epochs=1, normalise=False)
    proposal = designer.propose(rng().standard_normal((16, 4)), rng())
    reward = rng().random(16)
    numbers = designer._numbers(torch.as_tensor(proposal.context))
    log_prob = designer.head.log_prob(numbers, torch.as_tensor(proposal.points))
    loss = -(torch.as_tensor(reward - reward.mean()) * log_prob).mean()
    parameters = list(designer.network.parameters())
    expected = torch.autograd.grad(loss, parameters)
    designer.learn(proposal, reward, entropy=0.0)
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient, atol=1e-12)


def test_it_learns_from_the_last_designs_only() -> None:
    designer = Designer(4, 2, rng(), memory=20)
    for k in range(4):
        proposal = designer.propose(rng().standard_normal((8, 4)), rng())
        designer.learn(proposal, np.full(8, float(k)), entropy=0.0)
    assert designer.state()[0]["kept.reward"].tolist() == [1.0] * 4 + [2.0] * 8 + [3.0] * 8


def test_no_designs_are_nothing_to_learn_from() -> None:
    designer = Designer(4, 2, rng())
    proposal = designer.propose(np.empty((0, 4)), rng())
    assert designer.learn(proposal, np.empty(0), entropy=0.1) == {}


def test_the_running_deviation_is_that_of_all_numbers() -> None:
    scale, values = RunningStd(), rng().normal(50.0, 3.0, 100)
    assert scale.std == 1.0
    for part in np.split(values, [1, 10, 10, 60]):
        scale.update(part)
    assert scale.std == pytest.approx(values.std())
    constant = RunningStd()
    constant.update(np.full(5, 0.3))
    assert constant.std == 1.0


def test_it_draws_from_the_generator_it_is_given_and_no_other() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    expected = float(torch.rand(1)), np.random.random()
    torch.manual_seed(0)
    np.random.seed(0)
    first, second = learned("beta", rounds=3), learned("beta", rounds=3)
    assert np.array_equal(first, second)
    assert (float(torch.rand(1)), np.random.random()) == expected


def test_the_state_of_a_network_of_another_shape_is_refused() -> None:
    tensors, values = Designer(4, 2, rng(), hidden=8).state()
    with pytest.raises(RoboAdvError, match="hyper-parameters it was trained with"):
        Designer(4, 2, rng(), hidden=16).load_state(tensors, values)
