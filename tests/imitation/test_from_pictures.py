"""Learning from pictures: what is shown is what is there, it is enough to learn from, and who cannot
show pictures says so. Pictures are made up where they can be, so that most needs no renderer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from contracts.plane import GAME, add_plane

from imitation.seeing import EXPERT, SIZE, config, made_up, needs_pictures
from robo_adv.agents import imitator
from robo_adv.agents.imitators.cloning import Clone
from robo_adv.agents.imitators.lesson import prepare
from robo_adv.agents.imitators.measured import scores
from robo_adv.agents.imitators.task import Task
from robo_adv.agents.recording import RecordConfig, record
from robo_adv.cameras import CameraRenderer
from robo_adv.cli import main
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstrations import DEMONSTRATED, Demonstrations, load_demonstrations
from robo_adv.policy import State
from robo_adv.rollout import play, scenarios
from robo_adv.runs import Run
from robo_adv.sight import Sight
from robo_adv.takes import play_take

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def _plane(monkeypatch: pytest.MonkeyPatch) -> None:
    add_plane(monkeypatch)


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    needs_pictures()
    asked = RecordConfig(
        EXPERT, env=GAME, episodes=3, threads=1, cameras=("top",), camera_size=SIZE
    )
    record(asked).save(tmp_path / "set")
    return tmp_path / "set"


# Is it enough to learn from?


def _error(data: Demonstrations, folder: Path) -> float:
    """Share of the variance of actions that a clone leaves open on fresh pictures."""
    data.save(folder)
    made = config(folder, steps=250, clone=replace(config(folder).clone, patience=200))
    clone = Clone(prepare(made), made)
    while clone.steps < made.steps:
        clone.iterate()
    fresh = made_up(20, seed=1).transitions(("top",))
    action, _ = clone.policy.predict(fresh.observation[:], deterministic=True)
    return float(((action - fresh.action) ** 2).mean() / fresh.action.var())


def test_a_clone_finds_in_the_picture_what_nothing_else_tells(tmp_path: Path) -> None:
    assert _error(made_up(60), tmp_path / "set") < 0.15


def test_a_clone_finds_nothing_when_the_pictures_are_shuffled(tmp_path: Path) -> None:
    data = made_up(60)
    assert data.pictures is not None
    mixed = np.random.default_rng(0).permutation(data.pictures)
    shuffled = Demonstrations(**{**data.arrays(), "pictures": mixed}, card=data.card)
    assert _error(shuffled, tmp_path / "set") > 0.7


# Is what is shown what is there?


class Looking:
    """Notes the rows it is given; does nothing."""

    sight = Sight(cameras=("side", "top"), size=SIZE)

    def __init__(self) -> None:
        self.rows: list[Array] = []

    def predict(
        self, observation: Array, state: State = None, episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:  # fmt: skip
        self.rows.append(observation)
        return np.zeros((len(observation), 2)), state


def test_play_shows_a_policy_that_sees_its_cameras_and_others_nothing() -> None:
    needs_pictures()
    game, policy = make_game(GAME, 2, threads=1), Looking()
    play(game, {"puck": policy}, scenarios(5, 2))
    assert len(policy.rows) == game.clock_steps  # type: ignore[attr-defined]
    again = make_game(GAME, 2, threads=1)
    obs = again.reset(scenarios(5, 2))["puck"]
    drawn = CameraRenderer(again.batch, ("side", "top"), SIZE).draw(np.arange(2))
    flat = [drawn[name].reshape(2, -1) for name in ("side", "top")]
    first = policy.rows[0][:2]  # the rest fills the batch up
    assert np.array_equal(first, np.concatenate([obs, *flat], axis=1))
    filmed = Looking()
    play_take(make_game(GAME, 1, threads=1), {"puck": filmed}, 6, None)
    assert len(filmed.rows) == len(policy.rows)
    for alone, two in zip(filmed.rows, policy.rows, strict=True):
        assert np.array_equal(alone[0], two[1])
    blind = Looking()
    blind.sight = None  # type: ignore[assignment]
    play(game, {"puck": blind}, scenarios(5, 2))
    assert blind.rows[0].shape[1] == obs.shape[1]


@pytest.mark.parametrize("width", [1, 3])
def test_recorded_pictures_are_those_of_their_own_steps(recorded: Path, width: int) -> None:
    data = load_demonstrations(recorded)
    asked = RecordConfig(
        EXPERT, env=GAME, episodes=3, width=width, threads=1, cameras=("top",), camera_size=SIZE
    )
    assert record(asked).digest == data.digest
    game = make_game(GAME, 1, threads=1)
    renderer = CameraRenderer(game.batch, ("top",), SIZE)
    episode = list(data.episodes())[1]
    assert episode.pictures is not None and len(episode.pictures) == len(episode.actions) + 1
    game.reset([DEMONSTRATED + 1])
    last: list[Array] = []
    game.before_restart = lambda ids: last.append(renderer.draw(ids)["top"][0])
    for step, action in enumerate(episode.actions):
        assert np.array_equal(renderer.draw(np.arange(1))["top"][0], episode.pictures[step, 0])
        game.step({"puck": action[None]})
    assert np.array_equal(last[0], episode.pictures[-1, 0])


def test_a_seat_shows_learners_what_play_shows_policies(recorded: Path) -> None:
    task = Task(GAME, {}, threads=1, cameras=("top",), camera_size=SIZE, sees=("velocity",))
    seat, data = task.seat(1), load_demonstrations(recorded)
    steps = data.transitions(("top",))
    row, _ = seat.reset(seed=DEMONSTRATED)
    for step in range(8):
        assert np.array_equal(row[0], steps.observation[step : step + 1][0])
        row, _, _, _, info = seat.step(data.actions[step : step + 1])
    assert np.array_equal(info["final_obs"][0], steps.next_observation[7:8][0])
    assert seat.single_observation_space.shape == (task.row_size,)


# Training, resuming, scoring.


@pytest.mark.parametrize("learner", ["bc", "dagger", "gail"])
def test_a_learner_goes_on_from_a_checkpoint_bit_by_bit(
    recorded: Path, learner: str, tmp_path: Path
) -> None:
    steps = {"bc": 4, "dagger": 80, "gail": 64}[learner]
    made = config(recorded, learner, steps=steps, checkpoint_every=steps // 2)
    whole = Run.create(GAME, "imitate", made, 0, tmp_path / "whole")
    imitator.train(made, whole, quiet=True)
    parts = Run.create(GAME, "imitate", made, 0, tmp_path / "parts")
    half = replace(made, steps=steps // 2)
    imitator.train(half, parts, quiet=True)
    (parts.folder / "DONE").unlink(missing_ok=True)
    imitator.train(made, parts, resume=True, quiet=True)
    weights = [
        (run.folder / "checkpoints" / "last" / "policy.safetensors").read_bytes()
        for run in (whole, parts)
    ]
    assert weights[0] == weights[1]
    found = scores(made, whole, 4)["last"]
    assert found == scores(made, whole, 4)["last"]  # rendered again, the same


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main.run([*arguments, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def test_from_the_command_line_it_is_recorded_learned_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needs_pictures()
    monkeypatch.chdir(tmp_path)
    _json(capsys, "data", "record", EXPERT, "--env", GAME, "--cameras", "top", "side",
          "--camera-size", "36", "--episodes", "3", "--out", "set")  # fmt: skip
    run = _json(capsys, "imitate", "set", "--learner", "bc", "--cameras", "top", "--sees", "velocity",
                "--steps", "4", "--episodes", "6")["folder"]  # fmt: skip
    rows = [_json(capsys, "evaluate", run, "--episodes", "9")["rows"] for _ in range(2)]
    assert rows[0] == rows[1] and rows[0][0]["episodes"] == 9
    film = _json(capsys, "video", GAME, "--policies", f"puck={run}", "--episodes", "1", "--size",
                 "64x64", "--out", "film.gif")  # fmt: skip
    assert film["frames"] > 10 and Path("film.gif").is_file()
    alone = _json(capsys, "video", run, "--episodes", "1", "--size", "64x64", "--out", "again.gif")
    assert alone["line_ups"] == film["line_ups"]
    assert Path("again.gif").read_bytes() == Path("film.gif").read_bytes()
    for arguments in (["audit", run], ["data", "record", run, "--out", "more"]):
        assert main.run(arguments) == 2
        _, err = capsys.readouterr()
        assert "acts from pictures of the cameras top" in err and err.count("\n") == 1


# What cannot be.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learner": "airl"}, "airl works on numbers alone.*bc, dagger, gail"),
        ({"learner": "asaf"}, "asaf works on numbers alone"),
        ({"learner": "gail", "absorb": True}, "absorb works on numbers alone"),
        ({"cameras": ("tip",)}, "pictures of top, asked for tip"),
        ({"cameras": ("top", "top")}, "a name is given twice"),
        ({"sees": ("velocty",)}, "did you mean 'velocity'"),
    ],
)
def test_misuse_is_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    made_up().save(tmp_path / "set")
    with pytest.raises(RoboAdvError, match=words):
        prepare(config(tmp_path / "set", **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cameras": ("tip",)}, "unknown camera 'tip'.*top"),
        ({"cameras": ("top",), "camera_size": 20}, "36 to 128 pixels"),
        ({"cameras": ("top", "top")}, "a name is given twice"),
        ({"cameras": ("top",), "episodes": 90_000, "camera_size": 128}, r"would take .* GB"),
        ({"cameras": ("top",), "env": "Pendulum-v1", "controller": "random"}, "shows no pictures"),
    ],
)
def test_recordings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    base: dict[str, Any] = {"controller": EXPERT, "env": GAME, "episodes": 2, "threads": 1}
    with pytest.raises(RoboAdvError, match=words):
        record(RecordConfig(**{**base, **changes}))
