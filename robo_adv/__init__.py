"""robo_adv: a testbed for adversarial robustness and safety of learned robot controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium

if TYPE_CHECKING:
    from robo_adv.envs.faces import GameParallelEnv

__version__ = "0.1.0"
__all__ = ["parallel_env", "register_envs"]


def register_envs() -> None:
    """Register every game with Gymnasium as `robo_adv/<id>`; called on import, harmless twice."""
    from robo_adv.envs.game import GAMES

    for name in GAMES:
        if f"robo_adv/{name}" not in gymnasium.registry:
            gymnasium.register(
                id=f"robo_adv/{name}",
                entry_point="robo_adv.agents.make:make_single",
                vector_entry_point="robo_adv.agents.make:make_seat",
                kwargs={"game": name},
            )


def parallel_env(game: str, **options: Any) -> GameParallelEnv:
    """The PettingZoo face of a game, e.g. `parallel_env("KickAndDefend-v0", body="omni")`."""
    from robo_adv.envs.faces import parallel_env as make

    return make(game, **options)


register_envs()
