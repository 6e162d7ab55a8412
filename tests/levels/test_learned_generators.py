"""Generators with a designer: what they propose, what they learn from, and that they resume exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from levels.landscape import Landscape, rounds
from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.generator import GENERATORS, Batch, Generator, Outcomes, make_generator
from robo_adv.levels.generators.paired import Paired
from robo_adv.levels.generators.repaired import Repaired
from robo_adv.levels.learned import LearnedGenerator

LEARNED = [name for name in GENERATORS if issubclass(GENERATORS[name], LearnedGenerator)]


def landscape(generator: Generator) -> Landscape:
    return Landscape(weakness=(1.0, 0.0, 0.5)[: generator.students])


def started(name: str, **parameters: Any) -> tuple[LearnedGenerator, Landscape]:
    generator = make_generator(name, {"warmup": 0.0, "capacity": 32} | parameters
                               if name == "repaired" else {"warmup": 0.0} | parameters)  # fmt: skip
    assert isinstance(generator, LearnedGenerator)
    generator.begin(landscape(generator).space, seed=3)
    return generator, landscape(generator)


def test_all_five_are_registered() -> None:
    assert set(LEARNED) == {
        "minimax", "paired", "flexible-paired", "population-paired", "repaired",
    }  # fmt: skip


@pytest.mark.parametrize("name", LEARNED)
def test_a_resumed_generator_goes_on_bit_by_bit(name: str) -> None:
    """Saved between `ask` and `tell`, through JSON, into a generator begun with another seed."""
    first, world = started(name, summary=True, epochs=2)
    rng = np.random.default_rng(0)
    for i in range(8):
        batch = first.ask(64, i / 20)
        if i < 7:
            first.tell(batch, world.play(batch, rng))
    tensors, values = first.state()
    second = make_generator(name, first.parameters())
    second.begin(world.space, seed=99)
    second.load_state({k: v.clone() for k, v in tensors.items()}, json.loads(json.dumps(values)))
    outcomes = world.play(batch, rng)
    assert first.tell(batch, outcomes) == second.tell(batch, outcomes)
    for i in range(9, 16):
        one, other = first.ask(64, i / 20), second.ask(64, i / 20)
        assert np.array_equal(one.points, other.points)
        assert (one.source, one.learn) == (other.source, other.learn)
        outcomes = world.play(one, rng)
        assert first.tell(one, outcomes) == second.tell(other, outcomes)


@pytest.mark.parametrize("name", LEARNED)
def test_its_state_is_a_copy(name: str) -> None:
    generator, world = started(name)
    rng = np.random.default_rng(0)
    batch = generator.ask(64, 0.5)
    generator.tell(batch, world.play(batch, rng))
    tensors, _ = generator.state()
    kept = {k: v.clone() for k, v in tensors.items()}
    for _ in range(3):
        batch = generator.ask(64, 0.5)
        generator.tell(batch, world.play(batch, rng))
    assert all(torch.equal(v, kept[k]) for k, v in tensors.items())


def test_another_design_space_is_refused_on_resuming() -> None:
    generator, _ = started("paired")
    other, _ = started("paired")
    other.begin(DesignSpace((Parameter("mass", 0.0, 1.0, 0.5, "kg"),)), seed=0)
    with pytest.raises(RoboAdvError, match="another design space"):
        other.load_state(*generator.state())


@pytest.mark.parametrize("name", LEARNED)
def test_equal_seeds_give_equal_runs_and_no_global_generator_is_touched(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    runs = [rounds(started(name)[0], landscape(started(name)[0]), 4) for _ in range(2)]
    assert runs[0][1] == runs[1][1]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", LEARNED)
def test_its_points_lie_in_the_cube_and_its_batch_is_as_large_as_asked(name: str) -> None:
    generator, _ = started(name)
    batch = generator.ask(64, 0.5)
    assert batch.points.shape == (1, 16, 3)
    assert batch.episodes == 4
    assert ((batch.points >= 0.0) & (batch.points <= 1.0)).all()


def test_warm_up_has_no_designs_and_later_rounds_have_the_shares_asked_for() -> None:
    generator = Paired(warmup=0.5, uniform=0.3, nominal=0.2, epochs=1)
    batches, metrics = rounds(generator, Landscape(), 400)
    assert {b.source for b in batches[:200]} == {"random"}
    assert {m["share_design"] for m in metrics[:200]} == {0.0}
    shares = [np.mean([m[f"share_{k}"] for m in metrics[200:]]) for k in
              ("design", "uniform", "nominal")]  # fmt: skip
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)
    nominal = Landscape().space.nominal_point
    share = np.mean([(b.points[0] == nominal).all(axis=1).mean() for b in batches[200:]])
    assert share == pytest.approx(0.2, abs=0.03)


def told(generator: LearnedGenerator, batch: Batch, outcomes: Outcomes) -> list[torch.Tensor]:
    """Weights after a generator heard of its batch."""
    generator.tell(batch, outcomes)
    return [p.detach().clone() for p in generator.designer.network.parameters()]


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_levels_that_it_did_not_design_do_not_enter_the_policy_gradient() -> None:
    """Returns of uniform and nominal levels change nothing, returns of designs do."""
    weights = []
    for change in ("nothing", "mixed", "designed"):
        generator, world = started("paired")
        batch = generator.ask(64, 0.5)
        outcomes = world.play(batch, np.random.default_rng(0))
        designed = (batch.points[0][:, None] == generator._proposal.points[None]).all(2).any(1)
        assert 0 < designed.sum() < 16
        chosen = {"nothing": [], "mixed": ~designed, "designed": designed}[change]
        returns = outcomes.returns.copy()
        returns[1, chosen] += np.arange(16.0)[chosen][:, None]
        weights.append(told(generator, batch, replace(outcomes, returns=returns)))
    assert same(weights[0], weights[1])
    assert not same(weights[0], weights[2])


def test_warm_up_leaves_the_designer_alone() -> None:
    generator = Paired(warmup=1.0)
    generator.begin(Landscape().space, 0)
    before = [p.detach().clone() for p in generator.designer.network.parameters()]
    rng = np.random.default_rng(0)
    for _ in range(3):
        batch = generator.ask(64, 0.5)
        after = told(generator, batch, Landscape().play(batch, rng))
    assert same(before, after)


def test_repair_changes_nothing_about_whose_density_is_raised() -> None:
    """Densities belong to what was proposed: where a point was moved to does not matter."""
    weights = []
    for shift in (0.0, 0.3):
        generator, world = started("paired")
        batch = generator.ask(64, 0.5)
        outcomes = world.play(batch, np.random.default_rng(0))
        moved = np.clip(outcomes.points + shift, 0.0, 1.0)
        weights.append(told(generator, batch, replace(outcomes, points=moved)))
    assert same(*weights)


def outcomes_of(returns: Any) -> Outcomes:
    """Outcomes with these returns (S, n, K); success where they are above 5."""
    values = np.array(returns, dtype=np.float64)
    points, none = np.zeros((*values.shape[:2], 3)), np.zeros(values.shape[:2], dtype=np.bool_)
    success = (values > 5.0).astype(np.float64)
    return Outcomes(points, none, values, success, values, values, values, values)


RETURNS = [[[2.0, 4.0], [9.0, 9.0]], [[8.0, 0.0], [1.0, 3.0]]]  # protagonist, antagonist


@pytest.mark.parametrize(
    ("name", "parameters", "returns", "expected"),
    [
        ("minimax", {}, RETURNS[:1], [-3.0, -9.0]),
        ("minimax", {"measure": "success"}, RETURNS[:1], [0.0, -1.0]),
        ("paired", {}, RETURNS, [5.0, 0.0]),
        ("paired", {"non_negative": False}, RETURNS, [5.0, -6.0]),
        ("paired", {"non_negative": False, "regret": "mean-mean"}, RETURNS, [1.0, -7.0]),
        ("paired", {"non_negative": False, "measure": "success"}, RETURNS, [1.0, -1.0]),
        ("repaired", {}, RETURNS, [5.0, 0.0]),
        ("flexible-paired", {}, RETURNS, [5.0, 7.0]),
        ("population-paired", {"students": 2}, RETURNS, [4.5, 3.5]),
    ],
)
def test_what_the_designer_is_paid(
    name: str, parameters: dict[str, Any], returns: Any, expected: list[float]
) -> None:
    generator = make_generator(name, parameters)
    assert isinstance(generator, LearnedGenerator)
    assert generator.reward(outcomes_of(returns)).tolist() == expected


def test_flexible_roles_are_symmetric_also_when_both_students_succeed_once() -> None:
    generator = make_generator("flexible-paired")
    assert isinstance(generator, LearnedGenerator)
    weak, strong = [[0.0, 1.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 1.0]]
    for returns in ([weak, strong], [strong, weak]):
        assert generator.reward(outcomes_of(returns)).tolist() == [0.75]


def test_a_population_has_as_many_students_as_asked_for() -> None:
    assert make_generator("population-paired").students == 3
    assert make_generator("population-paired", {"students": 5}).students == 5
    with pytest.raises(RoboAdvError, match="students"):
        make_generator("population-paired", {"students": 1})


def test_repaired_students_learn_from_what_they_replay_only() -> None:
    generator = Repaired(warmup=0.0, capacity=32)
    batches, _ = rounds(generator, Landscape(), 30)
    assert {b.source for b in batches} == {"design", "replay"}
    assert all(b.learn == (b.source == "replay") for b in batches)
    assert 5 < sum(b.learn for b in batches) < 25


def test_repaired_students_replay_their_own_buffers() -> None:
    generator = Repaired(warmup=0.0, capacity=32)
    batches, _ = rounds(generator, Landscape(), 30)
    replays = [b for b in batches if b.source == "replay"]
    assert replays[-1].points.shape == (2, 16, 3)
    assert not np.array_equal(replays[-1].points[0], replays[-1].points[1])


def test_each_repaired_buffer_ranks_by_its_own_student() -> None:
    """The bump is hard for the protagonist alone."""
    generator, world = Repaired(warmup=0.0, capacity=512, fill=1.0), Landscape()
    rounds(generator, world, 30)
    regrets = [world.regret(b.points[np.argsort(-b.scores)[:50]]).mean() for b in generator.buffers]
    assert regrets[0] > 1.4 * regrets[1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"uniform": 0.7, "nominal": 0.5}, "nominal must lie in"),
        ({"uniform": -0.1}, "uniform must lie in"),
        ({"learning_rate": -1.0}, "learning_rate must lie in"),
        ({"each": 0}, "each must lie in"),
        ({"student_kl": -1.0}, "student_kl must lie in"),
    ],
)
def test_bad_hyper_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(RoboAdvError, match=message):
        make_generator("paired", parameters)


@pytest.mark.parametrize("option", ["regret", "head", "measure"])
def test_unknown_words_are_answered_with_those_that_exist(option: str) -> None:
    with pytest.raises(UnknownNameError, match="known: "):
        make_generator("paired", {option: "mean"})


def test_returns_that_are_not_finite_are_refused() -> None:
    generator, world = started("paired")
    batch = generator.ask(64, 0.5)
    outcomes = world.play(batch, np.random.default_rng(0))
    with pytest.raises(RoboAdvError, match="diverged"):
        generator.tell(batch, replace(outcomes, returns=outcomes.returns * np.nan))


def test_a_round_without_designs_is_possible() -> None:
    generator = Paired(warmup=0.0, uniform=1.0, nominal=0.0)
    _, metrics = rounds(generator, Landscape(), 2)
    assert metrics[-1]["share_uniform"] == 1.0
