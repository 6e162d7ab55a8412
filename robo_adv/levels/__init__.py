"""Design spaces and levels."""

from robo_adv.levels.space import DesignSpace, Level, Parameter

__all__ = ["DesignSpace", "Level", "Parameter"]
