"""Lesson: the demonstrations that a learner gets, and the task they belong to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.task import Task
from robo_adv.imitation import demonstrations_file as file
from robo_adv.imitation.demonstration_card import FileCard
from robo_adv.imitation.demonstrations import Demonstrations, load_demonstrations
from robo_adv.imitation.transitions import Transitions


@dataclass(frozen=True)
class Lesson:
    """What is learned from.

    Attributes:
        task: where it was demonstrated. whole: all demonstrations. episodes: those that are learned
            from, actions as played (`Task.played`). steps: of these, the ones that are kept.
        notes: how the task differs from that of the demonstrations, in sentences.
    """

    task: Task
    whole: Demonstrations
    episodes: Demonstrations
    steps: Transitions
    notes: tuple[str, ...] = ()


def read_card(path: str) -> FileCard:
    """The card of a folder of demonstrations.

    Raises:
        RoboAdvError: there is none.
    """
    return file.read_card(Path(path))


def prepare(config: ImitatorConfig) -> Lesson:
    """The lesson of a config.

    Raises:
        RoboAdvError: no such demonstrations, fewer than are asked for, a task that cannot be made or
            that they do not fit.
    """
    whole = load_demonstrations(Path(config.demonstrations))
    card = whole.card
    if config.cameras:
        whole.check_shows(config.cameras)
    task = Task(
        card.game, {**card.options, **config.options}, card.player,
        config.opponents or tuple(card.others.values()), config.threads.physics,
        config.cameras, card.camera_size, config.sees,
    )  # fmt: skip
    notes = whole.check_fits(task.sample, task.player)
    chosen = whole.first(config.demos) if config.demos else whole
    actions = task.played(task.unit(chosen.actions))
    if config.control == "shuffled":
        actions = np.random.default_rng(config.seed).permutation(actions)
    chosen = replace(chosen, actions=actions)
    if config.every > 1:
        steps = chosen.subsample(config.every, config.seed, config.cameras)
    else:
        steps = chosen.transitions(config.cameras)
    if task.sight is not None:
        told = task.sight.told(task.sample.layouts[task.player])
        notes = (*notes, f"The learner acts from pictures: {told}.")
    return Lesson(task, whole, chosen, steps, notes)
