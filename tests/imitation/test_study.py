"""The imitation study: its grid, its scores, what it keeps, and what its table says."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from imitation.follow import ENV, EXPERT, PPO, register
from robo_adv.agents import imitation_study
from robo_adv.agents.imitation_pictures import figures
from robo_adv.agents.imitation_study import (
    SCORES,
    ImitationStudy,
    Task,
    compute,
    prepare,
    read_values,
    run_cell,
)
from robo_adv.agents.imitation_table import collect, over_tasks
from robo_adv.agents.imitation_threats import collect_threats
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.variants import VARIANTS
from robo_adv.cli import main
from robo_adv.cli.study_cells import run_shown
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstrations import load_demonstrations


def _small(learner: Any, env: str, demonstrations: str = "") -> ImitatorConfig:
    return ImitatorConfig(
        demonstrations=demonstrations, learner=learner, ppo=PPO, steps=300, checkpoint_every=300,
        selection_episodes=4,
    )  # fmt: skip


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImitationStudy:
    register()
    monkeypatch.setitem(imitation_study.TASKS, "follow", Task(EXPERT, 1_024, env=ENV, mixed="zero"))
    monkeypatch.setattr(imitation_study, "preset", _small)
    return ImitationStudy(
        tasks=("follow",), learners=("bc", "gail"), demos=(2, 4), seeds=(1, 2), controls=(),
        ablation=(), episodes=8, folder=tmp_path / "study", jobs=1,
    )  # fmt: skip


def test_controls_have_the_most_demonstrations_and_the_ablation_the_fewest() -> None:
    study = ImitationStudy(
        tasks=("reach",), learners=("bc",), demos=(11, 2), seeds=(1, 2), controls=("gail-null",),
        corrupted=("bc-wrong",), ablation=("clipping",), ablation_task="pendulum",
    )  # fmt: skip
    assert list(study.rows()) == [
        ("reach", "bc", 2), ("reach", "bc", 11), ("reach", "gail-null", 11),
        ("reach", "bc-wrong", 11), ("pendulum", "clipping", 2),
    ]  # fmt: skip
    cells = list(study.cells())
    assert len(cells) == len(set(cells)) == 10
    assert [seed for _, _, seed in cells] == [1] * 5 + [2] * 5


def test_each_regulariser_of_the_ablation_is_the_only_one() -> None:
    plain = VARIANTS["none"].applied(_small("gail", ENV)).disc
    assert not plain.gradient_penalty and not plain.spectral_norm and not plain.entropy
    for name in imitation_study.ABLATION:
        changed = VARIANTS[name].applied(_small("gail", ENV)).disc
        values = zip(_values(changed), _values(plain), strict=True)
        wanted = 0 if name == "none" else 2 if name == "dropout" else len(name.split("+"))
        assert sum(a != b for a, b in values) == wanted, name


def _values(config: Any) -> list[Any]:
    return [getattr(config, name) for name in config.__dataclass_fields__]


def test_scores_are_of_the_last_policy_on_common_scenarios(study: ImitationStudy) -> None:
    prepare(study)
    todo = compute(study)
    assert todo["cells"] == 8 and todo["steps"] == 4 * 1_024 and todo["hours"] > 0
    for seed in study.seeds:
        run_cell(study, "follow", "bc/4", seed)
    assert compute(study)["cells"] == 6
    result = collect(study)
    (row,) = result["rows"]
    found = [read_values(study.place("follow", "bc/4", seed)) for seed in study.seeds]
    assert np.array_equal(found[0]["random"], found[1]["random"])
    expected = [
        (v["imitator"].mean() - v["random"].mean()) / (v["expert"].mean() - v["random"].mean())
        for v in found
    ]
    assert row["by_seed"] == pytest.approx(expected)
    assert row["score"]["value"] == pytest.approx(np.mean(expected))
    assert row["score"]["low"] <= row["score"]["value"] <= row["score"]["high"]
    assert 0.3 < row["score"]["value"] < 1.1
    assert [r["variant"] for r in result["over_tasks"]] == ["bc"]
    assert figures(result, study.folder) == ["scores.png"]
    assert (study.folder / "scores.png").stat().st_size > 5_000


def test_a_finished_cell_is_kept_and_scored_again_only_for_more_episodes(
    study: ImitationStudy,
) -> None:
    prepare(study)
    run_cell(study, "follow", "bc/2", 1)
    values = study.place("follow", "bc/2", 1) / SCORES
    before = values.stat().st_mtime_ns
    run_cell(study, "follow", "bc/2", 1)
    assert values.stat().st_mtime_ns == before
    run_cell(replace(study, episodes=12), "follow", "bc/2", 1)
    assert len(read_values(values.parent)["imitator"]) == 12


def test_cells_are_compared_on_scenarios_that_all_of_them_played(study: ImitationStudy) -> None:
    prepare(study)
    run_cell(study, "follow", "bc/2", 1)
    longer = replace(study, episodes=12)
    run_cell(longer, "follow", "bc/2", 2)
    played = [read_values(study.place("follow", "bc/2", seed)) for seed in study.seeds]
    assert [len(values["imitator"]) for values in played] == [8, 12]
    (row,) = collect(study)["rows"]
    assert row["seeds"] == [1, 2]
    first = [float(np.mean(values["imitator"][:8])) for values in played]
    assert row["imitator"]["value"] == pytest.approx(np.mean(first))
    assert row["random"]["value"] == pytest.approx(np.mean(played[1]["random"][:8]))
    (row,) = collect(longer)["rows"]
    assert row["seeds"] == [2], "the other one was not scored on as many"


def test_more_demonstrations_keep_the_first_ones_and_corrupted_ones_say_so(
    study: ImitationStudy,
) -> None:
    prepare(replace(study, demos=(2,)))
    few = load_demonstrations(study.shown("follow"))
    more = replace(study, demos=(2, 10), corrupted=("bc-noise", "bc-wrong", "gail-mixed"))
    prepare(more)
    many = load_demonstrations(study.shown("follow"))
    assert (len(few), len(many)) == (2, 10)
    assert np.array_equal(few.actions, many.first(2).actions)
    for kind in ("noise", "wrong", "mixed"):
        changed = load_demonstrations(study.shown("follow", kind))
        assert len(changed) == 10 and changed.card.corruption
        share = (changed.actions != many.actions).any(axis=1).mean()
        assert 0.1 < share < 0.7, kind
    config = more.config("follow", "bc-noise/10", 1)
    assert config.demonstrations == str(study.shown("follow", "noise"))


def test_interquartile_means_leave_out_what_not_all_tasks_and_seeds_have() -> None:
    study = ImitationStudy(tasks=("reach", "kick"), seeds=(1, 2))
    rows = [
        {"task": "reach", "variant": "bc", "demos": 2, "by_seed": [0.0, 1.0]},
        {"task": "kick", "variant": "bc", "demos": 2, "by_seed": [0.4, 0.6]},
        {"task": "reach", "variant": "gail", "demos": 2, "by_seed": [0.0, 1.0]},
        {"task": "kick", "variant": "airl", "demos": 2, "by_seed": [0.5]},
        {"task": "reach", "variant": "airl", "demos": 2, "by_seed": [0.5, 0.5]},
    ]
    (found,) = over_tasks(study, rows)
    assert found["variant"] == "bc" and found["iqm"]["value"] == pytest.approx(0.5)


def test_a_student_that_loses_as_much_as_its_teacher_loses_no_more(study: ImitationStudy) -> None:
    def finished(folder: Path, clean: float, attacked: float) -> None:
        folder.mkdir(parents=True)
        cells = [{"budget": b, "safe_success": {"rate": attacked}} for b in (0.0, 0.1, 0.2)]
        summary = {
            "clean": {"safe_success": {"rate": clean}},
            "rows": [{"label": "fgsm", "cells": cells}],
        }
        (folder / "summary.json").write_text(json.dumps(summary))

    finished(study.folder / "follow" / "expert-audit", 1.0, 0.6)
    for seed in study.seeds:
        finished(study.place("follow", "bc/4", seed) / "audit", 0.8, 0.4)
        finished(study.place("follow", "gail/4", seed) / "audit", 0.9, 0.2)
    rows = {(r["variant"], r["attack"]): r for r in collect_threats(study, ("bc", "gail"))}
    assert rows["bc", "fgsm"]["loses_more"]["value"] == pytest.approx(0.0)
    assert rows["gail", "fgsm"]["loses_more"]["value"] == pytest.approx(0.3)
    assert rows["gail", "fgsm"]["safe_success"]["value"] == pytest.approx(0.2)
    assert rows["gail", "none"]["expert"] == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": ("reech",)}, "reech.*reach"),
        ({"learners": ("gale",)}, "gale.*gail"),
        ({"demos": (0,)}, "demos"),
        ({"episodes": 1}, "episodes"),
    ],
)
def test_a_study_of_what_does_not_exist_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(RoboAdvError, match=f"(?s){words}"):
        ImitationStudy(**changes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--learners", "bc", "--threats", "gail"), "unknown variant that is trained at 2 demos"),
        (("--threats", "bc", "--suite", "quik"), "unknown suite of audits 'quik'"),
        (("--threats", "bc", "--audit-episodes", "0"), "audit_episodes must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_audits_that_cannot_be_are_refused_before_anything_is_trained(
    arguments: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--tasks", "pendulum", "--demos", "2", "--folder", str(tmp_path / "study"))
    assert main.run(["study", "imitate", *where, *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def _leave(task: str, what: str, seed: int) -> None:
    """A cell that is done already."""


def test_a_log_of_a_study_has_a_line_for_each_cell() -> None:
    log = io.StringIO()
    cells = [("reach", "bc/2", seed) for seed in (1, 2, 3)]
    run_shown(Console(file=log), cells, _leave, 1, "done")
    assert log.getvalue().splitlines() == [
        f"{k} of 3 done: reach bc/2, seed {k}" for k in (1, 2, 3)
    ]


def test_the_command_line_refuses_unknown_studies_and_empty_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["study", "imitat"]) == 2
    assert "imitate" in capsys.readouterr().err
    assert main.run(["study", "imitate", "--collect", "--folder", str(tmp_path)]) == 2
    assert "train it first" in capsys.readouterr().err
