"""The report of an evaluation on levels: pictures, and one small HTML page that shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from robo_adv.agents.generalisation import Played
from robo_adv.agents.level_pictures import pictures
from robo_adv.levels import DesignSpace
from robo_adv.levels.suite_files import about
from robo_adv.runs import write_text

SHOWN = ("mean", "cvar10", "cvar1", "solved")


def write_level_report(
    folder: Path, summary: Mapping[str, Any], played: Sequence[Played], space: DesignSpace
) -> None:
    """Write PNGs and report.html into a run's folder.

    Raises:
        RoboAdvError: a full disk or a read-only folder.
    """
    title = f"{summary['controller']} in {summary['game']}"
    names = pictures(played, space, title, folder / "pictures")
    rows = [
        {
            "name": told["name"], "about": about(one.suite), "episodes": told["episodes"],
            "cells": [
                *(_interval(told["measures"].get(name)) for name in SHOWN),
                _interval(told["unsafe"]),
            ],
        }
        for one, told in zip(played, summary["suites"], strict=True)
    ]  # fmt: skip
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_text("robo_adv.agents", "levels.html.j2"))
    page = template.render(
        s=summary, suites=rows, style=_text("robo_adv.audit", "report.css"),
        drawn=[one.suite.name for one in played if one.suite.drawn],
        pictures=[(Path(name).stem, f"pictures/{name}") for name in names],
    )  # fmt: skip
    write_text(folder / "report.html", page)


def _text(package: str, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    value, low, high = (100 * float(found[name]) for name in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"
