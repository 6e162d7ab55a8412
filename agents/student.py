"""Student: a learner that plays the levels it is given, each from the start, and tells how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy

from robo_adv import seeding
from robo_adv.agents.player import Player
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


class Student(Player):
    """A Player whose every iteration begins with fresh episodes on given levels, one per simulation.

    All of these end within the iteration, since it lasts as long as the game's clock. A simulation
    whose episode is over before goes on with further episodes on the same level, which are learned
    from and not reported.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        game = self.game
        game.scenarios = lambda ids: (
            seeding.derive(game.seeds[ids], seeding.NEXT), [game.levels[i] for i in ids]
        )  # fmt: skip

    def play(
        self, levels: Sequence[Level], seeds: seeding.Seeds, learn: bool
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """One iteration on the scenarios (levels[i], seeds[i]).

        Returns:
            numbers (N,) of the first episode in each simulation, named as the fields of
            `robo_adv.levels.generator.Outcomes`, and the iteration's metrics.
        """
        learner, ppo = self.learner, self.learner.ppo
        observation, _ = self.seat.reset(
            seed=[int(s) for s in seeds], options={"levels": list(levels)}
        )
        learner.vec_env.restarted()
        ppo._last_obs = observation
        ppo._last_episode_starts = np.ones(len(seeds), dtype=bool)
        metrics = learner.iterate(learn)
        return self._first_episodes(), metrics

    def _first_episodes(self) -> dict[str, Array]:
        finished, buffer = self.learner.vec_env.finished, self.learner.ppo.rollout_buffer
        columns = {
            name: np.concatenate([episode[name] for episode in finished])
            for name in ("row", "return", "length", "won")
        }
        rows, first = np.unique(columns["row"], return_index=True)
        assert len(rows) == self.game.num_envs, "the clock ends every episode within the iteration"
        length = columns["length"][first]
        steps = np.arange(buffer.buffer_size)[:, None]
        inside = steps < length
        discount = np.where(inside, self.config.gamma**steps, 0.0)
        values, advantages = self._by_step(buffer.values), self._by_step(buffer.advantages)
        gained = np.where(inside, np.maximum(advantages, 0.0), 0.0)
        return {
            "returns": columns["return"][first],
            "success": columns["won"][first].astype(np.float64),
            "lengths": length.astype(np.float64),
            "discounted": (discount * buffer.rewards).sum(axis=0),
            "first_value": values[0].astype(np.float64),
            "positive_value_loss": gained.sum(axis=0) / length,
        }

    def _by_step(self, array: Array) -> Array:
        """A buffer's array as (steps, N), which an update leaves flat."""
        steps, rows = self.learner.ppo.rollout_buffer.rewards.shape
        return array if array.shape == (steps, rows) else array.reshape(rows, steps).T


def horizon(game: Game) -> int:
    """Control steps after which every episode of a game is over.

    Raises:
        RoboAdvError: the game has no clock.
    """
    steps = getattr(game, "clock_steps", 0)
    if steps < 1:
        raise RoboAdvError(
            f"{game.id} has no clock (`clock_steps`), so a round of levels has no length; give the "
            "game a clock that ends its episodes"
        )
    return int(steps)


class KeepClose:
    """Penalty: KL divergence of the student's actions from those of another student's, in some updates
    (Mediratta et al. 2023, "Stabilizing Unsupervised Environment Design with a Learned Adversary").

    Args:
        other: the student that is imitated. weight: of the divergence. every: updates between uses.
    """

    def __init__(self, other: Student, weight: float, every: int) -> None:
        self.other, self.weight, self.every = other, weight, every
        self.updates, self.last = 0, 0.0

    @property
    def used(self) -> bool:
        """Whether it counts in this update."""
        return self.updates % self.every == 0

    def begin(self, steps: int) -> None:
        self.updates += 1

    def metrics(self) -> dict[str, float]:
        return {"student_kl": self.last} if self.used else {}

    def __call__(self, network: ActorCriticPolicy, observations: torch.Tensor) -> torch.Tensor:
        if not self.used:
            return torch.zeros(len(observations))
        with torch.no_grad():
            aim = self.other.learner.ppo.policy.get_distribution(observations)
        mine = network.get_distribution(observations)
        assert isinstance(aim, DiagGaussianDistribution)
        assert isinstance(mine, DiagGaussianDistribution)
        apart = torch.distributions.kl_divergence(aim.distribution, mine.distribution).sum(dim=1)
        self.last = float(apart.detach().mean())
        return self.weight * apart
