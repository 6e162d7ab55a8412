"""Edits of points: mutation, canonical order, distance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.envs.game import make_game
from robo_adv.levels import DesignSpace, Level, Parameter
from robo_adv.levels.edits import canonical, distance, mutate
from robo_adv.levels.feasible import Constraint, margins, repair, values_of
from robo_adv.levels.space import Value

MIXED = DesignSpace(
    (
        Parameter("size", 0.5, 2.0, 1.0, "m", "log"),
        Parameter("count", 0, 3, 0, "1", "int"),
        Parameter("shape", 0, 0, "box", "1", "choice", options=("box", "ball", "rod")),
        Parameter("still", 1.0, 1.0, 1.0, "1"),
    )
)


def posts(count: int) -> DesignSpace:
    return make_game("Reach-v0", 1, threads=1, obstacles=count).design_space


def standing(level: Level, count: int) -> set[tuple[Value, ...]]:
    """The posts that are there, whatever they are called."""
    names = ("x", "y", "radius", "height")
    there = int(level["obstacle_count"])
    return {tuple(level[f"obstacle{i}_{n}"] for n in names) for i in range(min(there, count))}


def test_canonical_points_mean_the_same_worlds() -> None:
    space = posts(3)
    points = space.sample(np.random.default_rng(0), 200)
    for before, after in zip(points, canonical(space, points), strict=True):
        first, second = space.decode(before), space.decode(after)
        assert standing(first, 3) == standing(second, 3)
        others = [n for n in space.names if not n.startswith("obstacle")]
        assert [first[n] for n in others] == [second[n] for n in others]


def test_worlds_that_differ_in_names_alone_are_one_canonical_point() -> None:
    space = posts(2)
    count = space.names.index("obstacle_count")
    one, two = ([k for k, n in enumerate(space.names) if n.startswith(f"obstacle{i}_")]
                for i in (0, 1))  # fmt: skip
    points = space.sample(np.random.default_rng(1), 50)
    points[:, count] = 0.99  # both stand
    swapped = points.copy()
    swapped[:, one], swapped[:, two] = points[:, two], points[:, one]
    assert not np.array_equal(points, swapped)
    np.testing.assert_array_equal(canonical(space, points), canonical(space, swapped))
    np.testing.assert_allclose(np.diag(distance(space, points, swapped)), 0.0)
    points[:, count] = 0.0  # none stands: where they would be plays no role
    other = points.copy()
    other[:, one + two] = space.sample(np.random.default_rng(2), 50)[:, one + two]
    np.testing.assert_array_equal(canonical(space, points), canonical(space, other))


def test_a_fixed_count_says_as_well_which_things_are_there() -> None:
    space = posts(2).freeze({"obstacle_count": 1})
    points = space.sample(np.random.default_rng(3), 20)
    found = canonical(space, points)
    first = [k for k, n in enumerate(space.names) if n.startswith("obstacle0_")]
    second = [k for k, n in enumerate(space.names) if n.startswith("obstacle1_")]
    np.testing.assert_array_equal(found[:, first], points[:, first])
    np.testing.assert_array_equal(found[:, second], np.tile(space.nominal_point[second], (20, 1)))


def test_a_mutant_differs_in_as_many_parameters_as_it_was_edited_at_most() -> None:
    rng = np.random.default_rng(0)
    points = MIXED.only(("size", "count", "shape")).sample(rng, 300)
    space = MIXED.only(("size", "count", "shape"))
    for edits in (1, 2, 3):
        changed = (mutate(space, points, rng, edits) != points).sum(axis=1)
        assert changed.max() <= edits
        assert changed.min() >= (1 if edits == 1 else 0)


def test_every_single_edit_makes_another_level() -> None:
    space, rng = MIXED.only(("size", "count", "shape")), np.random.default_rng(0)
    points = space.sample(rng, 300)
    mutants = mutate(space, points, rng, 1, 0.05)
    assert ((mutants >= 0) & (mutants <= 1)).all()
    for before, after in zip(points, mutants, strict=True):
        assert space.decode(before) != space.decode(after)


def test_numbers_move_as_far_as_the_scale_says_on_average() -> None:
    space = MIXED.only(("size",))
    points = np.full((4000, 1), 0.5)
    step = mutate(space, points, np.random.default_rng(0), 1, 0.1) - points
    assert step.std() == pytest.approx(0.1, rel=0.05)
    assert abs(step.mean()) < 0.01


def heavy(values: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    return 1.0 - values["mass"] * values["size"]


PAIR = DesignSpace(
    (
        Parameter("mass", 0.1, 4.0, 0.5, "kg"), Parameter("size", 0.1, 4.0, 0.5, "m"),
        Parameter("colour", 0.0, 1.0, 0.5, "1"),
    ),
    constraints=(Constraint("light enough", ("mass", "size"), heavy),),
)  # fmt: skip


def test_repair_ends_at_possible_points_and_leaves_possible_ones_alone() -> None:
    points = PAIR.sample(np.random.default_rng(0), 400)
    bad = heavy(values_of(PAIR, points)) < 0
    found = repair(PAIR, points)
    assert 0.2 < bad.mean() < 0.9
    np.testing.assert_array_equal(found.moved, bad)
    np.testing.assert_array_equal(found.points[~bad], points[~bad])
    assert (margins(PAIR, found.points)["light enough"] >= 0).all()
    assert found.broken == {"light enough": int(bad.sum())}


def test_repair_changes_what_the_constraint_speaks_of_and_goes_no_further_than_needed() -> None:
    points = PAIR.sample(np.random.default_rng(1), 400)
    found = repair(PAIR, points)
    np.testing.assert_array_equal(found.points[:, 2], points[:, 2])
    moved = np.linalg.norm(found.points - points, axis=1)[found.moved]
    to_nominal = np.linalg.norm(points - PAIR.nominal_point, axis=1)[found.moved]
    assert np.median(moved / to_nominal) < 0.6
    just_broken = PAIR.encode(PAIR.level({"mass": 1.05, "size": 1.0}))
    assert np.linalg.norm(repair(PAIR, just_broken[None]).points - just_broken) < 0.09


def test_repair_that_finds_nothing_near_ends_at_the_nominal_values() -> None:
    needle = Constraint("just so", ("mass",), lambda v: 1e-12 - np.abs(v["mass"] - 0.5))
    space = DesignSpace(PAIR.parameters, constraints=(needle,))
    found = repair(space, space.sample(np.random.default_rng(0), 10))
    np.testing.assert_allclose(values_of(space, found.points)["mass"], 0.5, atol=1e-12)


def test_repair_of_one_constraint_that_breaks_another_mends_both() -> None:
    chain = (
        Constraint("small mass", ("mass",), lambda v: 1.0 - v["mass"]),
        Constraint("mass and size", ("mass", "size"), lambda v: v["mass"] + v["size"] - 0.99),
    )
    space = DesignSpace(PAIR.parameters, constraints=chain)
    points = space.sample(np.random.default_rng(5), 300)
    found = repair(space, points)
    assert all((margin >= 0).all() for margin in margins(space, found.points).values())
    assert found.moved.sum() >= (points[:, 0] > 0.25).sum()
