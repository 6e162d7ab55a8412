"""Plots of training, as PNG files in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from robo_adv.safety.statistics import Rate


class _Curve:
    """Training episodes in at most `most` bins of equal steps: win rates with intervals."""

    most: ClassVar[int] = 40

    def __init__(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        lines = [line for line in metrics if line.get("episodes") and "wins" in line]
        steps = np.array([float(line["steps"]) for line in lines])
        wall = wall_seconds(lines)
        self.steps: list[float] = []
        self.wall: list[float] = []
        self.rates: list[Rate] = []
        for part in np.array_split(np.arange(len(lines)), min(self.most, len(lines)) or 1):
            if not len(part):
                continue
            wins = round(sum(float(lines[i]["wins"]) for i in part))
            self.rates.append(Rate(wins, round(sum(float(lines[i]["episodes"]) for i in part))))
            self.steps.append(float(steps[part].mean()))
            self.wall.append(float(wall[part].mean()))


def wall_seconds(lines: Sequence[Mapping[str, Any]]) -> Any:
    """Wall time (n,) [s] of metric lines: `seconds` where logged, else steps over the run's mean
    speed so far, which counts the time before a resume as well."""
    return np.array(
        [
            float(
                line.get("seconds", float(line["steps"]) / max(line.get("steps_per_second", 1), 1))
            )
            for line in lines
        ]
    )


def training_plot(metrics: Sequence[Mapping[str, Any]], label: str = "episodes won [%]") -> bytes:
    """A PNG with the win (or success) rate, called `label`, against steps and against minutes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve = _Curve(metrics)
    figure = Figure(figsize=(8, 3.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    most = max(curve.steps, default=1.0)
    unit, name = (1e6, "million steps") if most >= 1e6 else (1e3, "thousand steps")
    middle = [100 * float(rate) for rate in curve.rates]
    low, high = [100 * r.low for r in curve.rates], [100 * r.high for r in curve.rates]
    for axes, x, label in (
        (left, [s / unit for s in curve.steps], name),
        (right, [s / 60 for s in curve.wall], "minutes"),
    ):
        axes.fill_between(x, low, high, color="#4a7fc1", alpha=0.22, linewidth=0)
        axes.plot(x, middle, color="#2f5f9e", linewidth=1.6)
        axes.set(xlabel=label, ylim=(0, 100), xlim=(0, None))
        axes.grid(axis="y", color="#e2e6eb")
        axes.spines[["top", "right"]].set_visible(False)
    left.set_ylabel(label)
    if not curve.rates:
        left.text(0.5, 0.5, "no episodes yet", ha="center", transform=left.transAxes)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
