"""Robustness cards: written and read alike, refused when they cannot be; never mixed in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from audit.ladder_sample import card, usual
from audit.report_page import Page
from robo_adv.audit.leaderboard import all_terms, markdown, places, terms_of
from robo_adv.audit.report_ladder import write_ladder_report
from robo_adv.audit.robustness import RobustnessCard
from robo_adv.errors import RoboAdvError


def test_a_card_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = card(usual())
    made.save(tmp_path / "robustness.json")
    assert RobustnessCard.load(tmp_path / "robustness.json") == made


def _edit(values: dict[str, Any], path: str, value: Any) -> None:
    *steps, last = path.split("/")
    at: Any = values
    for name in steps:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[last] = value


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("extra", 1, "Extra inputs"),
        ("suite_sha256", "abc", "String should match"),
        ("budgets/0/best", "pgd", "there is no rung 'pgd'"),
        (
            "budgets/0/suite/returns",
            {"value": 99, "low": 98, "high": 100},
            "leaves more than its rung",
        ),
        ("budgets/0/rungs/0/numbers/safe_success/rate", 1.5, "less than or equal to 1"),
        ("budgets/0/rungs/0/numbers/returns/value", 1e6, "outside of its interval"),
        ("budgets/0/rungs/0/kind", "oracle", "Input should be 'noise'"),
        ("clean/numbers/returns/low", "-inf", "finite number"),
        ("unit", "weight", "has no unit 'weight'"),
        ("budgets", [], "at least 1 item"),
    ],
)
def test_a_card_that_was_edited_is_refused(
    tmp_path: Path, path: str, value: Any, told: str
) -> None:
    values = card(usual()).model_dump(mode="json")
    _edit(values, path, value)
    (tmp_path / "x.json").write_text(json.dumps(values))
    with pytest.raises(RoboAdvError, match="is not a robustness card") as refused:
        RobustnessCard.load(tmp_path / "x.json")
    assert told in str(refused.value)


def test_budgets_of_a_card_rise() -> None:
    one = card(usual())
    with pytest.raises(ValueError, match="budgets must rise"):
        card(usual(), budgets=(one.budgets[0], one.budgets[0]))


def test_a_leaderboard_compares_only_cards_of_one_suite_port_unit_and_budget() -> None:
    cards = {
        "weak": card(usual(20.0)), "strong": card(usual()),
        "other suite": card(usual(), suite="quick-v1"),
        "changed": card(usual(), suite_sha256="1" * 64),
        "other unit": card(usual(), unit="raw"), "part": card(usual(), partial=True),
    }  # fmt: skip
    terms, *others = all_terms(cards)
    assert len(others) == 3
    assert terms in terms_of(cards["strong"])
    found, apart = places(cards, terms)
    assert [place.name for place in found] == ["strong", "weak"]
    assert apart.keys() == {"other suite", "changed", "other unit", "part"}
    assert "another definition" in apart["changed"] and "a part" in apart["part"]
    table = markdown(found).splitlines()
    assert table[2].startswith("| strong | Run-v0 |") and len(table) == 4


def test_the_report_tells_every_rung_the_warnings_and_the_bound(tmp_path: Path) -> None:
    made = card(usual(), warnings=("At 0.1: <masked>.",), notices=("It is a black box.",))
    write_ladder_report(tmp_path / "report.html", made)
    page = Page(tmp_path / "report.html")
    for text in ("uniform", "pgd-20", "director-cost", "best of suite", "It is a black box.",
                 "an attacker who knows which rung to choose", "several starts agree"):  # fmt: skip
        assert text in page.text
    assert "<masked>" not in page.source and "At 0.1: <masked>." in page.text
    assert not any(tag in ("script", "link", "img") for tag, _ in page.tags)
    write_ladder_report(tmp_path / "again.html", made)
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "report.html").read_bytes()
