"""A study whose cells only sleep: a program of its own for the test of Ctrl-C."""

from __future__ import annotations

import sys
import time

from robo_adv.agents.design_study import DesignStudy
from robo_adv.cli import study_design
from robo_adv.cli.main import main


def sleep(study: DesignStudy, task: str, generator: str, seed: int) -> None:
    """In place of `run_cell`: says when it has begun and when it was stopped."""
    place = study.place(task, generator, seed)
    place.mkdir(parents=True)
    (place / "begun").touch()
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        (place / "stopped").touch()
        raise


def run(arguments: list[str]) -> None:
    """`robo-adv ARGUMENTS`."""
    study_design.run_cell = sleep  # type: ignore[attr-defined]
    study_design.compute = lambda study: {"cells": 0.0, "steps": 0.0, "hours": 0.0}  # type: ignore[attr-defined]
    sys.argv[1:] = arguments
    main()
