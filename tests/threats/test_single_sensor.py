"""One bad sensor: it alone is touched, it gets the whole budget, and the one that matters is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from threats.cases.judging import Judging

from robo_adv.agents.controllers import controller
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.plan import SUITES, plan
from robo_adv.audit.reference import REFERENCE, measure
from robo_adv.envs.game import make_game
from robo_adv.policy import State
from robo_adv.rollout import scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.attack import Attack
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.single_sensor import SingleSensor
from robo_adv.threats.threat import Threat

Array = npt.NDArray[Any]
GROUPS = np.array([0, 1, 1, 2, 2, 2])
SCALE = np.array([1.0, 0.5, 2.0, 1.0, 1.0, 4.0])
NAMES = ("heading", "wheels", "camera")


class Linear:
    """Acts by a weighted sum of what it sees, and keeps that."""

    def __init__(self, weights: Array) -> None:
        self.weights = weights
        self.seen: list[Array] = []

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen.append(observation.copy())
        return observation @ self.weights[:, None], None


def attacked(policy: Linear, attack: SingleSensor, scale: Array = SCALE) -> Attacked:
    return Attacked(policy, Threat("observation", 2.0, "l2"), attack, scale, groups=GROUPS)


def steps(policy: Attacked, count: int) -> None:
    truth = np.ones((4, 6))
    state: State = policy.start(np.arange(4, dtype=np.uint64), truth)
    for _ in range(count):
        _, state = policy.predict(truth, state, None, True)


@pytest.mark.parametrize("sensor", range(3))
@pytest.mark.parametrize("steady", [True, False])
def test_one_sensor_gets_the_whole_budget_and_the_others_nothing(sensor: int, steady: bool) -> None:
    policy = Linear(np.ones(6))
    under = attacked(policy, SingleSensor(NAMES, sensor, steady))
    steps(under, 5)
    away = (np.array(policy.seen) - 1.0) / SCALE  # (steps, episodes, entries)
    assert not away[..., sensor != GROUPS].any()
    assert np.linalg.norm(away, axis=2) == pytest.approx(2.0)
    assert under.excess == pytest.approx(1.0)
    same = [np.array_equal(now, away[0]) for now in away]
    assert all(same) if steady else not all(same)


def test_entries_that_may_not_be_touched_leave_their_budget_to_the_rest_of_the_sensor() -> None:
    policy = Linear(np.ones(6))
    scale = SCALE * (np.arange(6) != 3)
    steps(attacked(policy, SingleSensor(NAMES, 2), scale), 1)
    away = policy.seen[0] - 1.0
    assert not away[:, :4].any()
    assert np.abs(away[:, 4:]) == pytest.approx(np.tile(2.0 / np.sqrt(2) * SCALE[4:], (4, 1)))


@pytest.mark.parametrize("sensor", range(3))
def test_the_sensor_that_the_controller_acts_on_is_found(sensor: int) -> None:
    weights = np.where(sensor == GROUPS, 1.0, 0.01) / SCALE

    def judge(attacks: Sequence[Attack]) -> Array:
        return np.array([shift(attack) for attack in attacks])

    def shift(attack: Attack) -> float:
        assert isinstance(attack, SingleSensor)
        policy = Linear(weights)
        steps(attacked(policy, attack), 1)
        return float(np.abs((policy.seen[0] - 1.0) @ weights).max())

    found = SingleSensor(NAMES).search(Judging(judge))
    assert isinstance(found, SingleSensor)
    assert found.sensor == sensor and found.told.endswith(f" of {NAMES[sensor]}")


def test_an_audit_says_in_words_which_of_the_allowed_sensors_is_worst() -> None:
    name, seeds = "zoo:reach-panda-s1", scenarios(77, 4)
    game = make_game("Reach-v0", 4, threads=1)
    policy = controller(name, game, "arm").policy
    seen, _ = measure(name, game, "arm", {"arm": policy}, scenarios(REFERENCE, 4))
    subject = Subject(name, "arm", policy, game, make_criterion(game, "arm"))
    engine = Engine(subject, seen, seeds, search=2)
    (row,) = plan(["observation"], attacks=["single-sensor"], slices=("joint_*",))
    played = engine.play(row, row.budgets[-1])
    assert played.setting.found is not None
    assert played.setting.found.episodes == 2 * 2 * 2  # two sensors, two faults, two scenarios
    fault, sensor = played.setting.told.split(" of ")
    assert fault in ("a constant offset", "noise")
    assert sensor in ("joint_position", "joint_velocity")
    assert "single-sensor" in SUITES["full"]["observation"]
