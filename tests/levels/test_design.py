"""The recipe that trains students on generated levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from levels.quick import select_by_few
from robo_adv.agents import design, design_pictures
from robo_adv.agents.design import Design, DesignConfig
from robo_adv.agents.student import KeepClose
from robo_adv.cli import main
from robo_adv.errors import RoboAdvError
from robo_adv.levels.generator import GENERATORS, Batch, Generator, Outcomes, shared
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.network import network_weights

PPO = PPOConfig(num_envs=8, n_steps=16, batch_size=64, n_epochs=2, net_arch=(16,))
REACH = DesignConfig(
    steps=4000, episodes=8, ppo=PPO, threads=Threads(1, 1, 1), generator="uniform", seed=3
)


@dataclass
class Fixed(Generator):
    """Two levels, each played four times; keeps what it is told."""

    students: ClassVar[int] = 2
    learn: bool = True
    points: Any = None

    def ask(self, episodes: int, progress: float) -> Batch:
        self.points = self.space.sample(np.random.default_rng(0), 2)
        return shared(self.points, 4, "fixed", self.learn)

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        self.told = outcomes
        return {"regret": 0.25}


@pytest.fixture(autouse=True)
def few_selection_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design, "SELECTION_EPISODES", 8)
    monkeypatch.setattr("robo_adv.agents.player.SELECTION_EPISODES", 8)
    monkeypatch.setitem(GENERATORS._entries, "fixed", Fixed)


def fixed(**changes: Any) -> tuple[Design, Fixed]:
    made = Design(replace(REACH, generator="fixed", **changes))
    assert isinstance(made.generator, Fixed)
    return made, made.generator


def weights(made: Design, k: int = 0) -> dict[str, torch.Tensor]:
    network = made.students[k].learner.ppo.policy
    return {name: value.clone() for name, value in network_weights(network).items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_every_step_of_every_student_counts() -> None:
    made, _ = fixed()
    metrics = made.iterate()
    assert made.steps == metrics["steps"] == 2 * 8 * 50
    assert metrics["regret"] == 0.25


def test_students_meet_the_same_levels_and_scenarios() -> None:
    made, _ = fixed()
    first, second = made.students
    made.iterate()
    opening = [s.learner.ppo.rollout_buffer.observations.reshape(8, 50, -1)[:, 0]
               for s in (first, second)]  # fmt: skip
    np.testing.assert_array_equal(opening[0], opening[1])
    assert len(np.unique(opening[0], axis=0)) == 8, "each episode has a seed of its own"
    assert [level.hash for level in first.game.levels] == [lv.hash for lv in second.game.levels]
    again = made.students[0].learner.ppo.rollout_buffer
    made.iterate()
    assert not np.array_equal(opening[0], again.observations.reshape(8, 50, -1)[:, 0])


def test_students_begin_alike_explore_on_their_own_and_so_part() -> None:
    made, generator = fixed(parameters={"learn": False})
    assert same(weights(made, 0), weights(made, 1))
    made.iterate()
    assert (generator.told.returns[0] != generator.told.returns[1]).all()
    assert same(weights(made, 0), weights(made, 1)), "nobody learned"
    learning, _ = fixed()
    learning.iterate()
    assert not same(weights(learning, 0), weights(learning, 1))
    other, _ = fixed(parameters={"learn": False}, same_start=False)
    assert not same(weights(other, 0), weights(other, 1))


def test_a_batch_that_only_scores_leaves_the_policy_as_it_is_and_its_steps_count() -> None:
    made, _ = fixed(parameters={"learn": False})
    before = weights(made)
    made.iterate()
    assert same(before, weights(made)), "also the statistics of its observations"
    assert made.steps == 800
    learner, _ = fixed()
    before = weights(learner)
    learner.iterate()
    assert not same(before, weights(learner))


def test_what_the_generator_hears_is_what_the_critic_and_the_episodes_say() -> None:
    made, generator = fixed(parameters={"learn": False})
    made.iterate()
    told, student = generator.told, made.students[0]
    buffer = student.learner.ppo.rollout_buffer
    assert told.returns.shape == (2, 2, 4)
    assert told.points.shape == (2, 2, len(made.space))
    np.testing.assert_allclose(told.returns[0].ravel(), buffer.rewards.sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(told.lengths, 50.0)
    gamma = PPO.gamma ** np.arange(50)[:, None]
    np.testing.assert_allclose(
        told.discounted[0].ravel(), (gamma * buffer.rewards).sum(axis=0), rtol=1e-4
    )
    np.testing.assert_array_equal(told.first_value[0].ravel(), buffer.values[0])
    np.testing.assert_allclose(
        told.positive_value_loss[0].ravel(), np.maximum(buffer.advantages, 0).mean(axis=0),
        rtol=1e-5,
    )  # fmt: skip


def test_episodes_that_end_early_are_reported_alone_and_their_successors_are_not() -> None:
    made = Design(
        replace(REACH, game="KickAndDefend-v0", player="kicker", opponents=("random",),
                generator="fixed", parameters={"learn": False}, options={"arms": 0})
    )  # fmt: skip
    game = made.students[0].game
    level = game.design_space.level({"keeper_gain": 1.5})  # it leaves its area, and loses
    generator = made.generator
    assert isinstance(generator, Fixed)
    points = np.tile(made.space.encode(level), (2, 1))
    generator.ask = lambda episodes, progress: shared(points, 4, "fixed", False)  # type: ignore[method-assign]
    made.iterate()
    student = made.students[0]
    rows = np.concatenate([end["row"] for end in student.learner.vec_env.finished])
    length = np.concatenate([end["length"] for end in student.learner.vec_env.finished])
    assert len(rows) > 8, "some simulations played more than one episode"
    first = [length[rows == i][0] for i in range(8)]
    np.testing.assert_array_equal(generator.told.lengths[0].ravel(), first)
    assert set(game.levels) == {made.space.decode(points[0])}, "successors stay on their level"


def test_impossible_levels_are_repaired_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from robo_adv.levels.feasible import Constraint

    made, generator = fixed()
    slow = Constraint("light", ("actuator_gain",), lambda v: v["actuator_gain"] - 1.0)
    made.space = replace(made.space, constraints=(slow,))
    column = made.space.names.index("actuator_gain")
    metrics = made.iterate()
    wanted = generator.points[:, column] < made.space.nominal_point[column]
    assert metrics["repaired_rate"] == wanted.mean() > 0
    np.testing.assert_array_equal(generator.told.repaired[0], wanted)
    gains = made.space.parameters[column]
    assert all(float(gains.decode(u)) >= 1.0 - 1e-12 for u in generator.told.points[0][:, column])


def test_a_student_that_is_kept_close_to_another_ends_up_closer() -> None:
    apart = []
    for weight in (0.0, 50.0):
        made, _ = fixed(same_start=False)
        first, second = made.students
        if weight:
            first.learner.penalise(KeepClose(second, weight, every=1))
        for _ in range(4):
            made.iterate()
        inputs = torch.as_tensor(second.learner.ppo.rollout_buffer.observations).reshape(400, -1)
        with torch.no_grad():
            means = [s.learner.ppo.policy._predict(inputs, True) for s in (first, second)]
        apart.append(float((means[0] - means[1]).abs().mean()))
    assert apart[1] < 0.8 * apart[0]


def test_only_the_free_parameters_vary_and_the_fixed_ones_have_their_values() -> None:
    made = Design(replace(REACH, free=("goal_x", "goal_y"), fixed={"sensor_noise": 0.5}))
    made.iterate()
    levels = made.students[0].game.levels
    assert {level["sensor_noise"] for level in levels} == {0.5}
    assert {level["joint_damping"] for level in levels} == {1.0}
    assert len({level["goal_x"] for level in levels}) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": "pared"}, "did you mean"),
        ({"parameters": {"capacity": 3}}, "hyper-parameter of generator 'uniform'"),
        ({"free": ("goal_w",)}, "level parameter"),
        ({"fixed": {"goal_x": 9.0}}, "outside [0.38, 0.58] m"),
        ({"free": ("goal_x",), "fixed": {"goal_x": 0.4}}, "cannot be free and fixed"),
        ({"generator": "paired", "episodes": 6}, "choose a multiple of 4"),
    ],
)
def test_bad_input_is_refused_with_what_exists(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RoboAdvError, match="(?s)" + words.replace("[", r"\[")):
        made = Design(replace(REACH, **changes))
        made.iterate()


def test_a_design_run_is_made_from_the_command_line_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select_by_few(monkeypatch)
    small = partial(design_pictures.film, width=160, height=120, shadows=False)
    monkeypatch.setattr("robo_adv.cli.design.film", small)
    arguments = [
        "design", "Reach-v0", "--generator", "paired", "--generator-set", "warmup=0", "--steps",
        "3200", "--episodes", "16", "--free", "goal_x", "goal_y", "--runs", str(tmp_path),
        "--threads.physics", "1", "--ppo.net-arch", "16", "--checkpoint-every", "1600",
    ]  # fmt: skip
    assert main.run(arguments) == 0
    (folder,) = (tmp_path / "Reach-v0" / "design").iterdir()
    for name in ("best", "last", "best-antagonist", "last-antagonist"):
        assert (folder / "checkpoints" / name / "policy.json").exists()
    rounds = design.read_record(Run.open(folder))
    assert [line["source"] for line in rounds] == ["design", "design"]
    assert main.run(["evaluate", str(folder), "--episodes", "8"]) == 0
    assert main.run(["design", "Reach-v0", "--generator", "no", "--runs", str(tmp_path)]) == 2
    assert len(list((tmp_path / "Reach-v0" / "design").iterdir())) == 1, "nothing half-made is left"
