"""Sections of an audit's report that are there only on demand: two controllers side by side, and the
profile of a controller's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from robo_adv.audit import report_words as words

Numbers = Mapping[str, Any]
TRADE = {
    "tax": ("tax", "safe successes lost without attack", 100.0),
    "harm": ("harm", "rise of the unsafe share without attack", 100.0),
    "gain": ("gain", "mean rise of safe success over the attacked budgets", 100.0),
    "exchange_rate": ("exchange rate", "gain per tax; 1 is a fair trade", 1.0),
    "break_even": ("break-even", "share of attacked episodes [%] from which it pays", 100.0),
    "area_difference": ("area", "difference of the areas under the budget curves", 1.0),
}
VERDICTS = {
    "NET GAIN": "it costs nothing that matters and withstands more",
    "FAIR TRADE": "it costs something, and attacks are frequent enough to pay that back",
    "NET LOSS": "it does harm, or costs more than it gives back under attack",
    "INCONCLUSIVE": "these episodes do not decide",
}
PARTS = {
    "systematic": "the same offset everywhere",
    "conditional": "an offset in some contexts only",
    "drift": "slower than the robot's own dynamics, different from episode to episode",
    "transient": "short bursts and jitter",
}


def compared(summary: Numbers) -> dict[str, Any] | None:
    """The section on two controllers; None without `compare`."""
    compare = summary.get("compare")
    if not compare:
        return None
    baseline, said = compare["baseline"], compare.get("verdict") or {}
    names = [str(baseline.get("controller", "baseline")), str(summary.get("controller", "this"))]
    return {
        "names": names, "verdict": said.get("verdict", ""),
        "told": VERDICTS.get(str(said.get("verdict", "")), ""), "about": said.get("about", ""),
        "reasons": list(said.get("reasons", [])),
        "thresholds": dict(said.get("thresholds", {})),
        "cells": list(_pairs(summary, baseline, compare)),
        "trades": [
            (label, [_trade(trade, key) for key in TRADE])
            for label, trade in compare.get("trades", {}).items()
        ],
        "meanings": [TRADE[key][:2] for key in TRADE], "primary": compare.get("primary", ""),
        **_contexts(compare.get("contexts") or {}),
    }  # fmt: skip


def _contexts(found: Numbers) -> dict[str, Any]:
    """Situations, the worst first; none where there is only one."""
    contexts = found.get("contexts", [])
    if len(contexts) < 2:
        return {"contexts": [], "worst": ""}
    rows = [
        {
            "name": c["name"], "episodes": c["episodes"], "judged": c["judged"],
            "text": words.estimate(c["difference"], 100.0),
            "value": words.number(c["difference"]["value"]), "p": words.p_value(c["adjusted_p"]),
        }
        for c in contexts
    ]  # fmt: skip
    told = words.estimate(found["degradation"], 100.0)
    worst = f"{found['name']}, by {told} points" if found["name"] else ""
    return {"contexts": rows, "worst": worst}


def _trade(trade: Numbers, key: str) -> dict[str, Any]:
    scale = TRADE[key][2]
    return {"text": words.estimate(trade[key], scale), "value": words.number(trade[key]["value"])}


def _pairs(summary: Numbers, baseline: Numbers, compare: Numbers) -> Iterator[dict[str, Any]]:
    """Cells that both have, the baseline's first."""
    before = {(label, c["budget"]): c for label, _, c in _labelled(baseline)}
    given = {(c["row"], c["budget"]): c for c in compare.get("cells", [])}
    for label, row, cell in _labelled(summary):
        key = label, cell["budget"]
        if key in before:
            yield _pair(label, row, before[key], cell, given.get(key, {}))


def _labelled(summary: Numbers) -> Iterator[tuple[str, Numbers, Numbers]]:
    yield "no attack", {}, summary["clean"]
    for row in summary.get("rows", []):
        for cell in row.get("cells", [])[1:]:
            yield str(row["label"]), row, cell


def _pair(
    label: str, row: Numbers, before: Numbers, after: Numbers, given: Numbers
) -> dict[str, Any]:
    first, second = before["safe_success"], after["safe_success"]
    difference = float(second["rate"]) - float(first["rate"])
    told = words.short(round(100.0 * difference, 3))
    if given.get("difference"):
        told = words.estimate(given["difference"], 100.0)
    p = given.get("p_holm")
    return {
        "row": label, "budget": f"{after['budget']:g}",
        "told": words.brief(row, after["budget"]),
        "shares": [
            {"text": words.rate(cell[part], ""), "value": cell[part]["rate"]}
            for part in ("safe_success", "unsafe") for cell in (before, after)
        ],
        "difference": told, "difference_value": difference,
        "p": words.p_value(p),
        "p_value": 1.0 if p is None else p,
    }  # fmt: skip


def profiled(summary: Numbers) -> dict[str, Any] | None:
    """The section on the error profile; None without `error_profile`."""
    found = summary.get("error_profile")
    if not found:
        return None
    if found.get("why_not"):
        return {"why_not": found["why_not"]}
    parts = found["parts"]
    most = max((words.number(p["high"]) for p in parts.values()), default=0.0) or 1.0
    scale = 100.0 / most
    return {
        "baseline": str(found.get("baseline", "")), "total": words.short(found.get("total")),
        "block": _block(found), "most": words.short(most), "why_not": "",
        "contexts": [
            {"name": c["name"], "share": words.percent(c["share"]), "size": words.short(c["size"])}
            for c in found.get("contexts", []) if len(found["contexts"]) > 1
        ],
        "parts": [
            {
                "name": key, "meaning": PARTS.get(key, ""), "text": words.estimate(part),
                "share": words.percent(part.get("share")),
                "bar": round(scale * max(words.number(part["value"]), 0.0), 2),
                "low": round(scale * max(words.number(part["low"]), 0.0), 2),
                "high": round(scale * max(words.number(part["high"]), 0.0), 2),
            }
            for key, part in parts.items()
        ],
        "removals": [
            {"name": key, "text": words.estimate(r["harm_removed"], 100.0),
             "p": words.p_value(r["adjusted_p"])}
            for key, r in found.get("removals", {}).items()
        ],
    }  # fmt: skip


def _block(found: Numbers) -> str:
    steps, seconds = f"{found.get('block_steps')} steps", found.get("block_seconds")
    return f"{steps}, {words.short(seconds)} s" if seconds else steps
