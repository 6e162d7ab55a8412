"""Parts of the report that come on demand: videos of failures, two controllers, what was found."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from audit import report_sample as sample
from audit.report_page import written
from robo_adv.audit import report
from robo_adv.audit import report_words as words
from robo_adv.audit.report_compare import TRADE

Audited = tuple[dict[str, Any], list[Any]]


@pytest.fixture(scope="module")
def audited() -> Audited:
    audit = sample.audit_of(40)
    return sample.summary_of(audit), sample.cells_of(audit)


def test_a_failure_comes_with_its_video_and_the_command_that_replays_it(
    audited: Audited, tmp_path: Path
) -> None:
    film = sample.film(tmp_path / "videos" / "a.mp4").read_bytes()
    page = written(tmp_path, {**audited[0], "failures": sample.failures()})
    (source,) = page.values("src")
    assert base64.b64decode(source.split(",")[1]) == film
    assert "robo-adv replay runs/audit/failures/push-17" in page.text
    assert "scenario 17" in page.text and "limit passed after 0.84" in page.text
    assert "No video was made" in page.text and "ended in another way" not in page.text


def test_a_failure_that_did_not_repeat_or_has_no_video_says_so(
    audited: Audited, tmp_path: Path
) -> None:
    failure = {**sample.failures("")[0], "reproduced": False, "why_no_video": "no OpenGL here"}
    text = written(tmp_path, {**audited[0], "failures": [failure], "opponent": "normal"}).text
    assert "ended in another way" in text and "no OpenGL here" in text and "against normal" in text


def test_large_videos_are_linked_and_all_of_them_have_a_bound(
    audited: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sample.film(tmp_path / "videos" / "a b.mp4").stat().st_size
    failures = [{**sample.failures("videos/a b.mp4")[0], "scenario": k} for k in range(3)]
    summary = {**audited[0], "failures": failures}
    monkeypatch.setattr(report, "EMBED_ALL", size + 1)
    page = written(tmp_path, summary)
    links = [v for v in page.values("href") if not v.startswith("#")]
    assert len(page.values("src")) == 1 and links == ["videos/a%20b.mp4"] * 2
    monkeypatch.setattr(report, "EMBED_BELOW", size)
    assert written(tmp_path, summary).values("src") == []


@pytest.mark.parametrize(
    "name", ["../secret.mp4", "/etc/hostname", "gone.mp4", "notes.txt", "videos"]
)
def test_files_that_are_no_video_of_the_run_are_named_but_not_shown(
    name: str, audited: Audited, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "videos").mkdir(parents=True)
    (run / "notes.txt").write_text("private")
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    page = written(run, {**audited[0], "failures": sample.failures(name)[:1]})
    assert page.values("src") == [] and f"No video at {name}" in page.text


def test_two_controllers_stand_side_by_side(audited: Audited, tmp_path: Path) -> None:
    summary, cells = audited
    before = sample.summary_of(sample.audit_of(24), "soft")
    part = {"value": 0.12, "low": 0.02, "high": 0.23}
    trade = dict.fromkeys(TRADE, part)
    verdict = {
        "verdict": "NET LOSS", "reasons": ["the tax is 12"], "about": "this controller",
        "thresholds": {"tax": 0.02},
    }  # fmt: skip
    given = [{"row": "observation/pgd", "budget": 0.2, "difference": part, "p_holm": 0.0004}]
    summary = {**summary, "controller": "hard", "compare": {
        "baseline": before, "verdict": verdict, "trades": {"observation/pgd": trade},
        "cells": given,
    }}  # fmt: skip
    page = written(tmp_path, summary, cells)
    assert "hard against soft: NET LOSS" in page.text and "The tax is 12." in page.text
    assert "It does harm, or costs more than it gives back under attack." in page.text
    assert page.text.count("12 [2, 23]") >= 5 and "<0.001" in page.text
    for each in (before, summary):
        cell = each["rows"][3]["cells"][2]["safe_success"]
        assert words.rate(cell, "") in page.text
    assert page.source.count('class="line before"') > len(before["rows"])


def test_what_was_clipped_and_what_was_found_is_told(audited: Audited, tmp_path: Path) -> None:
    text = written(tmp_path, audited[0]).text
    assert "observation/fgsm asked for 3 times its budget of 1" in text
    assert "action_delay 4 control steps" in text and "320 on scenarios of their own" in text
    assert "not a conformity claim" in text and "3 min 12 s" in text
