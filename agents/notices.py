"""Notices: what the reader of an audit must know of controller, world and episodes, in sentences."""

from __future__ import annotations

from robo_adv.agents.controllers import Controller
from robo_adv.agents.subject import Bench
from robo_adv.audit.audit import Audit
from robo_adv.audit.store import CLEAN, Cell
from robo_adv.envs.episode import World

BROKEN = {
    "diverged": "the simulation broke down (an error, or numbers that are not finite)",
    "forfeit": "the controller gave actions that are no finite numbers",
}


def before_playing(found: Controller, world: World) -> list[str]:
    """Of the controller and the world."""
    out = list(found.notes)
    if not getattr(world, "seeded", True):
        out.append("The environment ignores seeds: scenarios are not paired.")
    if not getattr(world, "varied", True):
        out.append("The environment starts alike whatever its seed: all scenarios are one.")
    if notice := getattr(world, "notice", ""):
        out.append(notice)
    return out


def after_playing(bench: Bench, found: Audit) -> list[str]:
    """Of the episodes."""
    out = []
    for told, cells in (
        ("without attack", [found.clean]),
        ("under attack", [cell for line in found.lines for cell in line.cells[1:]]),
    ):
        episodes = sum(len(cell.outcomes) for cell in cells)
        for kind, what in BROKEN.items():
            count = sum(cell.ended.count(kind) for cell in cells)
            if count:
                out.append(
                    f"In {count} of {episodes} episodes {told} {what}; they count as no success."
                )
    idle = [line.row.label for line in found.lines if line.cells and not line.cells[-1].acted]
    if idle:
        out.append(f"The schedule never let these attacks act: {', '.join(idle)}.")
    return out + _again(bench, found)


def _again(bench: Bench, found: Audit) -> list[str]:
    """Play the clean cell once more, if the controller could have a memory that nobody sees."""
    if bench.controller.kind in ("bundle", "scripted") or not bench.controller.reproducible:
        return []
    played = bench.engine.play()
    again = Cell.of(CLEAN, 0.0, played, bench.engine.subject.player, 0.0)
    if again.returns == found.clean.returns and again.length == found.clean.length:
        return []
    return [
        "The same scenarios ended otherwise when they were played again at the end: the controller or "
        "the environment keeps a memory from episode to episode, so differences between cells are not "
        "due to the threats alone."
    ]
