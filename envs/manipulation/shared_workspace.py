"""SharedWorkspace-v0: reach a goal while a person's hand moves through the workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Ints, Terms
from robo_adv.envs.game import GAMES, GameOptions
from robo_adv.envs.layout import Slice
from robo_adv.envs.manipulation.costs import ARM_COSTS
from robo_adv.envs.manipulation.human_costs import HUMAN_COSTS, HumanCosts
from robo_adv.envs.manipulation.person import LEAD, PARTS, Person, Stance, add_person
from robo_adv.envs.manipulation.task import (
    TALL_WORKSPACE,
    ManipulationOptions,
    ManipulationTask,
)
from robo_adv.levels import Parameter
from robo_adv.safety.contact_limits import NOTICE, Limits, load_limits
from robo_adv.safety.contact_model import robot_mass
from robo_adv.safety.human import Reaches, ReachStyle, random_reaches

FORCE = 80.0  # [N] that the person's servos give along each axis: a person yields


@dataclass(frozen=True)
class SharedWorkspaceOptions(ManipulationOptions):
    """Attributes:
    refine: 4 by default, a timestep of 1 ms: a blow to the hand lasts about 10 ms.
    limits: path of a file of contact limits in place of the shipped ones.
    """

    refine: int = 4
    limits: str | None = None


@GAMES.register("SharedWorkspace-v0")
class SharedWorkspace(ManipulationTask):
    """The arm brings its tool to a point while a person reaches through the workspace.

    The hand starts beside the table, makes two reaches into the workspace with pauses (minimum-jerk
    movements, peak speeds of 0.5 to 1 m/s) and goes back; it follows its path with limited force
    and does not avoid the arm. Rules: after 8 s (200 control steps) the arm wins when the tool centre
    point is within 2 cm of the goal. Contact decides nothing; costs measure it, in N and relative to
    contact limits (a design aid, no conformity claim, see docs/contact-limits.md).

    Reward `sparse`: -1 per step away from the goal, 0 at it. Reward `dense` adds the distance and
    `clearance`, -1 with the hand or the forearm at the tool and 0 from 0.25 m on.

    Version history: v0, first release.
    """

    id = "SharedWorkspace-v0"
    Options = SharedWorkspaceOptions
    notice = NOTICE
    options: SharedWorkspaceOptions
    clock = 8.0
    workspace = TALL_WORKSPACE
    costs = ARM_COSTS | HUMAN_COSTS
    tolerance: ClassVar[float] = 0.02  # [m]
    style: ClassVar[ReachStyle] = ReachStyle(
        rest=(0.60, 0.80, 0.22), low=(0.38, -0.15, 0.10), high=(0.62, 0.25, 0.30), reaches=2,
        speed=(0.5, 1.0), pause=(0.1, 0.6), wait=(0.0, 0.8),
    )  # fmt: skip
    task_numbers = 3 + style.numbers
    task_parameters = (
        Parameter("goal_x", 0.40, 0.56, 0.48, "m", role="task"),
        Parameter("goal_y", -0.15, 0.15, 0.0, "m", role="task"),
        Parameter("goal_z", 0.12, 0.30, 0.20, "m", role="task"),
        Parameter("goal_spread", 0.0, 1.0, 1.0, "x nominal", role="task"),
        Parameter("human_speed", 0.5, 1.5, 1.0, "x nominal", role="task"),
        Parameter("human_spread", 0.0, 1.2, 1.0, "x nominal", role="task"),
        Parameter("human_force", 40.0, 150.0, FORCE, "N"),
        Parameter("human_stiffness", 0.5, 2.0, 1.0, "x nominal", "log"),
    )
    extent: ClassVar[Array] = np.array([0.12, 0.20, 0.10])  # half sizes of the goals' box [m]
    reward_weights = {
        "sparse": {"arm": {"goal": 1.0}},
        "dense": {"arm": {"goal": 0.2, "distance": 2.0, "clearance": 0.5, "effort": 0.01}},
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        threads: int = 0,
        reward: Mapping[str, str | Mapping[str, float]] | None = None,
        options: GameOptions | None = None,
        **option_values: Any,
    ) -> None:
        chosen = options or SharedWorkspaceOptions(**option_values)
        self.limits: Limits = load_limits(getattr(chosen, "limits", None))
        super().__init__(
            num_envs, threads=threads, reward=reward, options=options, **option_values
        )  # fmt: skip
        self.robot_mass = float(robot_mass(self._moving_mass()))
        self.person = Person(self.model, self.limits, self.robot_mass, self.arm.hand)
        shape = random_reaches(self.style, np.zeros((num_envs, self.style.numbers)))
        self.memory |= {
            "path_points": shape.points, "path_begins": shape.begins,
            "path_durations": shape.durations,
        }  # fmt: skip
        self.stance: Stance = self.person.stance(self.qpos, self.qvel)
        self.human_costs = HumanCosts(self)
        self.apply_levels(np.arange(num_envs))

    # The person.

    def extra_scene(self, spec: mujoco.MjSpec) -> None:
        add_person(spec, self.root, self.limits, FORCE)

    def _moving_mass(self) -> float:
        """Mass [kg] of all that hangs on the first joint."""
        if self.arm.moving_mass is not None:
            return self.arm.moving_mass
        first = self.model.joint(self.arm.joints[0]).id
        return float(self.model.body_subtreemass[self.model.jnt_bodyid[first]])

    @property
    def path(self) -> Reaches:
        """Paths of the hands."""
        names = ("path_points", "path_begins", "path_durations")
        return Reaches(*(self.memory[name] for name in names))

    def apply_levels(self, ids: Ints) -> None:
        if not hasattr(self, "person"):
            return super().apply_levels(ids)
        force = self.level(ids, "human_force")[:, None]
        limit = self.batch.expand("actuator_forcerange")
        for u in self.person.u[:3]:
            limit[ids, u] = force * [-1.0, 1.0]
        solref = self.batch.expand("geom_solref")
        solref[np.ix_(ids, self.person.geoms)] = self.person.solref(
            self.level(ids, "human_stiffness")
        )
        return super().apply_levels(ids)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        qpos, qvel = super().start(ids, u)
        rest = np.tile(self.style.rest, (len(ids), 1))
        qpos[:, self.person.q[:4]] = self.person.pose(rest)
        return qpos, qvel

    def begin(self, ids: Ints, u: Array) -> None:
        drawn = u[:, len(self.arm.joints) + 3 :]
        tempo, spread = self.level(ids, "human_speed"), self.level(ids, "human_spread")
        path = random_reaches(self.style, drawn, tempo, spread)
        for mine, new in zip(
            (self.path.points, self.path.begins, self.path.durations),
            (path.points, path.begins, path.durations), strict=True,
        ):  # fmt: skip
            mine[ids] = new
        self.ctrl[np.ix_(ids, self.person.u)] = self.qpos[np.ix_(ids, self.person.q[:4])]
        self.human_costs.begin(ids)
        super().begin(ids, u)

    def extra_drive(self) -> None:
        arrival = (self.length + 1) * self.control_dt + LEAD
        hand, _ = self.path.at(arrival)
        self.ctrl[:, self.person.u] = self.person.pose(hand)

    def measure(self) -> None:
        self.stance = self.person.stance(self.qpos, self.qvel)
        super().measure()
        self.human_costs.measure()

    def extra_slices(self) -> list[Slice]:
        return [
            Slice(f"human_{part}_{what}", 3, unit)
            for part in PARTS
            for what, unit in (("position", "m"), ("velocity", "m/s"))
        ]

    def extra_observation(self, ids: Ints | slice) -> list[Array]:
        now = self.person.stance(self.qpos[ids], self.qvel[ids])
        return [
            array for k in range(len(PARTS)) for array in (now.centre[:, k], now.velocity[:, k])
        ]

    # The task.

    def goals(self, ids: Ints, u: Array) -> Array:
        low, high = self.workspace
        return np.clip(
            self.near_centre(ids, "goal", u[:, :3], self.extent),
            low + self.tolerance,
            high - self.tolerance,
        )

    def achieved(self, ids: Ints | slice) -> Array:
        return self.poses.position[ids]

    def reward_terms(self, player: str) -> Terms:
        terms = self.goal_terms(self.poses.position, self.goal)
        gap = np.linalg.norm(self.stance.centre - self.poses.position[:, None], axis=2).min(axis=1)
        return terms | {
            "effort": -np.linalg.norm(self.tool_velocity, axis=1),
            "clearance": -np.maximum(1.0 - gap / 0.25, 0.0),
        }

    def cost_terms(self, player: str) -> Terms:
        return super().cost_terms(player) | self.human_costs.terms()
