"""Corrupted demonstrations: as much as was asked for, counted, and repeatable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from imitation.sample import card, episodes, sample
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.corruption import mixed_episodes, noisy_actions, wrong_actions
from robo_adv.imitation.demonstration_card import Space
from robo_adv.imitation.demonstrations import Demonstrations, load_demonstrations

LENGTHS = (300, 200, 400, 100)


def _changed(before: Demonstrations, after: Demonstrations) -> Any:
    assert np.array_equal(before.observations, after.observations)
    assert np.array_equal(before.rewards, after.rewards)
    return (before.actions != after.actions).any(axis=1)


def test_noise_has_the_size_and_share_that_were_asked_for() -> None:
    data = sample(LENGTHS)
    data = Demonstrations.of(
        [type(e)(**{**vars(e), "actions": e.actions * 0.1}) for e in data.episodes()], data.card
    )
    noisy = noisy_actions(data, 0.2, share=0.5, seed=3)
    rows = _changed(data, noisy)
    assert abs(rows.mean() - 0.5) < 0.05
    difference = (noisy.actions - data.actions)[rows]
    assert abs(difference.std() - 0.2) < 0.02 and abs(difference.mean()) < 0.02
    (told,) = noisy.card.corruption
    assert (told.kind, told.seed, told.settings) == (
        "noisy actions",
        3,
        {"sigma": 0.2, "share": 0.5},
    )
    assert (told.changed_steps, told.changed_episodes) == (int(rows.sum()), 4)


def test_noise_stays_within_the_bounds_and_scales_with_them() -> None:
    wide = Space(low=-1.0, high=(1.0, 9.0), shape=(2,), dtype="float32")
    data = Demonstrations.of(episodes(LENGTHS), card(action_space=wide))
    noisy = noisy_actions(data, 3.0)
    assert noisy.actions[:, 0].max() == 1.0 and noisy.actions.min() == -1.0
    assert noisy.actions[:, 1].max() == 9.0


@pytest.mark.parametrize("how", ["permuted", "random"])
def test_a_share_of_the_steps_gets_wrong_actions(how: Any) -> None:
    data = sample(LENGTHS)
    wrong = wrong_actions(data, 0.3, how, seed=1)
    rows = _changed(data, wrong)
    assert abs(rows.mean() - 0.3) < 0.05
    assert wrong.card.corruption[0].changed_steps == rows.sum()
    if how == "permuted":  # the same actions, each at another step
        assert np.array_equal(np.sort(wrong.actions, axis=0), np.sort(data.actions, axis=0))
    else:
        drawn = wrong.actions[rows]
        assert abs(drawn.mean()) < 0.1 and abs(drawn.std() - 3**-0.5) < 0.05


def test_shuffling_all_actions_leaves_none_at_its_step() -> None:
    data = sample(LENGTHS)
    assert _changed(data, wrong_actions(data, 1.0)).all()


def test_larger_shares_contain_smaller_ones() -> None:
    data = sample(LENGTHS)
    few, many = (_changed(data, wrong_actions(data, s, "random", seed=5)) for s in (0.1, 0.4))
    assert few.sum() and (many >= few).all() and many.sum() > few.sum()


def test_what_happens_to_an_episode_does_not_depend_on_the_others() -> None:
    data = sample(LENGTHS)
    changes: tuple[Callable[[Demonstrations], Demonstrations], ...] = (
        lambda d: noisy_actions(d, 0.3, 0.5, seed=2),
        lambda d: wrong_actions(d, 0.5, "random", seed=2),
    )
    for change in changes:
        assert change(data).take([2]).digest == change(data.take([2])).digest


def test_nothing_is_changed_by_a_share_of_nothing_and_seeds_differ() -> None:
    data = sample(LENGTHS)
    assert noisy_actions(data, 0.5, 0.0).digest == wrong_actions(data, 0.0).digest == data.digest
    assert mixed_episodes(data, data, 0.0).digest == data.digest
    assert wrong_actions(data, 0.5, seed=1).digest == wrong_actions(data, 0.5, seed=1).digest
    assert wrong_actions(data, 0.5, seed=1).digest != wrong_actions(data, 0.5, seed=2).digest


def test_a_share_of_the_episodes_is_replaced_by_an_adversarys() -> None:
    data, others = sample((4,) * 10), sample((6,) * 10, first=50)
    mixed = mixed_episodes(data, others, 0.3, seed=1)
    foreign = mixed.lengths == 6
    assert len(mixed) == 10 and foreign.sum() == 3
    assert mixed.seeds[foreign].tolist() == [50, 51, 52]
    assert np.array_equal(mixed.seeds[~foreign], data.seeds[~foreign])
    more = mixed_episodes(data, others, 0.6, seed=1).lengths == 6
    assert (more >= foreign).all() and more.sum() == 6
    (told,) = mixed.card.corruption
    assert (told.changed_episodes, told.changed_steps) == (3, 18)
    assert told.settings == {"share": 0.3, "by": "somebody", "sha256": others.digest}


def test_corruptions_add_up_in_the_card_and_on_disk(tmp_path: Any) -> None:
    data = wrong_actions(noisy_actions(sample(), 0.1), 0.5)
    data.save(tmp_path / "set")
    back = load_demonstrations(tmp_path / "set").card.corruption
    assert [made.kind for made in back] == ["noisy actions", "wrong actions"]
    assert back == data.card.corruption


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda d: noisy_actions(d, -1.0), "sigma must be a finite number of at least 0, got -1"),
        (lambda d: noisy_actions(d, np.nan), "sigma must be"),
        (lambda d: noisy_actions(d, 0.1, 1.5), r"a share must lie in \[0, 1\], got 1.5"),
        (lambda d: wrong_actions(d, -0.1), "a share must lie"),
        (lambda d: mixed_episodes(d, sample((1,)), 0.5), "4 episodes is 2, there are 1 others"),
        (lambda d: mixed_episodes(d, sample(actions=1), 0.5), "differ in action_space"),
        (lambda d: mixed_episodes(d, d, np.nan), "a share must lie"),
    ],
)  # fmt: skip
def test_impossible_corruptions_are_refused(ask: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        ask(sample())


def test_random_actions_need_bounds() -> None:
    free = Space(low=-np.inf, high=np.inf, shape=(2,), dtype="float32")
    data = Demonstrations.of(episodes((5,)), card(action_space=free))
    assert (noisy_actions(data, 0.5).actions != data.actions).all()
    with pytest.raises(RoboAdvError, match="need finite bounds"):
        wrong_actions(data, 0.5, "random")
