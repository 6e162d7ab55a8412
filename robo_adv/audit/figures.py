"""Figures of an audit's report as coordinates; the template draws them as SVG, so that text stays
text, every name is escaped, and equal numbers give equal bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit import report_words as words
from robo_adv.audit.report_tables import name
from robo_adv.safety.tail import distribution_band

Numbers = Mapping[str, Any]
WIDTH, HEIGHT = 300.0, 190.0  # of a panel, in units of its own
LEFT, RIGHT, TOP, BOTTOM = 36.0, 290.0, 10.0, 148.0
BREAK = 26.0  # room between the budget 0 and the first one on a logarithmic axis
LOG_FROM = 8.0  # budgets that span more than this ratio get a logarithmic axis
SEVERITIES = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0, math.inf)
MOST_POINTS = 200  # of a distribution that are drawn


@dataclass(frozen=True)
class Tick:
    """Attributes: at: coordinate. label: '' for a tick without a number."""

    at: float
    label: str


@dataclass(frozen=True)
class Series:
    """Attributes: kind: CSS class. line, band: SVG paths. points: where markers stand, with what
    they tell."""

    kind: str
    line: str
    band: str = ""
    points: tuple[tuple[float, float, str], ...] = ()


@dataclass(frozen=True)
class Panel:
    """One small figure.

    Attributes:
        title, note: above it. alt: its content in words. ticks: of x. x_label: with the unit.
        levels: horizontal guides; those with a kind stand for something. at: a vertical guide.
    """

    title: str
    alt: str
    ticks: tuple[Tick, ...]
    x_label: str
    series: tuple[Series, ...]
    note: str = ""
    levels: tuple[tuple[float, str], ...] = ()
    at: float | None = None
    broken: float | None = None
    heights: tuple[Tick, ...] = field(
        default_factory=lambda: tuple(Tick(up(s), f"{100 * s:g}") for s in (0.0, 0.5, 1.0))
    )


def up(share: float) -> float:
    """Where a share stands on the vertical axis."""
    return round(BOTTOM - share * (BOTTOM - TOP), 2)


def places(budgets: Sequence[float]) -> tuple[list[float], float | None]:
    """Where budgets (the first is 0) stand, and where a logarithmic axis is broken (None: linear)."""
    positive = budgets[1:]
    if len(positive) > 1 and positive[-1] / positive[0] > LOG_FROM:
        low, high = math.log(positive[0]), math.log(positive[-1])
        start = LEFT + BREAK
        rest = [start + (math.log(b) - low) / (high - low) * (RIGHT - start) for b in positive]
        return [LEFT, *(round(x, 2) for x in rest)], LEFT + BREAK / 2
    most = budgets[-1] or 1.0
    return [round(LEFT + b / most * (RIGHT - LEFT), 2) for b in budgets], None


def curves(
    rows: Sequence[Numbers], unsafe: bool = True, baseline: Mapping[str, Numbers] | None = None
) -> list[Panel]:
    """Budget curves, port by port, the strongest attack of each first.

    Args:
        unsafe: whether the unsafe share is drawn. baseline: rows of another controller by label.
    """
    ports = list(dict.fromkeys(row["port"] for row in rows))

    def rank(row: Numbers) -> tuple[int, float]:
        return ports.index(row["port"]), words.number(row["area"]["area"]["value"])

    known = baseline or {}
    return [curve(row, unsafe, known.get(str(row["label"]))) for row in sorted(rows, key=rank)]


def curve(row: Numbers, unsafe: bool = True, baseline: Numbers | None = None) -> Panel:
    """Safe success (and unsafe share) of one row over its budgets."""
    cells = row["cells"]
    budgets = [float(cell["budget"]) for cell in cells]
    only = row["port"] == "opponent" and len(budgets) == 2
    xs, broken = places(budgets) if not only else ([LEFT + 50.0, RIGHT - 50.0], None)
    series = [_series(cells, xs, "safe_success", "safe")]
    if unsafe:
        series.insert(0, _series(cells, xs, "unsafe", "unsafe"))
    if baseline and [float(c["budget"]) for c in baseline.get("cells", [])] == budgets:
        series.insert(0, _series(baseline["cells"], xs, "safe_success", "before", band=False))
    halved = row.get("halved_at")
    area = words.estimate(row["area"]["area"], digits=2)
    scale = ", logarithmic" if broken is not None else ""
    return Panel(
        title=name(row), note=f"{row['port']}, area {area}", alt=_told(row),
        ticks=tuple(_ticks(xs, ["usual", "this one"] if only else [f"{b:g}" for b in budgets])),
        x_label=words.axis(row) + scale, series=tuple(series),
        levels=((up(float(cells[0]["safe_success"]["rate"])), "clean"),),
        at=None if halved is None or only else xs[budgets.index(float(halved))], broken=broken,
    )  # fmt: skip


def _told(row: Numbers) -> str:
    each = ", ".join(
        f"{cell['budget']:g}: {words.percent(cell['safe_success']['rate'])} % "
        f"[{words.percent(cell['safe_success']['low'])}, "
        f"{words.percent(cell['safe_success']['high'])}]"
        for cell in row["cells"]
    )
    return f"{row['label']}, safe success by budget ({words.axis(row)}): {each}"


def _ticks(xs: Sequence[float], labels: Sequence[str]) -> list[Tick]:
    """Labels where there is room; the last one always has it."""
    out, free = [], math.inf
    for x, label in zip(reversed(xs), reversed(labels), strict=True):
        half = 3.2 * len(label) + 2.0
        shown = x + half <= free
        free = x - half if shown else free
        out.append(Tick(x, label if shown else ""))
    return out[::-1]


def _series(
    cells: Sequence[Numbers], xs: Sequence[float], part: str, kind: str, band: bool = True
) -> Series:
    rates = [cell[part] for cell in cells]
    points = tuple(
        (x, up(float(r["rate"])), f"{words.short(c['budget'])}: {words.rate(r)}")
        for x, r, c in zip(xs, rates, cells, strict=True)
    )
    low = [(x, up(float(r["low"]))) for x, r in zip(xs, rates, strict=True)]
    high = [(x, up(float(r["high"]))) for x, r in zip(xs, rates, strict=True)]
    closed = path([*high, *reversed(low)]) + "Z" if band else ""
    return Series(kind, path([point[:2] for point in points]), closed, points)


def path(points: Sequence[tuple[float, float]]) -> str:
    """An SVG path through points."""
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points)


def beside(severity: Any) -> Any:
    """Where severities stand: s / (1 + s) of the way, so that the limit is in the middle and an
    infinite one at the end."""
    s = np.asarray(severity, dtype=np.float64)
    share = np.where(np.isinf(s), 1.0, s / (1.0 + np.where(np.isinf(s), 0.0, s)))
    return np.round(LEFT + share * (RIGHT - LEFT), 2)


def severity(
    title: str, attacked: npt.NDArray[Any], clean: npt.NDArray[Any], note: str = ""
) -> Panel:
    """Share of episodes worse than each severity (n,), under attack and without, with DKW bands."""
    above = float((attacked > 1.0).mean())
    return Panel(
        title=title, note=note, x_label="severity (1: at the limit)",
        alt=f"{title}: {words.percent(above)} % of episodes under attack exceed the limit, "
        f"{words.percent(float((clean > 1.0).mean()))} % without attack",
        ticks=tuple(Tick(float(beside(s)), words.short(s)) for s in SEVERITIES),
        series=(_exceedance(clean, "before"), _exceedance(attacked, "unsafe")),
        at=float(beside(1.0)),
    )  # fmt: skip


def _exceedance(values: npt.NDArray[Any], kind: str) -> Series:
    x, share, low, high = distribution_band(values)
    last = np.r_[x[1:] != x[:-1], True]  # one step per distinct value
    x, share, low, high = (array[last] for array in (x, share, low, high))
    if len(x) > MOST_POINTS:
        kept = np.linspace(0, len(x) - 1, MOST_POINTS).round().astype(int)
        x, share, low, high = (array[kept] for array in (x, share, low, high))
    at = beside(x)
    line = _steps(at, 1.0 - share, 1.0)
    upper, lower = _steps(at, 1.0 - low, 1.0), _steps(at, 1.0 - high, float(low[-1]))
    return Series(kind, path(line), path([*upper, *reversed(lower)]) + "Z")


def _steps(
    at: npt.NDArray[Any], share: npt.NDArray[Any], first: float
) -> list[tuple[float, float]]:  # fmt: skip
    """Corners of a falling step function that is `first` left of the first value."""
    corners, now = [(LEFT, up(first))], first
    for x, after in zip(at.tolist(), share.tolist(), strict=True):
        corners += [(x, up(now)), (x, up(after))]
        now = after
    return [*corners, (RIGHT, up(now))]
