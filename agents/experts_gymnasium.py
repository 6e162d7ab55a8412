"""Scripted experts for Gymnasium's CartPole and Pendulum; they act on the environment's own scale."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv.agents.scripted import SCRIPTED, Scripted
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError

Array = npt.NDArray[Any]


class GymnasiumExpert(Scripted):
    """Raises RoboAdvError in an environment that it was not made for."""

    def __init__(self, game: Game, player: str) -> None:
        if game.id not in self.games:
            raise RoboAdvError(
                f"scripted policy {type(self).__name__} solves {', '.join(self.games)}, "
                f"got {game.id}"
            )
        super().__init__(game, player)


@SCRIPTED.register("cartpole-expert")
class CartPoleExpert(GymnasiumExpert):
    """Pushes to the side on which a weighted sum of the cart's and the pole's state lies; 500 of 500
    steps. Its actions are two scores (the environment's option `scores`)."""

    games = ("CartPole-v1",)
    gains: ClassVar[tuple[float, ...]] = (0.1, 0.3, 1.0, 0.5)  # of x, its rate, the angle, its rate

    def act(self, observation: Array) -> Array:
        right = np.where(observation @ np.array(self.gains) > 0.0, 1.0, -1.0)
        return np.stack([-right, right], axis=1)


@SCRIPTED.register("pendulum-expert")
class PendulumExpert(GymnasiumExpert):
    """Gives the pendulum the energy of standing upright, and holds it there by a linear law.

    With g = 10, m = l = 1 and torque u: angular acceleration 15 sin(angle) + 3 u, energy
    rate^2 / 2 + 15 (cos(angle) - 1), which is 0 upright (Astrom and Furuta 2000, "Swinging up a
    pendulum by energy control").
    """

    games = ("Pendulum-v1",)
    upright: ClassVar[float] = 0.9  # cosine of the angle above which it holds

    def act(self, observation: Array) -> Array:
        cosine, sine, rate = observation.T.astype(np.float64)
        energy = 0.5 * rate**2 + 15.0 * (cosine - 1.0)
        swing = -2.0 * energy * np.where(rate >= 0.0, 1.0, -1.0)
        hold = -8.0 * sine - 2.0 * rate
        torque: Array = np.clip(np.where(cosine > self.upright, hold, swing), -2.0, 2.0)
        return torque[:, None]
