"""Rewards follow their formulas and have the signs that their survival bias states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from robo_adv.imitation.rewards import FAIRL_LIMIT, REWARDS

Numbers = npt.NDArray[np.float64]
LOGITS = torch.linspace(-6.0, 6.0, 121, dtype=torch.float64)


def _d(logit: Numbers) -> Numbers:
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


FORMULAS: dict[str, Callable[[Numbers], Numbers]] = {
    "gail": lambda x: -np.log(1.0 - _d(x)),
    "negative": lambda x: np.log(_d(x)),
    "airl": lambda x: np.log(_d(x)) - np.log(1.0 - _d(x)),
    "fairl": lambda x: np.clip(_d(x) / (1 - _d(x)) * -np.log(_d(x) / (1 - _d(x))), -10.0, 10.0),
    "bounded": _d,
    "amp": lambda x: np.maximum(0.0, 1.0 - (x - 1.0) ** 2 / 4.0),
}


def test_every_reward_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(REWARDS)


@pytest.mark.parametrize("name", REWARDS)
def test_a_reward_is_its_formula_in_d(name: str) -> None:
    got = REWARDS[name](LOGITS).numpy()
    np.testing.assert_allclose(got, FORMULAS[name](LOGITS.numpy()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", REWARDS)
def test_survival_bias_is_the_sign_that_a_reward_never_leaves(name: str) -> None:
    values = REWARDS[name](LOGITS)
    never_negative, never_positive = bool((values >= 0).all()), bool((values <= 0).all())
    assert REWARDS[name].survival == int(never_negative) - int(never_positive)


@pytest.mark.parametrize("name", ["gail", "negative", "airl", "bounded"])
def test_a_step_more_like_the_experts_earns_more(name: str) -> None:
    assert bool((REWARDS[name](LOGITS).diff() > 0).all())


def test_forward_kl_pays_most_where_the_expert_is_e_times_rarer_than_the_learner() -> None:
    values = REWARDS["fairl"](LOGITS)
    best = int(values.argmax())
    assert LOGITS[best].item() == pytest.approx(-1.0, abs=0.05)
    assert values[best].item() == pytest.approx(np.exp(-1.0))


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_stay_finite_at_extreme_logits(name: str) -> None:
    values = REWARDS[name](torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]))
    assert bool(torch.isfinite(values).all())
    if name == "fairl":
        assert values[-1].item() == -FAIRL_LIMIT
