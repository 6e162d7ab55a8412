"""What `robo-adv audit` prints when it is done, and its exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.audit.gates import MEASURES, Gate
from robo_adv.audit.report_service import sentences
from robo_adv.cli.verb import FAILS, HOLDS, INCONCLUSIVE
from robo_adv.safety.statistics import Rate

_HEAT = ((0.9, "green"), (0.5, "yellow"), (0.0, "red"))


def print_summary(console: Console, summary: dict[str, Any]) -> None:
    clean = summary["clean"]
    console.print(f"{summary['controller']} in {summary['world']}, {summary['episodes']} scenarios")
    for name, told in summary["criterion"].items():
        console.print(f"  {name}: {told}")
    for name in MEASURES:
        console.print(f"  {name:<13} {_rate(clean[name])} without attack")
    table = Table("threat", "unit", "safe success at budget", title="safe success under attack")
    for row in summary["rows"]:
        if row["skipped"]:
            table.add_row(row["label"], row["unit"], f"[dim]{row['skipped']}[/dim]")
            continue
        cells = [_cell(cell, clean) for cell in row["cells"][1:]]
        table.add_row(row["label"], row["unit"], "  ".join(cells))
    console.print(table)
    for port in summary["ports"]:
        at = port["halved_at"]
        unit = next(row["unit"] for row in summary["rows"] if row["label"] == port["row"])
        told = "keeps half of its safe successes" if at is None else f"halved at {at:g} {unit}"
        told = told if clean["safe_success"]["count"] else "no safe success to lose"
        console.print(f"  {port['port']:<12} weakest against {port['row']}: {told}")
    if "compare" in summary:
        said = summary["compare"].get("verdict")
        name = summary["compare"]["baseline"]["controller"]
        console.print(f"against {name}: {said['verdict'] if said else 'no threat reached both'}")
        for reason in said["reasons"] if said else ():
            console.print(f"  {reason}")
    for answer in sentences(summary["failure_search"]) if "failure_search" in summary else ():
        console.print(f"  {answer}")
    for notice in summary["notices"]:
        console.print(notice)


def _cell(cell: dict[str, Any], clean: dict[str, Any]) -> str:
    rate = cell["safe_success"]["rate"]
    share = rate / max(clean["safe_success"]["rate"], 1e-9)
    colour = next(name for least, name in _HEAT if share >= least)
    return f"{cell['budget']:g}: [{colour}]{100 * rate:.0f} %[/{colour}]"


def _rate(values: dict[str, Any]) -> str:
    return str(Rate(values["count"], values["episodes"]))


def next_command(summary: dict[str, Any], folder: Path) -> str:
    failures = summary["failures"]
    return failures[0]["command"] if failures else f"open {folder / 'report.html'}"


def judge(console: Console, gates: list[Gate], summary: dict[str, Any]) -> int:
    code = HOLDS
    for gate in gates:
        condition = gate.condition
        for label, rate in gate.cells(summary):
            verdict = condition.judge(rate)
            word = {"fails": "FAILS", "inconclusive": "OPEN ", "holds": "HOLDS"}[verdict]
            console.print(f"{word}  {label}: {condition.name} {rate}")
            if verdict == "fails":
                code = FAILS
            elif verdict == "inconclusive" and code == HOLDS:
                code = INCONCLUSIVE
    return code
