"""Reports: one self-contained HTML file, without scripts or anything from outside it."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, write_text
from robo_adv.safety.plots import training_plot
from robo_adv.safety.statistics import Rate

EMBED_BELOW = 8_000_000  # [bytes] larger videos are linked, so that reports stay easy to send


@dataclass(frozen=True)
class Row:
    """One line of a table: a rate, drawn as a bar with its interval; `key` ones stand out."""

    label: str
    rate: Rate
    note: str = ""
    key: bool = False


@dataclass(frozen=True)
class Text:
    """Paragraphs."""

    title: str
    paragraphs: Sequence[str]
    caption: str = ""


@dataclass(frozen=True)
class Rates:
    """A table of rates, with exact 95 % intervals, all on a scale from 0 to 100 %."""

    title: str
    rows: Sequence[Row]
    caption: str = "Bars: share of episodes. Whiskers: exact 95 % intervals (Clopper-Pearson)."


@dataclass(frozen=True)
class Training:
    """Win rate over training, against environment steps and wall time.

    Attributes:
        metrics: lines of metrics.jsonl with `steps`, and `wins` and `episodes` of each iteration.
        label: of the vertical axis, for example "success [%]" of a lone player.
    """

    title: str
    metrics: Sequence[Mapping[str, Any]]
    caption: str = "Share of training episodes won by the learner, with exact 95 % intervals."
    label: str = "episodes won [%]"


@dataclass(frozen=True)
class Film:
    """A video: inside the report if it is small enough, else as a link next to it."""

    title: str
    path: Path
    caption: str = ""


@dataclass(frozen=True)
class Provenance:
    """What made the numbers: versions, command and seeds of a run folder, and other facts."""

    title: str
    run: Run
    facts: Mapping[str, Any]
    caption: str = ""


Section = Text | Rates | Training | Film | Provenance


def write_report(path: Path, title: str, sections: Sequence[Section], subtitle: str = "") -> None:
    """Write the sections, in order, to one HTML file at `path`.

    Names and texts are escaped, whatever they hold. The file appears complete or not at all.

    Raises:
        RoboAdvError: a video that does not exist, a full disk or a read-only folder.
    """
    shown = [_SECTIONS[type(section)](section, path) for section in sections]
    write_text(path, _template().render(title=title, subtitle=subtitle, sections=shown))


def _text(section: Text, path: Path) -> dict[str, Any]:
    return {"kind": "text", **vars(section)}


def _rates(section: Rates, path: Path) -> dict[str, Any]:
    rows = [
        {
            "label": row.label, "note": row.note, "key": row.key,
            "percent": f"{100 * float(row.rate):.1f}",
            "low": f"{100 * row.rate.low:.1f}", "high": f"{100 * row.rate.high:.1f}",
            "count": row.rate.count, "total": row.rate.total,
        }
        for row in section.rows
    ]  # fmt: skip
    return {"kind": "rates", "title": section.title, "caption": section.caption, "rows": rows}


def _training(section: Training, path: Path) -> dict[str, Any]:
    picture = training_plot(section.metrics, section.label)
    source = _data("image/png", picture)
    return {"kind": "image", "title": section.title, "caption": section.caption, "source": source}


def _film(section: Film, path: Path) -> dict[str, Any]:
    out: dict[str, Any] = {"kind": "video", "title": section.title, "caption": section.caption}
    out |= {"source": "", "image": "", "link": ""}  # one of them is set below
    try:
        size = section.path.stat().st_size
        if size >= EMBED_BELOW:
            # Forward slashes and no scheme: a link that works wherever the folder is moved.
            relative = os.path.relpath(section.path, path.parent)
            return {**out, "link": quote(Path(relative).as_posix())}
        content = section.path.read_bytes()
    except OSError as error:
        raise RoboAdvError(f"no video at {section.path}: {error.strerror or error}") from error
    if section.path.suffix.lower() == ".gif":
        return {**out, "image": _data("image/gif", content)}
    return {**out, "source": _data("video/mp4", content)}


def _provenance(section: Provenance, path: Path) -> dict[str, Any]:
    versions = _json(section.run.folder / "versions.json")
    pairs = [("run folder", section.run.folder), ("seed", section.run.config.get("seed", ""))]
    pairs += [*section.facts.items(), *versions.items()]
    blocks = [("config", json.dumps(section.run.config.get("config", {}), indent=1))]
    command = section.run.folder / "command.txt"
    if command.exists():
        blocks.insert(0, ("command", command.read_text(encoding="utf-8").strip()))
    return {"kind": "facts", "title": section.title, "caption": section.caption,
            "pairs": pairs, "blocks": blocks}  # fmt: skip


_SECTIONS: dict[type[Any], Any] = {
    Text: _text,
    Rates: _rates,
    Training: _training,
    Film: _film,
    Provenance: _provenance,
}


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _template() -> jinja2.Template:
    source = Path(__file__).with_name("report.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)
