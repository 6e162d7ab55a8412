"""The report of an audit: one HTML file that needs nothing else, read from the summary alone.

Sections appear when the summary has their data. Equal input gives equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np

from robo_adv.audit import figures, report_tables
from robo_adv.audit import report_words as words
from robo_adv.audit.report_certificates import certified
from robo_adv.audit.report_compare import compared, profiled
from robo_adv.audit.report_service import served
from robo_adv.audit.report_verdict import MARKS, judges_harm, verdict_of
from robo_adv.audit.store import CLEAN, Cell
from robo_adv.runs import write_text

Numbers = Mapping[str, Any]
EMBED_BELOW = 3_000_000  # [bytes] larger videos are linked, so that a report stays easy to send
EMBED_ALL = 24_000_000  # [bytes] of all videos together
KINDS = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif", ".png": "image/png"}


def write_audit_report(
    path: Path, summary: Numbers, cells: Sequence[Cell] = (), folder: Path | None = None
) -> None:
    """Write the report of an audit to `path`; it appears complete or not at all.

    Args:
        summary: what `summary.summarise` gives, with what the command line adds (controller, world,
            criterion, failures ...); every field but `clean` may be missing.
        cells: with the outcomes per scenario, for distributions of severity; the clean one included.
        folder: of the run, where the videos are; the report's own by default.

    Raises:
        RoboAdvError: a full disk or a read-only folder.
    """
    shown = content(summary, cells, path, folder or path.parent)
    write_text(path, _template().render(**shown))


def content(summary: Numbers, cells: Sequence[Cell], path: Path, folder: Path) -> dict[str, Any]:
    """What the template shows."""
    played = report_tables.played(summary)
    before = (summary.get("compare") or {}).get("baseline", {})
    named = {str(row["label"]): row for row in before.get("rows", []) if row.get("cells")}
    unsafe = judges_harm(summary)
    shown = severities(summary, cells) if unsafe else []
    return {
        "s": summary, "words": words, "marks": MARKS, "verdict": verdict_of(summary),
        "about": _about(summary), "ports": report_tables.ports(summary),
        "groups": report_tables.groups(summary), "bare": report_tables.bare(summary),
        "widest": max((len(row["cells"]) - 1 for row in played), default=1),
        "units": report_tables.units(summary), "lines": report_tables.lines(summary),
        "curves": figures.curves(played, unsafe, named), "judged": unsafe,
        "severities": shown, "calm": unsafe and not shown and _worst(summary) <= 1.0,
        "certificates": certified(summary),
        "compare": compared(summary), "profile": profiled(summary),
        "searches": report_tables.searches(summary), "skipped": report_tables.skipped(summary),
        "clipped": report_tables.clipped(summary), "attacks": report_tables.attacks(summary),
        "failures": _failures(summary, path, folder),
        "service": served(summary, lambda name: _film(name, path, folder, EMBED_BELOW)),
        "facts": _facts(summary), "style": _read("report.css"), "script_hash": _script_hash(),
    }  # fmt: skip


def _about(summary: Numbers) -> list[str]:
    """The line under the title."""
    options = ", ".join(f"{key}={value}" for key, value in summary.get("options", {}).items())
    world = str(summary.get("world", ""))
    return [
        text
        for text in (
            f"{world} ({options})" if world and options else world,
            f"player {summary['player']}" if summary.get("player") else "",
            f"against {summary['opponent']}" if summary.get("opponent") else "",
            f"suite {summary['suite']}" if summary.get("suite") else "",
            f"{summary['clean']['episodes']} paired scenarios per cell",
            f"seed {summary['seed']}" if summary.get("seed") is not None else "",
        )
        if text
    ]


def _worst(summary: Numbers) -> float:
    return words.number(summary.get("worst_severity"))


def severities(summary: Numbers, cells: Sequence[Cell]) -> list[figures.Panel]:
    """Per port the cell with the worst tail of severity, beside the clean one; [] when no limit is
    broken and no episode is nearer to one than another."""
    clean = next((cell for cell in cells if cell.label == CLEAN), None)
    every = np.concatenate([[0.0], *(cell.outcomes.severity for cell in cells)])[1:]
    if clean is None or len(np.unique(every)) < 2:
        return []
    rows = {str(row["label"]): row for row in summary.get("rows", [])}
    ports: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.label in rows:
            ports.setdefault(str(rows[cell.label]["port"]), []).append(cell)
    panels = []
    for port, mine in ports.items():
        worst = max(reversed(mine), key=_tail)
        row = rows[worst.label]
        note = f"{report_tables.name(row)}, {words.budget(row, worst.budget)}"
        attacked = worst.outcomes.severity
        panels.append(
            figures.severity(words.port(port), attacked, clean.outcomes.severity, note)
        )  # fmt: skip
    return panels


def _tail(cell: Cell) -> float:
    """Mean of the worst tenth, squeezed into 0..1 so that an infinite severity still compares."""
    worst = np.sort(figures.beside(cell.outcomes.severity))[::-1]
    return float(worst[: max(1, len(worst) // 10)].mean())


def _failures(summary: Numbers, path: Path, folder: Path) -> list[dict[str, Any]]:
    rows = {str(row["label"]): row for row in summary.get("rows", [])}
    out, room = [], EMBED_ALL
    for failure in summary.get("failures", []):
        film = _film(str(failure.get("video") or ""), path, folder, room)
        room -= film.pop("size")
        row, time = rows.get(str(failure["row"]), {}), failure.get("time_to_violation")
        out.append({
            "why": "", **failure, "film": film, "told": words.budget(row, failure.get("budget", 0.0)),
            "severity": words.short(failure.get("severity")),
            "time": "" if time in (None, "inf") else words.duration(time),
        })  # fmt: skip
    return out


def _film(name: str, path: Path, folder: Path, room: int) -> dict[str, Any]:
    """How a video of the run folder is shown: inside, as a link, or not at all."""
    out: dict[str, Any] = {"source": "", "image": "", "link": "", "name": name, "size": 0}
    found = (folder / name).resolve()
    kind = KINDS.get(found.suffix.lower(), "")
    inside = found.is_relative_to(folder.resolve())
    if not (name and kind and inside and found.is_file()):
        return out
    size = found.stat().st_size
    if size >= min(EMBED_BELOW, room):
        relative = os.path.relpath(found, path.parent.resolve())
        return {**out, "link": quote(Path(relative).as_posix())}
    data = f"data:{kind};base64,{base64.b64encode(found.read_bytes()).decode('ascii')}"
    return {**out, "size": size, "image" if kind.startswith("image") else "source": data}


def _facts(summary: Numbers) -> list[tuple[str, str]]:
    """What made the numbers, as names and values."""
    reference, criterion = summary.get("reference") or {}, summary.get("criterion") or {}
    searched = sum(row["episodes"] for row in report_tables.searches(summary))
    episodes = sum(int(line["episodes"]) for line in report_tables.lines(summary))
    reported = [
        ("success", criterion.get("success", "")), ("unsafe", criterion.get("unsafe", "")),
        ("white-box access", ", ".join(map(str, summary.get("access", ()))) or "none: a black box"
         if "access" in summary else ""),
        ("reference for units", f"{reference['controller']}, {reference.get('episodes', '?')} "
         f"episodes from scenario seed {reference.get('seed', '?')}" if reference.get("controller")
         else ""),
        ("reported episodes", f"{episodes}"),
        ("searched episodes", f"{searched} on scenarios of their own, never reported"
         if searched else ""),
        ("scenarios per search", summary.get("search_episodes", "")),
        ("calls of the controller", words.count(summary.get("policy_queries", ""))),
        ("duration", words.duration(summary["seconds"]) if summary.get("seconds") else ""),
        ("seed", summary.get("seed", "")),
    ]  # fmt: skip
    versions = summary.get("versions") or {}
    return [(k, str(v)) for k, v in [*reported, *versions.items()] if v not in ("", None)]


def _read(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _script_hash() -> str:
    """The only script that a browser runs in a report is the template's own."""
    script = _read("report.html.j2").split("<script>")[1].split("</script>")[0]
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read("report.html.j2"))
