"""The policy network: normalisation in closed form, and actions of a seed, not of a batch."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import stats

from robo_adv import seeding
from robo_adv.policy import Driver
from robo_adv.training.network import (
    CLIP,
    EPSILON,
    NetworkPolicy,
    NormalisedObservation,
    build_network,
    load_network_weights,
    network_weights,
)

Array = npt.NDArray[Any]
SIZE, ACTIONS = 6, 3


def _normaliser(size: int = 4) -> NormalisedObservation:
    return NormalisedObservation(gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32))


def _policy(seed: int = 0, net_arch: tuple[int, ...] = (16,)) -> NetworkPolicy:
    torch.manual_seed(seed)
    return NetworkPolicy(build_network(SIZE, ACTIONS, net_arch, "tanh"))


@pytest.mark.parametrize("sizes", [(7,), (1, 1, 1), (5, 64, 2, 300), (1000, 3)])
def test_parallel_variance_equals_that_of_all_samples_at_once(sizes: tuple[int, ...]) -> None:
    """Chan, Golub and LeVeque 1979, with means far from 0, where naive sums lose all digits."""
    random = np.random.default_rng(len(sizes))
    offset, scale = np.array([0.0, 1e4, -3.0, 1e-3]), np.array([1.0, 1e-2, 10.0, 1e-5])
    batches = [offset + scale * random.standard_normal((n, 4)) for n in sizes]
    normaliser = _normaliser()
    for batch in batches:
        normaliser.update(torch.as_tensor(batch))
    everything = np.concatenate(batches)
    assert float(normaliser.count) == len(everything)
    np.testing.assert_allclose(normaliser.mean.numpy(), everything.mean(0), rtol=1e-12)
    np.testing.assert_allclose(normaliser.var.numpy(), everything.var(0), rtol=1e-7, atol=1e-18)


def test_observations_pass_unchanged_before_the_first_update_and_are_whitened_after() -> None:
    normaliser, x = _normaliser(), torch.tensor([[1.0, -2.0, 3.0, 4.0]])
    assert torch.allclose(normaliser(x), x, rtol=1e-6)
    data = torch.tensor([[0.0, 0.0, 5.0, -1.0], [2.0, 4.0, 5.0, 1.0]])
    normaliser.update(data)
    expected = (x.double() - data.double().mean(0)) / (
        data.double().var(0, unbiased=False) + EPSILON
    ).sqrt()
    got = normaliser(x)
    assert torch.allclose(got.double(), expected.clamp(-CLIP, CLIP), rtol=1e-5)
    assert got[0, 2] == -CLIP  # that entry never varied


def test_statistics_travel_with_the_weights() -> None:
    first, second = _policy(0), _policy(1)
    first.network.features_extractor.update(torch.randn(50, SIZE) * 7 + 3)  # type: ignore[operator]
    load_network_weights(second.network, network_weights(first.network))
    x = np.random.default_rng(0).standard_normal((40, SIZE)).astype(np.float32)
    assert np.array_equal(
        first.predict(x, None, None, True)[0], second.predict(x, None, None, True)[0]
    )


def test_weights_are_copies_that_name_shared_layers_once() -> None:
    policy = _policy()
    weights = network_weights(policy.network)
    assert not [name for name in weights if name.startswith(("pi_features", "vf_features"))]
    weights["log_std"] += 1.0
    assert policy.network.log_std.tolist()[0] == 0.0


def test_gradients_pass_from_actions_to_raw_observations() -> None:
    policy = _policy()
    policy.network.features_extractor.update(torch.randn(50, SIZE) * 3)  # type: ignore[operator]
    x = torch.randn(4, SIZE, requires_grad=True)
    (gradient,) = torch.autograd.grad(policy.mean(x).sum(), x)
    assert gradient.abs().min() > 0


def test_sampled_actions_depend_on_the_episode_seed_and_step_alone() -> None:
    policy, n = _policy(), 40
    with torch.no_grad():
        policy.network.log_std.fill_(-3.0)  # no action is clipped
    seeds = np.arange(100, 100 + n, dtype=np.uint64)
    x = np.tile(np.linspace(-1, 1, SIZE, dtype=np.float32), (n, 1))

    def acts(order: Array) -> list[Array]:
        driver = Driver(policy, len(order), deterministic=False)
        driver.begin(np.arange(len(order)), seeds[order], x[order])
        return [driver.act(x[order]) for _ in range(3)]

    whole = acts(np.arange(n))
    torch.manual_seed(1), np.random.seed(1)
    order = np.random.default_rng(5).permutation(n)
    for step, shuffled in enumerate(acts(order)):
        assert np.array_equal(shuffled, whole[step][order])
    for step, alone in enumerate(acts(np.array([17]))):
        assert np.array_equal(alone[0], whole[step][17])
    assert len(np.unique(whole[0][:, 0])) == n  # seeds differ
    assert not np.isclose(whole[0], whole[1]).any()  # steps differ


def test_an_episode_that_starts_in_the_middle_of_a_batch_draws_from_its_own_step_zero() -> None:
    policy, x = _policy(), np.zeros((3, SIZE), dtype=np.float32)
    driver = Driver(policy, 3, deterministic=False)
    driver.begin(np.arange(3), np.array([1, 2, 3], dtype=np.uint64), x)
    first = driver.act(x)
    driver.act(x)
    driver.begin(np.array([1]), np.array([3], dtype=np.uint64), x)
    assert np.array_equal(driver.act(x)[1], first[2])


def test_sampled_actions_have_the_networks_standard_deviation() -> None:
    policy, n = _policy(), 4000
    with torch.no_grad():
        policy.network.log_std.copy_(torch.log(torch.tensor([0.05, 0.1, 0.2])))
    x = np.zeros((n, SIZE), dtype=np.float32)
    seeds = seeding.as_seeds(np.arange(n))
    state = policy.start(seeds, x)
    mode, _ = policy.predict(x, state, None, True)
    sampled, _ = policy.predict(x, state, None, False)
    assert np.ptp(mode, axis=0).max() == 0.0
    z = (sampled - mode) / np.array([0.05, 0.1, 0.2])
    for column in z.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(z.T) - np.eye(ACTIONS)).max() < 0.07


def test_actions_stay_in_the_box() -> None:
    policy = _policy()
    with torch.no_grad():
        policy.network.log_std.fill_(5.0)
    action, _ = policy.predict(np.zeros((64, SIZE), np.float32))
    assert np.abs(action).max() == 1.0


@pytest.mark.xfail(
    strict=False,  # depends on the processor's matrix kernels
    reason="MKL's kernels for narrow layers (inputs not a multiple of 4, 2..11 outputs) depend on "
    "whether the row's number is even, so an episode depends on its place in the batch",
)
@pytest.mark.parametrize("net_arch", [(8,), (30,), ()])
def test_actions_do_not_depend_on_the_row_whatever_the_widths(net_arch: tuple[int, ...]) -> None:
    policy = _policy(0, net_arch)
    for parameter in policy.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = np.repeat(np.random.default_rng(0).standard_normal((1, SIZE)), 32, axis=0)
    action, _ = policy.predict(x.astype(np.float32), None, None, True)
    assert np.ptp(action, axis=0).max() == 0.0
