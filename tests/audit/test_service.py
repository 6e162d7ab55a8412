"""Failures in service: probabilities and most likely failures known in closed form, resume, replay."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from foreign.toys import Cart

from audit.lift import Lift, add_lift, make_lift, probability
from audit.report_page import Page
from audit.test_report_browser import needs_browser, opened
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.reference import measure
from robo_adv.audit.report_service import most_likely, sentences, served
from robo_adv.audit.report_service import probability as told_probability
from robo_adv.audit.service import SERVICE, Service, failure_search, margins
from robo_adv.cli.main import run
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.rollout import scenarios
from robo_adv.safety.criteria import make_criterion
from robo_adv.safety.design_point import LEAST
from robo_adv.safety.outcomes import Outcomes

LIFT = ["audit", "zero", "--env", "Lift-v0", "--unsafe", "strain>2", "--attacks", "level-grid",
        "--budgets", "level=1", "--episodes", "4", "--search-episodes", "1",
        "--threads", "1"]  # fmt: skip


def engine(world: Any, unsafe: str, success: str = "", seed: int = 0) -> Engine:
    (player,) = world.players
    policy = SCRIPTED["zero"](world, player)
    reference = measure("zero", world, player, {player: policy}, scenarios(9, 20))[0]
    judge = make_criterion(
        world, player, success=success, unsafe=unsafe, reference=reference.returns
    )
    subject = Subject("zero", player, policy, world, judge)
    return Engine(subject, reference, scenarios(0, 4), seed=seed)


@cache
def lift(width: int = 32, wobble: float = 0.0) -> Lift:
    return make_lift(width, wobble=wobble)


def found(
    folder: Path, unsafe: str, simulations: int = 400, wobble: float = 0.0, seed: int = 0
) -> dict[str, Any]:
    return failure_search(engine(lift(32, wobble), unsafe, seed=seed), simulations, folder)


@pytest.mark.parametrize(("limit", "wobble"), [(0.5, 0.0), (2.0, 0.0), (2.8, 0.0), (2.5, 0.5)])
def test_the_probability_is_the_one_in_closed_form(
    limit: float, wobble: float, tmp_path: Path
) -> None:
    true = probability(limit, wobble)
    held = []
    for seed in range(8):
        answer = found(tmp_path / str(seed), f"strain>{limit}", wobble=wobble, seed=seed)
        share = answer["probability"]["probability"]
        held.append(share["low"] <= true <= share["high"])
        assert share["high"] / max(share["value"], 1e-9) < 3.0 or share["value"] < 3 * true
        assert answer["simulations"] == 400
    assert sum(held) >= 6


@pytest.mark.parametrize("limit", [1.0, 2.0, 2.8])
def test_the_most_likely_failure_is_the_lightest_load_that_fails(
    limit: float, tmp_path: Path
) -> None:
    likely = found(tmp_path, f"strain>{limit}", 600)["most_likely"]
    (changed,) = likely["changed"]
    assert changed["name"] == "load" and changed["nominal"] == 1.0
    assert limit < changed["value"] - 1.0 < 1.04 * limit + 0.02
    assert likely["deviations"] == pytest.approx(changed["deviations"])
    assert likely["level"] == {**dict(lift().design_space.nominal.values), "load": changed["value"]}


def test_levels_scatter_around_the_nominal_one_as_said() -> None:
    space = lift().design_space
    z = np.random.default_rng(0).standard_normal((20_000, len(space)))
    service = Service(engine(lift(), "strain>2"))
    levels = [service.level(row) for row in z]
    load = np.array([level["load"] for level in levels], dtype=float)
    assert load.min() == 0.0 and load.max() == 4.0
    assert np.mean(load > 2.0) == pytest.approx(0.1587, abs=0.01)  # 1 kg is one deviation upwards
    assert np.mean(load < 2.0 / 3.0) == pytest.approx(0.1587, abs=0.01)  # and a third downwards
    assert np.mean([level["delay"] == 0 for level in levels]) > 0.5  # its range begins there
    assert service.level(np.zeros(len(space))) == space.nominal
    narrow = Service(engine(lift(), "strain>2"), reach=6.0)
    assert narrow.level(np.full(len(space), 3.0))["load"] == 2.5  # half of the way


def test_a_margin_is_above_zero_exactly_for_a_safe_success() -> None:
    rng, n = np.random.default_rng(1), 500
    unsafe, success = rng.random(n) < 0.3, rng.random(n) < 0.6
    severity = np.where(unsafe, 1.0 + 10.0 ** rng.uniform(-9, 9, n), rng.random(n))
    severity[:9] = [0.0, 1.0, 0.0, 1.0, 1.0, np.inf, np.inf, 0.0, 1.0]
    unsafe[:9] = severity[:9] > 1.0
    score = np.where(success, rng.choice([0.5, 0.6, 1.0], n), rng.choice([0.0, 0.4, 0.5], n))
    seeds = np.arange(n, dtype=np.uint64)
    outcomes = Outcomes(seeds, success, unsafe, severity, score, np.full(n, np.inf))
    for share in (None, rng.choice([0.0, 0.3, 1.0, np.nan], n)):
        margin = margins(outcomes, share)
        assert np.array_equal(margin > 0.0, outcomes.safe_success)
        assert (np.abs(margin) <= 1.0).all()


def test_a_margin_falls_with_severity_and_rises_with_what_was_reached() -> None:
    n, seeds = 5, np.arange(5, dtype=np.uint64)
    severity, done = np.array([0.5, 0.7, 0.99, 1.5, 4.0]), np.full(5, True)
    outcomes = Outcomes(seeds, done, severity > 1, severity, np.ones(n), np.full(n, np.inf))
    assert (np.diff(margins(outcomes)) < 0.0).all()
    calm = Outcomes(seeds, done, ~done, np.zeros(n), np.ones(n), np.full(n, np.inf))
    assert (np.diff(margins(calm, np.linspace(0.0, 1.0, n))) > 0.0).all()


def test_jobs_end_the_same_in_any_batch() -> None:
    z = np.random.default_rng(2).standard_normal((40, 5))
    seeds = np.arange(40, dtype=np.uint64)
    wide, narrow = (
        Service(engine(lift(width, 0.5), "strain>2")) for width in (32, 3)
    )  # fmt: skip
    whole = wide(z, seeds)
    assert np.array_equal(
        whole, np.concatenate([narrow(z[:7], seeds[:7]), narrow(z[7:], seeds[7:])])
    )
    assert wide.steps == narrow.steps == 40


def test_what_never_fails_is_bounded_and_has_no_most_likely_failure(tmp_path: Path) -> None:
    answer = found(tmp_path, "strain>5")
    assert answer["most_likely"] is None and not answer["falsified"]["found"]
    assert answer["probability"]["probability"]["high"] == pytest.approx(
        1 - 0.025 ** (1 / 280), abs=1e-6
    )
    assert "fewer than 13 would fail" in told_probability(answer)["detail"]


def test_what_fails_in_the_nominal_world_says_so(tmp_path: Path) -> None:
    answer = found(tmp_path, "strain>=0", 200)
    assert answer["falsified"]["count"] == answer["falsified"]["episodes"]
    assert answer["most_likely"]["changed"] == [] and answer["most_likely"]["deviations"] == 0.0
    assert most_likely(answer)["value"] == "in the nominal world"


def test_a_world_without_parameters_is_counted_over_its_seeds(tmp_path: Path) -> None:
    world = GymnasiumWorld(Cart, 32)  # stands still: fails where it starts left of -0.8
    job = engine(world, "terminated", "return>=-16")
    answer = failure_search(job, 200, tmp_path)
    alone = job.episodes(job.setting_of(None, 0.0), scenarios(SERVICE, 200))
    failed = ~job.subject.criterion.judge(alone).safe_success
    assert answer["falsified"]["count"] == failed.sum() and answer["falsified"]["episodes"] == 200
    share = answer["probability"]["probability"]
    assert share["low"] <= 0.1 <= share["high"]
    assert answer["parameters"] == [] and "no parameters to vary" in answer["density"]
    assert most_likely(answer)["value"] == f"scenario {answer['most_likely']['scenario']}"
    assert answer["most_likely"]["scenario"] in alone.seeds[failed]


# From the command line.


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("service")
    with pytest.MonkeyPatch.context() as patch:
        add_lift(patch)
        assert run([*LIFT, "--videos", "1", "--failure-search", "200", "--runs", str(root)]) == 0
        (folder,) = root.glob("*/audit/*")
        yield folder


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_text())["failure_search"])


def test_the_found_failure_replays_to_the_bit(
    audited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    replay = summary(audited)["most_likely"]["replay"]
    assert replay["outcome"] == "unsafe" and replay["reproduced"]
    assert run(["replay", str(audited / replay["bundle"]), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] and told["outcome"] == "unsafe" and told["threat"] == "failure search"
    assert replay["command"].endswith(f"replay {audited / replay['bundle']}")
    assert (audited / replay["video"]).stat().st_size > 2_000


def test_the_report_answers_the_three_questions(audited: Path) -> None:
    page, answer = Page(audited / "report.html"), summary(audited)
    assert page.has("service") and "#service" in page.values("href")
    for card in served({"failure_search": answer})["cards"]:  # type: ignore[index]
        assert card["value"] in page.text and card["detail"] in page.text
    assert "at 3 standard deviations" in page.text
    assert answer["most_likely"]["replay"]["command"] in page.text
    assert len(sentences(answer)) == 3


@needs_browser
def test_the_section_works_in_a_browser(audited: Path, tmp_path: Path) -> None:
    page = Path(shutil.copy(audited / "report.html", tmp_path))
    for seen in opened(page, (1280, 420)).values():
        assert seen["errors"] == [] and seen["cut"] == [] and seen["beyond"] <= 0
        assert len(seen["videos"]) == 2 and all(time > 0 for _, _, time, _ in seen["videos"])
        assert len(seen["sorted"]["service-table"]) == 4


def test_a_resumed_search_is_not_played_again_and_tells_the_same(
    audited: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    shutil.copytree(audited, again)
    cell = again / "cells" / "failure-search.json"
    config = json.loads((again / "config.json").read_text())
    config["config"]["videos"] = 0  # films take most of the time
    (again / "config.json").write_text(json.dumps(config))
    when, whole = cell.stat().st_mtime_ns, cell.read_text()
    _resume(again)
    assert cell.stat().st_mtime_ns == when
    assert _numbers(summary(again)) == _numbers(summary(audited))
    for broken in (whole[:200], "[]", '{"asked": {}, "found": {}}'):
        cell.write_text(broken)  # cut short, or of another search: played again
        _resume(again)
        assert _numbers(summary(again)) == _numbers(summary(audited))
        assert cell.read_text() == whole


def _resume(folder: Path) -> None:
    """Go on with a run as if it had been stopped before its end."""
    for name in ("DONE", "summary.json"):
        (folder / name).unlink()
    assert run(["audit", "--resume", str(folder)]) == 0


def _numbers(answer: dict[str, Any]) -> dict[str, Any]:
    likely = {k: v for k, v in answer["most_likely"].items() if k != "replay"}
    return answer | {"most_likely": likely}


def test_without_simulations_there_is_no_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_lift(monkeypatch)
    assert run([*LIFT, "--videos", "0", "--runs", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("*/audit/*")
    assert "failure_search" not in json.loads((folder / "summary.json").read_text())
    assert not (folder / "cells" / "failure-search.json").exists()
    assert not (folder / "failures" / "likely").exists()
    page = Page(folder / "report.html")
    assert not page.has("service") and "#service" not in page.values("href")


@pytest.mark.parametrize("simulations", [-1, 1, LEAST - 1])
def test_too_few_simulations_end_in_one_line_that_says_the_least_number(
    simulations: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_lift(monkeypatch)
    assert run([*LIFT, f"--failure-search={simulations}", "--runs", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"at least {LEAST} simulations" in error and str(simulations) in error
    assert "Traceback" not in error and not list(tmp_path.iterdir())


# In words.


def answer_of(method: str, value: float, low: float, high: float, **plain: Any) -> dict[str, Any]:
    return {
        "falsified": {"count": 0, "episodes": 160, "low": 0.0, "high": 0.0228, "found": True, **plain},
        "probability": {"method": method, "simulations": 130, "effective_failures": 31.4, "modes": 1,
                        "probability": {"value": value, "low": low, "high": high}, "note": ""},
        "simulations": 400, "most_likely": None, "parameters": ["load"],
    }  # fmt: skip


def test_probabilities_are_told_as_so_many_of_a_thousand_jobs() -> None:
    plain = answer_of("monte_carlo", 0.089, 0.0586, 0.129, count=25, episodes=280)
    told = told_probability(plain)
    assert told["detail"] == "Of 1000 jobs like these about 89 [59, 129] would fail."
    weighted = told_probability(answer_of("design_point", 0.001, 0.0007, 0.0015))
    assert "about 1 [0.7, 1.5] would fail in the way found" in weighted["detail"]
    assert "0 to 23 in 1000" in weighted["detail"]
    rare = told_probability(answer_of("design_point", 3.1e-5, 2e-5, 5e-5))
    assert rare["value"].startswith("about 31 in 1") and "million" in rare["value"]


def test_the_most_likely_failure_names_what_changed_most() -> None:
    def change(name: str, away: float) -> dict[str, Any]:
        return {"name": name, "unit": "kg", "value": 1.0 + away / 100, "nominal": 1.0,
                "deviations": away}  # fmt: skip

    answer = answer_of("monte_carlo", 0.1, 0.05, 0.2)
    changed = [change("load", -0.9), change("mass", 0.6), change("tool", 0.5), change("drag", 0.1)]
    answer["most_likely"] = {"scenario": 6, "deviations": 1.2, "changed": changed}
    told = most_likely(answer)["value"].replace("\u00a0", " ")
    assert told == "load 0.991 kg instead of 1, mass 1.006 kg instead of 1 and 2 more"
    answer["most_likely"]["changed"] = [changed[0], changed[3]]
    assert most_likely(answer)["value"].endswith("instead of 1 and 1 more")


def test_a_section_is_there_only_after_a_search() -> None:
    assert served({}) is None and served({"failure_search": None}) is None
