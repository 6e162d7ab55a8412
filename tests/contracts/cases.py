"""What the contract tests run over: every registered game, and the bodies worth testing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytest

from robo_adv.envs.game import GAMES, Game, make_game
from robo_adv.envs.manipulation.task import ManipulationTask


class MakeGame(Protocol):
    """Makes the game under test; a check calls it several times for independent copies."""

    def __call__(self, num_envs: int, threads: int = 1) -> Game: ...


@dataclass(frozen=True)
class Case:
    """One game with one set of options.

    Attributes:
        scripted: players and the scripted policies that half of the episodes play with.
        prepare: shortens the episodes, so that verdicts and resets come early.
        stir: after a reset, puts things into contact, so that every level parameter can matter.
    """

    game: str
    options: Mapping[str, Any] = field(default_factory=dict)
    scripted: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Game], None] | None = None
    stir: Callable[[Game], None] | None = None

    def __call__(self, num_envs: int, threads: int = 1) -> Game:
        game = make_game(self.game, num_envs, threads=threads, **self.options)
        if self.prepare:
            self.prepare(game)
        return game

    def __str__(self) -> str:
        return "-".join([self.game, *(str(value) for value in self.options.values())])


def _short_clock(game: Game) -> None:
    game.clock_steps = 30  # type: ignore[attr-defined]


def _kicker_runs_into_the_ball(game: Game) -> None:
    scale, kicker, speed = game.scale, game._q["kicker"].start, game._v["kicker"].start  # type: ignore[attr-defined]
    game.qpos[:, kicker] = game.qpos[:, 0] - 0.2 * scale.length
    game.qpos[:, kicker + 1] = game.qpos[:, 1]
    game.qvel[:, speed] = 2.0 * np.sqrt(scale.length)


def _object_slips_out_of_the_hand(game: Game) -> None:
    assert isinstance(game, ManipulationTask)
    for q, v in zip(game.thing_q, game.thing_v, strict=True):
        game.qpos[:, q : q + 3] = game.poses.position - (0.0, 0.0, 0.04)
        game.qvel[:, v] = 0.3
    game.refresh()


def _arm(game: str, control: str, expert: str = "", **more: Any) -> Case:
    """Only `ee_delta` has a scripted expert."""
    scripted = {"arm": expert} if expert else {}
    options = {"control": control, **more}
    return Case(game, options, scripted, _short_clock, _object_slips_out_of_the_hand)


def _person_walks_into_the_gripper(game: Game) -> None:
    person = game.person  # type: ignore[attr-defined]
    hand = game.poses.position + np.array([0.0, 0.2, 0.07])  # type: ignore[attr-defined]
    game.qpos[:, person.q[:4]] = person.pose(hand)
    game.qvel[:, person.v[1]] = -1.5


_OMNI = {"kicker": "chase-ball", "keeper": "stay-in-goal"}
_VARIANTS: dict[str, list[Case]] = {
    "KickAndDefend-v0": [
        Case("KickAndDefend-v0", options, scripted, _short_clock, _kicker_runs_into_the_ball)
        for options, scripted in (
            ({"body": "omni", "arms": 0}, _OMNI),
            ({"body": "omni", "arms": 4}, _OMNI),
            ({"body": "omni", "arms": 8}, _OMNI),
            ({"body": "ant"}, {}),
            ({"body": "omni", "obstacles": 2}, _OMNI),
        )
    ],
    "Reach-v0": [
        _arm("Reach-v0", "ee_delta", "reach-expert"),
        _arm("Reach-v0", "joint_velocity"),
        _arm("Reach-v0", "ee_delta", "reach-expert", obstacles=2),
        _arm("Reach-v0", "joint_position"),
    ],
    "Push-v0": [
        _arm("Push-v0", "ee_delta", "push-expert"),
        _arm("Push-v0", "ee_delta", "push-expert", obstacles=3),
    ],
    "PickAndPlace-v0": [
        _arm("PickAndPlace-v0", "ee_delta", "pick-and-place-expert"),
        _arm("PickAndPlace-v0", "joint_velocity"),
    ],
    "Clutter-v0": [_arm("Clutter-v0", "ee_delta", "clutter-expert")],
    "ToolUse-v0": [_arm("ToolUse-v0", "ee_delta", "tool-use-expert")],
    "SharedWorkspace-v0": [
        Case("SharedWorkspace-v0", {}, {}, _short_clock, _person_walks_into_the_gripper)
    ],
}
# A game without an entry above is tested with its default options.
CASES = [case for name in GAMES for case in _VARIANTS.get(name, [Case(name)])]
SMALL = _VARIANTS["KickAndDefend-v0"][0]

every_case = pytest.mark.parametrize("case", CASES, ids=str)
