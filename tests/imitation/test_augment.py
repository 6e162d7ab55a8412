"""Augmentations do what they say to every row, and the same to both classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robo_adv.errors import RoboAdvError
from robo_adv.imitation import augment as aug
from robo_adv.imitation.discriminator import Discriminator, DiscriminatorConfig
from robo_adv.imitation.transitions import Transitions

IMAGES = (2, 20, 20)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_noise_has_its_strength_as_standard_deviation() -> None:
    difference = aug.noise(torch.zeros(500, 40), 0.3, _generator())
    assert difference.std().item() == pytest.approx(0.3, rel=0.02)
    assert difference.mean().item() == pytest.approx(0.0, abs=0.01)


def test_dropped_features_become_the_mean_and_others_stay() -> None:
    x = torch.randn(500, 40, generator=_generator(1))
    dropped = aug.feature_dropout(x, 0.2, _generator())
    gone = dropped != x
    assert gone.float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert bool((dropped[gone] == 0).all())


def test_scaling_keeps_a_rows_direction_within_its_strength() -> None:
    x = torch.randn(500, 4, generator=_generator(1))
    factor = aug.scale(x, 0.2, _generator()) / x
    torch.testing.assert_close(factor, factor[:, :1].expand(-1, 4))
    assert 0.8 <= factor.min().item() < 0.81
    assert 1.19 < factor.max().item() <= 1.2001


def test_a_shifted_image_is_the_image_elsewhere_with_its_edges_repeated() -> None:
    image = torch.arange(400.0).reshape(1, 1, 20, 20).expand(64, 2, 20, 20)
    shifted = aug.shift(image, 0.1, _generator())
    seen = set()
    for one in shifted:
        assert torch.equal(one[0], one[1])
        moves = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(one[0, 2:18, 2:18], image[0, 0, 2 + dy : 18 + dy, 2 + dx : 18 + dx])
        ]
        assert len(moves) == 1
        seen.add(moves[0])
        assert set(one.unique().tolist()) <= set(range(400))
    assert {abs(dy) for dy, _ in seen} == {0, 1, 2}


def test_cutout_greys_one_rectangle_of_its_size() -> None:
    cut = aug.cutout(torch.ones(64, 2, 20, 20), 0.25, _generator())
    grey = cut == 0
    assert bool((grey.sum((2, 3)) == 25).all())
    assert torch.equal(grey[:, 0], grey[:, 1])
    corners = {tuple(np.argwhere(g.numpy())[0]) for g in grey[:, 0]}
    assert len(corners) > 20


def test_brightness_adds_one_offset_per_image() -> None:
    brighter = aug.brightness(torch.zeros(200, 2, 4, 4), 0.5, _generator())
    assert bool((brighter == brighter[:, :1, :1, :1]).all())
    assert -0.5 <= brighter.min().item() < -0.45
    assert 0.45 < brighter.max().item() <= 0.5


def _mirrored(x: Transitions) -> Transitions:
    swap, sign = [1, 0, 2], np.array([1, 1, -1], np.float32)
    return Transitions(
        x.observation[:, swap] * sign, -x.action, x.next_observation[:, swap] * sign, x.terminated
    )


def _steps(n: int, seed: int = 0) -> Transitions:
    random = np.random.default_rng(seed)
    mean, std = np.array([1.0, -2.0, 0.5]), np.array([0.5, 1.0, 2.0])
    states = (mean + std * random.normal(size=(2, n, 3))).astype(np.float32)
    action = random.normal(1.0, 0.1, (n, 1)).astype(np.float32)
    return Transitions(states[0], action, states[1], np.zeros(n, bool))


@pytest.mark.parametrize("inputs", ["state-action", "transition"])
def test_a_mirrored_input_is_the_input_of_the_mirrored_step(inputs: str) -> None:
    mirror = aug.Mirror((1, 0, 2), (1, 1, -1), (0,), (-1,))
    config = DiscriminatorConfig(inputs=inputs, augment=("mirror",))  # type: ignore[arg-type]
    discriminator = Discriminator(3, 1, config, mirror=mirror)
    steps = _steps(300)
    discriminator.fit_normaliser(steps)
    near = _steps(40, seed=1)
    x, y = (discriminator._inputs(of, "expert") for of in (near, _mirrored(near)))
    got, _ = discriminator._augment(x, x, _generator())
    within = (y.abs() < 10).all(1) & (x.abs() < 10).all(1)
    flipped = (got - x).abs().sum(1) > 0
    assert 8 < int(flipped.sum()) < 32
    torch.testing.assert_close(got[flipped & within], y[flipped & within], rtol=1e-4, atol=1e-4)
    assert torch.equal(got[~flipped], x[~flipped])


def test_both_classes_get_transforms_of_one_distribution() -> None:
    config = DiscriminatorConfig(augment=("noise", "scale", "feature-dropout"))
    discriminator = Discriminator(3, 1, config)
    x = torch.ones(4000, 4)
    expert, learner = discriminator._augment(x, x, _generator())
    assert not torch.equal(expert, learner)
    for moment in (1, 2, 3):
        left, right = expert.pow(moment).mean(), learner.pow(moment).mean()
        assert left.item() == pytest.approx(right.item(), rel=0.02)


def test_rewards_are_never_augmented() -> None:
    steps = _steps(20)
    plain = Discriminator(3, 1, DiscriminatorConfig())
    augmented = Discriminator(3, 1, DiscriminatorConfig(augment=("noise",), dropout=0.5))
    augmented.load_state_dict(
        {k.replace("network.2", "network.3").replace("network.4", "network.6"): v
         for k, v in plain.state_dict().items()}
    )  # fmt: skip
    np.testing.assert_array_equal(plain.reward(steps), augmented.reward(steps))


def test_pixels_and_the_rest_of_an_input_have_transforms_of_their_own() -> None:
    x = torch.ones(30, 2 * 20 * 20 + 3)
    bright = aug.augment(x, ("brightness",), 0.1, _generator(), IMAGES)
    assert bool((bright[:, :800] != 1).any())
    assert torch.equal(bright[:, 800:], x[:, 800:])
    noisy = aug.augment(x, ("noise",), 0.1, _generator(), IMAGES)
    assert torch.equal(noisy[:, :800], x[:, :800])
    assert bool((noisy[:, 800:] != 1).all())


def test_a_mirror_that_is_not_its_own_inverse_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="applied twice must change nothing"):
        aug.Mirror((1, 2, 0), (1, 1, 1), (0,), (-1,))
    with pytest.raises(RoboAdvError, match="action index"):
        aug.Mirror((0,), (1,), (1, 0), (1, -1))


def test_augmentations_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="'shift' is for images"):
        Discriminator(3, 1, DiscriminatorConfig(augment=("shift",)))
    with pytest.raises(RoboAdvError, match="the body's Mirror"):
        Discriminator(3, 1, DiscriminatorConfig(augment=("mirror",)))
    with pytest.raises(RoboAdvError, match=r"sizes \(2, 1\), not \(3, 1\)"):
        mirror = aug.Mirror((1, 0), (1, 1), (0,), (-1,))
        Discriminator(3, 1, DiscriminatorConfig(augment=("mirror",)), mirror=mirror)
    with pytest.raises(RoboAdvError, match=r"unknown augmentation 'nois'; did you mean 'noise'"):
        DiscriminatorConfig(augment=("nois",))
