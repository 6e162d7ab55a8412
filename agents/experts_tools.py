"""Scripted experts for tool use and for rearranging clutter: functions of the observation alone."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from robo_adv.agents.experts import ArmExpert, push_target
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.manipulation.tool_use import HALF, RADIUS
from robo_adv.envs.manipulation.tools import TALL, WIDE

Array = npt.NDArray[Any]


@SCRIPTED.register("tool-use-expert")
class ToolUseExpert(ArmExpert):
    """Arm: grasp the handle, lift the tool over the puck, set its head down behind it, pull.

    Beside the handle, on a side where the head has a bar, the puck can be pulled towards the arm and
    pushed to that side. Where the goal lies to the other side and the head has no bar there, the
    handle pushes the puck over first.
    """

    games = ("ToolUse-v0",)
    above: ClassVar[float] = 0.08  # [m] height of the gripper over the handle before it grasps
    carry: ClassVar[float] = 0.085  # [m] height of the tool on the way: over the largest puck
    low: ClassVar[float] = 0.03  # [m] below it the tool touches the puck
    room: ClassVar[float] = 0.015  # [m] around the puck when the head is set down
    near: ClassVar[float] = 0.015  # [m] how exact the puck is brought to the goal
    slow: ClassVar[float] = 0.025  # [m] longest step while the tool pulls: 0.3 m/s

    def act(self, observation: Array) -> Array:
        hand, grip = (
            self.see(observation, "tool_position"),
            self.see(observation, "handle_position"),
        )
        opening = self.see(observation, "gripper_opening")[:, 0]
        gap = grip - hand
        over = np.linalg.norm(gap[:, :2], axis=1) < 0.012
        at = (np.linalg.norm(gap[:, :2], axis=1) < 0.045) & (np.abs(gap[:, 2]) < 0.02)
        closed = opening < WIDE + 0.004
        lowered = over & (np.abs(gap[:, 2]) < 0.008)
        held = at & closed
        target = grip.astype(np.float64)
        target[:, 2] += np.where(over, 0.0, self.above)
        target[held] = (hand + self.tool_step(observation))[held]
        close = lowered | (at & (opening < 0.038))
        return self.towards(observation, target, np.where(close, -1.0, 1.0))

    def tool_step(self, observation: Array) -> Array:
        """How far the held tool should move (N, 3) [m]."""

        def see(name: str) -> Array:
            return self.see(observation, name).astype(np.float64)

        grip, puck, goal = see("handle_position"), see("object_position"), see("desired_goal")
        forward = see("handle_rotation")[:, :2]
        forward /= np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-6)
        leftward = np.stack([-forward[:, 1], forward[:, 0]], axis=1)
        reach, left, right, slant = see("tool_shape")[:, :4].T
        head = grip[:, 2] + reach * see("handle_rotation")[:, 2]  # height; the tool may sag
        radius = RADIUS / HALF * puck[:, 2].clip(0.5 * HALF, 1.5 * HALF)
        offset, away = puck[:, :2] - grip[:, :2], goal[:, :2] - puck[:, :2]
        along, aside = (offset * forward).sum(axis=1), (offset * leftward).sum(axis=1)
        # In the tool's frame: where the puck has to go, and the side that it must lie on for that.
        back, over = away.T  # the tool lies along x but for a few degrees; so choices stay
        bar_left, bar_right = left > 0, right > 0
        wanted = np.where(over >= 0, 1.0, -1.0)
        lies = np.where(aside >= 0, 1.0, -1.0)
        has_bar = np.where(wanted > 0, bar_left, bar_right)
        low = head < self.low
        length = np.where(aside >= 0, left, right)
        sweep = slant / np.where(length > 0, length, 1.0)  # of a slanted bar
        face = reach - sweep * np.abs(aside) - radius * (np.hypot(1.0, sweep) - 1.0)
        beside = np.abs(aside) - WIDE - radius  # gap to the handle
        front = face - radius - along  # gap to the bar
        # A push that has begun goes on until it is exact.
        pushing = low & (lies == wanted) & (beside < 0.03)
        must_push = ~has_bar & (np.abs(over) > np.where(pushing, 0.01, 0.03))
        side = np.where(has_bar | must_push, wanted, -wanted)
        # A bar on both sides: stay on the side where the puck lies unless it must go over.
        both = bar_left & bar_right & low & (np.abs(over) < 0.03)
        side = np.where(both, lies, side)
        placed = low & (side * aside > 0.6 * (WIDE + radius)) & (beside < 0.06) & (front > -0.02)
        placed &= (along > 0.12) & (must_push | (front < 0.12))
        # Where the puck should lie in the tool's frame before the tool comes down.
        bar = np.where(side > 0, left, right)
        sweep = slant / np.where(bar > 0, bar, 1.0)
        entry_along = reach - radius - sweep * (WIDE + radius + self.room)
        entry_along -= np.where(must_push, 0.03, self.room)
        entry_aside = side * (WIDE + radius + self.room)
        go_along, go_aside = along - entry_along, aside - entry_aside
        aligned = np.hypot(go_along, go_aside) < 0.01
        rise = self.carry - np.minimum(head, grip[:, 2])
        travel = (rise < 0.02) | (aligned & ~low)
        settled = np.hypot(go_along, go_aside) < 0.014
        down = TALL + 0.001 - head
        gently = np.where(
            head < 0.05, 0.02, 1.0
        )  # a bar that rises fast takes the puck's edge along
        lift = np.where(settled, down, np.minimum(rise, gently))
        step_along = np.where(travel, go_along, 0.0)
        step_aside = np.where(travel, go_aside, 0.0)
        # Placed: close the gap to the bar and pull, close the gap to the handle and push.
        pull = np.where(np.abs(back) > self.near, back - front, 0.0)
        pull = np.where(back > 0, 0.0, pull)
        push = np.where((side * over > self.near), over + side * beside, 0.0)
        step_along = np.where(placed, np.where(must_push, 0.0, pull), step_along)
        step_aside = np.where(placed, push, step_aside)
        lift = np.where(placed, down, lift)
        flat = step_along[:, None] * forward + step_aside[:, None] * leftward
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        most = np.where(placed, self.slow, 1.0)[:, None]
        flat *= np.minimum(1.0, most / np.maximum(length, 1e-6))
        return np.concatenate([flat, lift[:, None]], axis=1)


@SCRIPTED.register("clutter-expert")
class ClutterExpert(ArmExpert):
    """Arm: one cube after the other, as `push-expert` does; the one that it is at comes first."""

    games = ("Clutter-v0",)
    behind: ClassVar[float] = 0.06  # [m] from the cube's centre
    aside: ClassVar[float] = 0.09  # [m] height of travel
    exact: ClassVar[float] = 0.018  # [m] when a push ends
    rough: ClassVar[float] = 0.027  # [m] from where on a cube is pushed again
    within: ClassVar[float] = 0.09  # [m] how near the lowered tool is to the cube that it pushes

    def act(self, observation: Array) -> Array:
        tool = self.see(observation, "tool_position")
        goals = self.see(observation, "desired_goal").reshape(len(tool), -1, 3)
        places = self.see(observation, "achieved_goal").reshape(goals.shape)
        way = goals[:, :, :2] - places[:, :, :2]
        left = np.linalg.norm(way, axis=2)
        along = way / np.maximum(left, 1e-6)[:, :, None]
        offset = tool[:, None, :2] - places[:, :, :2]
        forward = (offset * along).sum(axis=2)
        lateral = np.abs(offset[:, :, 0] * along[:, :, 1] - offset[:, :, 1] * along[:, :, 0])
        low = tool[:, 2, None] < places[:, :, 2] + 0.02
        pushed = low & (lateral < 0.02) & (forward < -0.02) & (forward > -self.within)
        pushed &= left > self.exact
        # A push goes on to its end. What is left of the others does not change while the tool
        # travels, so neither does the choice among them.
        busy, rows = pushed.any(axis=1), np.arange(len(tool))
        going_on = np.where(pushed, -forward, np.inf).argmin(axis=1)
        chosen = np.where(busy, going_on, np.where(left > self.rough, left, 0.0).argmax(axis=1))
        target = push_target(
            tool, places[rows, chosen], goals[rows, chosen], self.behind, self.aside
        )
        done = (left < self.rough).all(axis=1) & ~busy
        target[done, :2], target[done, 2] = tool[done, :2], 2.0 * self.aside
        return self.towards(observation, target)
