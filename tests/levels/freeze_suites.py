"""Freezes the digests of all suites: run it when a design space changed on purpose.

Usage: python tests/levels/freeze_suites.py
"""

from __future__ import annotations

import json
from typing import Any

from robo_adv.envs.game import GAMES, make_game
from robo_adv.levels.suite_files import DIGESTS, digests, has_presets
from robo_adv.runs import write_text

OBSTACLES = ("Reach-v0", "Push-v0", "KickAndDefend-v0")


def variants() -> list[tuple[str, dict[str, Any]]]:
    """Games and options whose suites are frozen."""
    games: list[tuple[str, dict[str, Any]]] = [(g, {}) for g in GAMES if has_presets(g)]
    return games + [(name, {"obstacles": k}) for name in OBSTACLES for k in (1, 2, 4)]


def frozen() -> dict[str, Any]:
    out = {}
    for name, options in variants():
        space = make_game(name, 1, threads=1, **options).design_space
        out[space.digest] = {"game": name, "options": options, "suites": digests(name, space)}
    return out


if __name__ == "__main__":
    write_text(DIGESTS, json.dumps(frozen(), indent=1) + "\n")
    print(f"wrote {DIGESTS.name}")
