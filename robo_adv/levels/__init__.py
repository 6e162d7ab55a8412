"""Design spaces, levels, and what generates them."""

from robo_adv.levels.space import DesignSpace, Level, Parameter

__all__ = ["DesignSpace", "Level", "Parameter"]
