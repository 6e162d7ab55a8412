"""The level buffer of prioritized level replay."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.torch import load, save

from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.buffer import LevelBuffer

Array = npt.NDArray[np.float64]
SPACE = DesignSpace(tuple(Parameter(f"p{k}", 0.0, 1.0, 0.5, "") for k in range(3)))
WALLS = DesignSpace(
    tuple(Parameter(f"wall{k}_x", 0.0, 1.0, 0.5, "m", slot="wall") for k in range(2))
)


def filled(scores: list[float], **options: Any) -> LevelBuffer:
    """A buffer with entries of these scores, each from one call, far from each other."""
    buffer = LevelBuffer(SPACE, **{"capacity": len(scores), "staleness": 0.0, **options})
    for k, score in enumerate(scores):
        point = np.full((1, 3), (k + 1) / (len(scores) + 1))
        assert buffer.insert(point, np.array([score]), np.array([score])).all()
    return buffer


def point(value: float) -> Array:
    return np.full((1, 3), value)


def one(value: float) -> Array:
    return np.array([value])


def test_ranks_become_probabilities() -> None:
    found = filled([1.0, 30.0, 2.0], beta=0.5).probabilities()
    weights = np.array([1 / 9, 1.0, 1 / 4])  # (1 / rank)^2
    np.testing.assert_allclose(found, weights / weights.sum(), atol=1e-9)


def test_powers_become_probabilities_and_negative_scores_count_as_nothing() -> None:
    found = filled([1.0, 3.0, -2.0], transform="power", beta=0.5).probabilities()
    np.testing.assert_allclose(found, [0.1, 0.9, 0.0], atol=1e-9)


@pytest.mark.parametrize("transform", ["rank", "power"])
@pytest.mark.parametrize("score", [0.0, -1.0, 5.0])
def test_equal_scores_are_equally_likely(transform: str, score: float) -> None:
    found = filled([score] * 4, transform=transform, beta=0.1).probabilities()
    np.testing.assert_allclose(found, 0.25)


def test_staleness_is_the_time_since_an_entry_was_played() -> None:
    buffer = filled([1.0, 1.0, 1.0], staleness=1.0)
    np.testing.assert_allclose(buffer.probabilities(), [2 / 3, 1 / 3, 0.0], atol=1e-9)
    buffer.update(np.array([0]), one(1.0), one(1.0))
    np.testing.assert_allclose(buffer.probabilities(), [0.0, 2 / 3, 1 / 3], atol=1e-9)


def test_score_and_staleness_are_mixed() -> None:
    scores = [3.0, 1.0, 2.0]
    mixed = filled(scores, staleness=0.3).probabilities()
    by_score = filled(scores, staleness=0.0).probabilities()
    by_age = filled(scores, staleness=1.0).probabilities()
    np.testing.assert_allclose(mixed, 0.7 * by_score + 0.3 * by_age, atol=1e-9)


def test_a_full_buffer_takes_only_a_better_level_and_drops_the_least_likely() -> None:
    buffer = filled([1.0, 3.0, 2.0])
    assert not buffer.insert(point(0.9), one(1.0), one(0.0)).any()
    np.testing.assert_array_equal(buffer.scores, [1.0, 3.0, 2.0])
    assert buffer.insert(point(0.9), one(1.5), one(0.0)).all()
    np.testing.assert_array_equal(buffer.scores, [1.5, 3.0, 2.0])
    np.testing.assert_array_equal(buffer.points[0], 0.9)
    assert len(buffer) == 3


def test_what_gives_way_is_the_least_likely_entry_or_the_lowest_score() -> None:
    for replace, gone in (("probability", 2), ("score", 0)):
        buffer = filled([1.0, 3.0, 2.0], staleness=0.9, replace=replace)
        assert buffer.insert(point(0.9), one(5.0), one(0.0)).all()
        assert buffer.scores[gone] == 5.0


def test_the_best_of_many_levels_remain() -> None:
    rng = np.random.default_rng(0)
    buffer = LevelBuffer(SPACE, capacity=16, replace="score", tolerance=0.0)
    scores = rng.random(400)
    for start in range(0, 400, 40):
        part = scores[start : start + 40]
        buffer.insert(rng.random((40, 3)), part, part)
    np.testing.assert_array_equal(np.sort(buffer.scores), np.sort(scores)[-16:])


def test_a_level_that_is_there_already_updates_its_entry() -> None:
    buffer = filled([1.0, 2.0], tolerance=0.01)
    near = buffer.points[:1] + 0.005
    assert not buffer.insert(near, one(0.5), one(0.2)).any()
    np.testing.assert_array_equal(buffer.scores, [0.5, 2.0])
    np.testing.assert_array_equal(buffer.best, [1.0, 2.0])
    assert buffer.last[0] == buffer.clock


def test_duplicates_within_one_call_are_one_level() -> None:
    buffer = LevelBuffer(SPACE, capacity=8)
    buffer.insert(np.full((5, 3), 0.5), np.arange(5.0), np.arange(5.0))
    assert len(buffer) == 1


def test_interchangeable_things_in_another_order_are_the_same_level() -> None:
    buffer = LevelBuffer(WALLS, capacity=8)
    buffer.insert(np.array([[0.2, 0.8], [0.8, 0.2]]), np.ones(2), np.ones(2))
    assert len(buffer) == 1
    np.testing.assert_array_equal(buffer.points, [[0.2, 0.8]])


def test_the_best_return_is_remembered_as_long_as_its_level() -> None:
    buffer = filled([1.0, 3.0])
    buffer.update(np.array([0, 1]), np.array([1.0, 3.0]), np.array([0.0, 7.0]))
    np.testing.assert_array_equal(buffer.best, [1.0, 7.0])
    buffer.insert(point(0.9), one(2.0), one(0.1))
    np.testing.assert_array_equal(buffer.best, [0.1, 7.0])


def test_an_entry_that_is_replayed_twice_gets_the_mean_score_and_the_best_return() -> None:
    buffer = filled([1.0, 3.0])
    buffer.update(np.array([1, 1]), np.array([4.0, 6.0]), np.array([9.0, 8.0]))
    np.testing.assert_array_equal(buffer.scores, [1.0, 5.0])
    assert buffer.best[1] == 9.0


def test_a_round_draws_different_entries_until_there_are_no_more() -> None:
    buffer, rng = filled([1.0, 2.0, 3.0, 4.0]), np.random.default_rng(0)
    assert sorted(buffer.sample(rng, 4)) == [0, 1, 2, 3]
    assert len(buffer.sample(rng, 9)) == 9


def test_levels_without_any_weight_are_drawn_last() -> None:
    buffer, rng = filled([0.0, 1.0, 0.0], transform="power"), np.random.default_rng(0)
    assert buffer.sample(rng, 3)[0] == 1


def test_entries_are_drawn_as_often_as_the_probabilities_say() -> None:
    buffer, rng = filled([1.0, 2.0, 3.0], beta=1.0), np.random.default_rng(0)
    draws = np.concatenate([buffer.sample(rng, 1) for _ in range(2000)])
    found = np.bincount(draws) / 2000
    np.testing.assert_allclose(found, buffer.probabilities(), atol=0.04)


@pytest.mark.parametrize("entries", [0, 3])
def test_a_saved_buffer_is_the_same_buffer(entries: int) -> None:
    buffer = filled([0.1, 0.7, 0.3], capacity=5)
    if not entries:
        buffer = LevelBuffer(SPACE, capacity=5)
    tensors, values = buffer.state("first")
    again = LevelBuffer(SPACE, capacity=5)
    again.load_state(load(save(tensors)), json.loads(json.dumps(values)), "first")
    for name in ("points", "scores", "best", "last", "clock"):
        np.testing.assert_array_equal(getattr(again, name), getattr(buffer, name))


def test_a_saved_buffer_does_not_change_with_the_one_that_goes_on() -> None:
    buffer = filled([0.1, 0.7])
    tensors, _ = buffer.state()
    buffer.update(np.array([0]), one(9.0), one(9.0))
    assert tensors["buffer_scores"][0] == 0.1


def test_a_buffer_that_does_not_fit_is_refused() -> None:
    tensors, values = filled([0.1, 0.7, 0.3]).state()
    for other in (LevelBuffer(SPACE, capacity=2), LevelBuffer(WALLS, capacity=5)):
        with pytest.raises(RoboAdvError, match=r"points \(3, 3\) does not fit"):
            other.load_state(tensors, values)


def test_bad_use_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="the level buffer is empty"):
        LevelBuffer(SPACE).sample(np.random.default_rng(0), 1)
    with pytest.raises(RoboAdvError, match="unknown transform of scores 'ranks'"):
        LevelBuffer(SPACE, transform="ranks")
    with pytest.raises(RoboAdvError, match="unknown rule of replacement 'oldest'"):
        LevelBuffer(SPACE, replace="oldest")
    for scores, best in ((one(np.nan), one(0.0)), (one(0.0), one(np.inf))):
        with pytest.raises(RoboAdvError, match="must be finite"):
            filled([1.0]).insert(point(0.9), scores, best)
