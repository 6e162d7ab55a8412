"""Two controllers side by side: differences, errors and harm of which the answer is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign.toys import Array, Cart

from robo_adv.audit.compare import look_closer, primary_of
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.errors import explored_seeds, measure_errors
from robo_adv.audit.reference import measure
from robo_adv.cli.main import run
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import UnknownNameError
from robo_adv.rollout import scenarios
from robo_adv.safety.criteria import make_criterion

PAIR = [
    "audit", "--compare", "zoo:reach-panda-s1", "zoo:reach-panda-s2", "--attacks", "corner",
    "--budgets", "observation=0.5,1", "--episodes", "8", "--videos", "0", "--threads", "1", "--json",
]  # fmt: skip


class Steers:
    """Drives the cart to 0 with an error on top: a function of observations (n, 2)."""

    def __init__(self, error: Callable[[Array], Array] = lambda seen: 0.0 * seen[:, 0]) -> None:
        self.error = error

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        wanted = np.clip(-0.4 * observation[:, 0], -0.5, 0.5) + self.error(observation)
        return wanted[:, None], None


def engine(policy: Any) -> Engine:
    world = cart()
    criterion = make_criterion(
        world, "agent", success="length>=20", unsafe="terminated", reference=1.0
    )
    subject = Subject("mine", "agent", policy, world, criterion)
    return Engine(subject, reference(), scenarios(0, 200), search=2)


@cache
def cart() -> GymnasiumWorld:
    return GymnasiumWorld(Cart, 32)


@cache
def reference() -> Any:
    return measure("mine", cart(), "agent", {"agent": Steers()}, scenarios(9, 20))[0]


def profile_of(error: Callable[[Array], Array]) -> tuple[dict[str, Any], Any]:
    this, good = engine(Steers(error)), Steers()
    clean = this.play().outcomes, engine(good).play().outcomes
    return look_closer(this, good, clean)


def test_a_constant_error_is_systematic() -> None:
    told, _ = profile_of(lambda seen: 0.25 + 0.0 * seen[:, 0])
    shares = {name: part["share"] for name, part in told["parts"].items()}
    assert shares["systematic"] == pytest.approx(1.0)
    assert told["total"] == pytest.approx(0.1**2)  # 0.25 of a range of 2.5


def test_an_error_in_one_region_is_found_there_and_shown_to_do_the_harm() -> None:
    told, worst = profile_of(lambda seen: np.where(seen[:, 0] > 0.3, 1.5, 0.0))
    assert told["parts"]["conditional"]["share"] > 0.3
    largest = max(told["contexts"], key=lambda context: context["size"])
    threshold = float(largest["name"].split(">= ")[1].split(" ")[0])
    assert abs(threshold - 0.3) < 0.1
    (name,) = [name for name in told["removals"] if name.startswith("conditional")]
    harm = told["removals"][name]
    assert harm["harm_removed"]["low"] > 0.2 and harm["adjusted_p"] < 1e-6
    judged = [context for context in worst.contexts if context.judged]
    assert worst.degradation.low > 0.5 and judged and ">=" in worst.name


def test_an_error_that_does_no_harm_is_not_accused() -> None:
    told, worst = profile_of(lambda seen: np.where(seen[:, 1] % 7 == 3, 0.4, 0.0))
    assert max(told["parts"], key=lambda part: told["parts"][part]["share"]) == "transient"
    assert all(r["harm_removed"]["value"] == 0.0 for r in told["removals"].values())
    assert worst.degradation.high < 0.1


def test_a_controller_does_not_err_against_itself() -> None:
    told, worst = profile_of(lambda seen: 0.0 * seen[:, 0])
    assert told["total"] == 0.0 and worst.degradation.value == 0.0


def test_errors_are_measured_where_the_baseline_goes_one_row_per_step() -> None:
    bad = engine(Steers(lambda seen: 1.0 + 0.0 * seen[:, 0]))
    found = measure_errors(bad, Steers(), explored_seeds(40))
    assert len(found.errors) == 40 * 20 and found.errors == pytest.approx(0.4)
    assert np.array_equal(found.episodes, np.repeat(np.arange(40), 20))
    assert np.array_equal(found.seen[::20], found.first)
    assert (np.diff(found.seen[:, 1].reshape(40, 20)) == 1).all()  # in the order of time
    wide = replace(bad.subject, world=GymnasiumWorld(Cart, 3))
    again = measure_errors(
        Engine(wide, bad.reference, bad.seeds, search=2), Steers(), explored_seeds(40)
    )
    assert np.array_equal(again.seen, found.seen)


def test_the_row_of_the_verdict_is_chosen_by_a_rule_or_named() -> None:
    labels = ["observation/corner (x)", "observation/pgd", "action/nr-mdp"]
    assert primary_of(labels, "") == "observation/pgd"
    assert primary_of(labels[:1], "") == "observation/corner (x)"
    assert primary_of(["opponent/zero"], "") == "opponent/zero" and primary_of([], "") == ""
    with pytest.raises(UnknownNameError, match="--primary"):
        primary_of(labels, "observation/pdg")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compare")
    assert run([*PAIR, "--runs", str(root)]) == 0
    (folder,) = root.glob("*/audit/*")
    return folder


def test_both_controllers_meet_the_same_scenarios_in_the_units_of_the_first(
    compared: Path,
) -> None:
    summary = json.loads((compared / "summary.json").read_text())
    side = summary["compare"]
    assert summary["reference"]["controller"] == "zoo:reach-panda-s1"
    assert side["baseline"]["controller"] == "zoo:reach-panda-s1"
    assert side["primary"] == "observation/corner" and len(side["cells"]) == 3
    before, after = side["baseline"]["clean"], summary["clean"]
    difference = after["safe_success"]["rate"] - before["safe_success"]["rate"]
    assert side["cells"][0]["difference"]["value"] == pytest.approx(difference)
    for mine, theirs in zip(*(sorted(f.iterdir()) for f in (
        compared / "cells", compared / "baseline" / "cells"
    )), strict=True):  # fmt: skip
        lines = [[json.loads(t)["scenario"] for t in file.read_text().splitlines()[1:]]
                 for file in (mine, theirs)]  # fmt: skip
        assert lines[0] == lines[1] == list(range(1_000_000, 1_000_008))
    assert side["verdict"]["verdict"] in (compared / "report.html").read_text()


def test_a_resumed_comparison_gives_the_same_numbers(compared: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(compared, again)
    (again / "DONE").unlink()
    next((again / "baseline" / "cells").glob("*corner*")).unlink()
    assert run(["audit", "--resume", str(again), "--json"]) == 0
    first, second = (json.loads((f / "summary.json").read_text()) for f in (compared, again))
    for name in ("cells", "trades", "verdict"):
        assert first["compare"][name] == second["compare"][name]
    assert first["error_profile"] == second["error_profile"]


def test_a_controller_that_does_nothing_is_a_loss(tmp_path: Path) -> None:
    pair = [*PAIR, "--runs", str(tmp_path), "--declare", "prevalence=0.01"]
    pair[3] = "zero"
    assert run([*pair, "--env", "Reach-v0"]) == 0
    (folder,) = tmp_path.glob("*/audit/*")
    said = json.loads((folder / "summary.json").read_text())["compare"]["verdict"]
    assert said["verdict"] == "NET LOSS" and said["thresholds"]["prevalence"] == 0.01


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--primary", "observation/pgd"], "unknown row of --primary 'observation/pgd'"),
        (["--declare", "taxes=0.1"], "unknown threshold 'taxes'; did you mean 'tax'?"),
        (["--declare", "tax"], "is not NAME=NUMBER"),
        (["--declare", "tax=2"], "threshold tax is a share in 0..1, got 2.0"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_so_before_anything_is_played(
    more: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*PAIR, *more, "--runs", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_audit_of_nobody_or_of_three_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["audit"], ["audit", "zero", *PAIR[1:4]]):
        assert run(arguments) == 2
        assert "needs one controller, or --compare BEFORE AFTER" in capsys.readouterr().err
