"""Learned attackers: their seat, what they are paid, and budgets that they may husband."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from controllers.published_files import Recurrent, write

from robo_adv.agents.attacker_seat import AttackerSeat
from robo_adv.agents.attackers import FOREIGN, NEAR, Attacker, config_of, trainer
from robo_adv.agents.payoff import Payoff
from robo_adv.agents.subject import AuditConfig, prepare, world_for
from robo_adv.audit.engine import Engine
from robo_adv.audit.plan import Row
from robo_adv.errors import RoboAdvError
from robo_adv.policy import State
from robo_adv.runs import Run
from robo_adv.threats.attack import ATTACKS
from robo_adv.threats.attacks.director import Director
from robo_adv.threats.attacks.robust_adversarial import ActionAdversary, ForceAdversary
from robo_adv.threats.attacks.strike import Strike
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import Threat
from robo_adv.training.learner import Threads
from robo_adv.training.loop import load_state, save_state

Array = npt.NDArray[Any]
TINY = replace(FOREIGN, num_envs=4, n_steps=32, batch_size=64, n_epochs=2)
REACH = AuditConfig("zoo:reach-panda-s1", episodes=6, search=2, threads=1)
SWING = AuditConfig(
    "tests.threats.test_learned:damped", "Pendulum-v1", episodes=6, search=2, unsafe="return < -400"
)


def damped(observation: Array) -> Array:
    """A controller of Pendulum-v1 that knows nothing better than to brake."""
    return -0.5 * observation[:, 2:]


def bench(config: AuditConfig, rows: int = 4) -> Engine:
    return prepare(config, world_for(config, rows)).engine


def row_of(name: str, budget: float, **changes: Any) -> Row:
    kind = ATTACKS[name]
    return Row(name, Threat(kind.port, 0.0, kind.norm, **changes), (budget,))


def seat_of(engine: Engine, attack: LearnedAttack, threat: Threat) -> AttackerSeat:
    return AttackerSeat(engine, threat, attack, Payoff(engine, attack.aim))


def test_the_actor_moves_the_action_where_the_director_points() -> None:
    """And not away from there, as the published code does."""
    engine = bench(REACH)
    world, policy = engine.subject.world, engine.subject.policy
    size = world.action_size("arm")
    obs = world.reset(np.arange(4))["arm"]
    before = policy.predict(obs, None, None, True)[0]
    for towards in np.concatenate([np.eye(size), -np.eye(size)]):
        attack = Director(brain=Always(*towards))
        attacked: Any = engine.setting(Threat("observation", 0.05), [attack]).policy
        after = attacked.predict(obs, None, None, True)[0]
        free = np.abs(before @ towards) < 0.9  # not at the end of its range
        assert (((after - before) @ towards)[free] > 0).all()


@pytest.mark.parametrize(
    ("config", "attack", "threat"),
    [
        (REACH, Director(), Threat("observation", 0.2)),
        (REACH, ForceAdversary(), Threat("force", 0.5, "l2")),
        (SWING, ActionAdversary(), Threat("action", 0.3, schedule=Schedule(shared=8))),
    ],
)
def test_a_stopped_training_goes_on_bit_by_bit(
    config: AuditConfig, attack: LearnedAttack, threat: Threat, tmp_path: Path
) -> None:
    def fresh() -> Attacker:
        engine = bench(config)
        row = Row("x", threat.at(0.0), (threat.budget,))
        told = config_of(engine, row, threat, attack, "", 7, Threads(1, 1, 1), TINY)
        return Attacker(told, engine, threat, attack, lambda rows: world_for(config, rows))

    whole, first, second = fresh(), fresh(), fresh()
    for _ in range(4):
        whole.iterate()
    for _ in range(2):
        first.iterate()
    save_state(tmp_path / "state", first, 0.0)
    load_state(tmp_path / "state", second)
    for _ in range(2):
        second.iterate()
    one, other = (dict(a.learner.policy.network.named_parameters()) for a in (whole, second))
    assert all(np.array_equal(one[k].detach(), other[k].detach()) for k in one)


def test_the_attacker_is_paid_what_the_controller_loses() -> None:
    engine = bench(SWING)
    seat = seat_of(engine, ActionAdversary(), Threat("action", 0.3))
    seat.reset(seed=3)
    _, reward, *_ = seat.step(np.zeros((4, 1)))
    assert (reward > 0).all()  # rewards of Pendulum-v1 are negative
    seat.reset(seed=3)
    assert np.array_equal(seat.step(np.zeros((4, 1)))[1], reward)


def test_costs_above_their_limit_pay_and_a_stealthy_attacker_pays_for_lost_return() -> None:
    engine = bench(replace(REACH, unsafe="table_force > 1"))
    greedy, stealthy = Payoff(engine, "cost"), Payoff(engine, "stealth")
    world: Any = engine.subject.world
    world.reset(np.arange(4))
    step = world.step({"arm": np.zeros((4, world.action_size("arm")))})
    (name, limit), *_ = engine.subject.criterion.watch
    above = replace(step, costs={"arm": {**step.costs["arm"], name: np.full(4, 2 * limit)}})
    assert greedy(above) == pytest.approx(greedy(step) + 1.0, abs=0.11)
    assert (greedy(above) > 0.99).all()
    poorer = replace(above, rewards={"arm": above.rewards["arm"] - 1.0})
    assert (stealthy(poorer) < stealthy(above)).all()
    assert np.array_equal(greedy(poorer), greedy(above))
    before = stealthy.weight
    stealthy.returns = [engine.reference.returns - 0.5 * abs(engine.reference.returns)]
    stealthy.adapt()
    assert stealthy.weight > before
    stealthy.returns = [engine.reference.returns]
    rising = stealthy.weight
    stealthy.adapt()
    assert stealthy.weight < rising


def test_a_criterion_without_costs_cannot_pay_for_costs() -> None:
    with pytest.raises(RoboAdvError, match="--unsafe"):
        Payoff(bench(SWING), "cost")


class Always:
    """Says the same in every step."""

    def __init__(self, *said: float) -> None:
        self.said = np.array(said)

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        self.seen = observation
        return np.tile(self.said, (len(observation), 1)), None


def sizes(engine: Engine, attack: LearnedAttack, threat: Threat, steps: int) -> Array:
    """How large the changes were (steps, n), in budgets."""
    setting: Any = engine.setting(threat, [attack]).policy
    player = engine.subject.player
    obs = engine.subject.world.reset(np.arange(4))[player]
    state = setting.start(np.arange(4, dtype=np.uint64), obs)
    out = []
    for _ in range(steps):
        clean = engine.subject.policy.predict(obs, None, None, True)[0]
        action, state = setting.predict(obs, state, None, True)
        out.append(np.abs((action - clean) / engine.unit(threat)).max(axis=1) / threat.budget)
        obs = engine.subject.world.step({player: clean}).obs[player]
    return np.array(out)


def test_a_shared_budget_is_spent_once_in_each_window() -> None:
    engine = bench(SWING)
    threat = Threat("action", 0.1, schedule=Schedule(shared=4))
    greedy = sizes(engine, ActionAdversary(brain=Always(1.0)), threat, 8)
    assert greedy == pytest.approx(np.tile([[4.0], [0.0], [0.0], [0.0]], (2, 4)), abs=1e-6)
    even = sizes(engine, ActionAdversary(brain=Always(0.5)), threat, 4)
    assert even[:, 0] == pytest.approx([2.0, 1.0, 0.5, 0.25], abs=1e-6)


def test_only_strikes_use_up_what_an_attacker_may_do() -> None:
    engine = bench(REACH)
    size = engine.subject.world.action_size("arm")
    threat = Threat("observation", 0.5, schedule=Schedule(at_most=3))
    waiting, striking = Always(0.0, *[1.0] * size), Always(1.0, *[1.0] * size)
    for brain, strikes, left in ((waiting, 0, 1.0), (striking, 3, 1 / 3)):
        setting: Any = engine.setting(threat, [Strike(brain=brain)]).policy
        obs = engine.subject.world.reset(np.arange(4))["arm"]
        state, changed = setting.start(np.arange(4, dtype=np.uint64), obs), 0
        setting.witnessed()
        for _ in range(6):
            _, state = setting.predict(obs, state, None, True)
            changed += bool((setting.shown[-1] != obs[0]).any())
        assert changed == strikes == state[2][0]
        assert brain.seen[0, -1] == pytest.approx(left)  # when it was last asked


def test_a_finished_training_is_read_again_and_not_done_again(tmp_path: Path) -> None:
    row = replace(row_of("action-adversary", 0.5), parameters={"steps": 256, "restarts": 2})
    played = []
    for _ in range(2):
        engine = bench(SWING)
        engine.trainer = trainer(
            tmp_path, lambda rows: world_for(SWING, rows), "", 0, ppo=replace(TINY, n_steps=16)
        )
        played.append(engine.play(row, 0.5))
        written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(written) == 2 * 3  # of each restart: best, last and the state
    found = played[0].setting.found
    assert found is not None and found.steps >= 2 * 256
    returns = [one.episodes.returns["agent"] for one in played]
    assert np.array_equal(returns[0], returns[1]) and played[1].setting.found == found
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_folder_with_an_attacker_of_another_controller_is_refused(tmp_path: Path) -> None:
    small = replace(TINY, n_steps=16)
    row = replace(row_of("action-adversary", 0.5), parameters={"steps": 64})
    for digest in ("one", "one"):
        engine = bench(SWING)
        engine.trainer = trainer(
            tmp_path, lambda rows: world_for(SWING, rows), digest, 0, ppo=small
        )
        engine.play(row, 0.5)
    engine = bench(SWING)
    engine.trainer = trainer(tmp_path, lambda rows: world_for(SWING, rows), "two", 0, ppo=small)
    with pytest.raises(RoboAdvError, match="another controller"):
        engine.play(row, 0.5)


def test_restarts_take_one_step_and_three_far_and_near_sight_in_turn(
    tmp_path: Path,
) -> None:
    """Which is stronger depends on the controller, and the better one is kept as it was trained."""
    row = replace(row_of("director", 0.2), parameters={"steps": 64, "restarts": 3})
    engine, small = bench(REACH), replace(TINY, num_envs=2, n_steps=16, batch_size=32)
    engine.trainer = trainer(tmp_path, lambda rows: world_for(REACH, rows), "", 0, ppo=small)
    found = engine.play(row, 0.2).setting.found
    runs = [
        Run.open(tmp_path / "director-0.2" / f"seed-{k}").config["config"] for k in range(3)
    ]  # fmt: skip
    assert [config["parameters"]["ascent"] for config in runs] == [1, 3, 1]
    assert [config["ppo"]["gamma"] for config in runs] == [small.gamma, NEAR, small.gamma]
    assert found is not None and isinstance(found.attack, Director)
    scores = [float(text) for text in found.told.rpartition("harm ")[2].split(", ")]
    assert found.attack.ascent == [1, 3, 1][int(np.argmax(scores))]


def test_a_director_learns_on_a_controller_with_a_memory(tmp_path: Path) -> None:
    """And finds the direction in its present state: what it proposes there moves the action so."""
    torch.manual_seed(0)
    write(tmp_path / "lstm.model", Recurrent())
    config = AuditConfig(
        str(tmp_path / "lstm.model"), "Hopper-v5", episodes=4, search=2, threads=1
    )  # fmt: skip
    engine, small = bench(config), replace(TINY, n_steps=16)
    row = Row("director", Threat("observation", 0.0, unit="policy"), (0.1,), {"steps": 128})
    engine.trainer = trainer(
        tmp_path / "run", lambda rows: world_for(config, rows), "", 0, ppo=small
    )
    played = engine.play(row, 0.1)
    assert played.setting.found is not None and (played.episodes.length > 0).all()
    towards = np.array([1.0, 0.0, 0.0])
    threat, attack = row.threat.at(0.1), Director(brain=Always(*towards))
    attacked: Any = engine.setting(threat, [attack]).policy
    policy: Any = engine.subject.policy
    seen = engine.subject.world.reset(np.arange(4))["agent"]
    seeds = np.arange(4, dtype=np.uint64)
    state = attacked.start(seeds, seen)
    for t in range(5):
        clean, _ = policy.predict(seen + 0.1 * t, tuple(state[6:]))
        action, state = attacked.predict(seen + 0.1 * t, state, None, True)
        assert ((action - clean) @ towards > 0).all()
