"""The laboratory of an audit: attacks prepare themselves in it, on scenarios never reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver
from robo_adv.threats.attack import Attack, Perturbation
from robo_adv.threats.lab import Transitions
from robo_adv.threats.learned import LearnedAttack

if TYPE_CHECKING:
    from robo_adv.audit.engine import Engine
    from robo_adv.audit.plan import Row

Array = npt.NDArray[Any]
WATCHED = 1_000  # how far after the search scenarios those lie in which the controller is watched


class EngineLab:
    """A `Lab` on an engine's world, for one row at its largest budget.

    Attributes:
        episodes, played: so far, played in environment steps. steps: queries of the controller. told:
            what a training says of itself.
    """

    def __init__(self, engine: Engine, row: Row) -> None:
        self.engine, self.row = engine, row
        self.threat = row.threat.at(row.budgets[-1])
        self.rng = np.random.default_rng([engine.seed, *row.label.encode()])
        self.access = engine.subject.access
        self.episodes, self.played, self.steps, self.told = 0, 0, 0, ""

    @property
    def scale(self) -> Array:
        """One unit of the budget per entry (d,)."""
        return self.engine.unit(self.threat)

    def judge(self, attacks: Sequence[Attack]) -> Array:
        """How badly the controller does under each attack (k,) in the search scenarios."""
        alone = isinstance(attacks[0], Perturbation)
        engine = self.engine.narrow if alone else self.engine
        seeds = engine.search_seeds
        marks = []
        for some in [[attack] for attack in attacks] if alone else [list(attacks)]:
            played = engine.episodes(engine.setting(self.threat, some), np.repeat(seeds, len(some)))
            marks.append(engine.badness(played).reshape(len(seeds), len(some)))
            steps = int(played.length.sum())
            self._count(len(played), steps, steps * (1 + sum(some[0].passes)))
        return np.asarray(np.concatenate(marks, axis=1).mean(axis=0))

    def transitions(self, steps: int) -> Transitions:
        """At least so many steps of the controller without attack."""
        found = watch(self.engine, steps)
        self._count(int(found.ended.sum()), found.steps, found.steps)
        return found

    def train(self, attack: LearnedAttack) -> LearnedAttack:
        """The attack with a policy trained at the row's port."""
        if self.engine.trainer is None:
            raise RoboAdvError(f"{self.row.label} learns, and nothing here trains it")
        found = self.engine.trainer(self.engine, self.row, attack)
        self._count(found.episodes, found.played, found.steps)
        self.told = found.told
        assert isinstance(found.attack, LearnedAttack)
        return found.attack

    def _count(self, episodes: int, played: int, queries: int) -> None:
        self.episodes += episodes
        self.played += played
        self.steps += queries


def watch(engine: Engine, steps: int) -> Transitions:
    """The controller's own steps under normal conditions, all rows of the world side by side."""
    subject = engine.subject
    world, player = subject.world, subject.player
    policies = {**subject.others, player: subject.policy}
    rows = np.arange(world.num_envs)
    seeds = engine.search_seeds[0] + np.uint64(WATCHED) + rows.astype(np.uint64)
    world.scenarios = lambda ids: (world.seeds[ids] + np.uint64(world.num_envs), None)
    observations = world.reset(seeds)
    drivers = {p: Driver(policies[p], world.num_envs, True, k) for k, p in enumerate(world.players)}
    for name, driver in drivers.items():
        driver.begin(rows, seeds, observations[name])
    columns: list[list[Array]] = [[] for _ in range(6)]
    for _ in range(-(-steps // world.num_envs)):
        actions = {name: driver.act(observations[name]) for name, driver in drivers.items()}
        step = world.step(actions)
        after = step.obs[player].copy()
        if step.final is not None:
            ids = step.final.ids
            after[ids] = step.final.obs[player]
            for name, driver in drivers.items():
                driver.begin(ids, world.seeds[ids], step.obs[name])
        parts: tuple[Array, ...] = (
            observations[player].copy(), actions[player], step.rewards[player], after,
            step.terminated, step.terminated | step.truncated,
        )  # fmt: skip
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
        observations = step.obs
    return Transitions(*(np.array(column) for column in columns))
