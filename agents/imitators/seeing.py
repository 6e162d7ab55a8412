"""A discriminator that sees what the policy sees: pictures and its own sensors, no goals."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from robo_adv.agents.imitators.config import ImitatorConfig
from robo_adv.agents.imitators.task import Task
from robo_adv.imitation.discriminator import Discriminator
from robo_adv.imitation.transitions import Transitions
from robo_adv.sight import SightedRows
from robo_adv.training.sighted import Sighted

Array = npt.NDArray[Any]


def seeing_discriminator(task: Task, config: ImitatorConfig, expert: Transitions) -> Discriminator:
    """Of sighted rows and, unless it judges states alone, actions; `expert` gives its statistics."""
    acts = config.disc.inputs == "state-action"
    made = Discriminator(
        task.row_size, task.action_size, config.disc, config.seed,
        trunk=lambda size: _trunk(task, size - task.row_size),
    )  # fmt: skip
    floor = config.disc.std_floor
    rows: Array | SightedRows = expert.observation
    told = rows.observation if isinstance(rows, SightedRows) else rows[:, : task.observation_size]
    numbers = [(told.mean(axis=0), told.std(axis=0))]
    pixels = np.full(task.row_size - task.observation_size, 127.5)
    numbers.append((pixels, pixels))  # to [-1, 1]
    if acts:
        numbers.append((expert.action.mean(axis=0), expert.action.std(axis=0)))
    made.mean.copy_(torch.as_tensor(np.concatenate([mean for mean, _ in numbers])))
    made.std.copy_(torch.as_tensor(np.concatenate([std for _, std in numbers])).clamp(min=floor))
    return made


def _trunk(task: Task, rest: int) -> tuple[nn.Module, int]:
    assert task.sight is not None
    trunk = Sighted(task.sight, task.columns, task.observation_size, rest)
    return trunk, trunk.size
