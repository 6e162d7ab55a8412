"""Demonstrations: what they hold, their parts, and where they belong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from foreign.toys import Cart

from imitation.sample import card, episodes, sample
from robo_adv.agents.recording import place
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstration_card import Space
from robo_adv.imitation.demonstrations import Demonstrations, Episode

Array = npt.NDArray[Any]


def test_pairs_and_transitions_are_the_steps_of_the_episodes_in_order() -> None:
    made = episodes([5, 3, 8, 1])
    data = Demonstrations.of(made, card())
    observation, action = data.pairs()
    steps = data.transitions()
    assert np.array_equal(observation, np.concatenate([e.observations[:-1] for e in made]))
    assert np.array_equal(action, np.concatenate([e.actions for e in made]))
    assert np.array_equal(steps.observation, observation)
    assert np.array_equal(
        steps.next_observation, np.concatenate([e.observations[1:] for e in made])
    )
    assert steps.terminated.tolist() == [False] * 4 + [True] + [False] * 3 + [False] * 7 + [
        True
    ] + [False]
    assert np.allclose(data.returns, [e.rewards.sum() for e in made])
    assert len(data) == 4 and data.steps == 17


def test_episodes_come_out_as_they_went_in() -> None:
    made = episodes([4, 1, 6])
    for before, after in zip(made, Demonstrations.of(made, card()).episodes(), strict=True):
        for name in ("observations", "actions", "rewards"):
            assert np.array_equal(getattr(before, name), getattr(after, name))
        for name in ("terminated", "truncated", "seed", "success"):
            assert getattr(before, name) == getattr(after, name)


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (3, 1), (3, 2), (3, 3), (8, 1), (5, 4)])
def test_windows_lie_within_one_episode_and_hold_every_step_of_long_ones(
    length: int, stride: int
) -> None:
    data = sample((5, 3, 8, 1))
    episode = np.repeat(np.arange(4), data.lengths)
    windows = data.windows(length, stride)
    assert windows.shape[1] == length and (np.diff(windows, axis=1) == 1).all()
    assert (episode[windows] == episode[windows][:, :1]).all()
    assert len(np.unique(windows[:, 0])) == len(windows)
    long = np.flatnonzero(data.lengths[episode] >= length)
    assert np.array_equal(np.unique(windows), long)


def test_windows_longer_than_every_episode_are_refused() -> None:
    with pytest.raises(
        RoboAdvError, match="no episode is as long as a window of 9 steps: the longest"
    ):
        sample((5, 8)).windows(9)
    with pytest.raises(RoboAdvError, match="at least 1, got 0, 1"):
        sample().windows(0)


def test_subsampling_takes_every_kth_step_from_a_start_drawn_per_episode() -> None:
    data = sample((40, 41, 59, 7))
    every = data.transitions()
    rows = [
        np.flatnonzero((every.observation == row).all(axis=1))[0]
        for row in data.subsample(20, seed=1).observation
    ]
    episode = np.repeat(np.arange(4), data.lengths)
    for k, start in enumerate(data.starts):
        mine = np.array([r for r in rows if episode[r] == k]) - start
        assert len(mine) and mine[0] < 20 and (np.diff(mine) == 20).all()
        assert mine[-1] + 20 >= data.lengths[k]
    assert len({int(r - data.starts[episode[r]]) % 20 for r in rows}) > 1
    other = data.subsample(20, seed=2).observation
    assert not np.array_equal(other, data.subsample(20, seed=1).observation)
    assert np.array_equal(data.subsample(1).observation, every.observation)


def test_what_subsampling_takes_of_an_episode_does_not_depend_on_the_others() -> None:
    data = sample((40, 41, 59))
    alone = data.take([1]).subsample(7, seed=3).observation
    inside = data.subsample(7, seed=3).observation
    assert any(np.array_equal(inside[i : i + len(alone)], alone) for i in range(len(inside)))


def test_parts_keep_whole_episodes() -> None:
    data = sample((5, 3, 8, 1))
    part = data.take([2, 0])
    assert part.lengths.tolist() == [8, 5] and part.seeds.tolist() == [9_000_002, 9_000_000]
    assert part.first(1).digest == data.take([2]).digest
    good = data.successful()
    assert good.seeds.tolist() == [9_000_000, 9_000_003]
    assert good.card.notes == ("The 2 of 4 that succeeded.",)
    assert data.first(3).card.notes == ("The first 3 of 4.",) and data.first(4).card.notes == ()
    assert data.take(np.array([False, True, False, False])).lengths.tolist() == [3]
    joined = data.joined(sample((2,), first=7))
    assert joined.lengths.tolist() == [5, 3, 8, 1, 2] and joined.seeds[-1] == 7


def test_a_digest_is_of_the_numbers_alone() -> None:
    data = sample()
    assert data.digest == data.with_card(notes=("seen",)).digest == sample().digest
    assert data.digest != data.first(3).digest


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda d: d.first(5), "there are 4 demonstrations, asked for the first 5"),
        (lambda d: d.first(0), "asked for the first 0"),
        (lambda d: d.take([]), "no episode is left of 4"),
        (lambda d: d.take([4]), r"there are episodes 0 to 3, got \[4\]"),
        (lambda d: d.take([1]).successful(), "no episode is left of 1"),
        (lambda d: replace(d, success=np.full(4, np.nan)).successful(), "do not tell which"),
        (lambda d: d.subsample(0), "k at least 1, got 0"),
        (lambda d: d.joined(sample((2,), actions=3)), "differ in action_space"),
    ],
)
def test_parts_that_do_not_exist_are_refused(
    ask: Callable[[Demonstrations], Any], text: str
) -> None:
    with pytest.raises(RoboAdvError, match=text):
        ask(sample((5, 3, 8, 1)))


def _set(name: str, row: Any, value: float | bool) -> Callable[[Demonstrations], Demonstrations]:
    def change(data: Demonstrations) -> Demonstrations:
        array = getattr(data, name).copy()
        array[row] = value
        return replace(data, **{name: array})

    return change


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_set("observations", (6, 1), np.nan), "observations holds NaN or infinity, first in row 6"),
        (_set("actions", (0, 0), np.inf), "actions holds NaN or infinity, first in row 0"),
        (_set("rewards", 3, np.nan), "rewards holds NaN"),
        (_set("actions", (2, 1), 1.5), r"to 1.5, beyond 2 in \[-1, 1\]: .* scale"),
        (_set("actions", (2, 1), -1.001), "beyond"),
        (_set("success", 1, 0.5), "success is 0 or 1"),
        (_set("terminations", 4, False), "episodes do not end where"),
        (_set("truncations", 1, True), "episodes do not end where"),
        (_set("lengths", slice(0, 2), [4, 4]), "episodes do not end where"),  # type: ignore[arg-type]
        (_set("lengths", 1, 4), "observations has shape .* expected"),
        (_set("lengths", 1, 0), "an episode has no steps"),
        (lambda d: replace(d, seeds=d.seeds[:2]), r"seeds has shape \(2,\), expected \(4,\)"),
        (lambda d: replace(d, actions=d.actions[:, :1]), r"actions has shape \(17, 1\)"),
        (lambda d: replace(d, observations=d.observations[:, :2]), "observations has shape"),
        (lambda d: replace(d, observations=d.observations[:-1]), "observations has shape"),
        (lambda d: replace(d, rewards=d.rewards[:-1]), "rewards has shape"),
        (lambda d: replace(d, actions=d.actions.astype(np.float64)), "is float64, expected float32"),
        (lambda d: replace(d, lengths=d.lengths[:0]), "there are no demonstrations"),
        (lambda d: d.with_card(layout=(("position", 2, "m"),)), "the layout has 2 numbers"),
    ],
)  # fmt: skip
def test_broken_numbers_are_refused(
    spoil: Callable[[Demonstrations], Demonstrations], text: str
) -> None:
    with pytest.raises(RoboAdvError, match=text):
        spoil(sample((5, 3, 8, 1)))


def test_broken_episodes_are_refused() -> None:
    made = episodes([3, 2])
    for broken, text in (
        ([], "not one episode"),
        ([replace(made[0], rewards=made[0].rewards[:-1])], "expected T, T and T"),
        ([made[0], replace(made[1], actions=made[1].actions[:, :1])], "differ in the shape"),
        ([replace(made[0], terminated=False)], "episodes do not end where"),
        ([replace(made[0], observations=made[0].observations.astype(float) + 1e39)], "infinity"),
        ([Episode(np.zeros((1, 3)), np.zeros((0, 2)), np.zeros(0), True, False)], "not one step"),
    ):
        with pytest.raises(RoboAdvError, match=text):
            Demonstrations.of(broken, card())


def test_numbers_cannot_be_written_over() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sample().actions[0] = 0.0


def test_they_fit_the_world_that_they_are_of_and_no_other() -> None:
    world = GymnasiumWorld(Cart, 1)
    fields = place(world, "agent")
    data = Demonstrations.of(
        [replace(e, actions=e.actions / 2) for e in episodes([3, 4], 2, 1)],
        card(2, 1, **fields),
    )
    assert data.check_fits(world, "agent") == ()
    other = {**fields["options"], "ends": 5}
    (note,) = data.with_card(options=other).check_fits(world, "agent")
    assert note == "The demonstrations were recorded with {'ends': 5}, this world has {}."
    wide = Space(low=-1.0, high=1.0, shape=(1,), dtype="float32")
    for changes, text in (
        ({"game": "Hopper-v5"}, "demonstrations of 'agent' in Hopper-v5, asked for 'agent' in Cart"),
        ({"player": "kicker"}, "demonstrations of 'kicker'"),
        ({"layout": (("place", 2, "m"),)}, r"other observations: place\(2\); with .* observation\(2\)"),
        ({"action_space": wide}, r"recorded 1 in \[-1, 1\]; this world has 1 in \[-0.5, 2\]"),
    ):  # fmt: skip
        with pytest.raises(RoboAdvError, match=text):
            data.with_card(**changes).check_fits(world, "agent")
