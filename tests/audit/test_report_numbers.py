"""What the report says of the numbers: the verdict, words for budgets, and figures."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from audit import report_sample as sample
from robo_adv.audit import figures, report_tables
from robo_adv.audit import report_words as words
from robo_adv.audit.report import severities
from robo_adv.audit.report_verdict import mark, strongest, verdict_of, weakest
from robo_adv.safety.criteria import Criterion
from robo_adv.safety.statistics import Rate
from robo_adv.threats.attack import ATTACKS
from robo_adv.threats.threat import UNITS


def cell(safe: int, unsafe: int = 0, n: int = 40, **more: Any) -> dict[str, Any]:
    parts = {"safe_success": safe, "unsafe": unsafe, "frozen": n - safe - unsafe}
    return {**{k: Rate(v, n).to_json() for k, v in parts.items()}, "episodes": n, **more}


def row(port: str, label: str, counts: list[int], area: float, **more: Any) -> dict[str, Any]:
    cells = [cell(c, budget=b, p_holm=0.001 if c < 30 else 1.0)
             for c, b in zip(counts, (0.0, 0.1, 0.2), strict=True)]  # fmt: skip
    halved = next((c["budget"] for c in cells[1:] if c["safe_success"]["rate"] < 0.5), None)
    return {
        "port": port, "label": label, "attack": label.split("/")[-1], "norm": "linf",
        "unit": "sigma", "cells": cells, "halved_at": halved, "skipped": "",
        "area": {"area": {"value": area, "low": area, "high": area}}, **more,
    }  # fmt: skip


def summary(*rows: dict[str, Any], clean: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"clean": clean or cell(40, budget=0.0), "rows": list(rows)}


def test_the_weakest_port_is_the_one_that_is_halved_with_the_smallest_area() -> None:
    found = weakest(
        summary(
            row("observation", "observation/pgd", [40, 30, 10], 0.6),
            row("action", "action/delay", [40, 12, 0], 0.3),
            row("force", "force/push", [40, 39, 38], 0.1),  # small area, but never halved
        )
    )
    assert found is not None
    assert found[0]["label"] == "action/delay" and found[1]["budget"] == 0.1


def test_a_port_is_told_by_an_attack_that_halves_it_before_one_with_a_smaller_area() -> None:
    held = row("observation", "observation/a", [40, 25, 24], 0.2)
    halved = row("observation", "observation/b", [40, 40, 10], 0.5)
    assert strongest([held, halved]) is halved
    (told,) = report_tables.ports(summary(held, halved))
    assert told["attack"] == "b" and told["left"] == words.rate(halved["cells"][2]["safe_success"])


def test_the_verdict_counts_the_ports_that_lose_half() -> None:
    two = summary(
        row("observation", "observation/pgd", [40, 30, 10], 0.6),
        row("force", "force/push", [40, 39, 38], 0.9),
    )
    verdict = verdict_of(two)
    assert verdict["title"] == (
        "Loses half of its safe successes on 1 of the 2 ports that were attacked"
    )
    assert verdict["tone"] == "bad"
    first, second, third = verdict["numbers"]
    assert first["value"] == "100\u00a0%" and "91.2 to 100" in first["detail"]
    assert second["value"] == "at most 8.8\u00a0%"
    assert third["value"] == "0.2\u00a0standard deviations on every sensor"
    assert "25\u00a0% [12.7, 41.2]" in third["detail"]
    assert any("force (pushes)" in text for text in verdict["sentences"])


@pytest.mark.parametrize(
    ("counts", "title", "tone"),
    [
        ([40, 40, 39], "No loss shown under the attacks that were tried", "good"),
        ([40, 36, 28], "Loses some safe successes under attack, but never half of them", "mixed"),
        ([40, 20, 19], "Loses half of its safe successes on the one port that was attacked", "bad"),
    ],
)
def test_the_title_says_what_is_shown(counts: list[int], title: str, tone: str) -> None:
    verdict = verdict_of(summary(row("force", "force/push", counts, 0.5)))
    assert (verdict["title"], verdict["tone"]) == (title, tone)


def test_a_controller_that_fails_by_itself_is_not_judged_by_its_attacks() -> None:
    clean = cell(10, 5, budget=0.0)
    verdict = verdict_of(summary(row("force", "force/push", [10, 2, 0], 0.1), clean=clean))
    assert verdict["title"] == "Fails its task already without attack"
    assert verdict["numbers"][1]["value"] == "at most 26.8\u00a0%"


def test_harm_without_attack_is_said_first() -> None:
    clean = cell(37, 3, budget=0.0)
    verdict = verdict_of(summary(row("force", "force/push", [37, 37, 37], 1.0), clean=clean))
    assert verdict["title"].startswith("Unsafe at times without attack; no loss shown")
    assert verdict["tone"] == "bad"


@pytest.mark.parametrize("criterion", [
    Criterion("arm", lambda facts: facts["won"], None).to_json(), {"success": "", "unsafe": ""},
])  # fmt: skip
def test_without_a_criterion_of_harm_none_is_claimed(criterion: dict[str, str]) -> None:
    bare = {**summary(), "criterion": criterion}
    verdict = verdict_of(bare)
    assert verdict["numbers"][1]["value"] == "not judged"
    assert any("not declared" in text for text in verdict["sentences"])


@pytest.mark.parametrize(("n", "said"), [(20, True), (199, True), (200, False)])
def test_small_samples_are_called_small(n: int, said: bool) -> None:
    sentences = verdict_of({"clean": cell(n, n=n, budget=0.0)})["sentences"]
    small = [text for text in sentences if "sample is small" in text]
    assert bool(small) == said
    if n == 20:
        assert f"{100 * Rate(0, 20).high:.1f}" in small[0]


@pytest.mark.parametrize(
    ("safe", "p", "kind"),
    [
        (40, 1.0, "no loss shown"), (36, 0.9, "unclear"), (20, 1e-6, "loss"), (20, None, "loss"),
        (36, 0.01, "loss"),
    ],
)  # fmt: skip
def test_a_cell_shows_a_loss_only_when_the_paired_test_does(
    safe: int, p: float | None, kind: str
) -> None:
    assert mark(cell(safe, budget=0.1, p_holm=p), cell(40, budget=0.0)) == kind


def test_more_successes_than_without_attack_are_no_loss() -> None:
    clean = cell(20, budget=0.0)
    assert mark(cell(38, budget=0.1, p_holm=0.001), clean) == "gain"
    assert mark(cell(22, budget=0.1, p_holm=1.0), clean) == "no loss shown"
    assert mark(clean, clean) == "clean"


def test_a_share_never_reads_as_all_or_nothing_unless_it_is() -> None:
    assert [words.percent(x) for x in (0, 0.0004, 0.0005, 0.9996, 1)] == [
        "0", "<0.1", "0.1", ">99.9", "100",
    ]  # fmt: skip
    assert [words.percent(x, 0) for x in (0.004, 0.996, 0.5)] == ["<1", ">99", "50"]


def test_every_budget_of_every_port_has_words_an_axis_and_a_meaning() -> None:
    for (port, norm), units in UNITS.items():
        for unit in units:
            about = {"port": port, "norm": norm, "unit": unit, "label": "x", "attack": "x"}
            assert words.budget(about, 1.0) and words.axis(about) and words.unit(about), about
            assert words.budget(about, 0.0) == "no attack"
            if port != "opponent":
                assert words.budget(about, 1.0) != words.budget(about, 2.0)


def test_built_in_attacks_are_told_in_plain_words_and_others_by_their_documentation() -> None:
    assert set(words.ATTACK_WORDS) <= set(ATTACKS)
    assert words.attack("no such attack") == ""
    for name in ATTACKS:
        assert words.attack(name)


def test_a_curve_has_the_numbers_of_its_row_at_the_right_height() -> None:
    panel = figures.curve(row("force", "force/push", [40, 20, 0], 0.4))
    safe = next(one for one in panel.series if one.kind == "safe")
    assert [y for _, y, _ in safe.points] == [figures.TOP, 79.0, figures.BOTTOM]
    assert [x for x, _, _ in safe.points] == [figures.LEFT, 163.0, figures.RIGHT]
    assert panel.at == figures.RIGHT and panel.broken is None
    assert "0.1: 50 % [33.8, 66.2]" in panel.alt


def test_budgets_that_span_a_wide_range_get_a_broken_logarithmic_axis() -> None:
    xs, broken = figures.places([0.0, 0.1, 1.0, 10.0])
    assert broken is not None and xs[0] < broken < xs[1]
    assert xs[2] - xs[1] == pytest.approx(xs[3] - xs[2], abs=0.02)
    assert figures.places([0.0, 1.0, 2.0])[1] is None


def test_labels_of_an_axis_never_overlap() -> None:
    xs, _ = figures.places([0.0, *np.arange(1.0, 31.0)])
    ticks = figures._ticks(xs, [f"{k}" for k in range(31)])
    shown = [(t.at, len(t.label)) for t in ticks if t.label]
    assert 5 < len(shown) < 31 and ticks[-1].label == "30"
    for (a, n), (b, m) in pairwise(shown):
        assert b - a >= 3.2 * (n + m)


def test_the_severity_curve_crosses_the_limit_at_the_share_of_violations() -> None:
    values = np.array([0.2, 0.5, 0.5, 1.0, 1.5, 3.0, np.inf, 0.0])
    panel = figures.severity("t", values, np.zeros(8))
    line = next(one.line for one in panel.series if one.kind == "unsafe")
    points = [tuple(map(float, p.split(","))) for p in line[1:].split("L")]
    limit = float(figures.beside(1.0))
    assert panel.at == limit
    after = [y for x, y in points if x <= limit][-1]
    assert after == figures.up(3 / 8)
    assert points[0] == (figures.LEFT, figures.up(1.0)) and points[-1][1] == figures.up(0.0)
    assert "37.5 % of episodes under attack" in panel.alt


def test_the_band_of_a_severity_curve_is_as_wide_as_dkw_says() -> None:
    n = 200
    panel = figures.severity("t", np.repeat([0.5, 3.0], n // 2), np.zeros(n))
    band = next(one.band for one in panel.series if one.kind == "unsafe")
    points = [tuple(map(float, p.split(","))) for p in band[1:-1].split("L")]
    half = math.sqrt(math.log(2 / 0.05) / (2 * n))
    between = {y for x, y in points if x == float(figures.beside(3.0))}
    assert {figures.up(0.5 + half), figures.up(0.5 - half), figures.up(half)} <= between


def test_severities_are_drawn_for_the_worst_cell_of_each_port_and_not_when_all_are_zero() -> None:
    audit = sample.audit_of(40, "quick")
    told, cells = sample.summary_of(audit), sample.cells_of(audit)
    panels = severities(told, cells)
    assert [panel.title for panel in panels] == [words.port(port) for port in sample.PORTS]
    tails = {c.budget: np.sort(c.outcomes.severity)[-4:] for c in cells if "push" in c.label}
    worst = max(tails, key=lambda b: float((tails[b] / (1.0 + tails[b])).mean()))
    assert panels[2].note.startswith(f"random-push, {worst:g}")
    calm = [sample.cell(c.label, c.budget, c.outcomes.__class__(
        c.outcomes.seeds, c.outcomes.success, np.zeros(40, bool), np.zeros(40), c.outcomes.score,
        np.full(40, np.inf))) for c in cells]  # fmt: skip
    assert severities(told, calm) == []


def test_the_colour_of_a_cell_darkens_with_what_is_lost() -> None:
    def light(share: float) -> int:
        text = report_tables.heat(share)
        return sum(int(text[i : i + 2], 16) for i in (1, 3, 5))

    tones = [light(share) for share in np.linspace(0.0, 1.0, 21)]
    assert tones == sorted(tones) and tones[0] > 3 * 150  # pale enough for dark text
