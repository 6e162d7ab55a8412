"""The tables of an audit's report, as plain values for the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from robo_adv.audit import report_verdict as verdict
from robo_adv.audit import report_words as words

Numbers = Mapping[str, Any]
# From all safe to none: pale enough for dark text, apart in lightness as well as in hue.
_HEAT = ((0.0, (0xF2, 0xB3, 0x9C)), (0.5, (0xFB, 0xE3, 0xB9)), (1.0, (0xE6, 0xF2, 0xEC)))


def heat(share: float) -> str:
    """The background of a cell with this share of safe successes."""
    share = min(max(share, 0.0), 1.0)
    for (x0, c0), (x1, c1) in pairwise(_HEAT):
        if share <= x1:
            t = (share - x0) / (x1 - x0)
            return "#" + "".join(
                f"{round(a + t * (b - a)):02x}" for a, b in zip(c0, c1, strict=True)
            )
    raise AssertionError


def played(summary: Numbers) -> list[Numbers]:
    """Rows that were played."""
    return [row for row in summary.get("rows", []) if len(row.get("cells", [])) > 1]


def name(row: Numbers) -> str:
    """A row's label without its port, which stands above it."""
    return str(row["label"]).removeprefix(f"{row['port']}/")


def groups(summary: Numbers) -> list[dict[str, Any]]:
    """The matrix: per port its rows, each with its cells under attack."""
    return [
        {
            "port": words.port(port), "meaning": words.PORTS.get(port, ("", ""))[1],
            "rows": [_line(row, summary["clean"]) for row in rows],
        }
        for port, rows in verdict.by_port(summary).items()
    ]  # fmt: skip


def units(summary: Numbers) -> list[tuple[str, str]]:
    """Each unit of a budget and what it means."""
    return [
        (f"{row['port']}: {words.axis(row)}", words.unit(row, summary.get("reference")))
        for row in {(r["port"], words.axis(r)): r for r in played(summary)}.values()
    ]


def _line(row: Numbers, clean: Numbers) -> dict[str, Any]:
    cells = [_cell(row, cell, clean) for cell in row["cells"][1:]]
    kept = all(cell["mark"] == "no loss shown" for cell in cells)
    axis = "" if row["port"] == "opponent" else words.axis(row)
    return {"label": row["label"], "name": name(row), "axis": axis, "cells": cells, "no_loss": kept}


def bare(summary: Numbers) -> dict[str, Any]:
    """The cell without attack."""
    return _cell({"label": "no attack"}, summary["clean"], summary["clean"])


def _cell(row: Numbers, cell: Numbers, clean: Numbers) -> dict[str, Any]:
    safe, kind = cell["safe_success"], verdict.mark(cell, clean)
    sign, meaning = verdict.MARKS[kind]
    return {
        "row": row["label"], "budget": f"{cell['budget']:g}", "value": safe["rate"],
        "told": words.brief(row, cell["budget"]), "safe": 100.0 * safe["rate"],
        "harmed": 100.0 * (safe["rate"] + cell["unsafe"]["rate"]),
        "percent": words.percent(safe["rate"], 0), "colour": heat(float(safe["rate"])),
        "low": words.percent(safe["low"], 0), "high": words.percent(safe["high"], 0),
        "unsafe": words.percent(cell["unsafe"]["rate"], 0),
        "frozen": words.percent(cell["frozen"]["rate"], 0),
        "mark": kind, "sign": sign, "meaning": meaning,
    }  # fmt: skip


def lines(summary: Numbers) -> list[dict[str, Any]]:
    """Every cell with all its numbers: the long table, the cell without attack first."""
    clean = summary["clean"]
    head = {"port": "none", "label": "no attack", "attack": "no attack"}
    pairs = [(head, clean), *verdict.cells(summary)]
    return [_numbers(row, cell, clean) for row, cell in pairs]


def _numbers(row: Numbers, cell: Numbers, clean: Numbers) -> dict[str, Any]:
    loss, severity = cell.get("loss"), cell.get("severity", {})
    kind = verdict.mark(cell, clean) if row["port"] != "none" else "clean"
    tail = next((t for t in severity.get("tails", []) if t["alpha"] == 0.1), None)
    time = severity.get("median_time_to_violation", {}).get("value")
    return {
        "row": row["label"], "port": row["port"], "budget": f"{cell['budget']:g}",
        "told": words.brief(row, cell["budget"]), "long": words.budget(row, cell["budget"]),
        "mark": kind, "sign": verdict.MARKS[kind][0],
        "shares": [
            {"text": words.rate(cell[part], ""), "value": cell[part]["rate"]}
            for part in ("safe_success", "unsafe", "frozen")
        ],
        "loss": words.estimate(loss["safe_success"], 100.0) if loss else words.NONE,
        "loss_value": words.number(loss["safe_success"]["value"]) if loss else 0.0,
        "p": words.p_value(cell.get("p_holm")), "p_value": cell.get("p_holm", 1.0),
        "worst": words.short(severity.get("worst")),
        "worst_value": words.number(severity.get("worst", 0.0)),
        "tail": words.estimate(tail["mean"]) + ("" if tail["enough_episodes"] else " *")
        if tail else words.NONE,
        "tail_value": words.number(tail["mean"]["value"]) if tail else 0.0,
        "time": "never" if time == "inf" else words.short(time),
        "time_value": words.number(time) if time is not None else 0.0,
        "episodes": cell["episodes"],
    }  # fmt: skip


def ports(summary: Numbers) -> list[dict[str, Any]]:
    """One line per port: its strongest attack, what halves safe success, the area."""
    return [_port(port, rows, summary) for port, rows in verdict.by_port(summary).items()]


def _port(port: str, rows: Sequence[Numbers], summary: Numbers) -> dict[str, Any]:
    row = verdict.strongest(rows)
    halved, most = row.get("halved_at"), row["cells"][-1]
    cell = next((c for c in row["cells"] if c["budget"] == halved), None)
    return {
        "port": words.port(port), "meaning": words.PORTS.get(port, ("", ""))[1],
        "row": row["label"], "attack": row["attack"],
        "halved": words.budget(row, halved) if cell else "no tested budget",
        "left": words.rate((cell or most)["safe_success"]),
        "most": "" if cell else f"at the largest: {words.budget(row, most['budget'])}",
        "area": words.estimate(row["area"]["area"], digits=2),
        "area_value": words.number(row["area"]["area"]["value"]),
        "tried": len(rows),
        "skipped": sum(bool(r["skipped"]) and r["port"] == port for r in summary["rows"]),
    }  # fmt: skip


def skipped(summary: Numbers) -> list[dict[str, str]]:
    """Rows that could not be played, and why."""
    return [
        {"label": str(row["label"]), "why": str(row["skipped"])}
        for row in summary.get("rows", [])
        if row.get("skipped")
    ]


def searches(summary: Numbers) -> list[dict[str, Any]]:
    """What each search found, in words, over the budgets at which it is the same."""
    return [
        {
            "label": row["label"],
            "found": list(_found(row)),
            "episodes": max(cell.get("searched_episodes", 0) for cell in row["cells"]),
        }
        for row in played(summary)
        if any(cell.get("attack") for cell in row["cells"])
    ]


def _found(row: Numbers) -> Iterator[dict[str, str]]:
    same: dict[str, list[str]] = {}
    for cell in row["cells"][1:]:
        same.setdefault(str(cell.get("attack") or "nothing changed"), []).append(
            words.brief(row, cell["budget"])
        )
    for text, budgets in same.items():
        yield {"budgets": _listed(budgets), "attack": text}


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def clipped(summary: Numbers) -> list[str]:
    """Attacks that asked for more than their budget, as sentences."""
    return [
        f"{row['label']} asked for {words.short(cell.get('excess'))} times its budget of "
        f"{cell['budget']:g}; it got the budget and no more."
        for row, cell in verdict.cells(summary)
        if cell.get("clipped")
    ]


def attacks(summary: Numbers) -> list[tuple[str, str]]:
    """The attacks that were played and what each does, where that is known."""
    names = dict.fromkeys(str(row["attack"]) for row in played(summary))
    return [(name, told) for name in names if (told := words.attack(name))]
