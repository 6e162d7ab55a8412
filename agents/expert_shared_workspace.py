"""The scripted expert of SharedWorkspace-v0: it gives way to the person, then reaches its goal."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv.agents.experts import ArmExpert
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.safety.segments import segment_distance

Array = npt.NDArray[Any]
COLUMN = np.array([0.0, 0.0, 0.25])  # the tool, gripper and wrist above the tool centre point [m]
GRIPPER = 0.11  # [m] half the gripper's width
ARM = 0.05  # [m] a little more than the person's radius
BEHIND, AHEAD = 0.16, 0.10  # [m] the person's ends from the middles of forearm and hand


@SCRIPTED.register("shared-workspace-expert")
class SharedWorkspaceExpert(ArmExpert):
    """Arm: to the goal while nobody is near it or on the way to it; else to a place behind and above
    the shared space, and wait there.

    It looks `horizon` seconds ahead along the person's present velocity.
    """

    games = ("SharedWorkspace-v0",)
    refuge: ClassVar[Array] = np.array([0.36, -0.28, 0.47])  # [m]
    horizon: ClassVar[float] = 0.8  # [s] about the time to get to the refuge
    margin: ClassVar[float] = 0.15  # [m] that must stay free

    def act(self, observation: Array) -> Array:
        goal = self.see(observation, "desired_goal").astype(np.float64)
        tool = self.see(observation, "tool_position").astype(np.float64)
        threatened = (
            np.minimum(
                self.clearance(observation, tool, goal), self.clearance(observation, goal, goal)
            )
            < self.margin
        )
        target = np.where(threatened[:, None], self.refuge, goal)
        return self.towards(observation, target)

    def clearance(self, observation: Array, start: Array, end: Array) -> Array:
        """Least distance (N,) [m] between a tool column that moves from `start` to `end` and the
        person, now and within the horizon."""
        hand = self.see(observation, "human_hand_position")
        forearm = self.see(observation, "human_forearm_position")
        velocity = self.see(observation, "human_hand_velocity")
        along = hand - forearm
        along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
        back, tip = forearm - BEHIND * along, hand + AHEAD * along
        times = np.linspace(0.0, self.horizon, 4)[:, None, None, None]
        places = np.linspace(0.0, 1.0, 3)[None, :, None, None]
        column = start + places * (end - start)
        moved = times * velocity
        distance, _, _ = segment_distance(column, column + COLUMN, back + moved, tip + moved)
        return np.asarray(distance.min(axis=(0, 1)) - GRIPPER - ARM)
