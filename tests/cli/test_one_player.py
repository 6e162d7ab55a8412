"""The verbs on a game of one player: success instead of wins, costs instead of opponents."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from training.tiny import FLAGS, stop_after

from cli.point import GAME, add_point, point_bundle
from robo_adv.agents.presets import PRESETS, Preset
from robo_adv.cli import main
from robo_adv.cli.train import Train
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig
from robo_adv.training.progress import Progress

TINY = ["--episodes", "40"]
SMALL = FLAGS[2:]  # without the soccer game's options


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add_point(monkeypatch)
    monkeypatch.chdir(tmp_path)


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    assert main.run([*arguments, "--json"]) == code
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    before = set(Path().rglob("*"))
    assert main.run(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "Traceback" not in err
    assert set(Path().rglob("*")) == before, "something half-written was left"
    return err.removeprefix("robo-adv: error: ").rstrip("\n")


def test_arms_are_listed_with_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    arms = pytest.importorskip("robo_adv.envs.manipulation.arms").ARMS
    found = _json(capsys, "list", "arm")["arm"]
    assert list(found) == list(arms) and all(found.values())


# Evaluation.


def test_evaluate_gives_one_row_with_success_and_every_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = _json(capsys, "evaluate", "brake", "--game", GAME, *TINY)
    (row,) = data["rows"]
    assert (row["opponent"], row["mask"]) == (None, "none")
    assert row["success_rate"] == row["win_rate"] and row["success_rate"]["count"] > 0
    assert {name: cost["unit"] for name, cost in row["costs"].items()} == {
        "wall_force": "N", "speed": "m/s"
    }  # fmt: skip
    assert Run.open(Path(data["folder"])).done


def test_evaluate_says_success_and_the_costs_with_their_units(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.run(["evaluate", "zero", "--game", GAME, *TINY]) == 0
    out = capsys.readouterr().out
    assert "win" not in out and "success" in out and "wall_force > 0" in out and " N " in out
    assert out.rstrip().endswith(f"next: robo-adv video {GAME} --policies arm=zero --pick worst")


def test_a_scripted_policy_made_for_a_game_is_evaluated_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _json(capsys, "evaluate", "brake", *TINY)["folder"].startswith(f"runs/{GAME}/")


def test_a_cost_is_violated_where_it_is_above_0(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = _json(capsys, "evaluate", "zero", "--game", GAME, "--episodes", "200")["rows"]
    wall = row["costs"]["wall_force"]
    assert 0 < wall["violation_rate"]["count"] < 200 and wall["max"] > wall["mean"] > 0
    assert row["costs"]["speed"]["violation_rate"]["count"] == 0


@pytest.mark.parametrize("name", ["success_rate", "win_rate"])
@pytest.mark.parametrize(("condition", "code"), [(">0.5", 0), ("<0.5", 1), ("<0.05", 3)])
def test_fail_if_takes_the_success_rate(
    name: str, condition: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "zero", "--game", GAME, *TINY, "--fail-if", f"{name}{condition}"]
    assert main.run(arguments) == code
    assert f"{name} 0.0 [0.0, 8.8] %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["evaluate", "brake", "--opponents", "zero"], "Point-v0 has one player, 'arm', and no opponents; got zero: leave out --opponents"),  # noqa: E501
        (["evaluate", "brake", "--masks", "none", "initial"], "mask 'initial' hides the opponent, and 'arm' of Point-v0 observes none"),  # noqa: E501
        (["evaluate", "brake", "--player", "amr"], "unknown player of Point-v0 'amr'; did you mean 'arm'?"),  # noqa: E501
        (["evaluate", "brake", "--fail-if", "wall_force<0.5"], "unknown measure of --fail-if 'wall_force'"),  # noqa: E501
        (["evaluate", "zero", "--fail-if", "success_rate<0.5"], "unknown measure of --fail-if 'success_rate'"),  # noqa: E501
        (["evaluate", "zero", "--half-timestep"], "--half-timestep needs a game with the option 'refine', KickAndDefend-v0 has none (its options are body"),  # noqa: E501
        (["train", GAME, "--opponents", "zero"], "leave out --opponents"),
        (["train", GAME, "--recipe", "selfplay"], "self-play needs two players, Point-v0 has one player (arm); train it with `robo-adv train Point-v0`"),  # noqa: E501
        (["train", GAME, "--player", "kicker"], "unknown player of Point-v0 'kicker'"),
        (["train", GAME, "--reward", "dens"], "unknown reward preset 'dens'; did you mean 'dense'?"),
        (["matrix", "--game", GAME], "a matrix needs two players, Point-v0 has one player (arm); compare policies with `robo-adv evaluate POLICY --game Point-v0`"),  # noqa: E501
        (["video", GAME, "--camera", "side"], "unknown camera 'side' (known: table)"),
        (["play", "--game", "Piont-v0"], "unknown game 'Piont-v0'; did you mean 'Point-v0'"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_one_player_cannot_do_is_named_with_what_to_do_instead(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in _refused(capsys, *arguments)


def test_a_lone_policy_has_no_opponent_to_attack_it(capsys: pytest.CaptureFixture[str]) -> None:
    point_bundle(Path("policy"))
    said = _refused(capsys, "attack", "policy")
    assert "needs two players" in said and said.endswith("`robo-adv ladder policy`")


def test_half_the_timestep_is_compared_on_the_same_scenarios(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["evaluate", "zero", "--game", GAME, "--episodes", "200"]
    plain = _json(capsys, *arguments)
    data = _json(capsys, *arguments, "--half-timestep")
    (told,) = data["half_timestep"]
    assert data["rows"] == plain["rows"]
    assert told["success_rate"]["whole"] == plain["rows"][0]["success_rate"]
    assert told["success_rate"]["gained"] == told["success_rate"]["lost"] == 0
    assert told["forces"].keys() == {"wall_force"}  # the other cost is no force
    for values in told["forces"]["wall_force"].values():
        assert values["ratio"] == pytest.approx(values["half"] / values["whole"]) != 1.0
    finer = _json(capsys, *arguments, "--set", "refine=2")
    for measure in ("mean", "max"):
        half = told["forces"]["wall_force"][measure]["half"]
        assert finer["rows"][0]["costs"]["wall_force"][measure] == half
    assert main.run([*arguments, "--half-timestep"]) == 0
    out = capsys.readouterr().out
    assert "10 ms" in out and "5 ms" in out and "wall_force, max [N]" in out


# Training.


def test_a_lone_player_is_trained_and_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", GAME, "--steps", "256", "--checkpoint-every", "128", *SMALL]
    trained = _json(capsys, *arguments)
    card = json.loads((Path(trained["bundles"][0]) / "policy.json").read_text())
    assert (card["game"], card["player"]) == (GAME, "arm")
    assert "selection_success_rate" in trained["metrics"]
    (row,) = _json(capsys, "evaluate", trained["folder"], *TINY)["rows"]
    assert row["success_rate"]["episodes"] == 40


def test_the_time_of_a_stopped_run_counts_after_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["train", GAME, "--steps", "640", "--checkpoint-every", "256", *SMALL]
    began = time.monotonic()
    with monkeypatch.context() as patch:
        stop_after(patch, 3, "interrupted")
        assert main.run(arguments) == 130
    took = time.monotonic() - began
    (folder,) = Path(f"runs/{GAME}/protagonist").iterdir()
    time.sleep(2.0)  # the pause does not count
    began = time.monotonic()
    assert main.run(["train", "--resume", str(folder)]) == 0
    lines = Run.open(folder).metrics()
    seconds = [line["seconds"] for line in lines]
    assert len(seconds) == 5 and seconds == sorted(seconds) and len(set(seconds)) == 5
    assert seconds[3] > seconds[2] and seconds[-1] < took + time.monotonic() - began


def test_flags_override_single_values_of_the_preset_of_the_game(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ppo = PPOConfig(num_envs=512, batch_size=16384, gamma=0.95)
    monkeypatch.setitem(PRESETS, GAME, Preset(777, ppo, "sparse"))
    train = Train.parse(["--ppo.learning-rate", "3e-4", GAME, "--ppo.n-steps", "32"])
    assert train.ppo == PPOConfig(512, 32, 16384, gamma=0.95, learning_rate=3e-4)
    config = train._config()
    assert (config.game, config.player, config.opponents) == (GAME, "arm", ())
    assert (config.steps, config.reward) == (777, "sparse")
    assert Train.parse([GAME, "--steps", "5", "--reward", "dense"])._config().steps == 5
    assert Train(game=GAME)._config().reward == "sparse"


def test_the_soccer_game_keeps_its_preset() -> None:
    config = Train.parse(["--seed", "3"])._config()
    assert (config.game, config.player, config.opponents) == (
        "KickAndDefend-v0", "kicker", ("track-ball",)
    )  # fmt: skip
    assert (config.steps, config.reward, config.seed) == (2_500_000, "dense", 3)
    assert Train.parse(["--recipe", "selfplay"])._config().steps == 4_000_000
    assert Train.parse(["--opponents", "zero", "random"])._config().opponents == ("zero", "random")


@pytest.mark.parametrize(
    "arguments", [[GAME], ["--json", GAME], ["--opponents", "zero", "--game", GAME], [f"--game={GAME}"]]
)  # fmt: skip
def test_the_game_is_found_wherever_it_stands(arguments: list[str]) -> None:
    verb = main.parse(["train", *arguments])
    assert isinstance(verb, Train) and (verb.game, verb.player) == (GAME, "arm")


def test_help_shows_the_values_of_the_games_preset(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, GAME, Preset(ppo=PPOConfig(gamma=0.875)))
    with pytest.raises(SystemExit) as stopped:
        main.run(["train", GAME, "--help"])
    assert stopped.value.code == 0
    assert "0.875" in capsys.readouterr().out


def test_progress_counts_success(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000, 0, "arm", quiet_every=0.0, outcome="success") as progress:
        progress.update(500, 30, 40)
    err = capsys.readouterr().err
    assert "success 75.0 [58.8, 87.3] %" in err and "wins" not in err


# Watching.


def test_play_tells_success_and_costs_of_each_episode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["play", GAME, "--no-video", "--episodes", "5"]) == 0
    out = capsys.readouterr().out
    assert "arm brake" in out, "the scripted policy made for the game plays by default"
    assert "no success" in out and "arm: success in 1 of 5" in out
    assert "wall_force" not in out, "a cost that is 0 in every episode has no column"
    data = _json(capsys, "play", GAME, "--no-video", "--policies", "arm=zero", *TINY)
    assert {row["success"] for row in data["episodes"]} == {False}
    assert main.run(["play", GAME, "--no-video", "--policies", "arm=zero", *TINY]) == 0
    assert "wall_force [N]" in capsys.readouterr().out
