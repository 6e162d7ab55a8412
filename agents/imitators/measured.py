"""What imitators reach on the reported scenarios, beside random actions and the expert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.controllers import controller
from robo_adv.agents.fitted import fitted_bundle
from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.lesson import Lesson, prepare
from robo_adv.agents.imitators.score import Score, Yardstick, score
from robo_adv.bundle import load_bundle
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.array_files import NO_REWARDS
from robo_adv.runs import Run

Array = npt.NDArray[Any]


def scores(config: ImitatorConfig, run: Run, episodes: int) -> dict[str, Score]:
    """Scores of a run's checkpoints `last` and `best` on the reported scenarios.

    Raises:
        RoboAdvError: the expert is not better than random actions.
    """
    lesson = prepare(config)
    yardstick = Yardstick(lesson.task, episodes)
    random, (expert, paired) = (
        yardstick.measure(yardstick.random),
        _expert(config, lesson, yardstick),
    )
    return {
        name: score(_played(run.folder / "checkpoints" / name, lesson, yardstick), random, expert,
                    yardstick.unit, paired)
        for name in ("last", "best")
    }  # fmt: skip


def values(config: ImitatorConfig, bundle: Path, episodes: int) -> dict[str, Any]:
    """What a bundle, random actions and the expert reach on the reported scenarios: `unit` (success or
    return), and lists (n,) `imitator`, `random`, `expert`."""
    lesson = prepare(config)
    yardstick = Yardstick(lesson.task, episodes)
    expert, _ = _expert(config, lesson, yardstick)
    found = {"imitator": _played(bundle, lesson, yardstick), "expert": expert,
             "random": yardstick.measure(yardstick.random)}  # fmt: skip
    return {"unit": yardstick.unit, **{name: value.tolist() for name, value in found.items()}}


def _played(bundle: Path, lesson: Lesson, yardstick: Yardstick) -> Array:
    """What a checkpoint reaches (n,) on the reported scenarios."""
    policy, _ = fitted_bundle(load_bundle(bundle).policy, lesson.task.sample, lesson.task.player)
    return yardstick.measure(policy)


def _expert(
    config: ImitatorConfig, lesson: Lesson, yardstick: Yardstick
) -> tuple[Array, bool]:  # fmt: skip
    """Values (n,) of the expert, the named one or who demonstrated, and whether they are of the same
    scenarios: where it cannot be had, its demonstrations stand for it."""
    shown = lesson.whole.card.demonstrator
    try:
        found = controller(config.expert or shown.name, lesson.task.sample, lesson.task.player)
    except RoboAdvError:
        if config.expert:
            raise
        return _demonstrated(lesson, yardstick), False
    if not config.expert and shown.sha256 and found.digest != shown.sha256:
        return _demonstrated(lesson, yardstick), False
    return yardstick.measure(found.policy), True


def _demonstrated(lesson: Lesson, yardstick: Yardstick) -> Array:
    """What the demonstrations themselves reached."""
    if NO_REWARDS in lesson.whole.card.notes and yardstick.unit == "return":
        raise RoboAdvError(
            "the demonstrations have no rewards, and who demonstrated cannot be had: --expert names a "
            "controller to measure by"
        )
    if yardstick.unit == "success":
        return lesson.whole.success[np.isfinite(lesson.whole.success)]
    return lesson.whole.returns
