"""The report of an attack ladder: one HTML file that needs nothing else, made from the card alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from robo_adv.audit import report_words as words
from robo_adv.audit.robustness import (
    BudgetCard,
    Interval,
    Numbers,
    RobustnessCard,
    RungCard,
    Share,
)
from robo_adv.runs import write_text

SUITE = "best of suite"
LEFT, RIGHT, STEP = 158.0, 470.0, 24.0  # of a chart: where bars begin and end, height of a row
AIMS = {"return": "", "cost": "for harm", "stealth": "for harm, unnoticed"}
KINDS = {
    "noise": "noise: knows nothing", "white-box": "white box: looks inside",
    "black-box": "black box: watches or asks", "learned": "learned: trained against it",
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """A row of a chart: label, bar from `start` to `end`, its interval, and the value in words."""

    label: str
    kind: str
    y: float
    start: float
    width: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Attributes: clean: where the value without attack stands. zero: where 0 does. alt: in words."""

    title: str
    bars: tuple[Bar, ...]
    clean: float
    zero: float
    height: float
    alt: str


def write_ladder_report(path: Path, card: RobustnessCard) -> None:
    """Write the report of a card to `path`; it appears complete or not at all.

    Raises:
        RoboAdvError: a full disk or a read-only folder.
    """
    write_text(path, _template("ladder.html.j2").render(**content(card)))


def write_ports_report(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the comparison of ports to `path`; it appears complete or not at all."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    page = _template("ports.html.j2")
    write_text(path, page.render(s=summary, words=words, style=style))


def content(card: RobustnessCard) -> dict[str, Any]:
    """What the template shows."""
    return {
        "card": card, "words": words, "title": title(card), "told": told(card), "kinds": KINDS,
        "levels": [_level(card, one) for one in card.budgets],
        "style": Path(__file__).with_name("report.css").read_text(encoding="utf-8"),
        "tone": _tone(card), "facts": _facts(card), "percent": words.percent,
    }  # fmt: skip


def title(card: RobustnessCard) -> str:
    """What the strongest attack at the largest budget leaves, in one line."""
    most = card.budgets[-1]
    left, clean = most.rung(most.best).numbers, card.clean.numbers
    if card.measure == "safe_success":
        return (
            f"{words.percent(clean.safe_success.rate)}{words.GAP}% safe success becomes "
            f"{words.percent(left.safe_success.rate)}{words.GAP}% under {most.best}"
        )
    text = f"A return of {number(clean.returns.value)} becomes {number(left.returns.value)}"
    share = left.share
    tail = "" if share is None else f" ({words.percent(share.value, 0)}{words.GAP}%)"
    return f"{text}{tail} under {most.best}"


def told(card: RobustnessCard) -> list[str]:
    """The sentences below the title."""
    out = []
    for one in card.budgets:
        at = words.budget({"port": card.port, "norm": "linf", "unit": card.unit}, one.budget)
        best = one.rung(one.best).numbers
        out.append(
            f"At {at}: {one.best} leaves a return of {interval(best.returns)} and safe success of "
            f"{share(best.safe_success)}; the best of all rungs in each scenario leaves "
            f"{interval(one.suite.returns)} and {share(one.suite.safe_success)}."
        )
    out.append(
        "The best of the suite in each scenario is a bound on an attacker who knows beforehand which "
        "rung to choose; the best single attack is what one attacker reached."
    )
    return out


def number(value: float) -> str:
    """A return with as many digits as matter."""
    return words.short(value, 4)


def interval(found: Interval) -> str:
    """`766 [701, 830]`."""
    return f"{number(found.value)} [{number(found.low)}, {number(found.high)}]"


def share(found: Share) -> str:
    """`75 % [50.9, 91.3]`."""
    return words.rate(found.model_dump())


def _tone(card: RobustnessCard) -> str:
    most = card.budgets[-1]
    left, clean = most.rung(most.best).numbers, card.clean.numbers
    rate = left.safe_success.rate / max(clean.safe_success.rate, 1e-9)
    if card.measure == "return":
        rate = left.share.value if left.share else rate
    return "bad" if rate < 0.5 else "mixed" if rate < 0.9 or card.warnings else "good"


def _level(card: RobustnessCard, one: BudgetCard) -> dict[str, Any]:
    row = {"port": card.port, "norm": "linf", "unit": card.unit}
    return {
        "told": words.budget(row, one.budget), "card": one,
        "charts": [
            _chart("Return", card, one, lambda n: _ends(n.returns), number),
            _chart("Safe success", card, one, lambda n: _rates(n.safe_success), _percent),
        ],
        "rows": [_row(rung, one) for rung in one.rungs],
        "suite": _numbers(one.suite),
        "steps": one.env_steps, "queries": one.queries,
        "seconds": words.duration(sum(rung.seconds for rung in one.rungs)),
    }  # fmt: skip


def _row(rung: RungCard, one: BudgetCard) -> dict[str, Any]:
    return {
        "rung": rung, "about": words.attack(rung.attack), "kind": rung.kind,
        "aim": AIMS[rung.aim], "best": rung.name == one.best, "told": rung.told,
        "steps": words.count(rung.env_steps), "queries": words.count(rung.queries),
        "time": words.duration(rung.seconds), **_numbers(rung.numbers),
    }  # fmt: skip


def _numbers(found: Numbers) -> dict[str, Any]:
    left, shown = found.share, found.returns
    return {
        "returns": (number(shown.value), f"[{number(shown.low)}, {number(shown.high)}]"),
        "iqm": number(found.iqm.value), "median": number(found.median.value),
        "share": words.NONE if left is None else f"{words.percent(left.value, 0)}{words.GAP}%",
        "safe": _pair(found.safe_success), "success": _pair(found.success),
        "unsafe": _pair(found.unsafe),
    }  # fmt: skip


def _pair(found: Share) -> tuple[str, str]:
    low, high = words.percent(found.low, 0), words.percent(found.high, 0)
    return f"{words.percent(found.rate)}{words.GAP}%", f"[{low}, {high}]"


def _chart(
    name: str, card: RobustnessCard, one: BudgetCard,
    ends: Callable[[Numbers], tuple[float, float, float]], say: Callable[[float], str],
) -> Chart:  # fmt: skip
    rows = [("no attack", "before", card.clean.numbers)]
    rows += [(r.name, "unsafe" if r.name == one.best else "safe", r.numbers) for r in one.rungs]
    rows.append((SUITE, "unsafe", one.suite))
    values = [ends(found) for _, _, found in rows]
    least = min(0.0, *(low for _, low, _ in values))
    most = max(1e-9, *(high for _, _, high in values))

    def at(value: float) -> float:
        return round(LEFT + (value - least) / (most - least) * (RIGHT - LEFT), 2)

    bars = []
    for k, ((label, kind, _), (value, low, high)) in enumerate(zip(rows, values, strict=True)):
        start, end = sorted((at(0.0), at(value)))
        text = f"{say(value)} [{say(low)}, {say(high)}]"
        bars.append(
            Bar(label, kind, 8 + k * STEP, start, round(end - start, 2), at(low), at(high), text)
        )
    alt = "; ".join(f"{bar.label}: {bar.text}" for bar in bars)
    clean = at(values[0][0])
    return Chart(name, tuple(bars), clean, at(0.0), 8 + len(bars) * STEP, f"{name}: {alt}")


def _ends(found: Interval) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _rates(found: Share) -> tuple[float, float, float]:
    return found.rate, found.low, found.high


def _percent(rate: float) -> str:
    return f"{words.percent(rate, 0)}{words.GAP}%"


def _facts(card: RobustnessCard) -> list[tuple[str, str]]:
    """What made the numbers, as names and values."""
    rows: Sequence[tuple[str, Any]] = [
        ("suite", f"{card.suite} ({card.suite_sha256[:12]})"),
        ("controller", card.controller_sha256[:16]),
        ("unit of the budget", f"{card.unit}: {card.unit_meaning}"),
        ("reference for units", card.reference if card.unit == "sigma" else ""),
        *card.criterion.items(), ("scenarios per rung", card.episodes), ("first seed", card.seed),
        ("command", card.command), *card.versions.items(),
    ]  # fmt: skip
    return [(name, str(value)) for name, value in rows if value not in ("", None)]


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return environment.from_string(text)
