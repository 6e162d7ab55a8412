"""Pictures of how a controller fares over levels: sweeps, maps, presets, tails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import stats

from robo_adv.agents.generalisation import Played, sweep_of
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.statistics import SOLVED
from robo_adv.levels.suites import told
from robo_adv.runs import write_with
from robo_adv.safety.statistics import Rate

Array = npt.NDArray[Any]
INK, SOFT, LINE = "#17202b", "#566172", "#dde2e8"
SAFE, UNSAFE, BEFORE = "#1d5c9e", "#b23a22", "#9aa4b1"
COLUMNS = 4  # panels side by side
BINS = 5  # of a parameter's range, for levels drawn at random


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; it appears complete or not at all."""
    FigureCanvasAgg(figure)
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=130))


def pictures(played: Sequence[Played], space: DesignSpace, title: str, folder: Path) -> list[str]:
    """Write all pictures that the suites give; their file names."""
    drawn = next((p for p in played if p.suite.drawn and not p.suite.beyond), None)
    out: list[tuple[str, Figure]] = []
    for one in played:
        name = one.suite.name
        if sweep_of(one.suite):
            out.append((name, sweep_figure(one, space, title, drawn)))
        elif one.suite.varied and len(one.suite.varied[0]) == 2:
            out.append((name, map_figure(one, space, title)))
        elif not one.suite.drawn and 1 < len(one.suite) <= 40:
            out.append((name, bar_figure(one, title)))
    samples = [p for p in played if p.suite.drawn]
    if samples:
        out.append(("tails", tail_figure(samples, title)))
    for name, figure in out:
        save(figure, folder / f"{name}.png")
    return [f"{name}.png" for name, _ in out]


def sweep_figure(
    one: Played, space: DesignSpace, title: str, drawn: Played | None = None
) -> Figure:
    """A panel per parameter: success over its range, the others nominal; in grey over the levels that
    were drawn at random, where the others are what they are."""
    swept = sweep_of(one.suite)
    columns = min(COLUMNS, len(swept))
    rows = -(-len(swept) // columns)
    figure = Figure(figsize=(3.1 * columns, 2.35 * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis, (name, levels) in zip(axes, swept.items(), strict=False):
        parameter = space[name]
        places, labels = positions(parameter, [one.suite.levels[j][name] for j in levels])
        if drawn is not None:
            _binned(axis, parameter, drawn)
        rates = [one.rate(j) for j in levels]
        _curve(axis, places, rates)
        _axis(axis, parameter, labels, places)
    for axis in axes[len(swept) :]:
        axis.set_visible(False)
    for axis in axes[::columns]:
        axis.set_ylabel("success", color=SOFT)
    others = (
        ""
        if drawn is None
        else f"; grey: over the levels of {drawn.suite.name}, in fifths of the range"
    )
    figure.suptitle(
        f"{title}\none parameter at a time, the others nominal (dotted), "
        f"{one.success.shape[1]} episodes per point, 95 % intervals{others}",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def positions(parameter: Parameter, values: Sequence[Any]) -> tuple[list[float], list[str] | None]:
    """Where values stand on the axis, and what to write there when they are no numbers."""
    if parameter.kind == "choice":
        return [float(parameter.options.index(str(v))) for v in values], [str(v) for v in values]
    return [float(v) for v in values], None


def _curve(axis: Axes, places: Sequence[float], rates: Sequence[Rate]) -> None:
    low, high = [r.low for r in rates], [r.high for r in rates]
    axis.fill_between(places, low, high, color=SAFE, alpha=0.16, linewidth=0)
    axis.plot(places, [float(r) for r in rates], "o-", color=SAFE, linewidth=1.6, markersize=4.0)


def _binned(axis: Axes, parameter: Parameter, drawn: Played) -> None:
    """Mean success of drawn levels per fifth of the parameter's range, or per value of a discrete."""
    values = [level[parameter.name] for level in drawn.suite.levels]
    success = drawn.success.mean(axis=1)
    if parameter.kind in ("choice", "int"):
        places, _ = positions(parameter, values)
        groups = np.unique(places)
        members = [np.array(places) == g for g in groups]
    else:
        if parameter.high == parameter.low:
            return
        u = np.array([parameter.encode(v) for v in values])
        bins = np.clip((u * BINS).astype(int), 0, BINS - 1)
        members = [bins == b for b in range(BINS)]
        groups = np.array([float(parameter.decode((b + 0.5) / BINS)) for b in range(BINS)])
    found = [(g, success[m]) for g, m in zip(groups, members, strict=True) if m.sum() > 1]
    x, mean = [g for g, _ in found], np.array([s.mean() for _, s in found])
    half = 1.96 * np.array([s.std(ddof=1) / np.sqrt(len(s)) for _, s in found])
    axis.errorbar(x, mean, half, fmt="s--", color=BEFORE, linewidth=1.0, markersize=3.0)


def _axis(
    axis: Axes, parameter: Parameter, labels: list[str] | None, places: Sequence[float]
) -> None:
    if parameter.kind == "log":
        axis.set_xscale("log")
        ends = (parameter.low, parameter.high, float(parameter.nominal))
        axis.set_xticks(sorted(set(ends)), [told(e) for e in sorted(set(ends))])
        axis.minorticks_off()
    elif labels is not None:
        axis.set_xticks(list(places), labels, rotation=40, ha="right", fontsize=7)
    elif parameter.kind == "int":
        axis.set_xticks(list(places))
    nominal = positions(parameter, [parameter.nominal])[0][0]
    axis.axvline(nominal, color=SOFT, linestyle=":", linewidth=1.0)
    unit = f" [{parameter.unit}]" if parameter.unit not in ("", "1", "shape") else ""
    axis.set_xlabel(parameter.name + unit, fontsize=8.5, color=INK)
    plain_axis(axis)
    axis.set_ylim(-0.03, 1.03)


def plain_axis(axis: Axes) -> None:
    axis.tick_params(labelsize=7.5, colors=SOFT, length=2.5)
    axis.grid(axis="y", color=LINE, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(LINE)


def map_figure(one: Played, space: DesignSpace, title: str) -> Figure:
    """Success over two parameters, the others nominal; impossible levels are left blank."""
    first, second = (space[name] for name in one.suite.varied[0])
    xs, ys = (_distinct(one, p) for p in (first, second))
    grid = np.full((len(ys), len(xs)), np.nan)
    for j, level in enumerate(one.suite.levels):
        column, row = xs.index(level[first.name]), ys.index(level[second.name])
        grid[row, column] = float(one.rate(j))
    figure = Figure(figsize=(6.2, 5.3), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor(LINE)
    shown = axis.imshow(grid, origin="lower", vmin=0.0, vmax=1.0, cmap="RdYlBu", aspect="auto")
    for row in range(len(ys)):
        for column in range(len(xs)):
            value = grid[row, column]
            if np.isfinite(value):
                dark = value < 0.2 or value > 0.85
                axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7.5,
                          color="white" if dark else INK)  # fmt: skip
    _mark_nominal(axis, positions(first, xs)[0], positions(second, ys)[0], first, second)
    for write, values in ((axis.set_xticks, xs), (axis.set_yticks, ys)):
        write(range(len(values)), [told(v) for v in values])
    axis.set_xlabel(_named(first), color=INK)
    axis.set_ylabel(_named(second), color=INK)
    axis.tick_params(labelsize=8, colors=SOFT)
    solved = Rate(int((grid >= SOLVED).sum()), int(np.isfinite(grid).sum()))
    bar = figure.colorbar(shown, ax=axis, fraction=0.045)
    bar.set_label("success", color=SOFT)
    bar.outline.set_visible(False)
    figure.suptitle(
        f"{title}\nsuccess in % over two parameters, the others nominal (framed)\n"
        f"{one.success.shape[1]} episodes each; solved (at least {100 * SOLVED:g} %): "
        f"{solved.count} of {solved.total} levels",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _mark_nominal(
    axis: Axes, xs: Sequence[float], ys: Sequence[float], first: Parameter, second: Parameter
) -> None:
    """A frame around the level that is nearest to the nominal one."""
    place = [
        int(np.argmin(np.abs(np.asarray(v) - positions(p, [p.nominal])[0][0])))
        for v, p in ((xs, first), (ys, second))
    ]
    axis.add_patch(
        Rectangle((place[0] - 0.46, place[1] - 0.46), 0.92, 0.92, fill=False, edgecolor=INK, lw=1.8)
    )


def _distinct(one: Played, parameter: Parameter) -> list[Any]:
    values = {level[parameter.name] for level in one.suite.levels}
    return sorted(values, key=parameter.options.index if parameter.kind == "choice" else None)


def _named(parameter: Parameter) -> str:
    scale = ", log scale" if parameter.kind == "log" else ""
    unit = parameter.unit if parameter.unit not in ("", "1", "shape") else ""
    inside = (unit + scale).removeprefix(", ")
    return f"{parameter.name} [{inside}]" if inside else parameter.name


def bar_figure(one: Played, title: str) -> Figure:
    """Success per level with intervals, and the share of unsafe episodes."""
    n, episodes = one.success.shape
    figure = Figure(figsize=(7.6, 0.36 * n + 1.3), layout="constrained")
    axis = figure.subplots()
    places = np.arange(n)[::-1]
    for rows, colour, name, shift in (
        (one.success, SAFE, "success", 0.17), (one.unsafe, UNSAFE, "unsafe", -0.17)
    ):  # fmt: skip
        rates = [Rate(int(row.sum()), episodes) for row in rows]
        values = [100 * float(r) for r in rates]
        ends = np.array([[100 * (float(r) - r.low), 100 * (r.high - float(r))] for r in rates]).T
        axis.barh(places + shift, values, 0.32, color=colour, alpha=0.85, label=name)
        axis.errorbar(values, places + shift, xerr=ends, fmt="none", ecolor=INK, elinewidth=0.9)
    axis.set_yticks(places, one.suite.labels, fontsize=8.5)
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of episodes [%]", color=SOFT, fontsize=8.5)
    axis.tick_params(labelsize=8, colors=INK, length=0)
    axis.grid(axis="x", color=LINE, linewidth=0.7)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, frameon=False, fontsize=8)
    figure.suptitle(f"{title}\n{one.suite.name}: {episodes} episodes per level, 95 % intervals",
                    fontsize=10, color=INK, x=0.01, ha="left")  # fmt: skip
    return figure


def tail_figure(samples: Sequence[Played], title: str) -> Figure:
    """Levels by success, the worst first: how much of a suite is solved, and how the tail looks."""
    figure = Figure(figsize=(6.2, 3.8), layout="constrained")
    axis = figure.subplots()
    colours = (SAFE, UNSAFE, "#2b7d5b", "#c98a12", INK)
    for one, colour in zip(samples, colours * len(samples), strict=False):
        success = np.sort(one.success.mean(axis=1))
        share = 100 * (np.arange(len(success)) + 0.5) / len(success)
        mean = 100 * success.mean()
        axis.step(share, 100 * success, where="mid", color=colour, linewidth=1.6,
                  label=f"{one.suite.name}: {len(success)} levels, mean {mean:.1f} %")  # fmt: skip
        equal = stats.binom.ppf(share / 100, one.success.shape[1], success.mean())
        axis.step(share, 100 * equal / one.success.shape[1], where="mid", color=colour,
                  linewidth=0.9, linestyle="--")  # fmt: skip
    axis.axhline(100 * SOLVED, color=SOFT, linestyle=":", linewidth=1.0)
    axis.set_xlim(0, 100)
    axis.set_ylim(-3, 103)
    axis.set_xlabel("share of levels [%], the worst first", color=SOFT, fontsize=8.5)
    axis.set_ylabel("success on the level [%]", color=SOFT, fontsize=8.5)
    plain_axis(axis)
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    episodes = samples[0].success.shape[1]
    figure.suptitle(
        f"{title}\nsuccess level by level, {episodes} episodes each; "
        "dashed: if all levels were equally hard",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure
