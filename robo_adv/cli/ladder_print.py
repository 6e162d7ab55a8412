"""What `robo-adv ladder` prints when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.audit import report_words as words
from robo_adv.audit.report_ladder import interval, share, title
from robo_adv.audit.robustness import BudgetCard, Numbers, RobustnessCard


def print_card(console: Console, card: RobustnessCard) -> None:
    """Warnings on top, then a table per budget, the sanity rules and the certificate."""
    console.print(f"{card.controller} in {card.world}, {card.suite}, {card.episodes} scenarios")
    for text in card.warnings:
        console.print(f"[red]WARNING[/red] {text}")
    for one in card.budgets:
        _print_budget(console, card, one)
    console.print(title(card))
    for notice in card.notices:
        console.print(notice)


def _print_budget(console: Console, card: RobustnessCard, one: BudgetCard) -> None:
    table = Table(
        "rung", "kind", "return [95 %]", "share", "safe success [95 %]", "unsafe", "steps", "time",
        title=f"{card.port} attacks of {one.budget:g} {card.unit}", title_justify="left", box=None,
    )  # fmt: skip
    table.add_row("no attack", "", *_columns(card.clean.numbers), "", "")
    for rung in one.rungs:
        kind = rung.kind if rung.aim == "return" else f"{rung.kind}, for {rung.aim}"
        name = f"[bold]{rung.name}[/bold]" if rung.name == one.best else rung.name
        steps = words.count(rung.env_steps)
        table.add_row(
            name, kind, *_columns(rung.numbers), steps, words.duration(rung.seconds)
        )  # fmt: skip
    steps = words.count(one.env_steps)
    time = words.duration(sum(rung.seconds for rung in one.rungs))
    table.add_row("best of suite *", "bound", *_columns(one.suite), steps, time)
    console.print(table)
    console.print(
        "* the worst of all rungs in each scenario: an attacker who knows which to choose"
    )
    for name, why in one.skipped.items():
        console.print(f"[dim]not tried: {name}: {why}[/dim]")
    for check in one.sanity:
        word = {True: "holds", False: "FAILS", None: "-    "}[check.passed]
        console.print(f"{word}  {check.name}: {check.told}")
    if one.certificate is not None:
        console.print(f"certificate: {one.certificate.told}")


def _columns(found: Numbers) -> tuple[str, str, str, str]:
    left = found.share
    percent = words.NONE if left is None else f"{words.percent(left.value, 0)} %"
    return interval(found.returns), percent, share(found.safe_success), \
        f"{words.percent(found.unsafe.rate, 0)} %"  # fmt: skip


def print_ports(console: Console, summary: Mapping[str, Any]) -> None:
    """One line per port."""
    console.print(f"{summary['controller']} in {summary['world']}, {summary['suite']}")
    table = Table(
        "port", "unit", "halved at [95 %]", "by", "area [95 %]", "without attack",
        title="budget at which the best attack halves safe success", title_justify="left", box=None,
    )  # fmt: skip
    for one in summary["ports"]:
        if one["why_not"]:
            table.add_row(one["port"], "", f"[dim]{one['why_not']}[/dim]")
            continue
        table.add_row(
            one["port"], one["unit"], words.estimate(one["halved_at"]), one["best"],
            words.estimate(one["area"], digits=2), words.rate(one["clean"]),
        )  # fmt: skip
    console.print(table)
    for one in summary["ports"]:
        if not one["why_not"]:
            console.print(f"  {one['port']}: one unit is {one['unit_meaning']}")
