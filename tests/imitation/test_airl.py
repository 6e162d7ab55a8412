"""AIRL: shaping cancels along an episode, and the optimum of f is the expert's log-probability."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.airl import ShapedNetwork, airl_logit, shaped
from robo_adv.imitation.discriminator import Discriminator, DiscriminatorConfig
from robo_adv.imitation.networks import mlp
from robo_adv.imitation.transitions import Transitions


def _network(state_only: bool = False) -> ShapedNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ShapedNetwork(3, 2, lambda n: mlp(n, (8,)), 0.9, state_only).double()


def _episode(length: int, terminated: bool) -> torch.Tensor:
    """Inputs (length, 9) = (s, s', a, terminated) of one episode."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(length + 1, 3, generator=generator, dtype=torch.float64)
    actions = torch.randn(length, 2, generator=generator, dtype=torch.float64)
    ended = torch.zeros(length, 1, dtype=torch.float64)
    ended[-1] = float(terminated)
    return torch.cat([states[:-1], states[1:], actions, ended], 1)


@pytest.mark.parametrize("terminated", [True, False])
def test_shaping_cancels_along_an_episode(terminated: bool) -> None:
    network, x = _network(), _episode(12, terminated)
    discounts = 0.9 ** torch.arange(12, dtype=torch.float64)
    with torch.no_grad():
        base, potential, following = network.parts(x)
        difference = (discounts * (network(x)[:, 0] - base)).sum()
    last = 0.0 if terminated else 0.9**12 * following[-1].item()
    assert difference.item() == pytest.approx(last - potential[0].item(), rel=1e-10)


def test_f_is_base_plus_discounted_next_potential_less_potential() -> None:
    one = torch.ones(2)
    f = shaped(one, 2 * one, 3 * one, torch.tensor([0.0, 1.0]), 0.5)
    assert f.tolist() == [1 + 1.5 - 2, 1 - 2]


def test_the_base_reads_state_and_action_or_the_state_alone() -> None:
    x = _episode(4, False)
    other = x.clone()
    other[:, 6:8] += 1.0  # the action
    assert not torch.equal(_network().parts(x)[0], _network().parts(other)[0])
    assert torch.equal(_network(True).parts(x)[0], _network(True).parts(other)[0])


def test_the_logit_is_the_log_odds_of_f_against_the_policy() -> None:
    f, log_prob = torch.tensor([0.3]), torch.tensor([-1.2])
    d = f.exp() / (f.exp() + log_prob.exp())
    torch.testing.assert_close(airl_logit(f, log_prob), (d / (1 - d)).log())


def _bandit(mean: float, n: int, seed: int) -> Transitions:
    action = np.random.default_rng(seed).normal(mean, 1.0, (n, 1)).astype(np.float32)
    state = np.zeros((n, 1), np.float32)
    return Transitions(state, action, state, np.ones(n, bool))


def test_the_learned_reward_is_the_experts_log_probability() -> None:
    config = DiscriminatorConfig(
        inputs="shaped",
        reward="airl",
        net_arch=(32, 32),
        gradient_penalty=0.0,
        entropy=0.0,
        learning_rate=3e-3,
        batch_size=512,
        updates=500,
    )
    expert, learner = _bandit(1.0, 8000, 0), _bandit(0.0, 8000, 1)
    policy = Normal(0.0, 1.0)
    log_probs = [
        policy.log_prob(torch.as_tensor(x.action[:, 0])).numpy()  # type: ignore[no-untyped-call]
        for x in (expert, learner)
    ]
    discriminator = Discriminator(1, 1, config)
    discriminator.fit_normaliser(expert)
    generator = torch.Generator().manual_seed(0)
    discriminator.train_round(expert, learner, generator, (log_probs[0], log_probs[1]))
    points = np.linspace(-0.5, 2.0, 6, dtype=np.float32)[:, None]
    zero = np.zeros_like(points)
    f = discriminator.reward(Transitions(zero, points, zero, np.ones(6, bool)))
    exact = Normal(1.0, 1.0).log_prob(torch.as_tensor(points[:, 0])).numpy()  # type: ignore[no-untyped-call]
    np.testing.assert_allclose(f, exact, atol=0.2)


def test_shaped_inputs_refuse_another_reward_and_images() -> None:
    with pytest.raises(RoboAdvError, match="reward 'airl'"):
        DiscriminatorConfig(inputs="shaped")
    with pytest.raises(RoboAdvError, match="vector observations"):
        Discriminator((3, 64, 64), 2, DiscriminatorConfig(inputs="shaped", reward="airl"))
