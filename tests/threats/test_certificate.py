"""Certificates: no attack goes beyond the bound, and a bound that says nothing says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from robo_adv.agents.access import network_access
from robo_adv.agents.named import bundle_folder
from robo_adv.bundle import load_bundle
from robo_adv.errors import RoboAdvError
from robo_adv.threats.access import Access
from robo_adv.threats.bounds import Ball
from robo_adv.threats.certificate import Certificate, certify, why_not
from robo_adv.threats.mlp import MLP

Array = npt.NDArray[Any]
BALLS: tuple[Ball, ...] = ("linf", "l2")
ONE = np.ones(2)


def linear(gain: float = 0.1) -> tuple[Access, Array]:
    """A controller of one linear layer, with its weight (2, 4)."""
    torch.manual_seed(0)
    layer = nn.Linear(4, 2)
    layer.weight.data *= gain
    return Access(mean=MLP.of([layer])), layer.weight.detach().double().numpy()


def zoo(name: str) -> tuple[Access, Array]:
    """Access to a policy of the zoo, and observations (n, d), some of them beyond its clip."""
    folder = bundle_folder(name)
    assert folder is not None
    access = network_access(load_bundle(folder).policy)
    assert access.normaliser is not None
    mean, std = access.normaliser
    spread = np.repeat([0.7, 3.0, 15.0], 12)[:, None]
    noise = np.random.default_rng(0).normal(size=(36, len(mean)))
    return access, (mean + std * spread * noise).astype(np.float32)


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize(
    "name", ["zoo:push-panda-s1", "zoo:kicker-omni4-s2", "zoo:pick-and-place-panda-s2"]
)
def test_no_attack_on_a_policy_of_the_zoo_goes_beyond_its_bound(name: str, norm: Ball) -> None:
    access, seen = zoo(name)
    assert access.normaliser is not None and isinstance(access.mean, MLP)
    ends = np.ones(len(access.mean.layers[-1].bias))
    for budget in (0.02, 0.1, 1.0):
        radius = budget * access.normaliser[1]
        found = certify(access, seen, radius, -ends, ends, norm=norm)
        assert (found.found <= found.change).all()
        assert (found.low <= found.clean).all() and (found.clean <= found.high).all()
        assert (found.low >= -1.0).all() and (found.high <= 1.0).all()
        assert found.found.max() > 0.001


@pytest.mark.parametrize("norm", BALLS)
def test_bound_and_attack_meet_on_a_linear_controller(norm: Ball) -> None:
    access, weight = linear()
    seen = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    radius = np.array([0.1, 0.0, 0.5, 0.2])
    each = np.abs(weight * radius)
    reach = each.sum(axis=1) if norm == "linf" else np.sqrt((each**2).sum(axis=1))
    found = certify(access, seen, radius, -9.0 * ONE, 9.0 * ONE, norm=norm)
    np.testing.assert_allclose(found.change, np.broadcast_to(reach, (16, 2)), atol=1e-5)
    np.testing.assert_allclose(found.found, found.change, rtol=2e-2, atol=1e-5)
    assert (found.found <= found.change).all()


def test_actions_that_are_clipped_change_no_more_than_their_range_allows() -> None:
    access, _ = linear(gain=10.0)
    seen = np.full((1, 4), 10.0)
    mean = access.mean
    assert mean is not None
    wanted = mean(torch.as_tensor(seen).float()).numpy()
    assert (np.abs(wanted) > 2.0).all()
    found = certify(access, seen, np.full(4, 1e-3), -ONE, ONE)
    assert not found.change.any() and not found.found.any() and not found.vacuous.any()
    assert found.raw_width > 0.0 and "more than 0 % of its range" in found.told()


def test_an_action_at_the_end_of_its_range_can_still_change_the_other_way() -> None:
    access, weight = linear()
    seen, radius = np.zeros((1, 4), np.float32), np.full(4, 0.5)
    clean = certify(access, seen, radius, -9.0 * ONE, 9.0 * ONE).clean[0]
    reach = 0.5 * np.abs(weight).sum(axis=1)
    for low, high in ((-9.0 * ONE, clean + 1e-4), (clean - 1e-4, 9.0 * ONE)):
        found = certify(access, seen, radius, low, high)
        np.testing.assert_allclose(found.change[0], reach, atol=1e-5)
        np.testing.assert_allclose(found.found[0], reach, rtol=1e-3)
        np.testing.assert_allclose((found.high - found.low)[0], reach + 1e-4, atol=1e-5)


def test_a_bound_that_allows_everything_is_called_vacuous() -> None:
    access, _ = linear()
    seen = np.random.default_rng(0).normal(size=(8, 4))
    found = certify(access, seen, np.full(4, 1e4), -ONE, ONE).to_json()
    assert found["vacuous"] == 1.0 and found["width"] == 1.0
    assert found["told"] == "Vacuous: in none of these states is any action ruled out."


def test_a_bound_that_allows_everything_in_some_states_says_in_how_many() -> None:
    low, high = np.array([[-1.0], [-0.5], [0.0], [-1.0]]), np.array([[1.0], [1.0], [0.5], [0.9]])
    found = Certificate(
        "linf", "crown", np.zeros((4, 1)), low, high, np.zeros((4, 1)), 1.0, -ONE[:1], ONE[:1]
    )  # fmt: skip
    assert found.vacuous.tolist() == [[True], [False], [False], [False]]
    assert found.told() == "Vacuous for 25 % of the pairs of state and action."
    assert found.change[:, 0].tolist() == [1.0, 1.0, 0.5, 1.0]


def test_its_figures_are_shares_of_each_actions_range() -> None:
    access, weight = linear()
    seen, radius = np.zeros((3, 4), np.float32), np.full(4, 0.1)
    high = np.array([2.0, 8.0])
    found = certify(access, seen, radius, -high, high).to_json()
    reach = 0.1 * np.abs(weight).sum(axis=1)
    assert found["change"] == pytest.approx(float((reach / (2.0 * high)).mean()), abs=1e-5)
    assert found["half_width"] == pytest.approx(found["change"], abs=1e-5)
    assert found["raw_width"] == pytest.approx(float(2.0 * reach.mean()), abs=1e-5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_same_seed_gives_the_same_certificate() -> None:
    access, seen = zoo("zoo:push-panda-s1")
    assert access.normaliser is not None
    ends, radius = np.ones(3), 0.1 * access.normaliser[1]
    first, again = (certify(access, seen, radius, -ends, ends).to_json() for _ in range(2))
    assert first == again


def test_controllers_that_cannot_be_bounded_say_why() -> None:
    access, _ = linear()
    assert why_not(access, -ONE, ONE) == ""
    assert "black box" in why_not(None, -ONE, ONE) and "black box" in why_not(Access(), -ONE, ONE)
    other = replace(access, mean=lambda seen: torch.sin(seen[:, :2]))
    assert "Linear layers with Tanh or ReLU" in why_not(other, -ONE, ONE)
    assert "no finite range" in why_not(access, -ONE, np.full(2, np.inf))
    seen, radius = np.zeros((2, 4)), np.zeros(4)
    for given, why in ((Access(), "black box"), (other, "Linear layers")):
        with pytest.raises(RoboAdvError, match=why):
            certify(given, seen, radius, -ONE, ONE)


@pytest.mark.parametrize(
    ("seen", "radius", "ends", "why"),
    [
        (np.zeros((0, 4)), np.zeros(4), ONE, r"observations \(n, d\), got \(0, 4\)"),
        (np.zeros((2, 3)), np.zeros(3), ONE, "takes 4 inputs"),
        (np.zeros((2, 4)), np.zeros(4), np.ones(3), "gives 2 actions, their space has 3"),
    ],
)
def test_what_does_not_fit_is_refused(seen: Array, radius: Array, ends: Array, why: str) -> None:
    with pytest.raises(RoboAdvError, match=why):
        certify(linear()[0], seen, radius, -ends, ends)
