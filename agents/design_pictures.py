"""Pictures of a design run: what levels there were over training, rendered and as numbers, and a film
of protagonist and antagonist on the same levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from robo_adv.agents.design import DesignConfig, name_of, read_record, space_of
from robo_adv.agents.level_pictures import INK, SAFE, SOFT, UNSAFE, plain_axis, save
from robo_adv.agents.named import find_bundle
from robo_adv.agents.protagonist import bind
from robo_adv.envs.game import make_game
from robo_adv.errors import DependencyError, RoboAdvError
from robo_adv.levels import DesignSpace, Level, Parameter
from robo_adv.levels.feasible import values_of
from robo_adv.rollout import REPORTED, Episodes, play, scenarios
from robo_adv.runs import Run
from robo_adv.video import LineUp, Recording, record

Array = npt.NDArray[Any]
COLUMNS = 4
MOMENTS = 4  # rows of the gallery: when in training
EACH = 5  # levels per moment
BINS = 24  # of training, for the distributions
FILMED = 3  # levels of the film
CANDIDATES = 24  # levels that it is chosen from
_NUMBERS = (("regret", "return"), ("level_score", ""), ("diversity", "of uniform levels"),
            ("repaired_rate", "of levels"))  # fmt: skip


def pictures(run: Run, config: DesignConfig) -> list[str]:
    """Write what a run can show into its folder: `progress.png`, `parameters.png` and, where pictures
    can be rendered, `levels.png`; the names of the files.

    Raises:
        RoboAdvError: the run has no finished round.
    """
    rounds, space = read_record(run), space_of(config)
    if not rounds:
        raise RoboAdvError(f"{run.folder} has no finished round yet: there is nothing to show")
    title = f"{config.generator} on {config.game}, seed {config.seed}"
    made = {
        "progress.png": progress_figure(run.metrics(), title),
        "parameters.png": parameter_figure(rounds, space, title),
    }
    with suppress(DependencyError):  # nothing can be rendered here
        made["levels.png"] = gallery(rounds, space, config, title)
    for name, figure in made.items():
        save(figure, run.folder / name)
    return list(made)


def progress_figure(metrics: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Success of the students on the levels they learned from, and what the generator tells."""
    panels = [(n, unit) for n, unit in _NUMBERS if any(n in line for line in metrics)]
    figure = Figure(figsize=(3.4 * (1 + len(panels)), 2.9), layout="constrained")
    axes = figure.subplots(1, 1 + len(panels), squeeze=False)[0]
    learned = [line for line in metrics if line.get("learned", 1.0)]
    for k, colour in enumerate((SAFE, UNSAFE, SOFT)):
        key = f"success_{name_of(k)}"
        if learned and key in learned[0]:
            _line(axes[0], learned, key, colour, name_of(k))
    chosen = [line for line in metrics if "selection_success_rate" in line]
    axes[0].plot(
        [line["steps"] for line in chosen], [line["selection_success_rate"] for line in chosen],
        "o", color=INK, markersize=3.5, label="protagonist, uniform levels",
    )  # fmt: skip
    axes[0].set_ylim(-0.03, 1.03)
    axes[0].set_title("success on the levels played", fontsize=9, color=INK, loc="left")
    axes[0].legend(fontsize=7, frameon=False)
    for axis, (name, unit) in zip(axes[1:], panels, strict=True):
        _line(axis, [line for line in metrics if name in line], name, SAFE)
        words = name.replace("_", " ") + (f" [{unit}]" if unit else "")
        axis.set_title(words, fontsize=9, color=INK, loc="left")
    for axis in axes:
        plain_axis(axis)
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlabel("environment steps of all students", fontsize=8, color=SOFT)
    figure.suptitle(title, fontsize=10, color=INK, x=0.01, ha="left")
    return figure


def _line(
    axis: Axes, lines: Sequence[Mapping[str, Any]], key: str, colour: str, label: str = ""
) -> None:
    """A metric over steps, thin, and its running mean."""
    steps = np.array([line["steps"] for line in lines])
    values = np.array([float(line[key]) for line in lines])
    axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
    wide = max(1, len(values) // 20)
    smooth = np.convolve(values, np.ones(wide) / wide, mode="valid")
    axis.plot(steps[wide - 1 :], smooth, color=colour, linewidth=1.7, label=label or None)


def parameter_figure(rounds: Sequence[Mapping[str, Any]], space: DesignSpace, title: str) -> Figure:
    """A panel per parameter: where the levels that the protagonist learned from lay, over training
    (median, quartiles and deciles of each of `BINS` parts)."""
    learned = [line for line in rounds if line["learn"]] or list(rounds)
    last = max(int(line["steps"]) for line in learned)
    parts: list[list[Array]] = [[] for _ in range(BINS)]
    for line in learned:
        part = min(int(BINS * (line["steps"] - 1) / last), BINS - 1)
        parts[part].append(np.array(line["points"][0]))
    kept = [(k, np.concatenate(part)) for k, part in enumerate(parts) if part]
    steps = np.array([(k + 0.5) / BINS * last for k, _ in kept])
    values = [values_of(space, points) for _, points in kept]
    columns = min(COLUMNS, len(space))
    figure = Figure(
        figsize=(3.1 * columns, 1.9 * -(-len(space) // columns) + 0.7), layout="constrained"
    )
    axes = figure.subplots(-(-len(space) // columns), columns, squeeze=False).ravel()
    for axis, parameter in zip(axes, space, strict=False):
        found = [value[parameter.name] for value in values]
        _bands(axis, steps, found, parameter)
    for axis in axes[len(space) :]:
        axis.set_visible(False)
    figure.suptitle(
        f"{title}: levels learned from, over environment steps\nmedian, quartiles, deciles; dotted: "
        "nominal; the axis spans the range",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def _bands(axis: Axes, steps: Array, found: Sequence[Array], parameter: Parameter) -> None:
    shares = np.array([np.quantile(x, (0.1, 0.25, 0.5, 0.75, 0.9)) for x in found]).T
    axis.fill_between(steps, shares[0], shares[4], color=SAFE, alpha=0.12, linewidth=0)
    axis.fill_between(steps, shares[1], shares[3], color=SAFE, alpha=0.22, linewidth=0)
    axis.plot(steps, shares[2], color=SAFE, linewidth=1.5)
    low, high, nominal = parameter.low, parameter.high, parameter.nominal
    if parameter.kind == "choice":
        low, high = 0.0, len(parameter.options) - 1.0
        nominal = float(parameter.options.index(str(nominal)))
        axis.set_yticks(range(len(parameter.options)), parameter.options, fontsize=6)
    if parameter.kind == "log":
        axis.set_yscale("log")
        axis.minorticks_off()
        axis.set_yticks(
            [low, float(nominal), high], [f"{v:g}" for v in (low, float(nominal), high)]
        )
    axis.set_ylim(low, high if high > low else low + 1.0)
    axis.axhline(float(nominal), color=SOFT, linestyle=":", linewidth=1.0)
    unit = f" [{parameter.unit}]" if parameter.unit not in ("", "1") else ""
    axis.set_title(parameter.name + unit, fontsize=8, color=INK, loc="left")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    plain_axis(axis)


def gallery(
    rounds: Sequence[Mapping[str, Any]], space: DesignSpace, config: DesignConfig, title: str
) -> Figure:
    """Rendered levels that the protagonist learned from: a row per moment of training, levels from
    where it fared best to where it fared worst."""
    learned = [line for line in rounds if line["learn"]] or list(rounds)
    rows = np.unique(np.linspace(0, len(learned) - 1, MOMENTS).round().astype(int))
    game = make_game(config.game, 1, threads=1, **config.options)
    figure = Figure(figsize=(2.5 * EACH, 2.15 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots(len(rows), EACH, squeeze=False)
    try:
        for line_of, row in zip(axes, rows, strict=True):
            shown, rates = spread(learned[row])
            for axis in line_of:
                axis.set_axis_off()
            for axis, u, rate in zip(line_of, shown, rates, strict=False):
                game.reset([REPORTED], levels=[space.decode(u)])
                axis.imshow(game.render(0, 400, 300))
                axis.set_title(f"success {100 * rate:.0f} %", fontsize=8, color=INK, loc="left")
            steps = f"{int(learned[row]['steps']):,} steps, {learned[row]['source']}"
            line_of[0].set_title(
                f"{steps}\n{line_of[0].get_title(loc='left')}", fontsize=8, color=INK, loc="left"
            )
    finally:
        game.close()
    figure.suptitle(
        f"{title}: levels learned from; the protagonist fared best on the left",
        fontsize=10, color=INK, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def spread(line: Mapping[str, Any]) -> tuple[list[Array], list[float]]:
    """Points (P,) of a round, evenly from the protagonist's best to its worst, and its success."""
    points, success = np.array(line["points"][0]), np.array(line["success"][0])
    order = np.lexsort((-np.array(line["returns"][0]), -success))
    picked = order[np.unique(np.linspace(0, len(order) - 1, EACH).round().astype(int))]
    return [points[i] for i in picked], [float(success[i]) for i in picked]


def telling(rounds: Sequence[Mapping[str, Any]], space: DesignSpace, count: int) -> list[Level]:
    """The levels of the last tenth of training on which antagonist and protagonist differ most.

    Raises:
        RoboAdvError: the run has one student.
    """
    late = [line for line in rounds[-max(1, len(rounds) // 10) :] if len(line["returns"]) > 1]
    if not late:
        raise RoboAdvError(
            "the film shows protagonist and antagonist, and this run has one student; record its "
            "controller with `robo-adv video`"
        )
    found = [
        (float(line["returns"][1][j] - line["returns"][0][j]), point)
        for line in late
        if len(line["points"]) == 1
        for j, point in enumerate(line["points"][0])
    ]
    found.sort(key=lambda pair: -pair[0])
    return [space.decode(point) for _, point in found[:count]]


def apart(protagonist: Episodes, antagonist: Episodes, player: str) -> Array:
    """Rows (n,) of the same scenarios, first those that the antagonist alone won, then by its lead."""
    alone = antagonist.won(player).astype(int) - protagonist.won(player)
    return np.lexsort((protagonist.returns[player] - antagonist.returns[player], -alone))


def film(run: Run, config: DesignConfig, path: Path, **look: Any) -> Recording:
    """Protagonist and antagonist side by side, as they act without exploring, on those of the
    `telling` levels where they differ most.

    Raises:
        RoboAdvError: as `telling`, or the run has no checkpoint. DependencyError: nothing can be
            rendered here.
    """
    levels = telling(read_record(run), space_of(config), CANDIDATES)
    seeds = scenarios(REPORTED, len(levels))
    others = bind(config.game, config.options, config.player, config.opponents)
    names = dict.fromkeys(others, ", ".join(config.opponents))
    last = run.folder / "checkpoints" / "last"
    lineups = [
        LineUp(
            name, {**others, config.player: find_bundle(str(folder)).policy},
            {**names, config.player: name},
        )
        for name, folder in (
            (name_of(0), last), (name_of(1), last.with_name(f"{last.name}-{name_of(1)}"))
        )
    ]  # fmt: skip
    game = make_game(config.game, len(levels), threads=1, **config.options)
    try:
        both = [play(game, lineup.policies, seeds, levels) for lineup in lineups]
    finally:
        game.close()
    shown = apart(both[0], both[1], config.player)[:FILMED]
    return record(
        path, lambda n: make_game(config.game, n, threads=1, **config.options), lineups,
        [int(seeds[j]) for j in shown], levels=[levels[j] for j in shown], **look,
    )  # fmt: skip
