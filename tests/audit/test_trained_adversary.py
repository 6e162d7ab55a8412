"""An audit can train an adversary against its controller, whatever kind of controller that is."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from training.tiny import PPO, disturb_generators, shrink, stop_after, tiny_bundle

import robo_adv.agents.trained
from robo_adv.agents.adversary import AdversaryConfig
from robo_adv.agents.attackers import training_seed
from robo_adv.cli.main import run
from robo_adv.rollout import REPORTED, SELECTION
from robo_adv.training.learner import Learner

STEPS = 6 * PPO.rollout
AUDIT = [
    "audit", "--env", "KickAndDefend-v0", "--set", "arms=0", "--ports", "opponent", "--opponent",
    "zero", "--adversaries", "random", "--train-adversary", str(STEPS), "--episodes", "4",
    "--videos", "0", "--threads", "1", "--json",
]  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch.setattr)
        small = functools.partial(AdversaryConfig, ppo=PPO)
        patch.setattr(robo_adv.agents.trained, "AdversaryConfig", small)
        yield


@pytest.fixture(autouse=True)
def _runs_go_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def whole(_tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of an audit of a scripted kicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("whole"))
        return audited("chase-ball").resolve()


def audited(*arguments: str, code: int = 0) -> Path:
    """The run folder of an audit."""
    before = set(Path("runs").glob("*/audit/*"))
    assert run([*AUDIT, *arguments]) == code
    (folder,) = set(Path("runs").glob("*/audit/*")) - before
    return folder


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def weights(folder: Path) -> bytes:
    return (folder / "adversary" / "checkpoints" / "best" / "policy.safetensors").read_bytes()


def trained(folder: Path) -> dict[str, Any]:
    """The cell of the trained opponent."""
    (row,) = (row for row in summary(folder)["rows"] if row["label"] == "opponent/trained")
    cell: dict[str, Any] = row["cells"][1]
    return cell


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "seconds"}


def test_the_trained_opponent_is_a_row_whose_training_is_counted(whole: Path) -> None:
    folder = whole
    found, cell = summary(folder), trained(folder)
    assert [row["label"] for row in found["rows"]] == ["opponent/trained", "opponent/random"]
    made = json.loads((folder / "adversary" / "summary.json").read_text())
    assert made["steps"] == STEPS and made["episodes"] > 8 and made["queries"] > STEPS
    lines = (folder / "episodes.jsonl").read_text().splitlines()
    played = [json.loads(line) for line in lines if "opponent/trained" in line]
    assert cell["calls"] == made["queries"] + sum(episode["length"] for episode in played)
    assert cell["searched_episodes"] == made["episodes"]
    assert f"trained for {STEPS:,} steps" in cell["attack"]
    others = [found["clean"]["calls"], found["rows"][1]["cells"][1]["calls"]]
    assert found["policy_queries"] == cell["calls"] + sum(others)
    assert cell["attack"] in (folder / "report.html").read_text()


def test_the_same_audit_trains_the_same_adversary_and_another_seed_another(whole: Path) -> None:
    disturb_generators()
    again, other = audited("chase-ball"), audited("chase-ball", "--seed", "7")
    assert weights(whole) == weights(again) != weights(other)
    assert without_times(trained(whole)) == without_times(trained(again))


def test_a_resumed_audit_does_not_train_again(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(whole, Path("again"))
    before = without_times(trained(folder))
    for name in ("DONE", "summary.json", "report.html"):
        (folder / name).unlink()
    shutil.rmtree(folder / "cells")
    stop_after(monkeypatch, 0, "killed")
    assert run(["audit", "--resume", str(folder), "--json"]) == 0
    assert without_times(trained(folder)) == before


@pytest.mark.parametrize("iterations", [1, 4])
def test_an_audit_that_is_stopped_while_it_trains_goes_on_where_it_was(
    iterations: int,
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, iterations, "interrupted")
        stopped = audited("chase-ball", code=130)
    assert f"robo-adv audit --resume {stopped}" in capsys.readouterr().err
    assert not (stopped / "cells").exists()
    disturb_generators()
    assert run(["audit", "--resume", str(stopped), "--json"]) == 0
    assert weights(stopped) == weights(whole)
    assert without_times(trained(stopped)) == without_times(trained(whole))


def test_an_adversary_of_another_version_of_the_controller_is_not_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kicker = tiny_bundle(Path("kicker"))
    folder = audited(str(kicker))
    (folder / "DONE").unlink()
    tiny_bundle(kicker, seed=1)
    assert run(["audit", "--resume", str(folder), "--json"]) == 2
    assert "has changed since the adversary" in capsys.readouterr().err


FUNCTION = """
import numpy as np

def act(observation):
    return np.tanh(observation[:, :3])
"""


def test_any_controller_is_a_victim(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = tiny_bundle(Path("kicker"))
    Path("my_kicker.py").write_text(FUNCTION)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    hashes = []
    for name in (str(bundle), "my_kicker:act"):
        folder = audited(name)
        card = json.loads(
            (folder / "adversary" / "checkpoints" / "best" / "policy.json").read_text()
        )
        assert card["player"] == "keeper" and card["provenance"]["victim"] == name
        hashes.append(card["provenance"]["victim_sha256"])
    source = hashlib.sha256(Path("my_kicker.py").read_bytes()).hexdigest()
    assert hashes == [json.loads((bundle / "policy.json").read_text())["sha256"], source]
    sys.modules.pop("my_kicker", None)


def test_compared_controllers_meet_an_adversary_of_their_own() -> None:
    bundle = str(tiny_bundle(Path("kicker")))
    folder = audited("--compare", "chase-ball", bundle, "--primary", "opponent/trained")
    pair = (folder, folder / "baseline")
    assert weights(pair[0]) != weights(pair[1])
    assert summary(folder)["compare"]["primary"] == "opponent/trained"


def test_training_scenarios_are_apart_from_those_that_are_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training begins with the scenarios from its own seed on."""
    seeds: set[int] = set()
    original = Learner.iterate

    def iterate(self: Learner) -> dict[str, float]:
        metrics = original(self)
        seeds.update(int(seed) for seed in self.env.game.seeds)  # type: ignore[attr-defined]
        return metrics

    monkeypatch.setattr(Learner, "iterate", iterate)
    audited("chase-ball")
    assert len(seeds) > 8 and min(seeds) > 10 * max(REPORTED, SELECTION)
    drawn = [training_seed(seed) for seed in (0, 1, REPORTED, 2**63 - 1)]
    assert len(set(drawn)) == 4
    assert all(2**31 <= seed < 2**32 - 256 for seed in drawn)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["zoo:reach-panda-s1"], "Reach-v0 has one player and no opponents; leave them out"),
        (["zero", "--env", "Pendulum-v1"], "has one player and no opponents; leave them out"),
        (
            ["zoo:kicker-omni4-s1", "--ports", "force"],
            "for port opponent, which is not among force",
        ),
    ],
)
def test_where_there_is_no_opponent_no_adversary_is_trained(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", *arguments, "--train-adversary", "1000", "--episodes", "2"]) == 2
    assert why in capsys.readouterr().err
    assert not Path("runs").exists()


def test_a_negative_number_of_steps_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "chase-ball", "--train-adversary", "-1"]) == 2
    assert "train adversary of at least 0, got -1" in capsys.readouterr().err
