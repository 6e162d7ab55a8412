"""Random numbers are a pure function of seed, stream and position, and look random."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from robo_adv import seeding

STREAMS = (
    seeding.START, seeding.MEMBER, seeding.ACTION, seeding.MASK, seeding.LEVEL, seeding.NEXT,
    seeding.PLAYER,
)  # fmt: skip


def test_uniform_is_a_pure_function() -> None:
    seeds = np.array([0, 1, 2**63, 2**64 - 1], dtype=np.uint64)
    first = seeding.uniform(seeds, seeding.START, 5)
    np.random.seed(1)  # a global generator must not matter
    assert np.array_equal(first, seeding.uniform(seeds, seeding.START, 5))
    assert seeds.tolist() == [0, 1, 2**63, 2**64 - 1]


def test_numbers_do_not_depend_on_the_batch_or_its_order() -> None:
    seeds = np.arange(300, dtype=np.uint64)
    position = seeds % np.uint64(7)
    order = np.random.default_rng(0).permutation(300)
    for draw in (seeding.uniform, seeding.normal):
        whole = draw(seeds, seeding.ACTION, 4, position)
        shuffled = draw(seeds[order], seeding.ACTION, 4, position[order])
        assert np.array_equal(whole[order], shuffled)
        for i in (0, 7, 299):
            assert np.array_equal(whole[i], draw([i], seeding.ACTION, 4, int(position[i]))[0])


def test_more_numbers_begin_with_the_same_ones() -> None:
    few, many = (seeding.uniform([3, 4], seeding.START, n) for n in (3, 10))
    assert np.array_equal(few, many[:, :3])


def test_known_values_stay_what_they_are() -> None:
    """Recorded scenarios rest on these; a change of the mixer must be on purpose."""
    values = seeding.uniform([0, 12345], seeding.START, 2)
    assert values.tolist() == [
        [0.24560133053559752, 0.823419540522532],
        [0.7685202960417425, 0.911099096532419],
    ]
    following = [14157976960557437084, 5028358008241408558]
    assert seeding.derive([0, 12345], seeding.NEXT).tolist() == following


@pytest.mark.parametrize("stream", STREAMS)
def test_numbers_look_uniform(stream: int) -> None:
    by_seed = seeding.uniform(np.arange(20_000), stream, 2)
    by_position = seeding.uniform(np.full(20_000, 42), stream, 1, np.arange(20_000))
    within = seeding.uniform([7], stream, 20_000)
    for sample in (by_seed[:, 0], by_seed[:, 1], by_position[:, 0], within[0]):
        assert sample.min() >= 0.0 and sample.max() < 1.0
        assert stats.kstest(sample, "uniform").pvalue > 1e-3
        neighbours = stats.pearsonr(sample[:-1], sample[1:])
        assert neighbours.pvalue > 1e-3, neighbours
    assert stats.pearsonr(by_seed[:, 0], by_seed[:, 1]).pvalue > 1e-3


def test_normal_numbers_look_normal() -> None:
    sample = seeding.normal(np.arange(20_000), seeding.ACTION, 2)
    assert np.isfinite(sample).all()
    assert stats.kstest(sample[:, 0], "norm").pvalue > 1e-3
    assert stats.pearsonr(sample[:, 0], sample[:, 1]).pvalue > 1e-3
    assert np.isfinite(seeding.normal(np.arange(1000), seeding.MASK, 1, np.arange(1000))).all()


def test_streams_and_positions_differ() -> None:
    seeds = np.arange(5000)
    columns = [seeding.uniform(seeds, stream, 1)[:, 0] for stream in STREAMS]
    columns += [seeding.uniform(seeds, seeding.ACTION, 1, k)[:, 0] for k in (1, 2)]
    for i, a in enumerate(columns):
        for b in columns[:i]:
            assert not (a == b).any()
            assert stats.pearsonr(a, b).pvalue > 1e-4


def test_following_seeds_do_not_collide() -> None:
    seeds = np.arange(20_000, dtype=np.uint64)
    seen = [seeds]
    for _ in range(5):
        seen.append(seeding.derive(seen[-1], seeding.NEXT))
    assert len(np.unique(np.concatenate(seen))) == 6 * 20_000


def test_seeds_take_any_integers() -> None:
    assert seeding.as_seeds(3).tolist() == [3]
    assert seeding.as_seeds([-1]).tolist() == [2**64 - 1]
    assert seeding.as_seeds(np.array([5], dtype=np.int32)).dtype == np.uint64


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_list_of_small_and_huge_seeds_is_taken_exactly() -> None:
    """Derived seeds, as episodes report them, use all 64 bits."""
    seeds = [2**64 - 1, 1, 2**63 + 1]
    assert seeding.as_seeds(seeds).tolist() == seeds
