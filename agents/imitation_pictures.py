"""The figure of the imitation study: each variant's score per task, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from robo_adv.agents.level_pictures import INK, SAFE, SOFT, UNSAFE, plain_axis, save

COLOURS = (UNSAFE, SAFE, INK, SOFT)  # from few demonstrations to many


def figures(result: Mapping[str, Any], folder: Path) -> list[str]:
    """Write `scores.png`, and `regularisers.png` where there are such rows; the names of the files."""
    rows = result["rows"]
    main = [row for row in rows if row["group"] != "regularisers"]
    some = [row for row in rows if row["group"] == "regularisers"]
    names = []
    for name, chosen, title in (
        (
            "scores.png",
            main,
            "score (R - random) / (expert - random): 0 random actions, 1 the expert",
        ),
        ("regularisers.png", some, "GAIL by regulariser of its discriminator: the same score"),
    ):
        if chosen:
            _figure(chosen, title, folder / name)
            names.append(name)
    return names


def _figure(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    counts = sorted({row["demos"] for row in rows})
    figure = Figure(
        figsize=(3.2 * len(tasks) + 1.4, 0.32 * len(variants) + 1.1), layout="constrained"
    )
    axes = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for axis, task in zip(axes, tasks, strict=True):
        _panel(axis, [row for row in rows if row["task"] == task], variants, counts)
        axis.set_title(task, fontsize=9, color=INK, loc="left")
    legend: dict[str, Artist] = {}
    for axis in axes:
        lines, labels = axis.get_legend_handles_labels()
        legend.update(zip(labels, lines, strict=True))
    figure.legend(
        list(legend.values()), list(legend), fontsize=7, frameon=False, ncols=4,
        loc="outside lower right",
    )  # fmt: skip
    figure.suptitle(
        f"{title}\ndots: training seeds; 95 % intervals over seeds and scenarios",
        fontsize=9, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    save(figure, path)


def _panel(
    axis: Axes, rows: Sequence[Mapping[str, Any]], variants: Sequence[str], counts: Sequence[int]
) -> None:
    for line in (0.0, 1.0):
        axis.axvline(line, color="#c3cad2", linewidth=1.0)
    for row in rows:
        k = counts.index(row["demos"])
        y = len(variants) - 1 - variants.index(row["variant"]) + 0.22 * (len(counts) / 2 - 0.5 - k)
        colour, score = COLOURS[k % len(COLOURS)], row["score"]
        low, high = (min(max(float(score[end]), -0.6), 1.6) for end in ("low", "high"))
        axis.plot([low, high], [y, y], color=colour, linewidth=1.6)
        label = f"{row['demos']} demonstrations"
        axis.plot(float(score["value"]), y, "o", color=colour, markersize=4.5, label=label)
        axis.plot(
            row["by_seed"], [y] * len(row["by_seed"]), ".", color=colour, markersize=3, alpha=0.6
        )
    axis.set_yticks(range(len(variants)), list(reversed(variants)), fontsize=8)
    axis.set_xlim(-0.3, 1.2)
    plain_axis(axis)
    axis.grid(axis="x", color="#dde2e8", linewidth=0.7)
    axis.grid(axis="y", visible=False)
