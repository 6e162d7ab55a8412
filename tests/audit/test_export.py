"""An exported test suite: green for the audited controller, red for a worse one, clear when broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.agents.export import EPISODES, TEST
from robo_adv.agents.guard import Guard, Settings
from robo_adv.agents.guard_pytest import check, opened
from robo_adv.agents.named import bundle_folder
from robo_adv.audit.gates import Gate, measured_gates
from robo_adv.audit.replay import Replay
from robo_adv.audit.suite import CARD, CellCard, RowCard, Safety, _values, located, portable
from robo_adv.cli.main import run
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.safety.paired import paired_test
from robo_adv.safety.statistics import Rate
from robo_adv.threats.attack import Attack, Blow, LevelAttack
from robo_adv.threats.attacks.single_sensor import SingleSensor

N = 16
AUDIT = [
    "audit", "zoo:reach-panda-s1", "--attacks", "corner", "worst-push", "level-grid",
    "--budgets", "observation=0.1,0.3", "force=0.1", "level=0.5", "--episodes", str(N),
    "--search-episodes", "1", "--videos", "1", "--threads", "1",
]  # fmt: skip
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    assert run([*AUDIT, "--runs", str(root), "--export-tests", str(root / "suite")]) == 0
    return root / "suite"


def audited(suite: Path) -> Path:
    (folder,) = suite.parent.glob("*/audit/*")
    return folder


def edited(suite: Path, target: Path, edit: Edit) -> Path:
    """A copy of the suite whose safety.json was changed by `edit`."""
    shutil.copytree(suite, target)
    card = json.loads((target / CARD).read_text())
    edit(card)
    (target / CARD).write_text(json.dumps(card))
    return target


def pytest_of(suite: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The suite under pytest, as a user runs it; warnings are errors, as in strict projects."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-W", "error", "-p", "no:cacheprovider", suite.name],
        cwd=suite.parent, env={**os.environ, **environ}, capture_output=True, text=True,
    )  # fmt: skip


def test_the_suite_is_short_portable_and_passes_ruff(suite: Path) -> None:
    assert sorted(p.name for p in suite.iterdir()) == ["failures", CARD, TEST]
    text = (suite / TEST).read_text()
    assert len(text.splitlines()) < 60
    for name in (TEST, CARD):
        assert str(suite.parent) not in (suite / name).read_text()
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", str(suite / TEST)]
        assert subprocess.run(ruff, cwd=suite, capture_output=True).returncode == 0


@pytest.mark.slow
def test_the_audited_controller_is_green_and_its_failures_are_expected(suite: Path) -> None:
    done = pytest_of(suite)
    assert done.returncode == 0, done.stdout
    assert f"{1 + 4 + 2} passed, 1 xfailed" in done.stdout
    assert "known failure: scenario" in done.stdout and "lost" not in done.stdout


@pytest.mark.slow
def test_a_worse_controller_is_red_but_never_for_a_known_failure(suite: Path) -> None:
    done = pytest_of(suite, ROBO_ADV_CONTROLLER="random")
    assert done.returncode == 1
    red = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert any("test_safe_successes_are_kept[no attack]" in line for line in red)
    assert any("test_no_gate_is_met[safe_success<" in line for line in red)
    assert not any("failure" in line.partition("[")[0] for line in red)
    assert f"{N} -> 0 of {N} safe successes: {N} lost, 0 gained" in done.stdout
    assert "Traceback" not in done.stdout and "agents/guard" not in done.stdout


def test_a_broken_suite_is_one_line_in_pytest(suite: Path, tmp_path: Path) -> None:
    broken = edited(suite, tmp_path / "broken", lambda card: card.update(gates=["speed<1"]))
    with pytest.raises(pytest.fail.Exception, match="unknown measure") as stop:
        opened(broken)
    assert stop.value.pytrace is False
    with pytest.raises(pytest.fail.Exception, match="nobody") as stop:
        check(Guard(suite, Settings("nobody")).regression, "no attack")
    assert stop.value.pytrace is False


def test_nothing_but_a_suite_needs_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import robo_adv.agents.guard_pytest"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_every_cell_plays_again_as_it_was_audited(suite: Path, tmp_path: Path) -> None:
    def guard_all(card: dict[str, Any]) -> None:
        for row in card["rows"]:
            for cell in row["cells"]:
                cell["guarded"] = True

    guard = Guard(edited(suite, tmp_path / "all", guard_all))
    assert len(guard.cells) == 1 + 2 + 1 + 1
    found = [guard.regression(cell) for cell in guard.cells]
    assert all(f.verdict == "holds" and "0 lost, 0 gained" in f.text for f in found)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda card: card.update(format="robo_adv.safety/2"), "format: Input should be"),
        (lambda card: card.update(surprise=1), "surprise: Extra inputs"),
        (lambda card: card.update(clean="SSX"), "clean: String should match"),
        (lambda card: card.update(clean="S"), "different numbers of scenarios"),
        (lambda card: card.update(episodes=99), "99 episodes were asked for"),
        (lambda card: card["rows"][0].update(attack="cornr"), "did you mean 'corner'"),
        (lambda card: card["rows"][0].update(port="vision"), "unknown port 'vision'"),
        (lambda card: card["rows"][0].update(unit="metres"), "unknown unit"),
        (lambda card: card["rows"][0].update(schedule="sometimes"), "schedule"),
        (lambda card: card["rows"][0].update(parameters={"speed": 1}), "unknown parameter"),
        (lambda card: card["rows"][0]["cells"][0].update(budget=-1), "greater than 0"),
        (lambda card: card["rows"][1]["found"].update(angle="north"), "angle is 'north'"),
        (lambda card: card["rows"][2]["found"].update(weight=1.0), "unknown parameter in `found`"),
        (lambda card: card["failures"][0].update(folder="../elsewhere"), "folder: String"),
        (lambda card: card["failures"][0].update(row="observation/pgd"), "unknown row"),
        (lambda card: card.update(player="leg"), "unknown player"),
        (lambda card: card.update(env="Reech-v0"), "Reech-v0"),
        (lambda card: card["reference"]["layout"].pop(), "other observations"),
        (lambda card: card.update(imports=["no_such_module"]), "no_such_module"),
    ],
)
def test_an_edited_suite_is_refused_with_a_reason(
    edit: Edit, why: str, suite: Path, tmp_path: Path
) -> None:
    folder = edited(suite, tmp_path / "edited", edit)
    with pytest.raises(RoboAdvError, match=why):
        guard = Guard(folder, Settings(episodes=1))
        for name in guard.failures:
            guard.known_failure(name)
        for name in guard.cells:
            guard.regression(name)


def test_replays_tell_a_changed_recording_from_other_versions(suite: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(suite, copy)
    guard = Guard(copy)
    name = guard.failures[0]
    assert guard.replays(name).verdict == "holds"
    bundle = copy / "failures" / "1"
    recording = Replay.load(bundle)
    recording.actions["arm"][3, 0] += 1e-9
    recording.save(bundle)
    found = guard.replays(name)
    assert found.verdict == "fails" and "although the versions are" in found.text
    card = json.loads((bundle / "replay.json").read_text())
    card["versions"]["mujoco"] = "3.1.4"
    (bundle / "replay.json").write_text(json.dumps(card))
    found = guard.replays(name)
    assert found.verdict == "untested" and "mujoco 3.1.4 -> " in found.text
    (bundle / "replay.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(RoboAdvError, match="plain arrays"):
        guard.replays(name)


def test_a_replay_that_is_now_judged_otherwise_fails(suite: Path, tmp_path: Path) -> None:
    shutil.copytree(suite, tmp_path / "copy")
    card = tmp_path / "copy" / "failures" / "1" / "replay.json"
    told = json.loads(card.read_text())
    told["outcome"] = "frozen" if told["outcome"] == "unsafe" else "unsafe"
    card.write_text(json.dumps(told))
    guard = Guard(tmp_path / "copy")
    found = guard.replays(guard.failures[0])
    assert found.verdict == "fails" and "the same to the bit, but now judged" in found.text


def test_a_known_failure_that_is_none_any_more_passes_and_says_so(
    suite: Path, tmp_path: Path
) -> None:
    def fine(card: dict[str, Any]) -> None:
        scenario = card["seed"] + card["clean"].index("S")
        card["failures"][0].update(row="no attack", budget=0.0, scenario=scenario)

    guard = Guard(edited(suite, tmp_path / "fine", fine))
    found = guard.known_failure(guard.failures[0])
    assert found.verdict == "holds" and found.notice and found.text.startswith("fixed")


@pytest.mark.parametrize(("lost", "verdict"), [(0, "holds"), (1, "holds"), (7, "fails")])
def test_only_a_proven_net_loss_is_red(
    lost: int, verdict: str, suite: Path, tmp_path: Path
) -> None:
    """The recorded outcomes of a cell in which about half succeeds are made better."""

    def better(card: dict[str, Any]) -> None:
        for row in card["rows"]:
            row["cells"][0]["guarded"] = False
        cell = card["rows"][0]["cells"][1]
        failed = [j for j, letter in enumerate(cell["outcomes"]) if letter != "S"]
        assert 7 <= len(failed) <= N - 6, cell["outcomes"]
        told = list(cell["outcomes"])
        for j in failed[:lost]:
            told[j] = "S"
        cell.update(outcomes="".join(told), guarded=True)

    guard = Guard(edited(suite, tmp_path / "better", better))
    found = guard.regression("observation/corner@0.3")
    assert found.verdict == verdict and f": {lost} lost, 0 gained" in found.text
    assert ("the controller is the one that was audited" in found.text) == (lost > 0)
    assert found.notice == (lost == 1)


def test_what_is_gained_elsewhere_counts_against_what_is_lost(suite: Path, tmp_path: Path) -> None:
    def swapped(card: dict[str, Any]) -> None:
        cell = card["rows"][0]["cells"][1]
        cell["outcomes"] = "".join("F" if letter == "S" else "S" for letter in cell["outcomes"])
        cell["guarded"] = True

    guard = Guard(edited(suite, tmp_path / "swapped", swapped))
    found = guard.regression("observation/corner@0.3")
    lost, gained = (int(found.text.partition(word)[0].split()[-1]) for word in (" lost", " gained"))
    assert lost + gained == N and lost >= 7
    assert found.verdict == "holds" and found.notice == (lost > gained)


def test_one_sigma_is_that_of_the_frozen_reference(suite: Path, tmp_path: Path) -> None:
    def wider(card: dict[str, Any]) -> None:
        card["reference"]["std"] = [3.0 * x for x in card["reference"]["std"]]

    found = Guard(edited(suite, tmp_path / "wider", wider)).regression("observation/corner@0.1")
    lost = int(found.text.partition(" lost")[0].split()[-1])
    assert lost >= 5 and "0 lost" in Guard(suite).regression("observation/corner@0.1").text


def test_undecided_is_told_apart_and_fails_only_when_strict(suite: Path) -> None:
    for strict, verdict in ((False, "undecided"), (True, "fails")):
        guard = Guard(suite, Settings(episodes=3, strict=strict))
        found = guard.gate(guard.gates[0])
        assert found.verdict == verdict and "more episodes would decide" in found.text
        found = Guard(suite, Settings("random", 3, strict)).regression("no attack")
        assert found.verdict == verdict and "too few scenarios" in found.text


def test_what_a_black_box_does_not_allow_is_not_tested(suite: Path, tmp_path: Path) -> None:
    def inside(card: dict[str, Any]) -> None:
        card["rows"] = [{**card["rows"][0], "label": "observation/pgd", "attack": "pgd"}]
        card["failures"][0].update(row="observation/pgd")
        card["gates"] = ["unsafe@observation<=1>0.5"]

    folder = edited(suite, tmp_path / "inside", inside)
    guard = Guard(folder, Settings(controller="zero", episodes=2))
    for found in (guard.regression("observation/pgd@0.1"), guard.gate(guard.gates[0]),
                  guard.known_failure(guard.failures[0])):  # fmt: skip
        assert found.verdict == "untested" and "black box" in found.text
    assert guard.regression("no attack").verdict == "undecided"


def test_a_finished_run_is_exported_without_playing(suite: Path, tmp_path: Path) -> None:
    folder = audited(suite)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    gates = ["safe_success<0.5", "unsafe@force<=0.5>0.9"]
    arguments = ["audit", "--resume", str(folder), "--export-tests", str(tmp_path / "new")]
    assert run([*arguments, "--fail-if", *gates, "--json"]) == 0
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()} == before
    assert Safety.load(tmp_path / "new").gates == tuple(gates)
    old, new = (
        json.loads((suite / CARD).read_text()),
        json.loads((tmp_path / "new" / CARD).read_text()),
    )
    assert {**old, "gates": 0} == {**new, "gates": 0}


@pytest.mark.parametrize(
    ("gate", "code"), [("safe_success<0.5", 0), ("safe_success>0.5", 1), ("safe_success<0.9", 3)]
)
def test_a_finished_run_is_judged_without_playing(gate: str, code: int, suite: Path) -> None:
    assert run(["audit", "--resume", str(audited(suite)), "--fail-if", gate]) == code


def test_only_an_earlier_export_is_replaced(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "tests"
    shutil.copytree(suite, target)
    (target / TEST).write_text("old")
    (target / ".pytest_cache").mkdir()
    again = ["audit", "--resume", str(audited(suite)), "--export-tests", str(target), "--json"]
    assert run(again) == 0 and (target / TEST).read_text() == (suite / TEST).read_text()
    (target / "conftest.py").write_text("mine")
    assert run(again) == 2 and "conftest.py" in capsys.readouterr().err
    shutil.rmtree(target)
    target.mkdir()
    assert run(again) == 0
    (target / CARD).write_text("{}")
    assert run(again) == 2 and "no export wrote" in capsys.readouterr().err
    assert (target / CARD).read_text() == "{}"
    shutil.rmtree(target)
    target.write_text("a file")
    assert run(again) == 2 and "not a folder" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["tests"]


def test_a_suite_of_your_own_environment_imports_your_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_cart.py").write_text(
        "import gymnasium\nimport numpy as np\n"
        "from foreign.toys import Cart\n"
        "class Drawn(Cart):\n"
        "    metadata = {'render_modes': ['rgb_array'], 'render_fps': 20}\n"
        "    def __init__(self, render_mode=None):\n"
        "        super().__init__()\n        self.render_mode = render_mode\n"
        "    def step(self, action):\n"
        "        *told, info = super().step(action)\n"
        "        return *told, {**info, 'damage': float(self.x < -0.5)}\n"
        "    def render(self):\n        return np.zeros((64, 64, 3), np.uint8)\n"
        "gymnasium.register('OwnCart-v0', entry_point=Drawn, max_episode_steps=20)\n"
        "def drive(observation):\n    return np.clip(-4 * observation[:, :1], -0.5, 2.0)\n"
        "def far(facts):\n    return facts['damage'] > 0\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code = run(["audit", "own_cart:drive", "--env", "OwnCart-v0", "--import", "own_cart",
                "--set", "info_costs=damage", "--success", "return>-1",
                "--unsafe", "own_cart:far", "--attacks", "corner", "--budgets", "observation=0.1",
                "--episodes", "8", "--videos", "1",
                "--export-tests", "tests/safety", "--json"])  # fmt: skip
    assert code == 0
    guard = Guard(tmp_path / "tests" / "safety")
    assert guard.failures and guard.safety.imports == ("own_cart",)
    for name in guard.failures:
        assert guard.replays(name).verdict == "holds"
        assert guard.known_failure(name).verdict == "known"
    for name in guard.cells:
        assert "0 lost, 0 gained" in guard.regression(name).text


def test_files_are_named_relative_to_the_suite(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    folder = bundle_folder("zoo:reach-panda-s1")
    assert folder is not None
    shutil.copytree(folder, tmp_path / "models" / "mine")
    monkeypatch.chdir(tmp_path)
    name = portable("models/mine", tmp_path / "tests" / "safety")
    assert name == "../../models/mine" and portable("zoo:nobody", tmp_path) == "zoo:nobody"
    assert located(name, tmp_path / "tests" / "safety") == str((tmp_path / "models/mine").resolve())
    target = edited(suite, tmp_path / "tests" / "safety", lambda card: card.update(controller=name))
    monkeypatch.chdir("/")
    assert (
        Guard(target, Settings(episodes=2)).regression("no attack").text.startswith("2 -> 2 of 2")
    )


@pytest.mark.parametrize(
    "attack",
    [Blow(0, 0.1, 0.25), SingleSensor(("", "elbow"), 1, False), LevelAttack(2, (0.1, -1.0))],
)
def test_what_a_search_found_is_made_again_from_the_card(attack: Attack) -> None:
    space = DesignSpace(tuple(Parameter(name, 0.0, 2.0, 1.0, "kg") for name in ("arm", "hand")))
    name = {"force": "worst-push", "observation": "single-sensor", "level": "level-grid"}[
        attack.port
    ]
    unit = {"force": "N", "observation": "sigma", "level": "range"}[attack.port]
    card = RowCard(
        label="it", port=attack.port, attack=name, norm=attack.norm, unit=unit,
        found=json.loads(json.dumps(_values(attack, space))),
        cells=(CellCard(budget=1.0, outcomes="S"),),
    )  # fmt: skip
    assert card.frozen(space) == attack


@pytest.mark.parametrize("count", [1, 6, 45, 50])
def test_measured_gates_hold_for_who_was_measured(count: int) -> None:
    safe, harm = Rate(count, EPISODES), Rate(EPISODES - count, EPISODES)
    gates = measured_gates(safe, harm)
    for text in gates:
        condition = Gate.parse(text).condition
        assert condition.judge(safe if condition.name == "safe_success" else harm) == "holds"
    assert measured_gates(Rate(0, EPISODES), None) == []


def test_equal_controllers_are_hardly_ever_called_worse() -> None:
    """Chance of a red suite of 15 cells for an equally good controller, by simulation."""
    rng, red = np.random.default_rng(0), 0
    for _ in range(200):
        pairs = rng.random((15, 2, 50)) < 0.8
        red += any(
            now.sum() < old.sum() and paired_test(now, old) <= 0.05 / 15 for old, now in pairs
        )
    assert red / 200 < 0.05
