"""What goes wrong in an audit: controllers, environments, files and arguments as users have them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
from controllers.onnx_files import write_onnx
from foreign.toys import Array, Cart
from stable_baselines3 import PPO

from robo_adv.audit.engine import SEARCH
from robo_adv.audit.reference import Reference
from robo_adv.cli.main import run
from robo_adv.errors import RoboAdvError

W = np.array([[-0.5], [0.0]])


def steady(observation: Array) -> Any:
    return observation @ W


class Later:
    """Fails at its 120th call."""

    calls = 0

    def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
        Later.calls += 1
        if Later.calls > 120:
            raise ValueError("boom")
        return steady(observation), None


class Tires:
    """Acts less with each call, over all episodes."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
        self.calls += 1
        return steady(observation) + 0.5 * (self.calls > 120), None


def broken_judge(facts: Any) -> Any:
    raise ZeroDivisionError("no episodes today")


@pytest.fixture(autouse=True, scope="module")
def mine() -> Iterator[None]:
    """The user's module and environment."""
    module: Any = ModuleType("mine")
    module.steady, module.Later, module.Tires, module.judge = steady, Later, Tires, broken_judge
    module.bad = lambda observation: np.array(["left"] * len(observation), dtype=object)[:, None]
    sys.modules["mine"] = module
    gymnasium.register("Cart-v0", Cart, max_episode_steps=20)
    yield
    del sys.modules["mine"], gymnasium.registry["Cart-v0"]


def arguments(root: Path, *more: str, controller: str = "mine:steady") -> list[str]:
    return [
        "audit", controller, "--env", "Cart-v0", "--attacks", "corner", "--budgets",
        "observation=0.5,1", "--episodes", "5", "--videos", "0", "--success", "length>=20",
        "--threads", "1", "--runs", str(root), *more,
    ]  # fmt: skip


def audited(root: Path, *more: str, controller: str = "mine:steady") -> dict[str, Any]:
    assert run(arguments(root, *more, controller=controller)) == 0
    (folder,) = root.glob("*/audit/*")
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


@pytest.mark.parametrize("kind", ["onnx", "zip"])
def test_files_of_others_are_audited_from_the_command_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{kind}"
    model = PPO("MlpPolicy", gymnasium.make("Cart-v0"), n_steps=8, batch_size=8, device="cpu")
    if kind == "zip":
        model.save(path)
        found = audited(tmp_path / "runs", "--trust", controller=str(path))
        assert found["kind"] == "sb3" and "mean" in found["access"]
    else:
        write_onnx(path, 2, 1)
        found = audited(tmp_path / "runs", controller=str(path))
        assert found["kind"] == "onnx" and found["access"] == ["mean"]
    assert len(found["controller_sha256"]) == 64
    assert found["rows"][0]["cells"][2]["safe_success"]["episodes"] == 5


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--slices"], "--slices names no slice"),
        (["--schedule", "when:observation[99]<1"], r"observation[99], which has 2 entries"),
        (["--success", "mine:judge"], "criterion broken_judge failed: ZeroDivisionError"),
        (["--set", "num_envs=3"], "num_envs is not yours to set"),
        (["--seed", str(SEARCH)], "are what attacks are searched on"),
        (["--seed", "1999998"], "are what policies are selected on"),
        (["--seed", "-1"], "seed"),
        (["--episodes", "1"], "episodes of at least 2"),
        (["--episodes", "1000000000"], "at most 100,000"),
        (["--threads", "-2"], "threads of at least 0"),
        (["--fail-if", "unsafe@force<=0.5>0.1"], "nothing is tried on port 'force' up to 0.5"),
        (["--fail-if", "unsafe@observation<=0.1>0.1"], "tried: observation 0.5, observation 1"),
        (["--fail-if", "unsafe@observation<=nan>0.1"], "is not MEASURE"),
        (["--budgets", "observation=0.5", "observation=1"], "given twice"),
        (["--ports", "observation", "--budgets", "action=1"], "port 'action', which is not tried"),
        (["--budgets", "observation=1,0.5"], "must rise"),
        (["--budgets", "observation=0.5,nan"], "nan"),
        (["--unit", "furlong"], "unknown unit 'furlong'"),
        (["--unit", "policy"], "none of the attacks can be tried here: observation/corner: unit"),
        (["--attacks", "pgd"], "none of the attacks can be tried here: observation/pgd: needs mean"),
        (["--statistics", "x.pkl"], "belong to a zip"),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense_are_refused_before_anything_is_played(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(tmp_path, *more)) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir()) or "criterion" in words


@pytest.mark.parametrize(
    ("controller", "words"),
    [
        ("mine:bad", "gave actions of type object, expected real numbers"),
        ("zoo:reach-panda-s1", "was made for 'arm' in Reach-v0, not for Cart-v0"),
        ("nowhere.onnx", "there is no file nowhere.onnx"),
        ("", "needs one controller"),
    ],
)
def test_controllers_that_cannot_play_are_refused(
    controller: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(tmp_path, controller=controller)) == 2
    assert words in capsys.readouterr().err


def test_a_function_needs_to_be_told_its_world(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", "mine:steady"]) == 2
    assert "does not say where it plays; name a game" in capsys.readouterr().err


def test_a_controller_that_fails_midway_says_so_and_the_audit_goes_on_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Later.calls = 0
    assert run(arguments(tmp_path, controller="mine:Later")) == 2
    told = capsys.readouterr().err
    assert "mine:Later fails on observations of shape (32, 2)" in told and "boom" in told
    (folder,) = tmp_path.glob("*/audit/*")
    assert f"go on with `robo-adv audit --resume {folder}`" in told
    Later.calls = -(10**9)
    assert run(["audit", "--resume", str(folder)]) == 0


def test_a_memory_that_nobody_sees_is_noticed(tmp_path: Path) -> None:
    forgetful, tired = audited(tmp_path / "a"), audited(tmp_path / "b", controller="mine:Tires")
    assert not any("keeps a memory" in notice for notice in forgetful["notices"])
    assert any("keeps a memory" in notice for notice in tired["notices"])


def test_actions_without_bounds_are_not_called_robust(tmp_path: Path) -> None:
    found = audited(
        tmp_path, "--attacks", "corner", "action-corner", "action-delay", "--set",
        "endless_actions=True",
    )  # fmt: skip
    skipped = {row["label"]: row["skipped"] for row in found["rows"]}
    assert "no finite bounds" in skipped["action/action-corner"]
    assert skipped["observation/corner"] == skipped["action/action-delay"] == ""


def test_a_cost_that_is_no_number_certifies_nothing(tmp_path: Path) -> None:
    found = audited(tmp_path, "--set", "cost=1", "nan_cost=True", "--unsafe", "cost>1")
    assert found["clean"]["unsafe"]["count"] == 5
    (folder,) = tmp_path.glob("*/audit/*")
    lines = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    assert {line["why"] for line in lines} == {"a judged cost is no number"}


def test_a_simulation_that_breaks_down_is_told_apart_from_a_robot_that_stands_still(
    tmp_path: Path,
) -> None:
    found = audited(tmp_path, "--set", "raises_at=12")
    assert found["clean"]["diverged"] == 5 and found["clean"]["forfeited"] == 0
    assert any("the simulation broke down" in notice for notice in found["notices"])


def test_a_schedule_that_never_acts_is_noticed(tmp_path: Path) -> None:
    found = audited(tmp_path, "--schedule", "window:100-200")
    assert any("never let these attacks act: observation/corner" in n for n in found["notices"])
    assert not any(cell["acted"] for cell in found["rows"][0]["cells"][1:])


def test_few_scenarios_are_said_to_be_too_few(tmp_path: Path) -> None:
    found = audited(tmp_path)
    assert found["rows"][0]["cells"][2]["safe_success"]["rate"] == 1.0
    (folder,) = tmp_path.glob("*/audit/*")
    assert "no loss can be shown over 2 cells" in (folder / "report.html").read_text()


def test_attacks_named_twice_are_one(tmp_path: Path) -> None:
    found = audited(tmp_path, "--attacks", "corner", "uniform", "corner")
    assert [row["attack"] for row in found["rows"]] == ["corner", "uniform"]


def test_close_budgets_are_two(tmp_path: Path) -> None:
    found = audited(tmp_path, "--budgets", "observation=0.5,0.5000001")
    assert [cell["budget"] for cell in found["rows"][0]["cells"]] == [0.0, 0.5, 0.5000001]


def test_a_resumed_run_plays_cells_of_another_config_again_and_refuses_other_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = audited(tmp_path)
    (folder,) = tmp_path.glob("*/audit/*")
    assert run(["audit", "--resume", str(folder), "--seed", "5", "--json"]) == 2
    assert "leave out --seed" in capsys.readouterr().err
    assert run(["audit", "zero", "--resume", str(folder)]) == 2
    assert "leave out the controller" in capsys.readouterr().err
    assert run(["audit", "--resume", str(folder)]) == 0
    assert "nothing is played" in capsys.readouterr().out
    (folder / "DONE").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["config"]["units"] = ["raw"]
    (folder / "config.json").write_text(json.dumps(config))
    assert run(["audit", "--resume", str(folder)]) == 0
    second = json.loads((folder / "summary.json").read_text())
    assert second["rows"][0]["unit"] == "raw" and first["rows"][0]["unit"] == "sigma"
    assert second["rows"][0]["cells"][2]["return"] != first["rows"][0]["cells"][2]["return"]


@pytest.mark.parametrize(
    "config",
    ["x", {}, {"controller": "zero", "episodes": "four"}, {"controller": "zero", "budgets": [1]}],
)
def test_a_broken_config_is_refused(
    config: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"verb": "audit", "config": config}))
    assert run(["audit", "--resume", str(tmp_path)]) == 2
    assert "is not an audit's config" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [{"std": [-1.0, 1.0]}, {"std": [float("nan"), 1.0]}, {"std": [1.0]}, {"layout": [["x", 3, "m"]]},
     {"mean": None}],
)  # fmt: skip
def test_a_reference_that_is_no_measurement_is_refused(
    change: dict[str, Any], tmp_path: Path
) -> None:
    whole = Reference(
        "me", "Cart-v0", 5, 0, (0.0, 0.0), (1.0, 1.0), (("observation", 2, "1"),), 1.0
    )
    path = tmp_path / "reference.json"
    whole.save(path)
    assert Reference.load(path) == whole
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RoboAdvError, match="is not a reference"):
        Reference.load(path)
    path.write_text("[1]")
    with pytest.raises(RoboAdvError, match="is not a reference"):
        Reference.load(path)


def test_pushes_may_be_measured_in_newtons(tmp_path: Path) -> None:
    common = ["audit", "zoo:reach-panda-s1", "--attacks", "random-push", "--episodes", "2",
              "--videos", "0", "--threads", "1"]  # fmt: skip
    for unit, budget in (("N", "50"), ("weight", "50")):
        root = tmp_path / unit
        assert (
            run([*common, "--unit", unit, "--budgets", f"force={budget}", "--runs", str(root)]) == 0
        )
    newtons, weights = (
        json.loads(next((tmp_path / unit).glob("*/audit/*/summary.json")).read_text())["rows"][0]
        for unit in ("N", "weight")
    )
    assert newtons["unit"] == "N"
    assert newtons["cells"][1]["return"]["value"] > weights["cells"][1]["return"]["value"]
    shutil.rmtree(tmp_path)


def test_a_world_that_draws_nothing_still_has_its_failures_recorded(tmp_path: Path) -> None:
    found = audited(tmp_path, "--videos", "2", "--success", "return>=100")
    (failure,) = found["failures"]
    assert failure["video"] == "" and failure["why_no_video"] and failure["reproduced"]
    (folder,) = tmp_path.glob("*/audit/*")
    assert run(["replay", str(folder / failure["bundle"])]) == 0
