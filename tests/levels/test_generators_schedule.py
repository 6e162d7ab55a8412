"""What each generator asks for, and when the students learn from it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from levels import contract
from levels.fabricate import outcomes, play, rounds
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.generator import Batch, Generator, Outcomes, make_generator
from robo_adv.levels.generators.adr import ADR
from robo_adv.levels.generators.plr import PLR
from robo_adv.levels.generators.sfl import SFL

Array = npt.NDArray[np.float64]
SPACE, chance = contract.SPACE, contract.chance
SQUARE = DesignSpace(tuple(Parameter(name, 0.0, 1.0, 0.5, "") for name in "xy"))


def begun(name: str, space: DesignSpace = SPACE, **given: float | str) -> Generator:
    generator = make_generator(name, given)
    generator.begin(space, 0)
    return generator


def half(batch: Batch, students: int = 1) -> Outcomes:
    """Everyone wins every other episode."""
    points = np.repeat(batch.points, students, axis=0)
    result = outcomes(points, np.ones(points.shape[:2]), batch.episodes, np.random.default_rng(0))
    result.success[..., ::2] = 0.0
    return result


def sources(batches: list[Batch]) -> list[tuple[str, bool]]:
    return [(batch.source, batch.learn) for batch in batches]


def test_nominal_asks_for_nothing_else() -> None:
    for batch in rounds(begun("nominal"), chance, 3)[0]:
        assert (batch.points == SPACE.nominal_point).all()


def test_sobol_fills_every_sixteenth_of_every_axis_equally() -> None:
    batches, _ = rounds(begun("sobol"), chance, 4, 16)
    points = np.concatenate([batch.points[0] for batch in batches])
    for axis in points.T:
        np.testing.assert_array_equal(np.bincount((axis * 16).astype(int)), 4)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_nominal_mix_keeps_its_share(share: float) -> None:
    points = begun("nominal-mix", share=share).ask(2000, 0.0).points[0]
    assert (points == SPACE.nominal_point).all(axis=1).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("name", "learns"), [("plr", True), ("robust-plr", False)])
def test_plr_fills_its_buffer_then_replays_half_of_the_rounds(name: str, learns: bool) -> None:
    batches, metrics = rounds(begun(name, capacity=32), chance, 200)
    assert sources(batches)[0] == ("random", learns)
    assert set(sources(batches)) == {("random", learns), ("replay", True)}
    assert metrics[-1]["replay_share"] == pytest.approx(0.5, abs=0.1)
    assert metrics[-1]["buffer_fill"] == 1.0


def test_replayed_levels_are_in_the_buffer_as_they_were_played() -> None:
    generator = begun("plr", capacity=32)
    assert isinstance(generator, PLR)
    seen: set[bytes] = set()
    for i in range(40):
        batch = generator.ask(64, 0.0)
        if batch.source == "replay":
            assert {p.tobytes() for p in batch.points[0]} <= seen
        generator.tell(batch, play(SPACE, batch, chance, 1, np.random.default_rng(i)))
        seen = {p.tobytes() for p in generator.buffer.points}


def test_the_score_of_a_replayed_level_is_the_latest_one() -> None:
    generator = begun("plr", replay=1.0, fill=0.0, score="learnability")
    assert isinstance(generator, PLR)
    batch = generator.ask(64, 0.0)
    generator.tell(batch, half(batch))
    np.testing.assert_allclose(generator.buffer.scores, 1 / 3)
    batch = generator.ask(64, 0.0)
    assert batch.source == "replay"
    result = half(batch)
    result.success[...] = 1.0
    generator.tell(batch, result)
    np.testing.assert_array_equal(generator.buffer.scores, 0.0)


def test_accel_plays_mutants_after_every_replay_and_learns_from_replays_alone() -> None:
    batches, _ = rounds(begun("accel", capacity=32), chance, 60)
    found = sources(batches)
    assert set(found) == {("random", False), ("replay", True), ("mutant", False)}
    for (before, _), (now, _) in pairwise(found):
        assert (now == "mutant") == (before == "replay")


def test_mutants_differ_from_what_was_replayed_by_few_edits() -> None:
    batches, _ = rounds(begun("accel", SQUARE, capacity=32, edits=1), _flat, 60)
    for before, now in pairwise(batches):
        if now.source == "mutant":
            changed = (before.points != now.points).sum(axis=2)
            assert changed.max() == 1
            assert np.abs(before.points - now.points).mean() < 0.1


def test_easy_parents_are_the_quarter_with_the_highest_return_minus_score() -> None:
    generator = begun("accel", SQUARE, base="easy", fill=0.0, replay=1.0, scale=0.0)
    batch = generator.ask(64, 0.0)
    generator.tell(batch, half(batch))
    batch = generator.ask(64, 0.0)
    assert batch.source == "replay"
    result = half(batch)
    easy = np.arange(16) % 5 == 0
    result.returns[0] = easy[:, None]
    generator.tell(batch, result)
    wanted = {p.tobytes() for p in batch.points[0, easy]}
    assert {p.tobytes() for p in generator.ask(64, 0.0).points[0]} == wanted


def test_sfl_scores_its_candidates_without_learning_then_learns_for_a_while() -> None:
    generator = begun("sfl", candidates=64, tries=4, every=5)
    assert isinstance(generator, SFL)
    batches, metrics = rounds(generator, chance, 7)
    kept = {point.tobytes() for point in generator.kept}
    share = np.mean([point.tobytes() in kept for b in batches[4:] for point in b.points[0]])
    assert share == pytest.approx(0.5, abs=0.1)
    assert metrics[2]["candidates"] == 48.0
    assert metrics[3]["kept"] == len(kept) <= 16
    more, _ = rounds(generator, chance, 11, first=7)
    assert sources(batches + more) == ([("candidate", False)] * 4 + [("replay", True)] * 5) * 2


def test_sfl_keeps_no_level_on_which_nothing_can_be_learned_unless_there_is_no_other() -> None:
    for solved, kept in (([0.5] * 3 + [1.0] * 13, 3), ([1.0] * 16, 8)):
        generator = begun("sfl", SQUARE, candidates=16, keep=8)
        assert isinstance(generator, SFL)
        batch = generator.ask(64, 0.0)
        result = half(batch)
        result.success[0, np.array(solved) == 1.0] = 1.0
        assert generator.tell(batch, result)["kept"] == kept
        assert generator.ask(64, 0.0).learn


def test_the_first_student_decides() -> None:
    alone, in_company = begun("plr"), begun("plr")
    for _ in range(3):
        batch = alone.ask(64, 0.0)
        assert (batch.points == in_company.ask(64, 0.0).points).all()
        both = half(batch, students=2)
        both.positive_value_loss[1] = 9.0
        only = replace(both, **{k: v[:1] for k, v in vars(both).items()})
        assert alone.tell(batch, only) == in_company.tell(batch, both)


def test_adr_moves_ints_by_whole_values_and_choices_by_options() -> None:
    generator = begun("adr", queue=1, step=0.01, pin=1.0)
    assert isinstance(generator, ADR)
    seen: list[tuple[int, str]] = []
    for _ in range(40):
        batch = generator.ask(16, 0.0)
        for point in batch.points[0]:
            level = SPACE.decode(point)
            seen.append((int(level["delay"]), str(level["tool"])))
        result = half(batch)
        result.success[...] = 1.0
        generator.tell(batch, result)
    assert {delay for delay, _ in seen} == {0, 1, 2, 3}
    assert {tool for _, tool in seen} == {"hook", "stick", "ball"}
    assert all(seen[i] == (0, "stick") for i in range(16))
    np.testing.assert_allclose(generator.lower[:3], [0.0, 0.0, 1 / 6], atol=0.4)
    assert generator.upper[1] == pytest.approx(1.0)
    assert (generator.lower[-1], generator.upper[-1]) == (0.0, 0.0)


def test_adr_moves_a_bound_after_so_many_levels_at_it_and_no_sooner() -> None:
    space = SQUARE.only("x")
    generator = begun("adr", space, queue=10, pin=1.0, step=0.1)
    assert isinstance(generator, ADR)
    counts = np.zeros(2, dtype=int)
    while counts.max() < 10:
        np.testing.assert_array_equal([generator.lower, generator.upper], 0.5)
        batch = generator.ask(1, 0.0)
        counts[generator.pinned[0]] += 1
        result = half(batch)
        result.success[...] = 1.0
        generator.tell(batch, result)
    assert generator.upper[0] - generator.lower[0] == pytest.approx(0.1)


def test_adr_learns_nothing_from_a_pin_that_repair_moved() -> None:
    generator = begun("adr", SQUARE, queue=1, pin=1.0)
    assert isinstance(generator, ADR)
    batch = generator.ask(16, 0.0)
    result = half(batch)
    result.success[...] = 1.0
    told = generator.tell(batch, replace(result, points=result.points + 0.01))
    assert told["pins_moved_by_repair"] == 16.0
    assert (generator.lower == 0.5).all() and (generator.upper == 0.5).all()


def test_adr_finds_a_pin_that_canonical_order_has_put_elsewhere() -> None:
    walls = DesignSpace(
        tuple(Parameter(f"wall{k}_x", 0.0, 1.0, 0.5, "m", slot="wall") for k in range(2))
    )
    generator = begun("adr", walls, queue=1, pin=1.0)
    for i in range(20):
        batch = generator.ask(16, 0.0)
        result = play(walls, batch, _flat, 1, np.random.default_rng(i))
        assert generator.tell(batch, result)["pins_moved_by_repair"] == 0.0


def test_alp_gmm_is_uniform_until_it_has_seen_a_window_and_now_and_then_after() -> None:
    generator = begun("alp-gmm", SQUARE, window=64, most=3, uniform=0.0)
    batches, metrics = rounds(generator, _flat, 6, 32)
    assert [b.source for b in batches] == ["random"] * 2 + ["mixture"] * 4
    assert metrics[0]["components"] == 0.0 and metrics[-1]["components"] >= 2.0


def _flat(points: Array, student: int) -> Array:
    return np.full(len(points), 0.5)
