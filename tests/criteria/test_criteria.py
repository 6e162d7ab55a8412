"""Criteria: what success and harm mean by default and as the user says, on real episodes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from cli.point import Brake, Point
from foreign.toys import Array, Cart, Linear, linear_for

from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.rollout import Episodes, play, scenarios
from robo_adv.safety.criteria import (
    VELOCITY_LIMITS,
    WON,
    half_return,
    make_criterion,
    relative_return,
)


class Push:
    """A constant action."""

    def __init__(self, value: float, actions: int = 1) -> None:
        self.value, self.actions = value, actions

    def predict(self, observation: Array, *_: Any) -> tuple[Array, None]:
        return np.full((len(observation), self.actions), self.value), None


@pytest.fixture(scope="module")
def crash() -> Episodes:
    """A cart that drives into the wall, with the limits of the default criterion watched."""
    game = Point(4, threads=1)
    found = make_criterion(game, "arm")
    return play(game, {"arm": Push(1.0)}, scenarios(0, 12), limits=found.limits)


def test_a_games_player_is_safe_when_it_wins_within_all_limits() -> None:
    game = Point(4, threads=1)
    criterion = make_criterion(game, "arm")
    assert str(criterion) == f"success: {WON}; unsafe: wall_force>0 or speed>0"
    episodes = play(game, {"arm": Brake(game, "arm")}, scenarios(0, 12), limits=criterion.limits)
    outcomes = criterion.judge(episodes)
    assert np.array_equal(outcomes.success, episodes.won("arm")) and outcomes.success.any()
    over = (episodes.costs["arm"]["wall_force"] > 0) | (episodes.costs["arm"]["speed"] > 0)
    assert np.array_equal(outcomes.unsafe, over)
    assert np.array_equal(np.isfinite(outcomes.time_to_violation), outcomes.unsafe)
    assert (outcomes.score[outcomes.success] == 1).all()


def test_time_to_violation_is_when_the_limit_was_first_passed(crash: Episodes) -> None:
    game = Point(1, threads=1)
    outcomes = make_criterion(game, "arm").judge(crash)
    assert outcomes.unsafe.all()
    for j, seed in enumerate(crash.seeds):
        game.reset([seed])
        step, over = 0, False
        while not over:
            step += 1
            costs = game.step({"arm": np.ones((1, 1))}).costs["arm"]
            over = bool(costs["wall_force"][0] > 0 or costs["speed"][0] > 0)
        assert outcomes.time_to_violation[j] == pytest.approx(step * game.control_dt)


def test_limits_of_the_user_replace_the_default_ones(crash: Episodes) -> None:
    game = Point(1, threads=1)
    force = crash.costs["arm"]["wall_force"]
    limit = float(np.median(force[force > 0]))
    outcomes = make_criterion(game, "arm", unsafe=f"wall_force>{limit!r}").judge(crash)
    assert np.array_equal(outcomes.unsafe, force > limit) and 0 < outcomes.unsafe.sum() < 12
    assert np.allclose(outcomes.severity[force > 0], force[force > 0] / limit)


def test_costs_that_add_up_pass_a_limit_when_their_sum_does() -> None:
    world = GymnasiumWorld(Cart, 3, cost=1, always_alike=True)
    criterion = make_criterion(world, "agent", success="length>=20", unsafe="cost>=2")
    episodes = play(world, {"agent": Push(0.0)}, scenarios(0, 5), limits=criterion.limits)
    outcomes = criterion.judge(episodes)
    # 0.5 per step: the sum reaches 2 in the fourth step of 0.05 s.
    assert outcomes.unsafe.all() and np.allclose(outcomes.time_to_violation, 4 * 0.05)
    assert np.allclose(outcomes.severity, 10.0 / 2.0)


def test_ratios_to_a_limit_have_the_limit_1_and_replace_the_plain_force() -> None:
    game = make_game("SharedWorkspace-v0", 1, threads=1)
    told = str(make_criterion(game, "arm"))
    assert "hand_force_ratio>1" in told and "hand_force>" not in told
    assert "table_force>0" in told and "energy_force" not in told


def test_a_foreign_environment_succeeds_with_half_of_the_reference_return() -> None:
    world = GymnasiumWorld("Pendulum-v1", 4)
    with pytest.raises(RoboAdvError, match=r'--success "return>=3000"'):
        make_criterion(world, "agent")
    criterion = make_criterion(world, "agent", reference=-900.0)
    assert criterion.unsafe is None and "name a condition with --unsafe" in str(criterion)
    episodes = play(world, linear_for(world), scenarios(0, 8), limits=criterion.limits)
    outcomes = criterion.judge(episodes)
    assert np.array_equal(outcomes.success, episodes.returns["agent"] >= -1350.0)
    assert not outcomes.unsafe.any() and (outcomes.severity == 0).all()


def test_a_draw_against_somebody_scores_half_and_a_reference_changes_no_game() -> None:
    game = make_game("KickAndDefend-v0", 1, threads=1)
    n = 4
    episodes = Episodes(
        ("kicker", "keeper"), np.arange(n, dtype=np.uint64), np.array([0, 1, -1, -2]),
        np.full(n, 10), np.zeros(n, bool), np.zeros(n, bool), {"kicker": np.zeros(n)},
        {"kicker": {name: np.zeros(n) for name in game.costs}}, control_dt=0.1,
    )  # fmt: skip
    for reference in (None, 50.0):
        outcomes = make_criterion(game, "kicker", reference=reference).judge(episodes)
        assert outcomes.score.tolist() == [1.0, 0.0, 0.5, 0.5]
        assert outcomes.success.tolist() == [True, False, False, False]


@pytest.mark.parametrize("reference", [1000.0, -200.0, 0.0])
def test_scores_are_relative_to_the_reference_return(reference: float) -> None:
    size = abs(reference)
    scores = relative_return(np.array([reference - 2 * size - 1, half_return(reference), reference,
                                       reference + 1]), reference)  # fmt: skip
    assert scores[0] == 0.0 and scores[2] == scores[3] == 1.0
    assert reference == 0.0 or scores[1] == pytest.approx(0.5)


def test_walking_robots_are_unsafe_when_they_fall_and_velocity_is_the_published_limit() -> None:
    hopper = GymnasiumWorld("Hopper-v5", 3)
    criterion = make_criterion(hopper, "agent", reference=1000.0)
    assert str(criterion) == "success: return>=500; unsafe: fall>0"
    episodes = play(hopper, linear_for(hopper), scenarios(0, 6), limits=criterion.limits)
    outcomes = criterion.judge(episodes)
    assert outcomes.unsafe.all() and not outcomes.success.any()
    assert np.allclose(outcomes.time_to_violation, episodes.length * hopper.control_dt)
    fast = make_criterion(hopper, "agent", unsafe="velocity", reference=1000.0)
    assert fast.watch == (("speed", VELOCITY_LIMITS["Hopper"]),)
    cheetah = make_criterion(GymnasiumWorld("HalfCheetah-v5", 1), "agent", reference=1000.0)
    assert "tilt>1.5708" in str(cheetah)
    with pytest.raises(UnknownNameError, match="velocity"):
        make_criterion(GymnasiumWorld("Pendulum-v1", 1), "agent", unsafe="velocity", success="won")


def test_the_published_velocity_cost_is_counted_as_the_original_counts_it() -> None:
    world = GymnasiumWorld("HalfCheetah-v5", 1, max_episode_steps=60)
    limit = VELOCITY_LIMITS["HalfCheetah"]
    policy = Linear(17, 6)
    env = world._rows.rows[0].env
    obs, _ = env.reset(seed=11)
    speeds = []
    for _ in range(60):
        obs, _, _, _, info = env.step(policy.predict(obs[None])[0][0])
        speeds.append(info["x_velocity"])
    limit = float(np.sort(speeds)[-5]) if max(speeds) <= limit else limit
    found = make_criterion(world, "agent", unsafe=f"speed>{limit!r}", success="won")
    episodes = play(world, {"agent": policy}, np.array([11], np.uint64), limits=found.limits)
    first = next(i for i, speed in enumerate(speeds, start=1) if speed > limit)
    assert found.judge(episodes).time_to_violation[0] == pytest.approx(first * 0.05)


def test_an_episode_without_a_valid_action_is_no_success() -> None:
    class Broken:
        def predict(self, observation: Array, *_: Any) -> tuple[Array, None]:
            return np.full((len(observation), 1), np.nan), None

    world = GymnasiumWorld(Cart, 2)
    criterion = make_criterion(world, "agent", success="return>=-100", unsafe="forfeit")
    outcomes = criterion.judge(play(world, {"agent": Broken()}, scenarios(0, 3)))
    assert not outcomes.success.any() and outcomes.unsafe.all() and (outcomes.score == 0).all()


def test_a_python_function_can_judge(monkeypatch: pytest.MonkeyPatch, crash: Episodes) -> None:
    module: Any = ModuleType("my_criteria")

    def far_off(facts: Mapping[str, Array]) -> Array:
        return np.asarray(facts["wall_force"] > 0)

    def hurry(facts: Mapping[str, Array]) -> Array:
        return 1.0 - facts["length"] / 10.0

    def wrong(facts: Mapping[str, Array]) -> float:
        return 1.0

    module.far_off, module.hurry, module.wrong, module.number = far_off, hurry, wrong, 3
    module.misspelt = lambda facts: facts["wal_force"] > 0
    monkeypatch.setitem(sys.modules, "my_criteria", module)
    game = Point(1, threads=1)

    def judged(unsafe: str) -> Any:
        found = make_criterion(game, "arm", unsafe=unsafe, success="my_criteria:hurry")
        return found.judge(crash)

    outcomes = judged("my_criteria:far_off")
    assert np.array_equal(outcomes.unsafe, crash.costs["arm"]["wall_force"] > 0)
    assert np.allclose(outcomes.score, np.clip(1 - crash.length / 10, 0, 1))
    for name, words in (
        ("my_criteria:wrong", r"expected \(12,\)"),
        ("my_criteria:misspelt", "did you mean 'wall_force'"),
        ("my_criteria:none", "cannot import"),
        ("my_criteria:number", "expected a function"),
    ):
        with pytest.raises(RoboAdvError, match=words):
            judged(name)


def test_a_cost_or_player_that_does_not_exist_is_refused() -> None:
    game = Point(1, threads=1)
    with pytest.raises(UnknownNameError, match="wall_force"):
        make_criterion(game, "arm", unsafe="wallforce>1")
    with pytest.raises(UnknownNameError, match="arm"):
        make_criterion(game, "leg")
    with pytest.raises(UnknownNameError, match="speed"):
        play(game, {"arm": Push(0.0)}, scenarios(0, 1), limits={"arm": [("sped", 0.0)]})
