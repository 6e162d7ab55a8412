"""Steps of a discriminator: they lower the loss, repeat, resume bit by bit, and refuse bad data."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robo_adv.errors import RoboAdvError
from robo_adv.imitation.discriminator import Discriminator, DiscriminatorConfig
from robo_adv.imitation.transitions import Transitions

BASE = DiscriminatorConfig(
    net_arch=(16, 16), batch_size=32, updates=3, gradient_penalty=0.0, learning_rate=3e-3
)
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "spectral": {"spectral_norm": True},
    "penalty": {"gradient_penalty": 10.0},
    "two-sided": {"gradient_penalty": 1.0, "gradient_penalty_side": "two"},
    "r1": {"r1": 0.1},
    "clipping": {"singular_value_clip": 0.9, "singular_value_every": 2},
    "dropout": {"dropout": 0.2, "input_dropout": 0.1},
    "decay": {"weight_decay": 0.1},
    "mixup": {"loss": "mixup", "mixup_alpha": 0.4},
    "least-squares": {"loss": "least-squares", "reward": "amp"},
    "augmented": {"augment": ("noise", "feature-dropout", "scale")},
    "state": {"inputs": "state"},
    "transition": {"inputs": "transition", "activation": "relu"},
    "shaped": {"inputs": "shaped", "reward": "airl"},
}


def _steps(mean: float, n: int = 64, seed: int = 0) -> Transitions:
    draw = np.random.default_rng(seed)
    size = (n, 3)
    return Transitions(
        draw.normal(mean, 1.0, size).astype(np.float32),
        draw.normal(mean, 1.0, (n, 2)).astype(np.float32),
        draw.normal(mean, 1.0, size).astype(np.float32),
        draw.random(n) < 0.1,
    )


EXPERT, LEARNER = _steps(0.5), _steps(-0.5, seed=1)


def _fresh(name: str) -> Discriminator:
    discriminator = Discriminator(3, 2, replace(BASE, **CONFIGS[name]))
    discriminator.fit_normaliser(EXPERT)
    return discriminator


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _equal(left: Discriminator, right: Discriminator) -> bool:
    (a, x), (b, y) = left.state(), right.state()
    return x == y and set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_few_steps_on_a_fixed_batch_lower_the_loss(name: str) -> None:
    discriminator, generator = _fresh(name), _generator()
    gave = [discriminator.update(EXPERT, LEARNER, generator) for _ in range(40)]
    losses = [g["loss"] for g in gave]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.01
    accuracy = gave[-1]["expert_accuracy"] + gave[-1]["learner_accuracy"]
    assert accuracy > 1.2
    assert all(g["gradient_norm"] > 0 for g in gave)
    weighted = any(k in CONFIGS[name] for k in ("gradient_penalty", "r1"))
    assert (sum(g["penalty"] for g in gave) > 0) == weighted


@pytest.mark.parametrize("name", CONFIGS)
def test_a_resumed_discriminator_continues_bit_by_bit(name: str) -> None:
    straight, generator = _fresh(name), _generator()
    straight.train_round(EXPERT, LEARNER, generator)
    tensors, values = straight.state()
    middle = generator.get_state()
    expected = straight.train_round(EXPERT, LEARNER, generator)
    resumed, again = Discriminator(3, 2, straight.config, seed=9), _generator(9)
    resumed.load_state(tensors, values)
    again.set_state(middle)
    assert resumed.train_round(EXPERT, LEARNER, again) == expected
    assert _equal(straight, resumed)
    np.testing.assert_array_equal(straight.reward(LEARNER), resumed.reward(LEARNER))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_seed_gives_the_same_weights_and_no_global_generator_moves(name: str) -> None:
    both = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        np.random.seed(noise)
        random.seed(noise)
        before = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # type: ignore[index]
        discriminator = _fresh(name)
        discriminator.train_round(EXPERT, LEARNER, _generator())
        discriminator.reward(LEARNER)
        both.append(discriminator)
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # type: ignore[index]
        assert before[2] == random.getstate()
    assert _equal(*both)


def test_seeds_differ_in_their_first_weights() -> None:
    left, right = (Discriminator(3, 2, BASE, seed=seed) for seed in (0, 1))
    assert not _equal(left, right)


def test_logits_are_differentiable_and_agree_with_rewards() -> None:
    discriminator = Discriminator(3, 2, replace(BASE, reward="airl"))
    discriminator.fit_normaliser(EXPERT)
    state, action = (
        torch.as_tensor(x).requires_grad_() for x in (LEARNER.observation, LEARNER.action)
    )
    logit = discriminator.logit(state, action, torch.as_tensor(LEARNER.next_observation))
    np.testing.assert_array_equal(logit.detach().numpy(), discriminator.reward(LEARNER))
    logit.sum().backward()  # type: ignore[no-untyped-call]
    assert state.grad is not None and action.grad is not None
    assert bool((state.grad != 0).any()) and bool((action.grad != 0).any())


def test_log_probabilities_are_taken_off_the_logits() -> None:
    config = replace(BASE, **CONFIGS["shaped"])
    zeros = (np.zeros(64), np.zeros(64))
    sure = (np.full(64, -50.0), np.full(64, 50.0))
    plain, same, told = (
        Discriminator(3, 2, config).update(EXPERT, LEARNER, _generator(), log_probs)
        for log_probs in (None, zeros, sure)
    )
    assert plain == same
    assert told["expert_accuracy"] == told["learner_accuracy"] == 1.0
    assert told["loss"] < 1e-6


@pytest.mark.parametrize("name", ["observation", "action"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(name: str, value: float) -> None:
    broken = _steps(0.0)
    getattr(broken, name)[5, 1] = value
    discriminator = _fresh("plain")
    before = discriminator.state()[0]
    with pytest.raises(RoboAdvError, match=rf"learner's {name} .* not finite, first in row 5"):
        discriminator.update(EXPERT, broken, _generator())
    with pytest.raises(RoboAdvError, match=rf"expert's {name}"):
        discriminator.update(broken, LEARNER, _generator())
    with pytest.raises(RoboAdvError, match="not finite"):
        discriminator.reward(broken)
    with pytest.raises(RoboAdvError, match="not finite"):
        discriminator.fit_normaliser(broken)
    after = discriminator.state()[0]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_log_probabilities_that_are_not_finite_are_refused() -> None:
    log_probs = (np.zeros(64), np.full(64, -np.inf))
    with pytest.raises(RoboAdvError, match="log-probabilities must be finite"):
        _fresh("shaped").update(EXPERT, LEARNER, _generator(), log_probs)


def test_a_loss_that_is_not_finite_is_refused_before_it_reaches_the_weights() -> None:
    discriminator = Discriminator(3, 2, replace(BASE, activation="relu", learning_rate=1e30))
    with pytest.raises(RoboAdvError, match=r"loss is (nan|inf) after \d+ updates"):
        for _ in range(5):
            discriminator.update(EXPERT, LEARNER, _generator())


def test_an_unused_part_may_hold_anything() -> None:
    broken = _steps(0.0)
    broken.next_observation[:] = np.nan
    assert np.isfinite(_fresh("plain").reward(broken)).all()


def test_steps_of_another_shape_are_refused() -> None:
    other = Transitions(np.zeros((4, 5)), np.zeros((4, 2)), np.zeros((4, 5)), np.zeros(4, bool))
    with pytest.raises(RoboAdvError, match=r"observation has shape \(4, 5\).* for \(N, 3\)"):
        _fresh("plain").reward(other)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="learner's batch is empty"):
        _fresh("plain").update(EXPERT, LEARNER.take(slice(0, 0)), _generator())


def test_the_state_of_another_network_is_refused() -> None:
    tensors, values = _fresh("plain").state()
    with pytest.raises(RoboAdvError, match="state is of another discriminator"):
        Discriminator(4, 2, BASE).load_state(tensors, values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": "gali"}, "unknown discriminator reward 'gali'; did you mean 'gail'"),
        ({"loss": "hinge"}, "unknown discriminator loss"),
        ({"loss": "least-squares"}, "'amp' go together"),
        ({"reward": "amp"}, "'amp' go together"),
        ({"singular_value_clip": 1.0, "spectral_norm": True}, "use one"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0"),
        ({"dropout": 1.0}, "dropout must be 0 or more and below 1, got 1.0"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"r1": -1.0}, "r1 must be 0 or more"),
        ({"entropy": float("nan")}, "entropy must be"),
    ],
)
def test_choices_that_cannot_be_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RoboAdvError, match=message):
        replace(BASE, **change)


def test_another_trunk_can_be_put_in_front() -> None:
    def trunk(size: int) -> tuple[nn.Module, int]:
        return nn.Linear(size, 7), 7

    discriminator = Discriminator(3, 2, BASE, trunk=trunk)
    gave = [discriminator.update(EXPERT, LEARNER, _generator())["loss"] for _ in range(20)]
    assert gave[-1] < gave[0]


def test_images_that_are_too_small_are_refused() -> None:
    with pytest.raises(RoboAdvError, match=r"36 x 36 pixels or more, got 32 x 64"):
        Discriminator((3, 32, 64), 2, BASE)


@pytest.mark.parametrize("inputs", ["state", "state-action", "transition"])
def test_images_are_told_apart_by_a_small_cnn(inputs: Any) -> None:
    draw = np.random.default_rng(0)

    def steps(bright: int) -> Transitions:
        images = draw.integers(0, 200, (2, 12, 3, 64, 64)).astype(np.uint8)
        images[:, :, 1, 20:40, 20:40] = bright
        return Transitions(images[0], np.zeros((12, 2), np.float32), images[1], np.zeros(12, bool))

    expert, learner = steps(250), steps(0)
    config = DiscriminatorConfig(
        inputs=inputs, augment=("shift", "cutout", "brightness"), learning_rate=3e-3,
        gradient_penalty=0.0, spectral_norm=True,
    )  # fmt: skip
    discriminator = Discriminator((3, 64, 64), 2, config)
    discriminator.fit_normaliser(expert)
    generator = _generator()
    for _ in range(15):
        gave = discriminator.update(expert, learner, generator)
    assert gave["expert_accuracy"] + gave["learner_accuracy"] > 1.8
    assert discriminator.reward(expert).mean() > discriminator.reward(learner).mean()
