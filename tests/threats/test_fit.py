"""Fits: copies of policies and robust critics are what closed forms say they must be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from robo_adv.threats.fit import Stack, imitate
from robo_adv.threats.lab import Transitions
from robo_adv.threats.sarsa import Member, SarsaFit, bounded, fit_critics, targets

Array = npt.NDArray[Any]
KEEP, GAIN, DISCOUNT = 0.9, 0.5, 0.8  # s' = KEEP s + a, the controller's a = -GAIN s


def rows(observation: Array, action: Array, **more: Array) -> Transitions:
    """Steps of 4 rows side by side, of which nothing ends unless told."""
    shape = observation.shape[:2]
    none = np.zeros(shape, dtype=bool)
    known = {"reward": np.zeros(shape), "next_observation": observation, "terminated": none,
             "ended": none}  # fmt: skip
    return Transitions(observation, action, **{**known, **more})


def network(seed: int = 0, members: int = 3) -> Stack:
    return Stack(members, (5, 16, 16, 1), "relu", torch.Generator().manual_seed(seed))


def test_a_copy_of_a_linear_policy_acts_like_it_where_it_was_watched() -> None:
    rng = np.random.default_rng(0)
    seen = 3.0 + rng.uniform(-1.7, 1.7, size=(1000, 4, 3)) * [1.0, 0.01, 20.0]
    gains = np.array([[0.5, -30.0], [10.0, 0.0], [0.02, 1.0]])
    copy = imitate(rows(seen, seen @ gains + 7.0), np.random.default_rng(1), epochs=100)
    new = 3.0 + rng.uniform(-1.6, 1.6, size=(200, 3)) * [1.0, 0.01, 20.0]
    told = copy.mean(torch.as_tensor(new)).numpy()
    away = (told - (new @ gains + 7.0)) / (seen @ gains).std(axis=(0, 1))
    assert copy.error < 1e-4 and np.sqrt((away**2).mean()) < 1e-2
    assert copy.normaliser[1] == pytest.approx([1.0, 0.01, 20.0], rel=0.1)
    assert copy.steps == 900 * 4


def test_a_copy_is_not_flat_where_the_controller_is_at_the_end_of_its_range() -> None:
    """A copy of what is executed alone would hide where the controller wants to go."""
    seen = np.random.default_rng(0).normal(size=(500, 4, 1))
    copy = imitate(rows(seen, np.clip(3.0 * seen, -1.0, 1.0)), np.random.default_rng(1))
    low, middle, high = copy.mean(torch.tensor([[-0.6], [0.0], [0.6]])).numpy()[:, 0]
    assert low < -1.2 and abs(middle) < 0.1 and high > 1.2


def test_a_copy_of_noise_says_that_it_explains_nothing() -> None:
    rng = np.random.default_rng(0)
    seen, action = rng.normal(size=(300, 4, 3)), rng.normal(size=(300, 4, 2))
    assert imitate(rows(seen, action), np.random.default_rng(1)).error > 0.8


def test_the_same_seed_gives_the_same_copy() -> None:
    seen = np.random.default_rng(0).normal(size=(100, 4, 2))
    first, second = (
        imitate(rows(seen, np.sin(seen)), np.random.default_rng(3), epochs=3) for _ in range(2)
    )
    pairs = zip(first.mean.layers, second.mean.layers, strict=True)
    assert all(torch.equal(a.weight, b.weight) for a, b in pairs)


def test_bounds_of_critics_hold_for_every_action_in_the_box() -> None:
    net, box = network(), torch.tensor([0.05, 0.3, 1.0])[:, None, None]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 5, generator=generator)
    with torch.no_grad():
        value, low, high = bounded(net, x, 3, box)
        widest = torch.zeros(3)
        for _ in range(300):
            move = torch.sign(torch.rand(3, 64, 2, generator=generator) - 0.5) * box
            moved = x.expand(3, -1, -1).clone()
            moved[..., 3:] += move
            got = net(moved)[..., 0]
            assert (low - 1e-5 <= got).all() and (got <= high + 1e-5).all()
            widest = torch.maximum(widest, (got - value).abs().amax(dim=1))
        exact, same, too = bounded(net, x, 3, torch.zeros(3, 1, 1))
    assert (widest > 0.1 * (high - value).mean(dim=1)).all()  # they are no fantasy either
    torch.testing.assert_close(exact, net(x)[..., 0].detach())
    torch.testing.assert_close(same, exact)
    torch.testing.assert_close(too, exact)


def test_targets_are_discounted_sums_that_stop_where_episodes_end() -> None:
    """With lambda 1 and critics that say 10 of everything."""
    net = network(members=1)
    with torch.no_grad():
        for weight, bias in zip(net.weights, net.biases, strict=True):
            weight.zero_()
            bias.zero_()
        net.biases[-1].fill_(10.0)
    reward = torch.tensor([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]])  # 3 steps, 3 rows
    ended = np.zeros((3, 3), dtype=bool)
    ended[1, 1:] = True  # row 1 terminates, row 2 is cut off after the second step
    terminated = ended & (np.arange(3) == 1)
    seen = rows(np.zeros((3, 3, 3)), np.zeros((3, 3, 2)), ended=ended, terminated=terminated)
    half = torch.full((1, 1, 1), 0.5)
    found = targets(net, torch.zeros(9, 5), reward[None], seen, half, 1.0)[0].reshape(3, 3)
    last = 4.0 + 0.5 * 10.0
    wanted = [[1 + 0.5 * (2 + 0.5 * last), 1 + 0.5 * 2, 1 + 0.5 * (2 + 0.5 * 10)],
              [2 + 0.5 * last, 2, 2 + 0.5 * 10], [last] * 3]  # fmt: skip
    torch.testing.assert_close(found, torch.tensor(wanted))


def linear_system() -> Transitions:
    """s' = KEEP s + a under the controller with some exploration, paid -(s^2 + a^2)."""
    rng, s = np.random.default_rng(0), np.random.default_rng(1).normal(size=4)
    columns: list[list[Array]] = [[], [], [], []]
    for _ in range(1000):
        a = -GAIN * s + 0.7 * rng.normal(size=4)
        after = KEEP * s + a
        for column, value in zip(columns, (s, a, -(s**2) - a**2, after), strict=True):
            column.append(value)
        s = np.where(rng.random(4) < 0.05, 2.0 * rng.normal(size=4), after)
    s_, a_, r_, n_ = (np.array(column) for column in columns)
    jumped = np.concatenate([s_[1:] != n_[:-1], np.ones((1, 4), bool)])
    return rows(s_[..., None], a_[..., None], reward=r_, next_observation=n_[..., None],
                ended=jumped)  # fmt: skip


def test_critics_of_a_linear_system_are_the_solution_of_its_bellman_equation() -> None:
    """Q(s, a) = -s^2 - a^2 - gamma p (KEEP s + a)^2, p the cost of the controller's own loop."""
    p = (1.0 + GAIN**2) / (1.0 - DISCOUNT * (KEEP - GAIN) ** 2)
    seen = linear_system()
    how = SarsaFit(trace=0.0, epochs=30, batch=256, rate=3e-3)
    (critic,) = fit_critics(
        seen, lambda s: -GAIN * s, [Member(DISCOUNT, 0.01, 0.0)], np.random.default_rng(0), how
    )
    rng = np.random.default_rng(5)
    s, a = rng.uniform(-1.0, 1.0, 400), rng.uniform(-1.0, 1.0, 400)
    value, slope = critic.value_and_slope(
        torch.as_tensor(s[:, None]), torch.as_tensor(a[:, None]).float()
    )
    wanted = -(s**2) - a**2 - DISCOUNT * p * (KEEP * s + a) ** 2
    downhill = -2.0 * a - 2.0 * DISCOUNT * p * (KEEP * s + a)
    assert np.corrcoef(value, wanted)[0, 1] > 0.98
    assert np.corrcoef(slope[:, 0], downhill)[0, 1] > 0.95


def test_the_regulariser_flattens_critics_within_the_box() -> None:
    how = SarsaFit(trace=0.0, epochs=6, batch=256, rate=3e-3)
    free, held = fit_critics(
        linear_system(),
        lambda s: -GAIN * s,
        [Member(DISCOUNT, 0.2, weight) for weight in (0.0, 100.0)],
        np.random.default_rng(0),
        how,
    )
    s, a = torch.zeros(50, 1), torch.linspace(-0.5, 0.5, 50)[:, None]
    steep = [c.value_and_slope(s, a)[1].abs().mean() for c in (free, held)]
    assert steep[1] < 0.2 * steep[0]


def test_actions_beyond_those_seen_are_judged_like_the_nearest_with_a_way_back() -> None:
    (critic,) = fit_critics(
        linear_system(), lambda s: -GAIN * s, [Member(DISCOUNT, 0.05, 0.1)], np.random.default_rng(0),
        SarsaFit(epochs=2),
    )  # fmt: skip
    s, far = torch.zeros(2, 1), torch.tensor([[50.0], [float(critic.high[0])]])
    value, slope = critic.value_and_slope(s, far)
    assert value[0] == pytest.approx(float(value[1]))
    assert slope[0] == pytest.approx(float(slope[1])) != 0
