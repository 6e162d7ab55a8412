"""Closed forms of contact safety, on arrays: the energy model, separation distances, force ratios.

All functions broadcast their arguments. They follow ISO/TS 15066:2016 as public secondary sources
describe it; a design aid and no conformity claim, see `contact_limits`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

WALKING_SPEED = 1.6  # [m/s] human approach speed of ISO 13855; from memory, unverified


def robot_mass(moving_mass: npt.ArrayLike, payload: npt.ArrayLike = 0.0) -> Array:
    """Effective mass m_R = M/2 + m_L [kg] of a robot with moving parts M and payload m_L, the tool
    included (ISO/TS 15066, secondary: the calculators of stimba.sk and tooljolt)."""
    return 0.5 * _array(moving_mass) + _array(payload)


def reduced_mass(human: npt.ArrayLike, robot: npt.ArrayLike) -> Array:
    """mu = 1 / (1/m_H + 1/m_R) [kg] of two bodies that collide."""
    return 1.0 / (1.0 / _array(human) + 1.0 / _array(robot))


def energy_force(speed: npt.ArrayLike, mass: npt.ArrayLike, stiffness: npt.ArrayLike) -> Array:
    """Peak force F = v sqrt(mu k) [N] of a blow: all of mu v^2 / 2 goes into a spring k.

    Args:
        speed: relative speed before contact [m/s]. mass: reduced mass mu [kg].
        stiffness: k [N/m] (1000 x the table's N/mm).
    """
    return _array(speed) * np.sqrt(_array(mass) * _array(stiffness))


def max_speed(force: npt.ArrayLike, mass: npt.ArrayLike, stiffness: npt.ArrayLike) -> Array:
    """Relative speed [m/s] whose energy-model force is `force` [N]: inverse of `energy_force`."""
    return _array(force) / np.sqrt(_array(mass) * _array(stiffness))


def force_ratio(force: npt.ArrayLike, limit: npt.ArrayLike) -> Array:
    """Force over limit [1]; above 1 the limit is exceeded. Infinite where the limit is NaN (no such
    contact allowed) and there is a force."""
    force, limit = np.broadcast_arrays(_array(force), _array(limit))
    forbidden = np.where(force > 0.0, np.inf, 0.0)
    return np.where(np.isnan(limit), forbidden, force / np.where(np.isnan(limit), 1.0, limit))


@dataclass(frozen=True)
class Separation:
    """Constants of speed and separation monitoring. The defaults are our assumptions, not the
    standard's: measure your own robot and sensors.

    Attributes:
        reaction_time: T_r [s], from a change in the world to the start of braking.
        deceleration: of the robot's stop [m/s^2], constant.
        intrusion: C [m], how far a part of the body reaches before it is detected.
        human_uncertainty: Z_d [m], of the human's measured position.
        robot_uncertainty: Z_r [m], of the robot's position.
    """

    reaction_time: float = 0.1
    deceleration: float = 3.0
    intrusion: float = 0.0
    human_uncertainty: float = 0.01
    robot_uncertainty: float = 0.002

    def stopping_time(self, robot_speed: npt.ArrayLike) -> Array:
        """T_s = v_r / a [s]."""
        return _array(robot_speed) / self.deceleration

    def distance(
        self, robot_speed: npt.ArrayLike, human_speed: npt.ArrayLike = WALKING_SPEED
    ) -> Array:
        """Protective distance S_p = S_h + S_r + S_s + C + Z_d + Z_r [m].

        S_h = v_h (T_r + T_s), the human's way until the robot stands; S_r = v_r T_r, the robot's way
        before it brakes; S_s = v_r T_s / 2, its way while it brakes (constant deceleration, our
        assumption). The sum is from memory; overview: Marvel and Norcross 2017, PMC5117641.

        Args:
            robot_speed: v_r towards the human, >= 0 [m/s].
            human_speed: v_h towards the robot, >= 0 [m/s]: measured, or the default, ISO 13855's
                1.6 m/s (unverified).
        """
        v_r, v_h = _array(robot_speed), _array(human_speed)
        stop = self.stopping_time(v_r)
        human = v_h * (self.reaction_time + stop)
        robot = v_r * self.reaction_time + 0.5 * v_r * stop
        return human + robot + self.intrusion + self.human_uncertainty + self.robot_uncertainty


def shortfall(protective: npt.ArrayLike, distance: npt.ArrayLike) -> Array:
    """max(0, S_p - d) [m]: how much the separation `distance` lacks."""
    return np.maximum(_array(protective) - _array(distance), 0.0)


def _array(value: npt.ArrayLike) -> Array:
    return np.asarray(value, dtype=np.float64)
