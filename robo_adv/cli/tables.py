"""Tables of an evaluation, in words that fit the game: wins against opponents, or success."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from robo_adv.agents.evaluation import Row
from robo_adv.rollout import Episodes
from robo_adv.safety.statistics import mcnemar


def print_rows(console: Console, title: str, rows: Sequence[Row]) -> None:
    """One line per opponent and mask; for a game of one player one line per measure."""
    if rows[0].episodes.alone:
        for row in rows:
            parts = (title, f"{len(row.episodes)} scenarios", row.label)
            _print_alone(console, ", ".join(part for part in parts if part), row)
    else:
        _print_against(console, title, rows)


def _print_against(console: Console, title: str, rows: Sequence[Row]) -> None:
    """Win rates; changes are against the first row, paired by scenario."""
    table = Table("opponent", "mask", "win rate [95 %]", "change, p", "collision N (mean, max)",
                  title=title, title_justify="left", box=None)  # fmt: skip
    first = rows[0].episodes.won(rows[0].player)
    for row in rows:
        won = row.episodes.won(row.player)
        change = "" if row is rows[0] else paired(int((won & ~first).sum()), int((first & ~won).sum()), len(won))  # fmt: skip  # noqa: E501
        force = row.episodes.costs[row.player].get("collision_force")
        cost = "" if force is None else f"{force.mean():.1f}, {force.max():.0f}"
        table.add_row(row.opponent, row.mask, str(row.episodes.win_rate(row.player)), change, cost)
    console.print(table)


def paired(gained: int, lost: int, total: int) -> str:
    """A change of a rate in percent with its p-value, from the paired episodes that differ."""
    return f"{100 * (gained - lost) / total:+.1f}, p {mcnemar(gained, lost):.2g}"


def _print_alone(console: Console, title: str, row: Row) -> None:
    """Success, and every cost: the share of episodes that violate it, its mean and its maximum."""
    episodes, player = row.episodes, row.player
    table = Table("measure", "episodes [95 %]", "mean", "max", "unit",
                  title=title, title_justify="left", box=None)  # fmt: skip
    if row.has_wins:
        table.add_row("success", str(episodes.win_rate(player)))
    else:
        found = row.mean_return
        ends = f" [{number(found.low)}, {number(found.high)}]"
        table.add_row("return [95 %]", "", number(found.value) + ends)
    for name, value in episodes.costs[player].items():
        table.add_row(
            f"{name} > 0", str(episodes.violation_rate(player, name)), number(value.mean()),
            number(value.max()), episodes.units.get(name, ""),
        )  # fmt: skip
    console.print(table)
    for trouble in _troubles(episodes):
        console.print(trouble)


def _troubles(episodes: Episodes) -> list[str]:
    counts = {"diverged": episodes.diverged.sum(), "forfeited": episodes.forfeit.sum()}
    return [
        f"{count} of {len(episodes)} episodes {name}; they count as no success"
        for name, count in counts.items()
        if count
    ]


def number(value: float) -> str:
    """Three significant digits, without an exponent where a reader would have to think."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
