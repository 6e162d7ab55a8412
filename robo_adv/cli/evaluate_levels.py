"""`robo-adv evaluate CONTROLLER --levels ...`: success over suites of levels, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from robo_adv.agents.generalisation import (
    LevelsConfig,
    Played,
    generalise,
    prepare,
    suites_of,
    summary,
)
from robo_adv.agents.level_report import write_level_report
from robo_adv.cli.options import parse_options
from robo_adv.cli.tables import number
from robo_adv.cli.verb import Outcome
from robo_adv.errors import RoboAdvError
from robo_adv.levels.suite_files import about
from robo_adv.levels.suites import told
from robo_adv.runs import Run, write_text

if TYPE_CHECKING:
    from robo_adv.cli.evaluate import Evaluate

SAID = {
    "diverged": "diverged; they count as no success",
    "impossible": "had no clear place for a start or goal; they count as they ended",
}
LEVELS = ("levels", "map", "grid", "episodes_per_level")  # options that belong to levels
BOTH = ("policy", "player", "game", "set", "opponents", "runs", "json", *LEVELS)


def evaluate_levels(verb: Evaluate, console: Console) -> Outcome:
    """Play the suites; a run folder with summary.json, levels/*.json, pictures and report.html.

    Raises:
        RoboAdvError: options that do not go with levels, unknown suites or parameters, broken files.
    """
    config = config_of(verb)
    bench = prepare(config)
    suites = suites_of(config, bench)
    for suite in suites:
        suite.seeds(config.episodes or suite.episodes)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("levels")

        def tell(done: int, total: int, name: str) -> None:
            shown.update(task, completed=done, total=total, description=name)

        played = generalise(config, bench, suites, tell)
    run = Run.create(bench.world.id, "levels", verb, 0, verb.runs)
    data = {**summary(config, bench, played), "command": run.command}
    for one in played:
        text = json.dumps(one.to_json()) + "\n"
        write_text(run.folder / "levels" / f"{one.suite.name}.json", text)
    write_level_report(run.folder, data, played, bench.space)
    run.finish(data)
    bench.world.close()
    title = f"{config.controller} as {bench.player}" + (
        f" against {bench.opponent}" if bench.opponent else ""
    )
    print_levels(console, title, data, played)
    return Outcome(data, run.folder, _next(verb, data))


def config_of(verb: Evaluate) -> LevelsConfig:
    """The verb's options, as far as they are about levels.

    Raises:
        RoboAdvError: an option that levels have not, or no pairs of parameters.
    """
    for field in fields(verb):
        if field.name not in BOTH and getattr(verb, field.name) != field.default:
            raise RoboAdvError(
                f"--{field.name.replace('_', '-')} does not go with --levels and --map, which have "
                "scenarios of their own (--episodes-per-level says how many); leave it out"
            )
    if len(verb.map) % 2:
        raise RoboAdvError(
            f"--map takes pairs of parameters, got {' '.join(verb.map)}; for example "
            "--map action_delay actuator_gain"
        )
    if len(verb.opponents) > 1:
        raise RoboAdvError(
            f"levels are played against one opponent, got {' '.join(verb.opponents)}; run it once for "
            "each"
        )
    if verb.grid < 2:
        raise RoboAdvError(f"--grid is at least 2 points each way, got {verb.grid}")
    if verb.episodes_per_level is not None and verb.episodes_per_level < 1:
        raise RoboAdvError(f"--episodes-per-level is at least 1, got {verb.episodes_per_level}")
    return LevelsConfig(
        verb.policy, verb.levels, tuple(zip(verb.map[::2], verb.map[1::2], strict=True)), verb.grid,
        (verb.game or "").removeprefix("robo_adv/"), parse_options(verb.set), verb.player or "",
        "".join(verb.opponents), verb.episodes_per_level or 0,
    )  # fmt: skip


def print_levels(
    console: Console, title: str, data: Mapping[str, Any], played: Sequence[Played]
) -> None:
    """One line per suite, then the levels of small suites and the worst points of sweeps."""
    columns = ("suite", "levels", "episodes each", "success [95 %]", "worst 10 %", "worst 1 %",
               "solved", "unsafe", "return")  # fmt: skip
    table = Table(*columns, title=title, title_justify="left", box=None)
    for one, told_of in zip(played, data["suites"], strict=True):
        found = told_of["measures"]
        table.add_row(
            told_of["name"], about(one.suite), str(told_of["episodes"]), percent(found["mean"]),
            *(percent(found.get(name)) for name in ("cvar10", "cvar1", "solved")),
            percent(told_of["unsafe"]), number(told_of["return"]["value"]),
        )  # fmt: skip
    console.print(table)
    for one, told_of in zip(played, data["suites"], strict=True):
        if "sweeps" in told_of:
            _print_sweeps(console, told_of)
        elif not one.suite.drawn and not any(one.suite.varied) and 1 < len(one.suite) <= 20:
            _print_few(console, one)
    for told_of in data["suites"]:
        for what in ("diverged", "impossible"):
            if told_of[what]:
                total = told_of["levels"] * told_of["episodes"]
                console.print(
                    f"{told_of['name']}: {told_of[what]} of {total} episodes {SAID[what]}"
                )
    for notice in data["notices"]:
        console.print(notice)


def _print_few(console: Console, one: Played) -> None:
    table = Table("level", "success [95 %]", "unsafe %", "what it is", title=one.suite.name,
                  title_justify="left", box=None)  # fmt: skip
    for j, label in enumerate(one.suite.labels):
        note = one.suite.notes[j] if one.suite.notes else ""
        table.add_row(label, str(one.rate(j)), f"{100 * one.unsafe[j].mean():.0f}", note)
    console.print(table)


def _print_sweeps(console: Console, told_of: Mapping[str, Any]) -> None:
    """The worst first; chosen on one half of the episodes, measured on the other."""
    table = Table("parameter", "worst at", "success there [95 %]", title_justify="left", box=None,
                  title="sweeps: the worst point of each parameter, the others nominal")  # fmt: skip
    for name, point in sorted(told_of["sweeps"].items(), key=lambda item: float(item[1]["rate"])):
        table.add_row(name, told(point["worst_at"]), percent({**point, "value": point["rate"]}))
    console.print(table)


def percent(found: Mapping[str, Any] | None) -> str:
    """An interval in percent; '' for none."""
    if found is None:
        return ""
    value, low, high = (100 * float(found[name]) for name in ("value", "low", "high"))
    return f"{value:.1f} [{low:.1f}, {high:.1f}] %"


def _next(verb: Evaluate, data: Mapping[str, Any]) -> str:
    """The two parameters that break it most on a map, or the sweeps that find them."""
    same = [f"--game {verb.game}"] if verb.game else []
    same += [f"--set {' '.join(verb.set)}"] if verb.set else []
    swept: Mapping[str, Any] = next((s["sweeps"] for s in data["suites"] if s.get("sweeps")), {})
    if len(swept) > 1 and not verb.map:
        pair = sorted(swept, key=lambda name: float(swept[name]["rate"]))[:2]
        return " ".join(["robo-adv evaluate", verb.policy, *same, "--map", *pair])
    if not swept:
        return " ".join(["robo-adv evaluate", verb.policy, *same, "--levels sweeps"])
    return " ".join(["robo-adv audit", verb.policy, *same]).replace("--game", "--env")
