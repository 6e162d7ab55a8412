"""Every registered generator keeps the contract of `robo_adv.levels.generator.Generator`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from levels import contract
from levels.fabricate import rounds
from robo_adv.errors import RoboAdvError
from robo_adv.levels.generator import GENERATORS, Batch, Generator, Outcomes, make_generator, shared

NAMES = list(GENERATORS)
NUMBERS = [
    (name, f.name)
    for name in NAMES
    for f in dataclasses.fields(GENERATORS[name])
    if f.init and type(f.default) in (int, float)
]
WORDS = [
    (name, f.name)
    for name in NAMES
    for f in dataclasses.fields(GENERATORS[name])
    if f.init and type(f.default) is str
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("episodes", [16, 48])
def test_rounds_have_their_number_of_episodes_on_points_of_the_cube(
    name: str, episodes: int
) -> None:
    contract.check_batches(lambda: contract.quick(name), episodes)


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_rounds(name: str) -> None:
    contract.check_seeds(lambda: contract.quick(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nominal"])
def test_other_seeds_give_other_rounds(name: str) -> None:
    asked = []
    for seed in (0, 1):
        generator = contract.started(lambda: contract.quick(name), seed)
        batches = rounds(generator, contract.chance, 4, 16)[0]
        asked.append([batch.points.tobytes() for batch in batches])
    assert asked[0] != asked[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("before", [0, 3, 9])
def test_a_saved_generator_goes_on_to_the_last_bit(name: str, before: int) -> None:
    contract.check_resume(lambda: contract.quick(name), before)


@pytest.mark.parametrize("name", NAMES)
def test_the_state_of_another_design_space_is_refused(name: str) -> None:
    other = make_generator(name)
    other.begin(contract.OTHER, 0)
    generator = contract.started(lambda: make_generator(name))
    with pytest.raises(RoboAdvError, match="another design space"):
        generator.load_state(*other.state())


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_finite_numbers(name: str) -> None:
    contract.check_metrics(lambda: contract.quick(name))


@pytest.mark.parametrize("name", NAMES)
def test_generators_draw_from_their_own_random_numbers(name: str) -> None:
    contract.check_private_luck(lambda: contract.quick(name))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_design_space_is_refused(name: str) -> None:
    with pytest.raises(RoboAdvError, match="design space is empty"):
        make_generator(name).begin(contract.SPACE.only(()), 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_round_that_cannot_be_split_is_refused(name: str) -> None:
    generator = make_generator(name)
    if not hasattr(generator, "each"):
        return
    generator = make_generator(name, {"each": 4} | ({"tries": 4} if name == "sfl" else {}))
    generator.begin(contract.SPACE, 0)
    with pytest.raises(RoboAdvError, match="choose a multiple of 4"):
        generator.ask(10, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_hyper_parameters_can_be_given_back(name: str) -> None:
    generator = make_generator(name)
    assert make_generator(name, generator.parameters()).parameters() == generator.parameters()


@pytest.mark.parametrize(("name", "field"), NUMBERS)
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_numbers_out_of_range_are_refused(name: str, field: str, value: float) -> None:
    with pytest.raises(RoboAdvError, match=rf"{field} must lie in \[.*\], got"):
        make_generator(name, {field: value})


@pytest.mark.parametrize(("name", "field"), WORDS)
def test_words_that_do_not_exist_are_refused(name: str, field: str) -> None:
    with pytest.raises(RoboAdvError, match=r"unknown .* 'nonsense' \(known: "):
        make_generator(name, {field: "nonsense"})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="did you mean 'robust-plr'"):
        make_generator("robust_plr")
    with pytest.raises(RoboAdvError, match="unknown hyper-parameter of generator 'plr'"):
        make_generator("plr", {"betta": 1.0})


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("plr", {"each": 1, "score": "learnability"}, "needs 2 episodes per level"),
        ("accel", {"score": "max_mean"}, "compares 2 students, there is 1; use learnability"),
        ("sfl", {"tries": 1}, "needs 2 episodes per level"),
        ("sfl", {"keep": 65}, r"keep must lie in \[1, 64\], got 65"),
        ("adr", {"shrink_below": 0.8}, r"shrink_below must lie in \[0, 0.7\]"),
        ("alp-gmm", {"fewest": 11}, r"fewest must lie in \[1, 10\]"),
        ("alp-gmm", {"window": 19}, r"window must lie in \[20, 100000\]"),
        ("plr", {"replay": 1.1}, r"replay must lie in \[0, 1\], got 1.1"),
    ],
)
def test_hyper_parameters_that_do_not_go_together_are_refused(
    name: str, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        make_generator(name, given)


@dataclass
class Broken(Generator):
    """A generator that breaks the contract in one way."""

    fault: str = ""

    def ask(self, episodes: int, progress: float) -> Batch:
        n = episodes + 1 if self.fault == "too many" else episodes
        points = self.space.sample(self.rng, n)
        if self.fault == "outside":
            points[0, 0] = 1.2
        if self.fault == "global luck":
            points[0] = np.random.rand(len(self.space))
        return shared(points, 1, "random")

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        return {"score": float("nan")} if self.fault == "no number" else {}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        if self.fault != "forgetful":
            super().load_state(tensors, values)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("too many", "batches"),
        ("outside", "batches"),
        ("global luck", "seeds"),
        ("global luck", "luck"),
        ("forgetful", "resume"),
        ("no number", "metrics"),
    ],
)
def test_the_contract_rejects_a_broken_generator(fault: str, check: str) -> None:
    contract.CHECKS[check](lambda: Broken())
    with pytest.raises(AssertionError):
        contract.CHECKS[check](lambda: Broken(fault))
