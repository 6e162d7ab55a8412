"""Attacks that see a black box find what is known to be worst for linear controllers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from threats.linear import Array, FakeLab, Linear, view

from robo_adv.errors import RoboAdvError
from robo_adv.threats.attack import ATTACKS, Attack, View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.directional import Directional
from robo_adv.threats.attacks.evolution import Evolution, components
from robo_adv.threats.attacks.snooping import Snooping, imitated
from robo_adv.threats.attacks.square import Square
from robo_adv.threats.threat import Threat

SIZE, ROWS, BUDGET = 17, 32, 0.5
RNG = np.random.default_rng(3)
CLEAN = RNG.normal(size=(ROWS, SIZE))
SCALE = RNG.uniform(0.2, 2.0, SIZE)
ONE = Linear(RNG.normal(size=(SIZE, 1)))
SIX = Linear(RNG.normal(size=(SIZE, 6)))


def shift(policy: Linear, shown: Array) -> Array:
    """Lengths (n,) of the change of the action."""
    return np.asarray(np.linalg.norm((shown - CLEAN) @ policy.gains, axis=1))


def best(policy: Linear) -> float:
    """The largest change of one action: every entry at the side of its gain."""
    return float(BUDGET * (SCALE * np.abs(policy.gains[:, 0])).sum())


def test_directions_reach_the_exact_optimum_of_a_linear_controller() -> None:
    for entry in range(6):
        for sign in (1, -1):
            shown = SIX.shown(Directional(entry, sign), CLEAN, SCALE, BUDGET, SIX.access)
            moved = ((shown - CLEAN) @ SIX.gains)[:, entry]
            wanted = sign * BUDGET * (SCALE * np.abs(SIX.gains[:, entry])).sum()
            assert moved == pytest.approx(np.full(ROWS, wanted), rel=1e-5)


def test_of_all_directions_the_one_that_harms_most_is_kept() -> None:
    def mark(attack: Attack) -> float:
        assert isinstance(attack, Directional)
        return float(attack.entry == 4 and attack.sign == -1)

    lab = FakeLab(SIX, SCALE, mark, SIX.access)
    found = Directional().search(lab)
    assert (lab.judged, found.told) == (12, "action 4 driven down")


def test_the_square_attack_comes_near_the_optimum_within_its_questions() -> None:
    policy = replace(ONE, seen=[])
    shown = policy.shown(Square(), CLEAN, SCALE, BUDGET)
    assert (shift(policy, shown) > 0.9 * best(policy)).all()
    asked = sum(len(part) for part in policy.seen) / ROWS - 1  # the last is what it does
    assert 0.8 * sum(Square.passes) < asked <= sum(Square.passes)


def test_the_square_attack_gets_better_with_more_questions() -> None:
    reached = [
        shift(SIX, SIX.shown(Square(rounds, 3), CLEAN, SCALE, BUDGET)).mean()
        for rounds in (1, 3, 12)
    ]
    noise = shift(SIX, SIX.shown(ATTACKS["corner"](), CLEAN, SCALE, BUDGET)).mean()
    assert noise < reached[0] < reached[1] < reached[2]


def test_the_square_attack_does_not_depend_on_the_rows_beside_an_episode() -> None:
    whole = Square().propose(_view(CLEAN))
    part = Square().propose(_view(CLEAN[8:16], 8))
    assert np.array_equal(whole[8:16], part)


def test_the_square_attack_leaves_alone_what_it_may_not_touch() -> None:
    scale = SCALE * (np.arange(SIZE) % 3 == 0)
    shown = ONE.shown(Square(), CLEAN, scale, BUDGET)
    assert np.array_equal(shown[:, scale == 0], CLEAN[:, scale == 0])
    assert np.allclose(np.abs(shown - CLEAN)[:, scale > 0], BUDGET * scale[scale > 0])


def test_the_square_attack_says_that_it_needs_to_ask() -> None:
    with pytest.raises(RoboAdvError, match="cannot be asked"):
        Square().propose(replace(_view(CLEAN), ask=None))


def _view(clean: Array, first: int = 0) -> View:
    return view(
        clean, BUDGET * SCALE, first, lambda shown: np.einsum("nd,da->na", shown, SIX.gains)
    )


class Memory:
    """Adds what it saw before to what it sees; one row of state per episode."""

    def start(self, seeds: Array, observation: Array) -> tuple[Array, ...]:
        return (np.zeros((len(seeds), SIZE)),)

    def predict(
        self,
        observation: Array,
        state: tuple[Array, ...] | None = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, tuple[Array, ...] | None]:
        assert state is not None and len(state[0]) == len(observation)
        return (observation + state[0]) @ ONE.gains, (state[0] + observation,)


def test_a_controller_with_a_memory_can_be_asked_and_does_not_notice() -> None:
    policy = Memory()
    attacked = Attacked(policy, Threat("observation", BUDGET), Square(), SCALE)
    plain = Attacked(policy, Threat("observation", BUDGET), ATTACKS["none"](), SCALE)  # type: ignore[arg-type]
    state = attacked.start(np.arange(ROWS, dtype=np.uint64), CLEAN)
    calm = plain.start(np.arange(ROWS, dtype=np.uint64), CLEAN)
    for _ in range(3):
        action, state = attacked.predict(CLEAN, state, None, True)  # type: ignore[assignment]
        usual, calm = plain.predict(CLEAN, calm, None, True)  # type: ignore[assignment]
    remembered = state[-1]
    assert (np.abs(remembered - 3.0 * CLEAN) <= 3.0 * BUDGET * SCALE + 1e-9).all()
    once = np.abs(action - usual)[:, 0] / best(
        ONE
    )  # of three lies, two may have been the other way
    assert (np.abs(once - 1.0) < 0.05).any() and (np.abs(once - 3.0) < 0.05).any()


def test_snooping_takes_a_black_box_to_the_corner_that_a_white_box_shows() -> None:
    policy = replace(ONE, seen=[])
    found = Snooping(data=3000).search(FakeLab(policy, SCALE))
    shown = policy.shown(found, CLEAN, SCALE, BUDGET)
    assert (shift(policy, shown) > 0.97 * best(policy)).all()
    assert "copy from 2700 steps, 0.3% of the variance" in found.told


def test_a_copy_carries_other_attacks_to_a_black_box() -> None:
    access = imitated(FakeLab(SIX, SCALE), 3000)
    assert access.normaliser is not None and access.std is None
    shown = SIX.shown(Directional(2, 1), CLEAN, SCALE, BUDGET, access)
    wanted = BUDGET * (SCALE * np.abs(SIX.gains[:, 2])).sum()
    assert (((shown - CLEAN) @ SIX.gains)[:, 2] > 0.97 * wanted).all()


def test_evolution_finds_more_of_a_hidden_corner_than_as_many_random_tries() -> None:
    hidden = np.where(RNG.uniform(size=SIZE) < 0.5, -1.0, 1.0)

    def mark(attack: Attack) -> float:
        shown = SIX.shown(attack, CLEAN, SCALE, BUDGET)
        return float(((shown - CLEAN) / (BUDGET * SCALE) * hidden).mean())

    found = Evolution(rounds=15).search(FakeLab(SIX, SCALE, mark))
    tries = np.sign(RNG.normal(size=(15 * 12, SIZE))) @ hidden / SIZE
    assert mark(found) > tries.max()


def test_evolution_can_answer_to_what_is_there() -> None:
    """Harm that depends on the state: a constant corner can have no more than half of it."""
    along = np.zeros(SIZE)
    along[5] = 1.0
    clean = CLEAN.copy()
    clean[:, 5] *= 6.0 / SCALE[5]

    def mark(attack: Attack) -> float:
        moved = np.sign((SIX.shown(attack, clean, SCALE, BUDGET) - clean)[:, 0])
        return float((moved == np.sign(clean[:, 5])).mean())

    class Stretched(FakeLab):
        def transitions(self, steps: int):  # type: ignore[no-untyped-def]
            seen = super().transitions(steps)
            seen.observation[..., 0] = seen.observation[..., 5]  # one principal component
            return seen

    found = Evolution(rounds=6).search(Stretched(SIX, SCALE, mark))
    assert mark(found) > 0.75


def test_features_are_of_variance_one_and_leave_out_what_never_varies() -> None:
    seen = RNG.normal(size=(500, 4)) * [1.0, 100.0, 0.0, 1e-3]
    shift_, project = components(seen, 9)
    features = (seen - shift_) @ project.T
    assert project.shape == (3, 4) and not project[:, 2].any()
    assert features.std(axis=0) == pytest.approx(np.ones(3), rel=1e-6)


def test_the_search_of_evolution_keeps_to_three_hundred_episodes() -> None:
    lab = FakeLab(SIX, SCALE)
    Evolution().search(lab)
    assert 8 * lab.judged <= 300
