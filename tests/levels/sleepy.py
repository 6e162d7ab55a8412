"""A study whose cells only sleep: a program of its own for the test of Ctrl-C."""

from __future__ import annotations

import sys
import time

import robo_adv.cli.study
from robo_adv.agents import design_study
from robo_adv.agents.design_study import DesignStudy
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
    design_study.run_cell = sleep
    robo_adv.cli.study.compute = lambda study: {"cells": 0.0, "steps": 0.0, "hours": 0.0}  # type: ignore[attr-defined]
    sys.argv[1:] = arguments
    main()
