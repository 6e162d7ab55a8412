"""Pages of reports, parsed."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from robo_adv.audit.report import write_audit_report

Attributes = dict[str, str | None]


class Page(HTMLParser):
    """Tags with their attributes, all text, and the table cells that stand for a row and budget."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, Attributes]] = []
        self.text = ""
        self.heat: dict[tuple[str, str], tuple[Attributes, str]] = {}
        self.lines: dict[tuple[str, str], str] = {}
        self._open: tuple[str, Attributes] | None = None
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag in ("td", "tr") and "data-row" in found:
            self._open = tag, found
            into = self.heat if tag == "td" else self.lines
            into[self._key] = (found, "") if tag == "td" else ""  # type: ignore[assignment]

    def handle_endtag(self, tag: str) -> None:
        if self._open and tag == self._open[0]:
            self._open = None

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[0] == "td":
            self.heat[self._key] = (self._open[1], self.heat[self._key][1] + data)
        elif self._open:
            self.lines[self._key] += data

    @property
    def _key(self) -> tuple[str, str]:
        assert self._open is not None
        return str(self._open[1]["data-row"]), str(self._open[1]["data-budget"])

    def values(self, name: str) -> list[str]:
        return [v for _, attributes in self.tags if (v := attributes.get(name)) is not None]

    def has(self, section: str) -> bool:
        return any(tag == "section" and a.get("id") == section for tag, a in self.tags)


def written(folder: Path, summary: dict[str, Any], cells: Any = ()) -> Page:
    """The report of a summary, written into `folder`."""
    write_audit_report(folder / "report.html", summary, cells, folder)
    return Page(folder / "report.html")
