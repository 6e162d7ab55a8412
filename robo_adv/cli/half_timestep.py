"""`robo-adv evaluate --half-timestep`: do the numbers depend on the physics timestep?

Contact forces of a simulation do: a stiff contact resolved by half as long steps gives other peaks. The
same scenarios are played with the game's `refine` doubled (timestep divided by it, substeps
multiplied), and what changes is printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table

from robo_adv.agents.evaluation import Row, World
from robo_adv.cli.tables import number, paired
from robo_adv.envs.game import GAMES
from robo_adv.errors import RoboAdvError

OPTION = "refine"
FORCE = "N"


def halved(world: World) -> World:
    """The same world with half the physics timestep.

    Raises:
        RoboAdvError: the game has no option that divides its timestep.
    """
    known = {f.name: f.default for f in fields(GAMES[world.game].Options)}
    if OPTION not in known:
        has = f"its options are {', '.join(known)}" if known else "it has no options"
        raise RoboAdvError(
            f"--half-timestep needs a game with the option {OPTION!r}, {world.game} has none ({has}); "
            "leave it out"
        )
    refine = world.options.get(OPTION, known[OPTION])
    if isinstance(refine, bool) or not isinstance(refine, int):
        raise RoboAdvError(f"option {OPTION!r} is a whole number, got {refine!r}")
    return World(world.game, {**world.options, OPTION: 2 * refine})


def compare(row: Row, finer: Row) -> dict[str, Any]:
    """What half the timestep changes, as JSON values: wins of both, and every force.

    Ratios are those of half the timestep to the whole one; None where the latter is 0.
    """
    won, again = (r.episodes.won(r.player) for r in (row, finer))
    costs, finer_costs = (r.episodes.costs[r.player] for r in (row, finer))
    forces = {}
    for name in costs:
        if row.episodes.units.get(name) != FORCE:
            continue
        values: dict[str, Any] = {}
        for measure in ("mean", "max"):
            whole, half = (float(getattr(c[name], measure)()) for c in (costs, finer_costs))
            ratio = half / whole if whole else None
            values[measure] = {"whole": whole, "half": half, "ratio": ratio}
        forces[name] = values
    rate = "success_rate" if row.episodes.alone else "win_rate"
    return {
        "opponent": row.opponent or None,
        "mask": row.mask,
        rate: {
            "whole": row.episodes.win_rate(row.player).to_json(),
            "half": finer.episodes.win_rate(row.player).to_json(),
            "gained": int((again & ~won).sum()),
            "lost": int((won & ~again).sum()),
        },
        "forces": forces,
    }


def print_comparison(console: Console, timestep: float, rows: Sequence[Row], finer: Sequence[Row]) -> None:  # fmt: skip  # noqa: E501
    """One table per row: success (or wins) and forces at `timestep` [s] and at half of it."""
    for row, fine in zip(rows, finer, strict=True):
        told, name = compare(row, fine), "success" if row.episodes.alone else "wins"
        rate = told["success_rate" if row.episodes.alone else "win_rate"]
        table = Table(
            "measure", f"{1000 * timestep:g} ms", f"{500 * timestep:g} ms", "change or ratio",
            title=f"half the physics timestep {row.label}", title_justify="left", box=None,
        )  # fmt: skip
        change = paired(rate["gained"], rate["lost"], len(row.episodes))
        both = [str(r.episodes.win_rate(r.player)) for r in (row, fine)]
        table.add_row(name, *both, change)
        for cost, measures in told["forces"].items():
            for measure, value in measures.items():
                ratio = "-" if value["ratio"] is None else f"x {value['ratio']:.3f}"
                table.add_row(
                    f"{cost}, {measure} [{FORCE}]", number(value["whole"]), number(value["half"]),
                    ratio,
                )  # fmt: skip
        console.print(table)
        if not told["forces"]:
            console.print(f"none of the game's costs is a force [{FORCE}]")
