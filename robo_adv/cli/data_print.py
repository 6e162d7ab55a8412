"""What a set of demonstrations holds, on a few lines."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robo_adv.cli.tables import number
from robo_adv.imitation.demonstration_card import FileCard, Recording, Statistics
from robo_adv.imitation.demonstrations import Demonstrations
from robo_adv.safety.statistics import Rate

MOST_ACTIONS = 12  # that are printed one by one


def result_of(told: Statistics) -> tuple[str, str]:
    """Return and success in words."""
    success = str(Rate(told.successes, told.judged)) if told.judged else "unknown"
    return f"{number(told.return_mean)} ± {number(told.return_std)}", success


def brief(card: FileCard) -> dict[str, Any]:
    """A card as JSON values, without the arrays' hashes."""
    told: dict[str, Any] = json.loads(card.model_dump_json(exclude={"arrays", "provenance"}))
    return told


def told_of(recording: Recording) -> str:
    """How many scenarios were played, and what was thrown away and why; '' for imported sets."""
    if not recording.played:
        return ""
    counts = {"failed": recording.failed, "diverged": recording.diverged,
              "forfeited": recording.forfeited}  # fmt: skip
    why = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    thrown = f", {recording.thrown_away} thrown away ({why})" if why else ", none thrown away"
    return f"{recording.played} scenarios from seed {recording.first_seed:,}{thrown}"


def print_set(console: Console, found: Demonstrations, name: str) -> None:
    """A set's numbers, its actions, and what must be known of it."""
    card, told = found.card, found.statistics()
    result, success = result_of(told)
    options = " ".join(f"{k}={v}" for k, v in card.options.items())
    pictures = f"{card.camera_size} x {card.camera_size} of {', '.join(card.cameras)}"
    rows = {
        "world": f"{card.player} in {card.game} {options}".rstrip(),
        "demonstrator": " ".join(
            [card.demonstrator.name, *(f"against {other}" for other in card.others.values())]
        ),
        "episodes": f"{len(found)}, {found.steps:,} steps; {told.length_min} to {told.length_max} each",
        "return": f"{result} ({number(told.return_min)} to {number(told.return_max)})",
        "success [95 %]": f"{success} {card.recording.success}".rstrip(),
        "recorded": told_of(card.recording) or "elsewhere",
        "ends": f"{int(found.terminations.sum())} terminated, "
        f"{int((found.truncations & ~found.terminations).sum())} cut off",
        "observations": f"{card.observation_space.size}: "
        + " ".join(f"{part}({size})" for part, size, _ in card.layout),
        **({"pictures": pictures} if card.cameras else {}),
        "sha256": found.digest[:16],
    }
    table = Table(box=None, show_header=False, title=name, title_justify="left")
    for label, text in rows.items():
        table.add_row(label, escape(text))
    console.print(table)
    _print_actions(console, found)
    for made in card.corruption:
        settings = " ".join(f"{k}={v}" for k, v in made.settings.items() if k != "sha256")
        console.print(
            f"corrupted: {made.kind}, {settings}, seed {made.seed}: {made.changed_steps:,} steps of "
            f"{made.changed_episodes} episodes changed"
        )
    for note in (*card.demonstrator.notes, *card.notes):
        console.print(escape(note))


def _print_actions(console: Console, found: Demonstrations) -> None:
    table = Table("action", "bounds", "mean", "std", "min", "max", "at a bound", box=None)
    low, high = (bound.astype(np.float32) for bound in found.card.action_space.bounds())
    for k in range(min(found.actions.shape[1], MOST_ACTIONS)):
        values = found.actions[:, k]
        share = float(np.mean((values == low[k]) | (values == high[k])))
        numbers = [number(float(f(values))) for f in (np.mean, np.std, np.min, np.max)]
        ends = escape(f"[{low[k]:.3g}, {high[k]:.3g}]")
        table.add_row(str(k), ends, *numbers, f"{100 * share:.0f} %")
    console.print(table)
    if found.actions.shape[1] > MOST_ACTIONS:
        console.print(f"and {found.actions.shape[1] - MOST_ACTIONS} more actions")
