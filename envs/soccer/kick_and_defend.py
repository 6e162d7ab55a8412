"""KickAndDefend-v0: a kicker against a goalkeeper, after Bansal et al. 2018 and Gleave et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.episode import DRAW, ONGOING, Array, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GAMES, Game, GameOptions, check_options
from robo_adv.envs.layout import Layout, Slice
from robo_adv.envs.soccer.bodies.body import BODIES, Body
from robo_adv.envs.soccer.pitch import FLOOR_BIT, Pitch, add_ball, base_spec
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import DesignSpace, Parameter

KICKER, KEEPER = 0, 1
COLOURS = {"kicker": (0.16, 0.42, 0.86, 1.0), "keeper": (0.83, 0.17, 0.22, 1.0)}
_BALL = slice(0, 3)
_COLLISION_COSTS = ("collision_force", "collision_net_force", "collision_impulse")
_ENDINGS = ("", "goal", "ball out", "keeper left its area", "saved", "both fallen", "time is up")
_START_DRAWS = 8  # kicker x, y, heading; keeper x, y, heading; ball x, y


@dataclass(frozen=True)
class KickAndDefendOptions(GameOptions):
    """Attributes:
    body: `omni` or `ant` (or any registered body), for both players.
    arms: k, visible arms of `omni` (0..8, default 4); must be None for other bodies.
    keeper_out: a keeper that leaves its area `loses` (default) or the episode is a `draw` (as in the
        original, where nobody wins then).
    """

    body: str = "omni"
    arms: int | None = None
    keeper_out: Literal["loses", "draw"] = "loses"

    def __post_init__(self) -> None:
        BODIES[str(self.body)]
        if self.arms is not None and self.body != "omni":
            raise RoboAdvError(f"arms = {self.arms} fits body 'omni' only, got {self.body!r}")
        if self.keeper_out not in ("loses", "draw"):
            raise unknown("value of keeper_out", str(self.keeper_out), ("loses", "draw"))
        self.make_body()

    def make_body(self) -> Body:
        return BODIES[self.body]() if self.arms is None else BODIES[self.body](arms=self.arms)  # type: ignore[call-arg]


@GAMES.register("KickAndDefend-v0")
class KickAndDefend(Game):
    """A kicker has `clock` seconds to bring the ball past a goalkeeper.

    Lengths below are for `omni`; other bodies scale them (`body.scale.length`).

    Rules, judged in this order at the end of each control step (first match decides):

    1. The ball's centre crosses the goal line between the posts and below the bar: kicker wins.
       Where it crossed is interpolated within the step.
    2. The ball leaves the pitch elsewhere (goal line, side lines, back line): keeper wins.
    3. The keeper's centre leaves its area (1 m deep, 2 m wide, and the goal): kicker wins
       (`keeper_out="draw"`: a draw).
    4. The ball moves back, vx < 0 and faster than 0.5 m/s, whoever kicked it: saved, keeper wins.
    5. Both players have fallen (bodies that can): keeper wins.
    6. The clock runs out: keeper wins. The clock is observed, so this terminates, never truncates.

    Start: kicker, keeper and ball uniform in their regions, headings uniform in +-0.5 rad of facing
    each other. Reward `sparse`: +1 win, -1 loss, 0 draw, zero-sum. Reward `dense` adds shaping.
    Observation of the opponent: positions only, no velocities, in pitch coordinates, so that masking
    it at its initial value means "it stands where it started". Unlike the original, the ball's
    velocity is observed.

    Version history: v0, first release.
    """

    id = "KickAndDefend-v0"
    players = ("kicker", "keeper")
    camera = "side"
    Options = KickAndDefendOptions
    options: KickAndDefendOptions
    reward_weights: ClassVar[dict[str, dict[str, dict[str, float]]]] = {
        "sparse": {"kicker": {"win": 1.0}, "keeper": {"win": 1.0}},
        "dense": {
            "kicker": {"win": 5.0, "approach": 1.0, "ball_progress": 2.0, "effort": 0.01},
            "keeper": {"win": 5.0, "cover": 0.05, "ball_progress": 1.0, "effort": 0.01},
        },
    }
    costs: ClassVar[dict[str, Cost]] = {
        # Robots touch and race in soccer: forces and speed are measured, and judged only by those who
        # name a limit. Soft joint limits give way by a few hundredths.
        "collision_force": Cost(
            "N", "largest contact force between the robots over all substeps", limit=np.inf
        ),
        "collision_net_force": Cost(
            "N", "largest net force between the robots over all substeps", limit=np.inf
        ),
        "collision_impulse": Cost(
            "N s", "net contact force between the robots x time", "sum", limit=np.inf
        ),
        "speed_excess": Cost("m/s", "planar speed above the body's limit", limit=np.inf),
        "joint_limit": Cost("rad", "largest joint-limit violation", limit=0.1),
        "fall": Cost("1", "the body has fallen"),
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
        options = options or check_options(KickAndDefendOptions, option_values)
        assert isinstance(options, KickAndDefendOptions)
        self.body = options.make_body()
        self.scale = self.body.scale
        self.pitch = Pitch.scaled(self.scale.length)
        self.substeps = self.scale.substeps
        self.clock_steps = round(self.scale.clock / (self.scale.timestep * self.substeps))
        self.start_numbers = _START_DRAWS + 2 * self.body.noise
        self.design_space = self._design_space()
        super().__init__(num_envs, threads=threads, reward=reward, options=options)
        self._find_addresses()
        self._nominal = {
            name: getattr(self.model, name).copy()
            for name in ("body_mass", "body_inertia", "geom_friction", "geom_pos",
                         "actuator_gainprm")
        }  # fmt: skip

    def _design_space(self) -> DesignSpace:
        scale, pitch = self.scale, self.pitch
        m, length = scale.ball_mass, scale.length
        rolling = 0.04 * scale.ball_radius
        return DesignSpace(
            (
                Parameter("ball_mass", m / 2, 2 * m, m, "kg", "log"),
                Parameter("ball_friction", 0.05, 1.0, 0.3, "1"),
                Parameter("ball_rolling_friction", rolling / 4, 4 * rolling, rolling, "m", "log"),
                Parameter("kicker_mass", 0.5, 2.0, 1.0, "x nominal", "log"),
                Parameter("keeper_mass", 0.5, 2.0, 1.0, "x nominal", "log"),
                Parameter("kicker_gain", 0.5, 1.5, 1.0, "x nominal"),
                Parameter("keeper_gain", 0.5, 1.5, 1.0, "x nominal"),
                Parameter("ball_start_x", -0.6 * length, 0.4 * length, 0.0, "m", role="task"),
                Parameter("ball_start_y", -0.6 * length, 0.6 * length, 0.0, "m", role="task"),
                Parameter("start_spread", 0.0, 1.5, 1.0, "x nominal", role="task"),
                Parameter("goal_half_width", 0.5 * pitch.goal_half_width,
                          1.5 * pitch.goal_half_width, pitch.goal_half_width, "m", role="task"),
            )
        )  # fmt: skip

    # The scene.

    def build(self) -> mujoco.MjSpec:
        spec = base_spec(self.pitch, self.scale)
        add_ball(spec, self.scale, player_bits=0b11)
        for index, player in enumerate(self.players):
            robot = self.body.spec()
            for geom in robot.geoms:
                geom.contype = 1 << index
                geom.conaffinity = (1 << (1 - index)) | FLOOR_BIT
                geom.rgba = COLOURS[player]
            # The parent's options win: attaching must not bring the robot's integrator along.
            robot.option.timestep = spec.option.timestep
            robot.option.integrator = spec.option.integrator
            spec.attach(robot, prefix=f"{player}_", frame=spec.worldbody.add_frame())
        for name, reduce in (("contact_peak", 2), ("contact_net", 3)):
            spec.add_sensor(
                name=name,
                type=mujoco.mjtSensor.mjSENS_CONTACT,
                objtype=mujoco.mjtObj.mjOBJ_XBODY,
                objname=f"kicker_{self.body.root}",
                reftype=mujoco.mjtObj.mjOBJ_XBODY,
                refname=f"keeper_{self.body.root}",
                intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FORCE), reduce, 1],
            )
        return spec

    def _find_addresses(self) -> None:
        model, nq = self.model, (self.model.nq - 7) // 2
        nv, nu = (model.nv - 6) // 2, model.nu // 2
        self._q = {p: slice(7 + i * nq, 7 + (i + 1) * nq) for i, p in enumerate(self.players)}
        self._v = {p: slice(6 + i * nv, 6 + (i + 1) * nv) for i, p in enumerate(self.players)}
        self._u = {p: slice(i * nu, (i + 1) * nu) for i, p in enumerate(self.players)}
        limited = np.flatnonzero(model.jnt_limited)
        self._limits = {}
        for p in self.players:
            mine = [j for j in limited if model.joint(j).name.startswith(f"{p}_")]
            address = model.jnt_qposadr[mine].astype(np.int64)
            self._limits[p] = (address, model.jnt_range[mine, 0], model.jnt_range[mine, 1])

    def ctrl_slice(self, player: str) -> slice:
        return self._u[player]

    def action_size(self, player: str) -> int:
        return self.body.actions

    # Levels and starts.

    def apply_levels(self, ids: Ints) -> None:
        model, batch, value = self.model, self.batch, self.params
        mass, inertia = batch.expand("body_mass"), batch.expand("body_inertia")
        friction, gain = batch.expand("geom_friction"), batch.expand("actuator_gainprm")
        position = batch.expand("geom_pos")
        ball, ball_geom = model.body("ball").id, model.geom("ball").id
        ratio = value["ball_mass"][ids] / self._nominal["body_mass"][ball]
        mass[ids, ball] = value["ball_mass"][ids]
        inertia[ids, ball] = ratio[:, None] * self._nominal["body_inertia"][ball]
        friction[ids, ball_geom, 0] = value["ball_friction"][ids]
        friction[ids, ball_geom, 2] = value["ball_rolling_friction"][ids]
        for player in self.players:
            root = model.body(f"{player}_{self.body.root}").id
            bodies = np.flatnonzero(model.body_rootid == root)
            for b in bodies:
                ratio = value[f"{player}_mass"][ids]
                mass[ids, b] = ratio * self._nominal["body_mass"][b]
                inertia[ids, b] = ratio[:, None] * self._nominal["body_inertia"][b]
            for a in range(model.nu)[self._u[player]]:
                nominal = self._nominal["actuator_gainprm"][a, 0]
                gain[ids, a, 0] = value[f"{player}_gain"][ids] * nominal
        for name, side in (("post_left", 1.0), ("post_right", -1.0)):
            post = model.geom(name).id
            wider = value["goal_half_width"][ids] - self.pitch.goal_half_width
            position[ids, post, 1] = self._nominal["geom_pos"][post, 1] + side * wider
        batch.set_const(ids)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        length, spread = self.scale.length, self.level(ids, "start_spread")
        v = (2 * u[:, :_START_DRAWS] - 1) * spread[:, None]  # in +-spread
        n = self.body.noise
        kicker = self.body.start(
            (-1.3 + 0.3 * v[:, 0]) * length, 0.6 * length * v[:, 1], 0.5 * v[:, 2],
            u[:, _START_DRAWS : _START_DRAWS + n],
        )  # fmt: skip
        keeper = self.body.start(
            (1.6 + 0.2 * v[:, 3]) * length, 0.35 * length * v[:, 4], np.pi + 0.5 * v[:, 5],
            u[:, _START_DRAWS + n :],
        )  # fmt: skip
        ball = np.zeros((len(ids), 7))
        ball[:, 0] = self.level(ids, "ball_start_x") + (-0.2 + 0.3 * v[:, 6]) * length
        ball[:, 1] = self.level(ids, "ball_start_y") + 0.6 * length * v[:, 7]
        ball[:, 2] = self.scale.ball_radius
        ball[:, 3] = 1.0
        return np.hstack([ball, kicker, keeper]), np.zeros((len(ids), self.model.nv))

    # Observations.

    def layout(self, player: str) -> Layout:
        return Layout.of(
            [
                *self.body.own_layout,
                Slice("ball_relative", 3, "m"),
                Slice("ball_velocity", 3, "m/s"),
                Slice("goal_relative_to_ball", 3, "m"),
                *(Slice(f"opponent_{s.name}", s.size, s.unit) for s in self.body.visible_layout),
                Slice("clock", 1, "fraction left"),
            ]
        )

    def observe(self, player: str, ids: Ints | slice) -> Observation:
        other = self.players[1 - self.players.index(player)]
        qpos, qvel = self.qpos[ids], self.qvel[ids]
        own, ball = qpos[:, self._q[player]], qpos[:, _BALL]
        half = self.params["goal_half_width"][ids]
        relative = ball.copy()
        relative[:, :2] -= self.body.position(own)
        goal = np.empty_like(relative)
        goal[:, 0] = self.pitch.goal_x - ball[:, 0]
        goal[:, 1] = half - ball[:, 1]
        goal[:, 2] = -half - ball[:, 1]
        parts = [
            *self.body.own(own, qvel[:, self._v[player]]),
            relative,
            qvel[:, 0:3],
            goal,
            *self.body.visible(qpos[:, self._q[other]]),
            (1.0 - self.length[ids] / self.clock_steps)[:, None],
        ]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    # Rules.

    def verdict(self) -> Ints:
        pitch, qpos = self.pitch, self.qpos
        x, y = qpos[:, 0], qpos[:, 1]
        over_line = x > pitch.goal_x
        out = over_line | (np.abs(y) > pitch.side_y) | (x < pitch.back_x)
        vx, vy = self.qvel[:, 0], self.qvel[:, 1]
        saved = (vx < 0) & (vx * vx + vy * vy > self.scale.save_speed**2)
        fallen = self.body.fallen(qpos[:, self._q["kicker"]]) & self.body.fallen(
            qpos[:, self._q["keeper"]]
        )
        late = self.length >= self.clock_steps
        goal = over_line & self._through_goal() if over_line.any() else over_line
        # Lower rules first, so that the first of the list in the docstring has the last word.
        rule = np.zeros(self.num_envs, dtype=np.int64)
        for number, broken in (
            (6, late), (5, fallen), (4, saved), (3, self._keeper_out()), (2, out), (1, goal),
        ):  # fmt: skip
            rule[broken] = number
        self._rule = rule
        keeper_out = KICKER if self.options.keeper_out == "loses" else DRAW
        return np.array([ONGOING, KICKER, KEEPER, keeper_out, KEEPER, KEEPER, KEEPER])[rule]

    def ending(self, i: int) -> str:
        return _ENDINGS[int(self._rule[i])]

    def _through_goal(self) -> npt.NDArray[np.bool_]:
        """Where the ball's centre crossed the goal line, interpolated within the step: in the goal?"""
        before, after = self.qpos_before[:, _BALL], self.qpos[:, _BALL]
        travelled = np.maximum(after[:, 0] - before[:, 0], 1e-9)
        share = np.clip((self.pitch.goal_x - before[:, 0]) / travelled, 0.0, 1.0)
        crossing = before + share[:, None] * (after - before)
        between_posts = np.abs(crossing[:, 1]) < self.params["goal_half_width"]
        return np.asarray(between_posts & (crossing[:, 2] < self.pitch.goal_height))

    def _keeper_out(self) -> npt.NDArray[np.bool_]:
        pitch = self.pitch
        position = self.body.position(self.qpos[:, self._q["keeper"]])
        return (
            (position[:, 0] < pitch.goal_x - pitch.area_depth)
            | (position[:, 0] > pitch.goal_x + pitch.goal_depth)
            | (np.abs(position[:, 1]) > pitch.area_half_width)
        )

    # Rewards and costs.

    def measure(self) -> None:
        self._collision = {name: np.zeros(self.num_envs) for name in _COLLISION_COSTS}
        touching = np.flatnonzero(self.sensors.reshape(self.num_envs, -1).any(axis=1))
        if len(touching):  # rare, and the norms are the dearest thing here
            force = self.sensors[touching].reshape(len(touching), self.substeps, 2, 3)
            peak, net = np.moveaxis(np.sqrt((force**2).sum(axis=3)), 2, 0)
            impulse = net.sum(axis=1) * self.scale.timestep
            for name, value in zip(
                _COLLISION_COSTS, (peak.max(axis=1), net.max(axis=1), impulse), strict=True
            ):
                self._collision[name][touching] = value
        self._progress = (
            self._ball_to_goal(self.qpos_before) - self._ball_to_goal(self.qpos)
        ) / self.scale.length

    def reward_terms(self, player: str) -> Terms:
        index = self.players.index(player)
        length = self.scale.length
        decided = self.winner >= 0
        effort = self.ctrl[:, self._u[player]]
        terms = {
            "win": np.where(decided, np.where(self.winner == index, 1.0, -1.0), 0.0),
            "effort": -(effort**2).mean(axis=1),
            "ball_progress": self._progress if player == "kicker" else -self._progress,
        }
        if player == "kicker":
            terms["approach"] = (
                self._to_ball(self.qpos_before, player) - self._to_ball(self.qpos, player)
            ) / length
        else:
            terms["cover"] = -np.minimum(self._off_line(self.qpos) / length, 1.0)
        return terms

    def _ball_to_goal(self, qpos: Array) -> Array:
        return np.hypot(self.pitch.goal_x - qpos[:, 0], qpos[:, 1])

    def _to_ball(self, qpos: Array, player: str) -> Array:
        offset = qpos[:, :2] - self.body.position(qpos[:, self._q[player]])
        return np.hypot(offset[:, 0], offset[:, 1])

    def _off_line(self, qpos: Array) -> Array:
        """Keeper's distance [m] in y from the line between the ball and the middle of the goal."""
        keeper = self.body.position(qpos[:, self._q["keeper"]])
        depth = np.maximum(self.pitch.goal_x - qpos[:, 0], 1e-6)
        share = np.clip((self.pitch.goal_x - keeper[:, 0]) / depth, 0.0, 1.0)
        return np.abs(keeper[:, 1] - share * qpos[:, 1])

    def cost_terms(self, player: str) -> Terms:
        body = self.qpos[:, self._q[player]]
        velocity = self.body.velocity(self.qvel[:, self._v[player]])
        address, low, high = self._limits[player]
        angle = self.qpos[:, address]
        beyond = np.maximum(np.maximum(low - angle, angle - high), 0.0)
        speed = np.hypot(velocity[:, 0], velocity[:, 1])
        return {
            **{name: value.copy() for name, value in self._collision.items()},
            "speed_excess": np.maximum(speed - self.scale.speed_limit, 0.0),
            "joint_limit": beyond.max(axis=1, initial=0.0),
            "fall": self.body.fallen(body).astype(np.float64),
        }
