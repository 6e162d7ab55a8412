"""Pictures of what is in a set of demonstrations: returns, lengths, actions, observations, coverage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from robo_adv.agents.level_pictures import BEFORE, INK, LINE, SAFE, SOFT, UNSAFE, save
from robo_adv.imitation.demonstrations import Demonstrations

Array = npt.NDArray[Any]
COLUMNS = 4  # panels side by side
MOST_PANELS = 24  # actions or slices that are shown
POINTS = 20_000  # steps that are drawn one by one


def pictures(data: Demonstrations, title: str, folder: Path) -> list[str]:
    """Write all pictures into a folder; their file names."""
    figures = {
        "episodes": episode_figure(data, title), "actions": action_figure(data, title),
        "observations": observation_figure(data, title), "coverage": coverage_figure(data, title),
    }  # fmt: skip
    if data.pictures is not None:
        figures["cameras"] = camera_figure(data, title)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
    return [f"{name}.png" for name in figures]


def camera_figure(data: Demonstrations, title: str) -> Figure:
    """What the cameras saw at the beginning, in the middle and at the end of the first episodes."""
    assert data.pictures is not None
    cameras, episodes = data.card.cameras, min(len(data), 4)
    figure = Figure(
        figsize=(1.5 * 3 * episodes + 0.4, 1.5 * len(cameras) + 0.7), layout="constrained"
    )
    axes = figure.subplots(len(cameras), 3 * episodes, squeeze=False)
    for k in range(episodes):
        first, steps = data.starts[k] + k, data.lengths[k]
        for j, step in enumerate((0, steps // 2, steps)):
            for row, camera in enumerate(cameras):
                axis = axes[row, 3 * k + j]
                axis.imshow(data.pictures[first + step, row], interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                if row == 0:
                    axis.set_title(f"episode {k}, step {step}", fontsize=7, color=INK, loc="left")
                if k == j == 0:
                    axis.set_ylabel(camera, fontsize=8, color=SOFT)
    return _titled(figure, f"{title}: what the cameras saw")


def episode_figure(data: Demonstrations, title: str) -> Figure:
    """Return and length of every episode, in the order they are stored."""
    figure = Figure(figsize=(9.0, 3.2), layout="constrained")
    place = np.arange(len(data))
    groups = [
        (data.success == 1.0, SAFE, "success"),
        (data.success == 0.0, UNSAFE, "no success"),
        (np.isnan(data.success), BEFORE, "success unknown"),
    ]
    for axis, values, name in zip(
        figure.subplots(1, 2), (data.returns, data.lengths), ("return", "length [steps]"),
        strict=True,
    ):  # fmt: skip
        _clean(axis)
        for rows, colour, label in groups:
            if rows.any():
                axis.plot(place[rows], values[rows], "o", color=colour, markersize=4, label=label)
        axis.axhline(values.mean(), color=SOFT, linewidth=0.8, linestyle="--", label="mean")
        axis.set_xlabel("episode", color=SOFT)
        axis.set_title(name, fontsize=9, color=INK, loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[0].legend(fontsize=7, frameon=False)
    return _titled(figure, f"{title}: {len(data)} episodes, {data.steps:,} steps")


def action_figure(data: Demonstrations, title: str) -> Figure:
    """A histogram per action, over its bounds where these are finite; the share at a bound is told."""
    shown = min(data.actions.shape[1], MOST_PANELS)
    figure, axes = _grid(shown)
    low, high = (bound.astype(np.float32) for bound in data.card.action_space.bounds())
    for k, axis in enumerate(axes):
        values = data.actions[:, k]
        finite = bool(np.isfinite([low[k], high[k]]).all())
        ends = (float(low[k]), float(high[k])) if finite else None
        axis.hist(
            values, bins=41, range=ends, color=SAFE, weights=np.full(len(values), 1 / len(values))
        )
        at_bound = np.mean((values == low[k]) | (values == high[k]))
        told = f", {100 * at_bound:.0f} % at a bound" if at_bound else ""
        axis.set_title(f"action {k}{told}", fontsize=8, color=INK, loc="left")
    for axis in axes[::COLUMNS]:
        axis.set_ylabel("share of steps", color=SOFT)
    return _titled(figure, f"{title}: actions, on the environment's scale{_left_out(data.actions.shape[1])}")  # fmt: skip  # noqa: E501


def observation_figure(data: Demonstrations, title: str) -> Figure:
    """A panel per slice of the layout: range (thin), 5 to 95 % (thick) and median of each number."""
    layout = data.card.layout
    figure, axes = _grid(min(len(layout), MOST_PANELS))
    first = 0
    for axis, (name, size, unit) in zip(axes, layout, strict=False):
        values = data.observations[:, first : first + size]
        first += size
        ends = np.percentile(values, (0, 5, 50, 95, 100), axis=0)
        place = np.arange(size)
        axis.vlines(place, ends[0], ends[4], color=BEFORE, linewidth=1.0)
        axis.vlines(place, ends[1], ends[3], color=SAFE, linewidth=max(1.5, min(6.0, 60.0 / size)))
        axis.plot(place, ends[2], "_", color=INK, markersize=5)
        axis.set_title(f"{name} [{unit}]", fontsize=8, color=INK, loc="left")
        axis.set_xlim(-0.7, size - 0.3)
        axis.set_xticks(place[:: max(1, size // 6)])
    what = "range (thin), 5 to 95 % (thick) and median of each number of the observation"
    return _titled(figure, f"{title}: {what}{_left_out(len(layout))}")


def coverage_figure(data: Demonstrations, title: str) -> Figure:
    """Visited states in the two directions in which standardised observations vary most."""
    seen = data.pairs()[0].astype(np.float64)
    progress = _progress(data)
    points, shares = components(seen)
    kept = np.linspace(0, len(seen) - 1, min(len(seen), POINTS)).astype(int)
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    axis = figure.subplots()
    _clean(axis)
    dots = axis.scatter(
        points[kept, 0], points[kept, 1], c=progress[kept], cmap="viridis", s=5, linewidths=0
    )
    starts = data.starts
    axis.plot(points[starts, 0], points[starts, 1], "o", markerfacecolor="none", color=UNSAFE,
              markersize=5, markeredgewidth=0.8)  # fmt: skip
    axis.set_xlabel(f"component 1 ({100 * shares[0]:.0f} % of the variance)", color=SOFT)
    axis.set_ylabel(f"component 2 ({100 * shares[1]:.0f} %)", color=SOFT)
    mark = Line2D([], [], marker="o", linestyle="", markerfacecolor="none", color=UNSAFE)
    axis.legend([mark], ["first state of an episode"], fontsize=7, frameon=False)
    figure.colorbar(dots, label="place in the episode, first to last step", pad=0.02)
    return _titled(figure, f"{title}: states, in principal components")


def components(rows: Array) -> tuple[Array, Array]:
    """Standardised rows (N, d) in their two principal directions (N, 2), whose signs are chosen so
    that each direction's largest entry is positive, and the shares (2,) of the variance."""
    spread = rows.std(axis=0)
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 1e-9, spread, 1.0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    values, vectors = np.append(values[::-1], 0.0)[:2], vectors[:, ::-1][:, :2]
    if vectors.shape[1] < 2:
        vectors = np.concatenate([vectors, np.zeros_like(vectors)], axis=1)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, [0, 1]] < 0, -1.0, 1.0)
    total = max(float((scaled**2).sum() / len(scaled)), 1e-12)
    return scaled @ vectors, np.maximum(values, 0.0) / total


def _progress(data: Demonstrations) -> Array:
    """(N,) each step's place in its episode, 0 to 1."""
    within = np.arange(data.steps) - np.repeat(data.starts, data.lengths)
    return np.asarray(within / np.maximum(np.repeat(data.lengths, data.lengths) - 1, 1))


def _grid(panels: int) -> tuple[Figure, list[Axes]]:
    columns = min(COLUMNS, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(2.9 * columns + 0.4, 1.9 * rows + 0.7), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axis in axes[panels:]:
        axis.set_visible(False)
    for axis in axes[:panels]:
        _clean(axis)
    return figure, axes[:panels]


def _left_out(panels: int) -> str:
    return "" if panels <= MOST_PANELS else f" (the first {MOST_PANELS} of {panels})"


def _clean(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(LINE)
    axis.tick_params(labelsize=7, colors=SOFT)
    axis.grid(color=LINE, linewidth=0.5)
    axis.set_axisbelow(True)


def _titled(figure: Figure, title: str) -> Figure:
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    return figure
