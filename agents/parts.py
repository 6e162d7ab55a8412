"""Parts of studies: trainings in fixed folders, skipped when done, resumed when begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, plain

Train = Callable[..., Path]


def part(folder: Path, game: str, verb: str, config: Any, train: Train, **how: Any) -> Path:
    """Train in `folder`, go on with what is there, or take it as it is; returns the run's folder.

    Args:
        train: a recipe's `train(config, run, *, resume)`. how: further keywords for it.

    Raises:
        RoboAdvError: the folder holds a training of something else.
    """
    started = (folder / "config.json").exists()
    run = Run.open(folder) if started else Run.at(folder, game, verb, config, config.seed)
    if started and plain(config) != run.config["config"]:
        raise RoboAdvError(
            f"{folder} holds a training with another config; take another folder, or delete that one"
        )
    if not run.done:
        train(config, run, resume=started, **how)
    return folder
