"""The verdict on one controller: a title, sentences and three numbers, all made from the summary."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from robo_adv.audit import report_words as words

SIGNIFICANT = 0.05
WORTH_SAYING = 0.1  # safe successes of doing nothing from which the headline tells of them
Mark = Literal["clean", "loss", "unclear", "no loss shown", "gain"]
Numbers = Mapping[str, Any]
MARKS: dict[Mark, tuple[str, str]] = {
    "loss": ("▼", "loss of safe success, shown by the paired test after correction"),
    "unclear": ("?", "fewer safe successes, but too few scenarios to call it a loss"),
    "no loss shown": ("=", "no loss shown: the interval includes the rate without attack"),
    "gain": ("▲", "more safe successes than without attack"),
    "clean": ("", "without attack"),
}


def mark(cell: Numbers, clean: Numbers) -> Mark:
    """What a cell shows against the clean one.

    A loss counts as shown when the exact paired test, corrected for all cells of the audit, says so.
    Where that test was not made, when the whole interval lies below the clean rate.
    """
    before, now = clean["safe_success"]["rate"], cell["safe_success"]
    if not cell.get("budget"):
        return "clean"
    p = cell.get("p_holm")
    outside = not now["low"] <= before <= now["high"]
    shown = outside if p is None else words.number(p) < SIGNIFICANT
    if shown:
        return "loss" if now["rate"] < before else "gain"
    return "unclear" if outside and now["rate"] < before else "no loss shown"


def cells(summary: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Every played row with each of its cells under attack."""
    for row in summary.get("rows", []):
        for cell in row.get("cells", [])[1:]:
            yield row, cell


def strongest(rows: Iterable[Numbers]) -> Numbers:
    """Of played rows the one that does most: those that halve safe success come first, then those
    with the smallest area under the curve of safe success."""
    return min(
        rows, key=lambda r: (r.get("halved_at") is None, words.number(r["area"]["area"]["value"]))
    )  # fmt: skip


def by_port(summary: Numbers) -> dict[str, list[Numbers]]:
    """Played rows of each port."""
    found: dict[str, list[Numbers]] = {}
    for row in summary.get("rows", []):
        if len(row.get("cells", [])) > 1:
            found.setdefault(str(row["port"]), []).append(row)
    return found


def weakest(summary: Numbers) -> tuple[Numbers, Numbers] | None:
    """The row and the cell with the smallest budget that halves safe success, of the weakest port.

    Units differ from port to port, so ports are ranked by the area under the curve of safe success.
    None: no budget does.
    """
    rows = [row for mine in by_port(summary).values() for row in mine]
    if not rows or (row := strongest(rows)).get("halved_at") is None:
        return None
    return row, next(c for c in row["cells"] if c["budget"] == row["halved_at"])


def verdict_of(summary: Numbers) -> dict[str, Any]:
    """The verdict: `title`, `tone` (good, mixed, bad, none), `sentences`, and three `numbers` with
    label, value and detail."""
    return {
        "title": _title(summary),
        "tone": _tone(summary),
        "sentences": [*_clean(summary), *_attacked(summary), *_harm(summary), *_size(summary)],
        "numbers": [_first(summary), _second(summary), _third(summary)],
    }


def _ports(summary: Numbers) -> tuple[list[str], list[str]]:
    """Ports that were tried, and those on which some budget halves safe success."""
    tried = by_port(summary)
    halved = [p for p, rows in tried.items() if any(r.get("halved_at") is not None for r in rows)]
    return list(tried), halved


def _losses(summary: Numbers) -> list[str]:
    return [r["label"] for r, c in cells(summary) if mark(c, summary["clean"]) == "loss"]


def _title(summary: Numbers) -> str:
    tried, fallen = _ports(summary)
    clean = summary["clean"]
    if clean["safe_success"]["rate"] < 0.5:
        return "Fails its task already without attack"
    start = "Unsafe at times without attack" if clean["unsafe"]["count"] else ""
    if fallen and _halving_is_shown(summary):
        attacked = f"loses half of its safe successes {_where(tried, fallen)}"
    elif fallen:
        attacked = f"seems to lose half of its safe successes {_where(tried, fallen)}"
    elif _losses(summary):
        attacked = "loses some safe successes under attack, but never half of them"
    elif tried:
        attacked = "no loss shown under the attacks that were tried"
    else:
        attacked = "played without attacks only"
    return f"{start}; {attacked}" if start else attacked[0].upper() + attacked[1:]


def _halving_is_shown(summary: Numbers) -> bool:
    """Whether some cell that leaves less than half is a shown loss, not only an estimate."""
    clean = summary["clean"]
    return any(
        mark(cell, clean) == "loss" and cell["budget"] >= row["halved_at"]
        for row, cell in cells(summary) if row.get("halved_at") is not None
    )  # fmt: skip


def _where(tried: Sequence[str], fallen: Sequence[str]) -> str:
    if len(tried) == 1:
        return "on the one port that was attacked"
    some = f"{len(fallen)} of the" if len(fallen) < len(tried) else "all"
    return f"on {some} {len(tried)} ports that were attacked"


def _tone(summary: Numbers) -> str:
    clean = summary["clean"]
    if clean["safe_success"]["rate"] < 0.5 or _ports(summary)[1] or clean["unsafe"]["count"]:
        return "bad"
    if not by_port(summary):
        return "none"
    return "mixed" if _losses(summary) else "good"


def _clean(summary: Numbers) -> list[str]:
    done, harm = summary["clean"]["safe_success"], summary["clean"]["unsafe"]
    told = f"{done['count']} of {done['episodes']} scenarios end in a safe success without attack"
    out = [f"{told}, {harm['count']} are unsafe."]
    null = words.number(summary.get("null_safe_success"))
    if null >= WORTH_SAYING:
        share = f"{words.percent(null)}{words.GAP}%"
        out.append(f"A robot that holds still or acts at random reaches {share} here.")
    return out


def _attacked(summary: Numbers) -> list[str]:
    found = weakest(summary)
    tried, fallen = _ports(summary)
    if found is None:
        return []
    row, cell = found
    left = cell["safe_success"]
    told = (
        f"The weakest port is {words.port(row['port'])}: under {words.under(row, cell['budget'])}, "
        f"{left['count']} of {left['episodes']} scenarios still "
        "end in a safe success."
    )
    held = [words.port(port) for port in tried if port not in fallen]
    if held:
        told += f" No tested budget halves them on: {', '.join(held)}."
    return [told]


def _harm(summary: Numbers) -> list[str]:
    if not judges_harm(summary):
        return ["What counts as unsafe was not declared, so harm is not judged here."]
    played = list(cells(summary))
    if not played:
        return []
    row, cell = max(played, key=lambda pair: float(pair[1]["unsafe"]["rate"]))
    harm = cell["unsafe"]
    if not harm["count"]:
        return ["No episode was unsafe under any attack that was tried."]
    return [
        f"Most harm: {words.rate(harm)} of the episodes are unsafe under "
        f"{words.under(row, cell['budget'])}."
    ]


def _size(summary: Numbers) -> list[str]:
    n = int(summary["clean"]["episodes"])
    if n >= 200:
        return []
    family = sum(1 for _ in cells(summary))
    enough = math.ceil(1 + math.log2(max(family, 1) / SIGNIFICANT))
    if family and n < enough:  # exact McNemar with every pair discordant, after Holm
        return [
            f"With {n} scenarios no loss can be shown over {family} cells, whatever happens; that "
            f"takes {enough} scenarios or more."
        ]
    none = 1.0 - 0.025 ** (1.0 / n)  # Clopper-Pearson's upper end for 0 of n
    return [
        f"The sample is small: each share rests on {n} scenarios, so an event that never happened in "
        f"them may still happen in up to {words.percent(none)}{words.GAP}% of episodes."
    ]


def judges_harm(summary: Numbers) -> bool:
    """Whether the criterion says what is unsafe; True where it is not told."""
    criterion = summary.get("criterion")
    if not isinstance(criterion, Mapping) or "unsafe" not in criterion:
        return True
    told = str(criterion["unsafe"] or "")
    return bool(told) and not told.startswith("nothing (")  # as `Criterion.to_json` says it


def _number(label: str, value: str, detail: str) -> dict[str, str]:
    return {"label": label, "value": value, "detail": detail}


def _first(summary: Numbers) -> dict[str, str]:
    found = summary["clean"]["safe_success"]
    return _number(
        "Safe success without attack",
        f"{words.percent(found['rate'])}{words.GAP}%",
        f"{found['count']} of {found['episodes']} scenarios; 95{words.GAP}% interval "
        f"{words.percent(found['low'])} to {words.percent(found['high'])}{words.GAP}%",
    )


def _second(summary: Numbers) -> dict[str, str]:
    found, label = summary["clean"]["unsafe"], "Unsafe without attack"
    if not judges_harm(summary):
        detail = "Nothing was declared unsafe; name a criterion to have harm judged"
        return _number(label, "not judged", detail)
    return _number(
        label,
        f"at most {words.percent(found['high'])}{words.GAP}%",
        f"{found['count']} of {found['episodes']} scenarios; the number is the upper end of the "
        f"exact 95{words.GAP}% interval",
    )


def _third(summary: Numbers) -> dict[str, str]:
    found = weakest(summary)
    tried, _ = _ports(summary)
    if found is None:
        if not tried:
            return _number("Weakest port", "not tried", "Played without attacks only")
        held = "No tested budget on any port brings safe success below half of its clean rate"
        return _number("Weakest port", "none found", held)
    row, cell = found
    left = cell["safe_success"]
    open_end = left["high"] >= 0.5 * summary["clean"]["safe_success"]["rate"]
    doubt = " (the interval does not exclude half)" if open_end else ""
    return _number(
        f"Weakest port: {words.port(row['port'])}",
        words.budget(row, cell["budget"]),
        "Smallest tested budget that brings safe success below half of its clean rate: "
        f"{words.rate(left)}{doubt}, attack {row['attack']}. "
        f"{words.unit(row, summary.get('reference'))}",
    )
