"""`robo-adv bench`: recordings repeat to the bit, the Fetch side fits the learner, errors are lines."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console
from training.tiny import ONE_THREAD

from robo_adv.agents import fetch, limit, race, speed
from robo_adv.agents.experts import PushExpert
from robo_adv.agents.scripted import Random
from robo_adv.cli import bench, main
from robo_adv.envs.game import GAMES, make_game
from robo_adv.errors import DependencyError, RoboAdvError, UnknownNameError
from robo_adv.training.learner import PPOConfig
from robo_adv.training.vec_env import VectorToVecEnv

PPO = PPOConfig(num_envs=8, n_steps=50, batch_size=200, n_epochs=1, net_arch=(16,))
Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_game_is_measured_and_soccer_with_every_body() -> None:
    found = limit.variants()
    assert {game for game, _ in found.values()} == set(GAMES)
    assert found["KickAndDefend-v0 ant"] == ("KickAndDefend-v0", {"body": "ant"})
    assert list(limit.variants(("robo_adv/Push-v0",))) == ["Push-v0"]
    with pytest.raises(UnknownNameError, match="Push-v0"):
        limit.variants(("Psh-v0",))


def test_recordings_are_made_by_the_expert_where_there_is_one() -> None:
    push = make_game("Push-v0", 1, threads=1)
    assert isinstance(limit.expert(push, "arm"), PushExpert)
    joints = make_game("Push-v0", 1, threads=1, control="joint_velocity")
    assert isinstance(limit.expert(joints, "arm"), Random)
    soccer = make_game("KickAndDefend-v0", 1, threads=1)
    assert isinstance(limit.expert(soccer, "keeper"), Random)


@pytest.mark.parametrize("name", ["Reach-v0", "KickAndDefend-v0"])
def test_the_engine_and_a_plain_loop_repeat_a_recording_to_the_bit(name: str) -> None:
    """Reach moves its controls from substep to substep, soccer holds them; episodes end within."""
    game = make_game(name, 2, threads=1)
    game.clock_steps = 5  # type: ignore[attr-defined]
    recording, actions = limit.record(game, 8)
    model, data = game.model, mujoco.MjData(game.model)
    game.reset(np.arange(2))
    for t, action in enumerate(actions):
        before = game.batch.state[:, : 1 + model.nq + model.nv].copy()
        np.testing.assert_array_equal(before, recording.states[t, :, : before.shape[1]])
        ended = game.step(action).terminated
        for i in np.flatnonzero(~ended):
            one = recording.part(np.array([i]))
            controls = None if one.controls is None else one.controls[t : t + 1]
            step = limit.Recording(one.states[t : t + 1], controls)
            step.replay(model, [data], game.substeps, True)
            np.testing.assert_array_equal(data.qpos, game.qpos[i])
            np.testing.assert_array_equal(data.qvel, game.qvel[i])
            step.replay(model, [data], game.substeps, False)
            np.testing.assert_array_equal(data.qpos, before[i, 1 : 1 + model.nq])


@pytest.mark.slow
def test_the_speed_of_one_game_goes_into_a_table_and_a_run_folder(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = partial(limit.engine_against_limit, num_envs=4, steps=4, seconds=0.0)
    monkeypatch.setattr(limit, "engine_against_limit", small)
    monkeypatch.setattr(speed, "images_per_second", lambda game, options: {"side": 700.0})
    assert main.run(["bench", "--games", "Reach-v0", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["results"].keys() == {
        "engine Reach-v0", "levels Reach-v0", "levels Reach-v0, 2 obstacles", "images/s Reach-v0",
    }  # fmt: skip
    engine = data["results"]["engine Reach-v0"]
    assert engine["ratio_min"] <= engine["ratio"] <= engine["ratio_max"]
    summary = json.loads((Path(data["folder"]) / "summary.json").read_text())
    assert summary["engine Reach-v0"] == engine


def test_what_misses_its_target_is_marked() -> None:
    console = Console(record=True, width=120, quiet=False, file=open("out.txt", "w"))  # noqa: SIM115
    results = {
        "engine A-v0": {"ratio": 0.80, "ratio_min": 0.1}, "engine B-v0": {"ratio": 0.90},
        "images/s A-v0": {"top": 499.0},
    }  # fmt: skip
    bench.print_speed(console, results)
    lines = console.export_text().splitlines()
    assert [line.split(":")[0].strip() for line in lines if "MISSED" in line] == [
        "engine A-v0", "images/s A-v0",
    ]  # fmt: skip
    assert sum(">=" in line for line in lines) == 3


def test_machines_without_a_renderer_get_a_line_and_no_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(game: str, options: dict[str, Any]) -> dict[str, float]:
        raise DependencyError("no OpenGL backend can draw here")

    monkeypatch.setattr(speed, "images_per_second", none)
    assert bench._cameras({"Reach-v0": ("Reach-v0", {})}, Console()) == {}
    assert "not measured; no OpenGL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["speed", "--games", "Rech-v0"], "did you mean 'Reach-v0'"),
        (["fetch", "--workers", "3"], "3 workers do not divide the rollout of 8192"),
        (["fetch", "--workers", "0"], "at least 1, got [0]"),
        (["fetch", "--limit-minutes", "0"], "limit_minutes must be above 0"),
    ],
)
def test_bad_flags_are_one_line_and_leave_nothing(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(race, "need_fetch", lambda: None)
    assert main.run(["bench", *flags]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err
    assert not list(Path().iterdir())


def test_without_gymnasium_robotics_the_extra_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main.run(["bench", "fetch"]) == 2
    assert "robo-adv[fetch]" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_the_rollout_keeps_its_size_with_fewer_environments() -> None:
    fewer = race.same_rollout(PPO, 4)
    assert (fewer.num_envs, fewer.n_steps, fewer.rollout) == (4, 100, PPO.rollout)
    assert fewer == replace(PPO, num_envs=4, n_steps=100)
    with pytest.raises(RoboAdvError, match="choose a divisor"):
        race.same_rollout(PPO, 3)


def _short_episodes() -> Callable[[str], gymnasium.Env[Any, Any]]:
    """Makes environments of 3 steps that are won when their action is positive; a closure, so that
    workers get it by value."""

    def make(task: str) -> gymnasium.Env[Any, Any]:
        import gymnasium
        import numpy as np

        class Short(gymnasium.Env[Any, Any]):
            observation_space = gymnasium.spaces.Box(-9.0, 9.0, (2,), np.float64)
            action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
            count = 0

            def reset(self, *, seed: Any = None, options: Any = None) -> Any:
                self.count = 0
                return np.zeros(2), {}

            def step(self, action: Any) -> Any:
                self.count += 1
                info = {"is_success": np.float32(action[0] > 0)}
                return np.full(2, float(self.count)), -1.0, False, self.count == 3, info

        return Short()

    return make


@pytest.mark.slow
def test_processes_of_single_environments_look_like_a_seat() -> None:
    env = fetch.FetchVector("any", 2, _short_episodes())
    adapter = VectorToVecEnv(env)
    first = adapter.reset()
    assert first.dtype == np.float32 and first.shape == (2, 2)
    action = np.array([[1.0], [-1.0]], dtype=np.float32)
    for _ in range(3):
        assert not adapter.finished
        adapter.step_async(action)
        observation, reward, done, infos = adapter.step_wait()
    assert np.all(done) and np.all(observation == 0) and np.all(reward == -1)
    assert adapter.finished[0]["won"].tolist() == [True, False]
    assert adapter.finished[0]["length"].tolist() == [3, 3]
    assert infos[0]["TimeLimit.truncated"]
    assert infos[0]["terminal_observation"].tolist() == [3.0, 3.0]
    adapter.close()


@pytest.mark.slow
def test_the_fetch_tasks_run_and_their_gripper_follows_actions() -> None:
    pytest.importorskip("gymnasium_robotics")
    for task, size in (("FetchReachDense-v4", 16), ("FetchPushDense-v4", 31)):
        env = fetch.make_fetch(task)
        before, _ = env.reset(seed=0)
        assert before.shape == (size,)
        for _ in range(10):  # FlattenObservation sorts the parts; the gripper's position is third
            after, _, _, _, info = env.step(np.array([0.0, 1.0, 0.0, 0.0], dtype=np.float32))
        assert after[7] - before[7] > 0.1 and abs(after[6] - before[6]) < 0.05
        assert "is_success" in info
        env.close()


def test_a_threshold_is_reached_after_enough_episodes_or_the_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(race, "WINDOW", 12)  # two iterations of 8 episodes
    lines: list[str] = []

    def learn(threshold: float, minutes: float) -> dict[str, Any]:
        env = race.our_env("Reach-v0", PPO, ONE_THREAD)
        return race.minutes_to(
            env, PPO, ONE_THREAD, threshold, minutes, seed=0, label="Reach-v0", say=lines.append
        )

    late = learn(0.95, 1e-6)
    assert not late["reached"] and late["steps"] == PPO.rollout and late["success"] < 0.95
    easy = learn(0.0, 5.0)
    assert easy["reached"] and easy["episodes"] == 16
    assert len(lines) >= 2 and lines[0].startswith("Reach-v0: ")


def test_a_task_that_is_not_learned_in_time_is_said_so() -> None:
    console = Console(record=True, width=160, file=open("out.txt", "w"))  # noqa: SIM115
    cell = {"minutes": 3.2, "steps": 8192, "steps_per_s": 1000.0, "num_envs": 8, "threshold": 0.9}
    cells = {
        "Push-v0": {**cell, "reached": True, "success": 0.93},
        "FetchPushDense-v4": {**cell, "reached": False, "success": 0.125},
    }
    bench.print_fetch(console, cells, 20.0)
    text = console.export_text()
    assert "not within 20: 12.5 %" in text and "3.20" in text
    assert all(f"- {line[:40]}" in text for line in race.DIFFERENCES)
