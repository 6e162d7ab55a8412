"""`robo-adv imitate`: a run, its scores, going on with it, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imitation.follow import ENV, EXPERT, demonstrations, register
from robo_adv.cli import main
from robo_adv.imitation.demonstrations import load_demonstrations

SHORT = ("--learner", "bc", "--steps", "60", "--checkpoint-every", "20", "--episodes", "20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstrations(tmp_path_factory.mktemp("follow") / "demonstrations")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    register()
    monkeypatch.chdir(tmp_path)


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main.run([*arguments, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)
    return data


def _refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.run(["imitate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and not list(Path().rglob("runs"))
    return err


def test_a_run_is_scored_against_expert_and_random_actions(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _json(capsys, "imitate", str(folder), *SHORT)
    for name in ("last", "best"):
        found = data["scores"][name]
        assert found["unit"] == "return" and found["expert_on_same_scenarios"]
        assert abs(found["expert"]["value"]) < 1e-5 < -found["random"]["value"]
        assert found["score"]["low"] <= found["score"]["value"] <= found["score"]["high"]
    assert (Path(data["folder"]) / "scores.json").is_file()


def test_a_finished_run_plays_in_evaluate_and_trains_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _json(capsys, "imitate", str(folder), *SHORT)["folder"]
    row = _json(capsys, "evaluate", run, "--episodes", "10")["rows"][0]
    assert row["return"]["value"] < 0
    on = _json(capsys, "train", "--resume", run, "--steps", "120")
    assert on["metrics"]["steps"] >= 120
    again = _json(capsys, "imitate", "--resume", run, "--steps", "160", "--episodes", "20")
    assert again["metrics"]["steps"] >= 160 and "scores" in again


def test_a_finished_run_without_a_score_is_scored_by_resuming_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _json(capsys, "imitate", str(folder), *SHORT)
    (Path(first["folder"]) / "scores.json").unlink()
    again = _json(capsys, "imitate", "--resume", first["folder"])  # on as many episodes
    assert again["scores"] == first["scores"]
    assert again["metrics"] == first["metrics"], "nothing was trained"
    assert (Path(first["folder"]) / "scores.json").is_file()


def test_text_says_which_checkpoint_the_true_reward_chose(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["imitate", str(folder), *SHORT]) == 0
    told = capsys.readouterr().out
    assert "the true reward chose it" in told and "score (R - random)" in told
    assert "checkpoints/last" in told.rsplit("next:", 1)[1]


def test_gail_takes_flags_of_its_discriminator_and_of_ppo(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _json(
        capsys, "imitate", str(folder), "--steps", "512", "--disc.updates", "2",
        "--disc.reward", "airl", "--ppo.n-steps", "64", "--demos", "2", "--every", "5",
        "--episodes", "10",
    )  # fmt: skip
    config = json.loads((Path(data["folder"]) / "config.json").read_text())["config"]
    assert config["disc"]["updates"] == 2 and config["disc"]["reward"] == "airl"
    assert (config["ppo"]["n_steps"], config["demos"], config["every"]) == (64, 2, 5)
    assert data["metrics"]["expert_accuracy"] >= 0.0


def test_gail_sac_takes_flags_of_sac_plays_in_evaluate_and_trains_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _json(
        capsys, "imitate", str(folder), "--learner", "gail-sac", "--steps", "512", "--episodes", "10",
        "--sac.iteration", "256", "--sac.learning-starts", "256", "--sac.gradient-steps", "1",
        "--sac.net-arch", "16", "16", "--disc.updates", "2", "--expert-share", "0.25",
        "--checkpoint-every", "512",
    )  # fmt: skip
    run = Path(data["folder"])
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["expert_share"] == 0.25 and config["sac"]["gradient_steps"] == 1
    card = json.loads((run / "checkpoints" / "last" / "policy.json").read_text())
    assert card["architecture"]["kind"] == "squashed-actor"
    assert card["architecture"]["net_arch"] == [16, 16]
    row = _json(capsys, "evaluate", str(run), "--episodes", "10")["rows"][0]
    assert row["return"]["value"] < 0
    assert _json(capsys, "train", "--resume", str(run), "--steps", "768")["metrics"]["steps"] >= 768


def test_demonstrations_without_rewards_or_an_expert_to_be_had_give_no_score(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = load_demonstrations(folder)
    ends = shown.terminations | shown.truncations
    np.savez(tmp_path / "a.npz", obs=shown.pairs()[0], acts=shown.actions, dones=ends)
    _json(capsys, "data", "import", str(tmp_path / "a.npz"), "--env", ENV, "--out", "set")
    assert "--expert names somebody to ask" in _refused(capsys, "set", "--learner", "dagger")
    assert main.run(["imitate", "set", *SHORT]) == 0
    assert "no score: the demonstrations have no rewards" in capsys.readouterr().out
    asked = _json(capsys, "imitate", "set", *SHORT, "--expert", EXPERT)
    assert asked["scores"]["last"]["score"]["value"] > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "demonstrations"),
        (("nowhere",), "nowhere"),
        (("FOLDER", "--demos", "9"), "5 demonstrations"),
        (("FOLDER", "--learner", "bc", "--control", "null"), "shuffled"),
        (("FOLDER", "--learner", "gail-sac", "--expert-share", "1.0"), "expert_share"),
        (("FOLDER", "--set", "high=1.0"), "other actions"),
        (("FOLDER", "--steps", "0"), "steps"),
        (("FOLDER", "--episodes", "0"), "episodes must be at least 1"),
        (("FOLDER", "--learner", "bc", "--disc.updates", "5"), "--disc.* does nothing for bc"),
        (("FOLDER", "--sac.num-envs", "5"), "does nothing for gail, which has --ppo.*, --disc.*"),
        (("FOLDER", "--learner", "sqil", "--expert-share", "0.2"), "belongs to gail-sac"),
        (
            ("FOLDER", "--learner", "asaf", "--asaf.window", "0", "--asaf.n-steps", "8"),
            "need --asaf.n-steps of at least",
        ),
        (("FOLDER", "--learner", "dagger", "--expert", "nobody"), "nobody"),
    ],
)
def test_misuse_is_refused_in_one_line(
    folder: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(folder) if a == "FOLDER" else a for a in arguments]
    assert words in _refused(capsys, *given)
