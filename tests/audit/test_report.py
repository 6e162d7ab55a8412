"""The report of an audit: all of the summary is in it, nothing else is, and it trusts no text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import report_sample as sample
from audit.report_page import written
from robo_adv.audit import report_words as words
from robo_adv.audit.report_verdict import MARKS, mark

EVIL = "<script>alert('x')</script>\"&{{7*7}}"


Audited = tuple[dict[str, Any], list[Any]]


@pytest.fixture(scope="module")
def audited() -> Audited:
    audit = sample.audit_of(40)
    return sample.summary_of(audit), sample.cells_of(audit)


def cells_in(summary: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for row in summary["rows"]:
        for cell in row["cells"][1:]:
            yield row, cell


def test_every_cell_stands_in_both_tables_with_the_numbers_of_the_summary(
    audited: Audited, tmp_path: Path
) -> None:
    summary, cells = audited
    page = written(tmp_path, summary, cells)
    pairs = list(cells_in(summary))
    assert len(page.heat) == len(pairs) + 1 and len(page.lines) == len(pairs) + 1
    for row, cell in pairs:
        key = row["label"], f"{cell['budget']:g}"
        attributes, shown = page.heat[key]
        safe = cell["safe_success"]
        assert float(str(attributes["data-v"])) == safe["rate"]
        low, high = (words.percent(safe[end], 0) for end in ("low", "high"))
        assert f"[{low}, {high}]" in shown
        assert f"unsafe {words.percent(cell['unsafe']['rate'], 0)} " in shown
        for part in ("safe_success", "unsafe", "frozen"):
            assert words.rate(cell[part], "") in page.lines[key], (key, part)
    assert "39 of 40 scenarios end in a safe success" in page.text


def test_the_three_shares_of_a_cell_are_drawn_to_scale(audited: Audited, tmp_path: Path) -> None:
    summary, _ = audited
    page = written(tmp_path, summary)
    mixes = [str(a["style"]) for _, a in page.tags if a.get("class") == "mix"]
    for (row, cell), style in zip(cells_in(summary), mixes[1:], strict=True):
        safe = 100 * cell["safe_success"]["rate"]
        harmed = safe + 100 * cell["unsafe"]["rate"]
        drawn = [float(x) for x in re.findall(r"([0-9.e-]+)%", style)]
        assert drawn == pytest.approx([safe, safe, harmed, harmed]), row["label"]


def test_a_cell_says_in_words_and_signs_what_it_shows(audited: Audited, tmp_path: Path) -> None:
    summary, _ = audited
    page = written(tmp_path, summary)
    seen = set()
    for row, cell in cells_in(summary):
        kind = mark(cell, summary["clean"])
        key = row["label"], f"{cell['budget']:g}"
        assert kind in page.lines[key]
        assert MARKS[kind][0] in page.heat[key][1]
        before, now = summary["clean"]["safe_success"]["rate"], cell["safe_success"]
        if kind == "no loss shown":
            assert now["low"] <= before <= now["high"] and cell["p_holm"] >= 0.05
        seen.add(kind)
    assert {"loss", "unclear", "no loss shown"} <= seen


def test_rows_that_were_not_played_are_named_with_their_reason(
    audited: Audited, tmp_path: Path
) -> None:
    page = written(tmp_path, audited[0])
    assert "observation/critic" in page.text
    assert "needs value of the controller, a black box here" in page.text
    assert not any(row == "observation/critic" for row, _ in page.heat)


def test_a_report_needs_no_other_file_and_no_network(audited: Audited, tmp_path: Path) -> None:
    sample.film(tmp_path / "videos" / "a.mp4")
    summary = {**audited[0], "failures": sample.failures(), "error_profile": sample.profile()}
    page = written(tmp_path, summary, audited[1])
    own = re.sub(r'"data:[^"]*"', '""', page.source)
    assert not re.search(r"https?:|//|@import|url\(", own.split("</style>")[1].split("<script>")[0])
    assert not re.search(r"https?:|@import|url\(", own)
    assert not {"link", "iframe", "object", "form", "base"} & {tag for tag, _ in page.tags}
    assert page.values("src") and all(v.startswith("data:video/mp4;") for v in page.values("src"))
    assert all(v.startswith("#") for v in page.values("href"))
    assert not [n for _, attributes in page.tags for n in attributes if n.startswith("on")]
    assert set(page.values("href")) == {
        f"#{a['id']}" for tag, a in page.tags if tag == "section"
    }  # fmt: skip
    assert len(page.source) < 400_000


def test_only_the_templates_own_script_may_run(audited: Audited, tmp_path: Path) -> None:
    page = written(tmp_path, audited[0])
    (script,) = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (v for v in page.values("content") if "default-src" in v)
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_names_and_texts_are_escaped_everywhere(tmp_path: Path) -> None:
    audit = sample.audit_of(20, "quick", opponent=EVIL)
    summary = sample.summary_of(audit, EVIL, world=EVIL, options={EVIL: EVIL}, notices=[EVIL])
    names = ("player", "suite", "command")
    summary |= dict.fromkeys(names, EVIL) | {"versions": {EVIL: EVIL}, "access": [EVIL]}
    summary["criterion"] = {"success": EVIL, "unsafe": EVIL}
    summary["reference"] = {"controller": EVIL, "episodes": 1, "seed": 0}
    summary["failures"] = [
        {**failure, "row": f"opponent/{EVIL}", "command": EVIL, "bundle": EVIL, "outcome": EVIL,
         "video": EVIL}
        for failure in sample.failures()
    ]  # fmt: skip
    verdict = {"verdict": EVIL, "reasons": [EVIL], "thresholds": {EVIL: 0.1}, "about": EVIL}
    summary["compare"] = {
        "baseline": {**sample.summary_of(audit), "controller": EVIL}, "verdict": verdict,
        "trades": {}, "cells": [],
    }  # fmt: skip
    summary["error_profile"] = {**sample.profile(), "baseline": EVIL}
    page = written(tmp_path, summary, sample.cells_of(audit))
    assert page.source.count("<script") == 1
    assert page.text.count(EVIL) >= 25 and "alert('x')" in page.text
    assert (f"opponent/{EVIL}", "1") in page.heat


def test_equal_input_gives_equal_bytes_also_after_a_journey_through_json(
    audited: Audited, tmp_path: Path
) -> None:
    summary, cells = audited
    first = written(tmp_path, summary, cells).source
    again = written(tmp_path, json.loads(json.dumps(summary)), cells).source
    assert first == again


def test_sections_without_data_do_not_appear(audited: Audited, tmp_path: Path) -> None:
    page = written(tmp_path, {"clean": audited[0]["clean"]})
    assert page.has("numbers") and page.has("method")
    for section in ("ports", "results", "failures", "curves", "severity", "profile", "compare"):
        assert not page.has(section), section
    full = {**audited[0], "failures": sample.failures(), "error_profile": sample.profile()}
    page = written(tmp_path, full, audited[1])
    for section in ("ports", "results", "failures", "curves", "severity", "profile", "searches"):
        assert page.has(section), section
