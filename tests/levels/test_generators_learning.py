"""Generators find what there is to learn in worlds whose success probabilities are known.

The level's first parameter is its difficulty: levels below 0.4 are always solved, above 0.8 never,
in between ever more rarely. Two further parameters change nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from levels.fabricate import outcomes, rounds
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.generator import Batch, Generator, make_generator
from robo_adv.levels.generators.adr import ADR
from robo_adv.levels.generators.sfl import SFL

Array = npt.NDArray[np.float64]
SPACE = DesignSpace(tuple(Parameter(name, 0.0, 1.0, 0.1, "") for name in ("hard", "a", "b")))


def chance(points: Array, student: int = 0) -> Array:
    return np.clip((0.8 - points[:, 0]) / 0.4, 0.0, 1.0)


def frontier(points: Array) -> float:
    """Share of points that are solved with a probability in (0.2, 0.8); 0.24 of the cube."""
    p = chance(points.reshape(-1, 3))
    return float(((p > 0.2) & (p < 0.8)).mean())


def played(name: str, count: int = 150, **given: Any) -> tuple[Generator, list[Batch]]:
    generator = make_generator(name, given)
    generator.begin(SPACE, 0)
    return generator, rounds(generator, chance, count)[0]


def late(batches: list[Batch], source: str) -> Array:
    return np.concatenate([b.points[0] for b in batches[75:] if b.source == source])


@pytest.mark.parametrize("name", ["plr", "robust-plr", "accel"])
@pytest.mark.parametrize("score", ["positive_value_loss", "learnability"])
def test_replayed_levels_are_those_that_are_sometimes_solved(name: str, score: str) -> None:
    _, batches = played(name, score=score)
    assert frontier(late(batches, "replay")) > 0.55
    learned = np.concatenate([b.points[0] for b in batches[75:] if b.learn])
    assert frontier(learned) > (0.38 if name == "plr" else 0.55)


def test_max_mc_replays_levels_that_were_solved_against_expectation() -> None:
    _, batches = played("robust-plr", score="max_mc")
    p = chance(late(batches, "replay"))
    assert ((p > 0.0) & (p < 0.4)).mean() > 0.4  # uniform levels: 0.16


def test_accel_gets_from_the_nominal_level_to_the_frontier_by_edits() -> None:
    _, batches = played("accel")
    assert frontier(batches[0].points) == 0.0
    assert batches[0].points[0, :, 0].max() < 0.6
    assert frontier(late(batches, "mutant")) > 0.4


def test_sfl_keeps_levels_that_are_sometimes_solved() -> None:
    generator, batches = played("sfl")
    assert isinstance(generator, SFL)
    assert frontier(generator.kept) > 0.7
    assert frontier(late(batches, "replay")) > 0.45  # half of them are fresh


def test_adr_widens_to_where_the_student_stops_to_cope() -> None:
    generator, batches = played("adr", 300)
    assert isinstance(generator, ADR)
    np.testing.assert_array_equal(generator.lower, 0.0)
    np.testing.assert_array_equal(generator.upper[1:], 1.0)
    assert 0.2 < chance(generator.upper[None])[0] < 0.8
    assert batches[0].points.min() == batches[0].points.max() == 0.1


def test_adr_draws_back_when_the_student_forgets() -> None:
    generator, _ = played("adr", 300)
    assert isinstance(generator, ADR)
    before = generator.upper.copy()
    rounds(generator, lambda points, _: 0.5 * chance(points + 0.2), 100, first=300)
    assert generator.upper[0] < before[0] - 0.1
    assert (generator.upper >= 0.1).all() and (generator.lower <= 0.1).all()


def test_alp_gmm_follows_a_skill_that_grows() -> None:
    """Returns are exact; a student of skill s solves levels below s. Progress is at s alone."""
    generator = make_generator("alp-gmm", {"window": 120, "most": 5})
    generator.begin(SPACE, 0)
    rng, apart = np.random.default_rng(0), []
    for i in range(120):
        skill = 0.1 + 0.8 * i / 120
        batch = generator.ask(40, i / 120)
        solved = np.clip((skill - batch.points[..., 0]) / 0.1 + 0.5, 0.0, 1.0)
        result = outcomes(batch.points, solved, 1, rng)
        result.returns[...] = solved[..., None]
        generator.tell(batch, result)
        if batch.source == "mixture":
            apart.append(np.abs(batch.points[0, :, 0] - skill))
    near = (np.concatenate(apart) < 0.15).mean()
    assert near > 0.45  # uniform levels: 0.27
