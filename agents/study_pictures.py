"""The figure of the design study: each generator's success per task and suite, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robo_adv.agents.level_pictures import INK, SAFE, SOFT, UNSAFE, plain_axis, save

SHOWN = (("mean", SAFE), ("cvar10", UNSAFE))


def study_figures(result: Mapping[str, Any], folder: Path) -> list[str]:
    """Write `table.png` into the study's folder; the names of the files."""
    rows = result["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    suites = [s for s in dict.fromkeys(row["suite"] for row in rows) if s != "nominal"]
    if not suites:
        return []
    count = len({row["generator"] for row in rows})
    figure = Figure(
        figsize=(3.5 * len(suites) + 1.0, (0.27 * count + 0.75) * len(tasks) + 0.6),
        layout="constrained",
    )
    axes = figure.subplots(len(tasks), len(suites), squeeze=False, sharex=True)
    for line, task in zip(axes, tasks, strict=True):
        for axis, suite in zip(line, suites, strict=True):
            mine = [row for row in rows if row["task"] == task and row["suite"] == suite]
            _panel(axis, mine, f"{task}, {suite}")
    axes[0][0].legend(fontsize=7, frameon=False, loc="lower right")
    figure.suptitle(
        "success of the students by generator: mean over levels, and over the worst 10 %; dots: "
        "training seeds; 95 % intervals over seeds and levels",
        fontsize=9, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    save(figure, folder / "table.png")
    return ["table.png"]


def _panel(axis: Axes, rows: list[Mapping[str, Any]], title: str) -> None:
    order = sorted(rows, key=lambda row: float(row["mean"]["value"]))
    for y, row in enumerate(order):
        for k, (name, colour) in enumerate(SHOWN):
            if name not in row:
                continue
            value, place = row[name], y + 0.18 * (0.5 - k)
            low, high = max(float(value["low"]), 0.0), min(float(value["high"]), 1.0)
            axis.plot([low, high], [place, place], color=colour, linewidth=1.6)
            axis.plot(
                float(value["value"]), place, "o", color=colour, markersize=4.5,
                label=name if y == 0 else None,
            )  # fmt: skip
        axis.plot(row["by_seed"], [y + 0.3] * len(row["by_seed"]), ".", color=SOFT, markersize=3)
    axis.set_yticks(range(len(order)), [row["generator"] for row in order], fontsize=8)
    axis.set_xlim(-0.02, 1.02)
    axis.set_title(title, fontsize=9, color=INK, loc="left")
    plain_axis(axis)
    axis.grid(axis="x", color="#dde2e8", linewidth=0.7)
    axis.grid(axis="y", visible=False)
