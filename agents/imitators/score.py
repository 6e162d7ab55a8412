"""Scores of imitators: (R - random) / (expert - random), all three measured on the same scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.imitators.task import Task
from robo_adv.agents.scripted import RandomActions
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED, SELECTION, Episodes, even_width, play, scenarios
from robo_adv.safety.bootstrap import Estimate, bootstrap, interval, mean, resampled

Array = npt.NDArray[Any]
_WIDTH = {True: 32, False: 128}  # rows of Gymnasium's environments, which step one by one; of games


class Yardstick:
    """Plays policies of a task on equal scenarios.

    Attributes:
        unit: what is measured: `success` where the world tells of it (win or success), else `return`.
    """

    def __init__(self, task: Task, episodes: int) -> None:
        self.task, self.episodes = task, episodes
        self.unit = "success" if task.reports_success else "return"
        gymnasium = isinstance(task.sample, GymnasiumWorld)
        self.arena = task.world(even_width(episodes, _WIDTH[gymnasium]))

    @property
    def random(self) -> RandomActions:
        return RandomActions(self.task.low, self.task.high)

    def play(self, policy: Policy, first: int) -> Episodes:
        """Episodes of the deterministic policy, acting on the world's own scale."""
        policies = {**self.task.opponents, self.task.player: policy}
        return play(self.arena, policies, scenarios(first, self.episodes))

    def measure(self, policy: Policy, first: int = REPORTED) -> Array:
        """(n,) success (1 or 0), or true returns, of the scenarios from seed `first` on."""
        episodes = self.play(policy, first)
        if self.unit == "success":
            return episodes.won(self.task.player).astype(np.float64)
        return np.asarray(episodes.returns[self.task.player], dtype=np.float64)

    def ends_early(self) -> bool:
        """Whether random actions end episodes before their time limit."""
        return bool((self.play(self.random, SELECTION).length < self.task.horizon).any())


@dataclass(frozen=True)
class Score:
    """Means with 95 % intervals.

    Attributes:
        unit: success or return. imitator, random, expert: of each. score: (imitator - random) /
            (expert - random). paired: whether the expert played the same scenarios; else its numbers
            are those of the demonstrations.
    """

    unit: str
    imitator: Estimate
    random: Estimate
    expert: Estimate
    score: Estimate
    paired: bool

    def to_json(self) -> dict[str, Any]:
        found = {n: getattr(self, n).to_json() for n in ("imitator", "random", "expert", "score")}
        return {"unit": self.unit, **found, "expert_on_same_scenarios": self.paired}


def _ratio(imitator: Array, random: Array, expert: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((imitator - random) / (expert - random))


def score(imitator: Array, random: Array, expert: Array, unit: str, paired: bool) -> Score:
    """Scores of (n,) imitator's and random's values on the same scenarios, and the expert's: (n,) on
    these too, or (m,) on others.

    Raises:
        RoboAdvError: the expert is not better than random, so there is nothing to be scored by.
    """
    if not expert.mean() > random.mean():
        raise RoboAdvError(
            f"the expert's mean {unit} {expert.mean():.4g} is not above that of random actions, "
            f"{random.mean():.4g}: there is no scale for a score"
        )
    rng = np.random.default_rng(0)
    if paired:
        total = bootstrap(
            lambda i, r, e: _ratio(mean(i), mean(r), mean(e)), [imitator, random, expert], rng
        )
    else:
        own, chance = (resampled(mean, [x], np.random.default_rng(0)) for x in (imitator, random))
        teacher = resampled(mean, [expert], np.random.default_rng(1)) if len(expert) > 1 \
            else np.full_like(own, expert.mean())  # fmt: skip
        value = float(_ratio(imitator.mean(), random.mean(), expert.mean()))
        total = interval(value, _ratio(own, chance, teacher), float(len(imitator)))
    each = {"imitator": imitator, "random": random, "expert": expert}
    return Score(unit, **{n: estimate(x) for n, x in each.items()}, score=total, paired=paired)


def estimate(values: Array) -> Estimate:
    """The mean with its interval; one value alone has none."""
    if len(values) < 2:
        return Estimate(float(values.mean()), -np.inf, np.inf)
    return bootstrap(mean, [values], np.random.default_rng(0))
