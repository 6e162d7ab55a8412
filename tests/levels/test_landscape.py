"""On a landscape of known regret, regret-based generators find the levels of highest regret and
minimax finds those that nobody can solve."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from levels.landscape import BUMP, DEPTH, SHARP, Landscape, points_of, rounds
from robo_adv.levels.generator import Batch, make_generator, shared

PURE: dict[str, Any] = {"warmup": 0.0, "uniform": 0.0, "nominal": 0.0}


def late(name: str, world: Landscape, count: int = 140, seed: int = 0, **parameters: Any) -> Any:
    """Points (m, P) of the last 25 rounds with designs, and with nothing else."""
    generator = make_generator(name, PURE | parameters)
    batches, _ = rounds(generator, world, count, seed=seed)
    return points_of([b for b in batches if b.source == "design"][-25:], "design")


def test_the_landscape_has_the_regret_it_says() -> None:
    world = Landscape()
    top, easy, hard = np.array([*BUMP, 0.5]), np.array([0.5, 0.1, 0.5]), np.array([0.9, 0.9, 0.5])
    assert world.success(easy, 0) == pytest.approx(1.0, abs=1e-4)
    assert world.success(easy, 1) == 1.0
    assert world.success(hard, 0) == world.success(hard, 1) == 0.0
    assert world.regret(top) == pytest.approx(DEPTH * world.success(top, 1))
    sample = world.space.sample(np.random.default_rng(0), 50_000)
    assert world.share_of_top(sample) == pytest.approx(0.1, abs=0.01)
    assert world.share_unsolvable(sample) == pytest.approx(0.125, abs=0.01)


def test_outcomes_have_the_success_rates_of_the_landscape() -> None:
    world = Landscape()
    points = world.space.sample(np.random.default_rng(0), 5)
    outcomes = world.play(shared(points, 4000, "random"), np.random.default_rng(1))
    assert outcomes.success.shape == (2, 5, 4000)
    expected = [world.success(points, 0), world.success(points, 1)]
    assert outcomes.success.mean(axis=2) == pytest.approx(np.array(expected), abs=0.03)


def test_paired_concentrates_on_the_highest_regret() -> None:
    world = Landscape()
    assert world.share_of_top(late("paired", world)) > 0.5


def test_paired_with_mean_regret_and_a_gaussian_designer_does_so_too() -> None:
    world = Landscape()
    points = late("paired", world, regret="mean-mean", head="tanh-gaussian")
    assert world.share_of_top(points) > 0.5


def test_paired_avoids_levels_on_which_the_protagonist_is_the_better_one() -> None:
    world = Landscape(weakness=(0.0, 1.0))
    points = late("paired", world, regret="mean-mean", non_negative=False)
    assert world.share_of_top(points) < 0.05


def test_flexible_paired_finds_them_where_the_second_student_is_the_worse_one() -> None:
    """PAIRED avoids these. Which student is which makes no difference (test_scores.py). Its best of
    eight episodes overrates hard levels more than PAIRED's best of four."""
    world = Landscape(weakness=(0.0, 1.0), easy=SHARP)
    assert world.share_of_top(late("flexible-paired", world)) > 0.5


def test_a_population_finds_where_most_of_it_fails() -> None:
    world = Landscape(weakness=(1.0, 0.0, 1.0), easy=SHARP)
    assert world.share_of_top(late("population-paired", world)) > 0.5


def test_repaired_designs_concentrate_on_the_highest_regret() -> None:
    world = Landscape()
    assert world.share_of_top(late("repaired", world, count=280)) > 0.4


def test_minimax_goes_where_nobody_can_succeed() -> None:
    world = Landscape(weakness=(1.0,))
    points = late("minimax", world, count=70)
    assert world.share_unsolvable(points) > 0.8
    assert world.share_of_top(points) < 0.1


def replayed(name: str, world: Landscape, **parameters: Any) -> list[Batch]:
    """The last 20 rounds of replays."""
    generator = make_generator(name, {"score": "max_mc", **parameters})
    batches, _ = rounds(generator, world, 300)
    return [b for b in batches if b.source == "replay"][-20:]


@pytest.mark.parametrize("name", ["plr", "robust-plr", "accel"])
def test_replay_finds_the_highest_regret(name: str) -> None:
    world = Landscape(weakness=(1.0,), easy=SHARP)
    assert world.share_of_top(points_of(replayed(name, world), "replay")) > 0.35
