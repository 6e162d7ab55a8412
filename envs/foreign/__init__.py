"""Any Gymnasium environment with Box actions as a world that `robo_adv.rollout.play` plays."""

from robo_adv.envs.foreign.world import GymnasiumWorld

__all__ = ["GymnasiumWorld"]
