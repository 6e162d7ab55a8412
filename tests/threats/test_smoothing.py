"""Policy smoothing: its noise, and a certificate that holds, is tight, and says when it is vacuous."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.threats.smoothing import (
    CertifiedReturns,
    Smoothed,
    certified_returns,
    certified_share,
    episode_radius,
)

Array = npt.NDArray[Any]
STEPS, SIGMA, EPS = 25, 0.5, 0.1
SHIFT = EPS * math.sqrt(STEPS) / SIGMA


class Linear:
    """Does w . (what it sees), and remembers in its state what it saw first."""

    weight = np.array([0.6, -0.8])

    def start(self, seeds: Array, observation: Array) -> tuple[Array, ...]:
        return (observation.copy(),)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return observation @ self.weight[:, None], state


def returns(first: int, episodes: int, attack: float = 0.0) -> Array:
    """The sum of a smoothed linear controller's actions; the worst attack moves what it sees against
    its weight, which has length 1. Normal, with mean -attack STEPS and deviation SIGMA sqrt(STEPS)."""
    policy = Smoothed(Linear(), SIGMA, np.ones(2))
    seen = np.tile(-attack * Linear.weight, (episodes, 1))
    state: State = policy.start(np.arange(first, first + episodes, dtype=np.uint64), seen)
    total = np.zeros(episodes)
    for _ in range(STEPS):
        action, state = policy.predict(seen, state)
        total += action[:, 0]
    return total


def test_a_linear_return_is_as_normal_as_its_closed_form_says() -> None:
    for attack in (0.0, EPS):
        found = returns(0, 4000, attack)
        scale = SIGMA * math.sqrt(STEPS)
        assert found.mean() == pytest.approx(-attack * STEPS, abs=4 * scale / math.sqrt(4000))
        assert found.std() == pytest.approx(scale, rel=0.05)


def test_certified_medians_hold_under_the_worst_attack_as_often_as_they_say_and_are_tight() -> None:
    """On a linear return the certificate is exact, so only the sampling makes it smaller."""
    median = -EPS * STEPS  # under attack
    sample = returns(10_000, 400 * 100).reshape(400, 100)
    value = np.array([certified_returns(r, EPS, SIGMA, STEPS).value[0] for r in sample])
    held = int((value <= median).sum())
    assert stats.binomtest(held, len(value), 0.95, "less").pvalue > 0.001
    assert held < len(value)  # a bound that always holds would be looser than it says
    assert np.median(median - value) < 0.5 * SIGMA * math.sqrt(STEPS)


def test_certified_shares_hold_under_the_worst_attack_and_are_tight() -> None:
    sample = returns(10_000, 400 * 100).reshape(400, 100)
    floor = -0.5 * SIGMA * math.sqrt(STEPS)
    attacked = float(stats.norm.cdf(0.5 - SHIFT))  # P(return >= floor) under attack
    radius = float(episode_radius(EPS, STEPS))
    shares = [certified_share(int((r >= floor).sum()), 100, radius, SIGMA) for r in sample]
    held = int((np.array(shares) <= attacked).sum())
    assert stats.binomtest(held, 400, 0.95, "less").pvalue > 0.001 and held < 400
    assert np.median(attacked - np.array(shares)) < 0.15


def test_without_a_budget_the_certificate_is_the_usual_bound_of_a_quantile() -> None:
    """The 95 % lower bound of the median from 100 draws is the 42nd smallest (binomial tables)."""
    found = certified_returns(np.arange(1.0, 101.0), [0.0], 1.0, 10)
    assert found.value.tolist() == [42.0] and found.clean == 50.5
    low = stats.binomtest(95, 100).proportion_ci(0.90, "exact").low  # one-sided 95 %
    assert certified_share(95, 100, 0.0, 1.0) == pytest.approx(low)


def test_a_larger_budget_certifies_less_until_nothing() -> None:
    found = certified_returns(np.random.default_rng(0).normal(size=500), np.arange(0, 6), 1.0, 1)
    assert (np.diff(found.value[~found.vacuous]) <= 0).all()
    assert not found.vacuous[0] and found.vacuous[-1]
    assert found.told() == "Certifies a return up to a budget of 2, beyond which it is vacuous."
    shares = [certified_share(95, 100, r, 1.0) for r in (0.0, 0.5, 1.0, 8.0)]
    assert shares == sorted(shares, reverse=True) and shares[-1] < 1e-9
    assert certified_share(0, 100, 0.0, 1.0) == 0.0


def test_the_usual_attack_over_a_thousand_steps_is_called_vacuous() -> None:
    found = certified_returns(np.full(500, 3000.0), [0.05, 0.1], 0.2, 1000)
    assert found.vacuous.all() and "Vacuous at every budget" in found.told()
    assert "7.91 standard deviations" in found.told()
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [line["return"] for line in told["budgets"]] == [None, None]


def test_nothing_is_certified_exactly_from_where_it_says() -> None:
    told = certified_returns(np.zeros(200), [9.0], 1.0, 1).told()
    largest = float(told.split("nothing beyond ")[1].rstrip("."))
    near = certified_returns(np.zeros(200), [largest - 0.06, largest + 0.06], 1.0, 1)
    assert near.vacuous.tolist() == [False, True]
    assert "4 episodes are too few" in certified_returns(np.zeros(4), [0.0], 1.0, 1).told()


def test_a_box_is_certified_by_the_ball_around_it() -> None:
    assert float(episode_radius(0.1, 25)) == pytest.approx(0.5)
    assert float(episode_radius(0.1, 25, "linf", 9)) == pytest.approx(1.5)
    draws = np.random.default_rng(0).normal(size=200)
    a = certified_returns(draws, 0.3, 1.0, 4, norm="linf", entries=4)
    b = certified_returns(draws, 0.6, 1.0, 4)
    assert a.value == b.value


def test_noise_is_fresh_in_each_step_and_does_not_depend_on_the_neighbours() -> None:
    policy, scale = Smoothed(Linear(), 2.0, np.array([1.0, 0.0])), np.array([1.0, 0.0])
    seeds, seen = np.arange(500, dtype=np.uint64), np.zeros((500, 2))
    state: State = policy.start(seeds, seen)
    first, state = policy.predict(seen, state)
    second, _ = policy.predict(seen, state)
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.15
    assert first.std() == pytest.approx(2.0 * 0.6, rel=0.1)  # of weight and scale
    alone = Smoothed(Linear(), 2.0, scale)
    one, _ = alone.predict(seen[7:8], alone.start(seeds[7:8], seen[7:8]))
    assert one[0, 0] == pytest.approx(first[7, 0], rel=1e-12)


def test_the_controller_never_sees_an_observation_without_noise() -> None:
    policy, seen = Smoothed(Linear(), 1.0, np.ones(2)), np.zeros((5, 2), np.float32)
    state = policy.start(np.arange(5, dtype=np.uint64), seen)
    assert state[2].dtype == np.float32 and np.abs(state[2]).min() > 0.0
    action, after = policy.predict(seen, state)
    np.testing.assert_allclose(action[:, 0], state[2] @ Linear.weight)  # the first step's own noise
    assert after is not None and np.array_equal(after[2], state[2])


def test_without_noise_it_is_the_controller_itself() -> None:
    seen = np.random.default_rng(0).normal(size=(5, 2))
    assert np.array_equal(
        Smoothed(Linear(), 0.0, np.ones(2)).predict(seen)[0], Linear().predict(seen)[0]
    )


def certificate(**changes: Any) -> CertifiedReturns:
    given: dict[str, Any] = {"returns": np.zeros(9), "eps": 0.1, "sigma": 1.0, "steps": 9}
    return certified_returns(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"returns": np.zeros(0)}, "at least one episode"),
        ({"returns": np.array([np.nan])}, "finite returns"),
        ({"sigma": 0.0}, "sigma above 0"),
        ({"eps": -0.1}, "finite returns and budgets"),
        ({"steps": 0}, "at least 1 step"),
        ({"quantile": 1.0}, "between 0 and 1"),
        ({"confidence": 0.3}, "at least 0.5"),
        ({"norm": "l1"}, "unknown norm"),
    ],
)
def test_what_cannot_be_certified_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(RoboAdvError, match=why):
        certificate(**changes)


@pytest.mark.parametrize(("sigma", "scale"), [(-1.0, 1.0), (math.inf, 1.0), (1.0, -1.0)])
def test_noise_that_makes_no_sense_is_refused(sigma: float, scale: float) -> None:
    with pytest.raises(RoboAdvError, match="at least 0"):
        Smoothed(Linear(), sigma, np.full(2, scale))
