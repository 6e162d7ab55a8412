"""The section of an audit's report on certificates: bounds of the action beside what attacks reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robo_adv.audit import report_words as words
from robo_adv.audit.figures import Panel, Series, Tick, path, places, up

Numbers = Mapping[str, Any]
METHOD = (
    "Bounds: CROWN (Zhang et al. 2018) with interval bounds, the tighter of both, of the controller's "
    "network as it is computed in single precision, normalisation and clip included, after the "
    "action is clipped to its range. They hold for every attack within the budget, in the sampled "
    "states; what a chain of changed actions leads to they do not say. Attacks beside them: PGD on the "
    "action difference, and gradient ascent and descent of each single action, 20 steps. The true "
    "worst change lies between the two curves."
)

SHARES = {
    "half_width": "bound, half width [%]", "change": "certified change, mean [%]",
    "change_most": "largest [%]", "found": "change found, mean [%]", "found_most": "largest [%]",
    "vacuous": "vacuous [%]",
}  # fmt: skip


def certified(summary: Numbers) -> dict[str, Any] | None:
    """The section; None without `certificates`."""
    found: Sequence[Numbers] = summary.get("certificates") or []
    reward: Sequence[Numbers] = summary.get("smoothing") or []
    if not found and not reward:
        return None
    bounded = [kind for kind in found if not kind.get("why_not")]
    return {
        "told": [sentence(kind) for kind in found],
        "lines": [_line(kind, cell) for kind in bounded for cell in kind["budgets"]],
        "panels": [panel(kind) for kind in bounded], "method": METHOD if bounded else "",
        "rewards": [_reward(kind) for kind in reward],
    }  # fmt: skip


def sentence(kind: Numbers) -> str:
    """Up to which budget the bounds of one kind of threat say something."""
    what = f"{words.axis(kind)} ({kind['norm']})".capitalize()
    if why := kind.get("why_not"):
        return f"{what}: nothing is certified, since {why}."
    useful = [cell for cell in kind["budgets"] if cell["vacuous"] < 1.0]
    if not useful:
        return f"{what}: vacuous at every budget; in no sampled state is any action ruled out."
    sound = [cell for cell in useful if cell["vacuous"] == 0.0]
    cell = sound[-1] if sound else useful[0]
    told = (
        f"{what}: at {words.brief(kind, cell['budget'])} no action of {cell['states']} states changes "
        f"by more than {words.percent(cell['change_most'])}{words.GAP}% of its range"
    )
    if not sound:
        share = f"{words.percent(cell['vacuous'])}{words.GAP}%"
        told = f"{what}: already at {words.brief(kind, cell['budget'])} vacuous for {share}"
    empty = [cell for cell in kind["budgets"] if cell["vacuous"] == 1.0]
    tail = f"; wholly vacuous from {words.brief(kind, empty[0]['budget'])} on" if empty else ""
    return f"{told}{tail}."


def _line(kind: Numbers, cell: Numbers) -> dict[str, Any]:
    return {
        "norm": kind["norm"], "budget": cell["budget"], "rows": ", ".join(kind["rows"]),
        "told": words.brief(kind, cell["budget"]),
        "shares": [
            {"name": told, "value": cell[name], "text": words.percent(cell[name])}
            for name, told in SHARES.items()
        ],
        "says": says(cell["vacuous"]),
    }  # fmt: skip


def says(vacuous: float) -> str:
    """What a share of vacuous bounds is called."""
    if vacuous == 1.0:
        return "vacuous"
    return "" if vacuous == 0.0 else "partly vacuous"


def panel(kind: Numbers) -> Panel:
    """Mean change of an action over the budgets: certified above, found by attacks below."""
    cells = kind["budgets"]
    xs, broken = places([0.0, *(float(cell["budget"]) for cell in cells)])
    labels = ["0", *(f"{cell['budget']:g}" for cell in cells)]
    scale = ", logarithmic" if broken is not None else ""
    each = ", ".join(
        f"{cell['budget']:g}: certified {words.percent(cell['change'])} %, found "
        f"{words.percent(cell['found'])} %"
        for cell in cells
    )
    return Panel(
        title=f"Change of an action, {kind['norm']}",
        note=f"mean of {cells[0]['states']} states, {cells[0]['actions']} actions",
        alt=f"Change of an action in percent of its range by budget ({words.axis(kind)}): {each}",
        ticks=tuple(Tick(x, label) for x, label in zip(xs, labels, strict=True)),
        x_label=words.axis(kind) + scale, broken=broken,
        series=(_series(cells, xs, "change", "safe"), _series(cells, xs, "found", "unsafe")),
    )  # fmt: skip


def _series(cells: Sequence[Numbers], xs: Sequence[float], part: str, kind: str) -> Series:
    told = [f"{words.short(c['budget'])}: {words.percent(c[part])}{words.GAP}%" for c in cells]
    heights = [up(0.0), *(up(float(cell[part])) for cell in cells)]
    points = tuple(zip(xs, heights, ["0", *told], strict=True))
    return Series(kind, path([point[:2] for point in points]), "", points)


def _reward(kind: Numbers) -> dict[str, Any]:
    """What smoothing certifies of returns, for the template."""
    return {
        "norm": kind["norm"], "axis": words.axis(kind), "told": kind["told"],
        "sigma": words.short(kind["sigma"]), "steps": kind["steps"],
        "episodes": kind["episodes"], "clean": words.short(kind["clean"]),
        "safe": words.rate(kind["safe_success"]),
        "quantile": "median" if kind["quantile"] == 0.5 else f"{kind['quantile']:g} quantile",
        "lines": [
            {
                "budget": cell["budget"], "told": words.brief(kind, cell["budget"]),
                "shift": words.short(cell["shift"]),
                "value": "vacuous" if cell["vacuous"] else words.short(cell["return"], 4),
                "safe": words.percent(cell["safe_success"]),
            }
            for cell in kind["budgets"]
        ],
    }  # fmt: skip
