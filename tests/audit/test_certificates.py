"""Certificates within an audit: each kind of budget once, on clean states, with honest words."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_adv.agents.audit import audit
from robo_adv.agents.controllers import controller
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.certificates import certificates, observations, smoothed
from robo_adv.audit.engine import Engine, Subject
from robo_adv.audit.plan import Row, plan
from robo_adv.audit.reference import REFERENCE, measure
from robo_adv.audit.report_certificates import certified, says
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.runs import Run
from robo_adv.safety.criteria import make_criterion
from robo_adv.threats.access import Access

NAME, PLAYER = "zoo:reach-panda-s1", "arm"
BUDGETS = {"observation": (0.02, 0.1, 3.0)}


@cache
def engine(num_envs: int = 4) -> Engine:
    game = make_game("Reach-v0", num_envs, threads=1)
    found = controller(NAME, game, PLAYER)
    reference, _ = measure(NAME, game, PLAYER, {PLAYER: found.policy}, scenarios(REFERENCE, 4))
    subject = Subject(
        NAME, PLAYER, found.policy, game, make_criterion(game, PLAYER), access=found.access
    )
    return Engine(subject, reference, scenarios(77, 8), search=2)


def rows(*names: str, **more: Any) -> list[Row]:
    return plan(["observation", "action"], attacks=names, budgets=BUDGETS, **more)


@cache
def found() -> list[dict[str, Any]]:
    return certificates(
        engine(), rows("pgd", "corner", "dropout", "single-sensor", "nr-mdp"), states=48
    )


def test_rows_of_one_kind_of_budget_share_a_certificate_and_others_have_none() -> None:
    assert [kind["norm"] for kind in found()] == ["linf", "l2"]
    assert found()[0]["rows"] == ["observation/pgd", "observation/corner"]
    assert found()[1]["rows"] == ["observation/single-sensor"]
    for kind in found():
        assert kind["why_not"] == "" and kind["unit"] == "sigma"
        assert [cell["budget"] for cell in kind["budgets"]] == [0.02, 0.1, 3.0]
        assert all(cell["states"] == 48 and cell["actions"] == 3 for cell in kind["budgets"])
    assert json.loads(json.dumps(found(), allow_nan=False)) == found()


def test_attacks_stay_below_the_bound_and_both_grow_with_the_budget() -> None:
    for kind in found():
        for part in ("change", "change_most", "found", "found_most", "half_width", "vacuous"):
            values = [cell[part] for cell in kind["budgets"]]
            assert values == sorted(values), part
        for cell in kind["budgets"]:
            assert (
                0.0 < cell["found"] <= cell["change"] and cell["found_most"] <= cell["change_most"]
            )
    assert (
        found()[0]["budgets"][-1]["vacuous"] == 1.0 and found()[0]["budgets"][0]["vacuous"] == 0.0
    )


def test_slices_that_may_not_be_touched_make_the_bound_tighter() -> None:
    (one,) = certificates(engine(), rows("pgd", slices=("achieved_goal",)), states=16)
    (every,) = certificates(engine(), rows("pgd"), states=16)
    assert one["slices"] == ["achieved_goal"]
    assert one["budgets"][1]["change"] < every["budgets"][1]["change"]


def test_states_come_from_clean_search_scenarios_and_not_from_the_width_of_the_batch() -> None:
    wide, narrow = observations(engine(4), 20), observations(engine(1), 20)
    assert wide.shape == (20, engine().subject.world.layouts[PLAYER].size)
    assert np.array_equal(wide, narrow) and len(np.unique(wide, axis=0)) == 20


def test_what_cannot_be_certified_says_why() -> None:
    black = engine().changed(access=Access())
    (kind,) = certificates(black, rows("corner"))
    assert "black box" in kind["why_not"] and kind["budgets"] == []
    other = controller("zero", engine().subject.world, PLAYER).policy
    (kind,) = certificates(engine().changed(policy=other), rows("corner"), states=8)
    assert "differ from its network's by up to" in kind["why_not"] and kind["budgets"] == []
    assert certificates(engine(), rows("nr-mdp", "dropout")) == []
    section = certified({"certificates": [kind]})
    assert section is not None and section["lines"] == [] and section["panels"] == []
    assert "nothing is certified, since its actions differ" in section["told"][0]


def test_a_smoothed_controller_is_certified_at_tiny_budgets_only_and_says_so() -> None:
    small = [replace(row, budgets=(0.0001, 0.05)) for row in rows("corner", "single-sensor")]
    linf, l2 = smoothed(engine(), small, sigma=0.3)
    steps = engine().subject.world.clock_steps  # type: ignore[attr-defined]
    assert linf["steps"] == l2["steps"] == steps
    assert l2["budgets"][0]["shift"] == pytest.approx(0.0001 * steps**0.5 / 0.3)
    entries = linf["entries"]
    assert linf["budgets"][0]["shift"] == pytest.approx(l2["budgets"][0]["shift"] * entries**0.5)
    assert linf["budgets"][1]["vacuous"] and linf["budgets"][1]["return"] is None
    assert l2["budgets"][0]["return"] <= l2["clean"]
    assert l2["safe_success"]["episodes"] == 8 and linf["safe_success"] == l2["safe_success"]
    section = certified({"smoothing": [linf, l2]})
    assert section is not None
    assert [line["value"] for line in section["rewards"][0]["lines"]][1] == "vacuous"
    with pytest.raises(RoboAdvError, match="sigma above 0"):
        smoothed(engine(), small, sigma=0.0)


def test_the_reports_section_tells_where_the_bounds_end() -> None:
    section = certified({"certificates": found()})
    assert section is not None and certified({}) is None
    assert len(section["lines"]) == 6 and len(section["panels"]) == 2
    linf = section["told"][0]
    assert "at 0.1" in linf and "no action of 48 states changes by more than" in linf
    assert "wholly vacuous from 3" in linf
    assert [says(share) for share in (0.0, 0.3, 1.0)] == ["", "partly vacuous", "vacuous"]
    empty = {**found()[0], "budgets": [{**cell, "vacuous": 1.0} for cell in found()[0]["budgets"]]}
    told = certified({"certificates": [empty]})
    assert told is not None and "vacuous at every budget" in told["told"][0]


def test_the_figure_draws_the_bound_above_the_attack() -> None:
    section = certified({"certificates": found()})
    assert section is not None
    for panel in section["panels"]:
        bound, attack = panel.series
        assert (bound.kind, attack.kind) == ("safe", "unsafe")
        for (x, y, _), (other, lower, _) in zip(bound.points[1:], attack.points[1:], strict=True):
            assert x == other and y <= lower  # up is smaller
        assert "certified" in panel.alt and "found" in panel.alt


def test_an_audit_says_what_is_certain_and_what_smoothing_certifies(tmp_path: Path) -> None:
    config = AuditConfig(
        "zoo:reach-panda-s1", ports=("observation",), attacks=("uniform",), episodes=8,
        budgets={"observation": (0.001,)}, videos=0, threads=1, smoothing=0.2,
    )  # fmt: skip
    run = Run.at(tmp_path / "run", "Reach-v0", "audit", config, 0)
    summary = audit(config, lambda world: run)
    assert summary["certificates"] and summary["smoothing"]
    told = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "Policy smoothing" in told and "CROWN" in told
    with pytest.raises(RoboAdvError, match="--smoothing"):
        audit(replace(config, smoothing=-1.0), lambda world: run)
