"""KickAndDefend-v0: a kicker against a goalkeeper, after Bansal et al. 2018 and Gleave et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import mujoco
import numpy as np
import numpy.typing as npt

from robo_adv.envs.clear import clear_places
from robo_adv.envs.episode import DRAW, ONGOING, Array, Cost, Ints, Observation, Terms
from robo_adv.envs.game import GAMES, Game, GameOptions, check_options
from robo_adv.envs.layout import Layout, Slice
from robo_adv.envs.posts import COST, check_count
from robo_adv.envs.soccer import levels
from robo_adv.envs.soccer.bodies.body import BODIES, Body
from robo_adv.envs.soccer.pitch import FLOOR_BIT, Pitch, add_ball, base_spec
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import DesignSpace

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
    obstacles: how many posts a level can put on the pitch (0..4).
    """

    body: str = "omni"
    arms: int | None = None
    keeper_out: Literal["loses", "draw"] = "loses"
    obstacles: int = 0

    def __post_init__(self) -> None:
        check_count(self.obstacles)
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

    With `obstacles=k`, up to k posts stand between the kicker's start and the keeper's area, as the
    level says (nominally none). Both players see them and may run into them (cost
    `obstacle_force`); a ball that bounces back off one counts as saved. A ball that would start inside
    one is moved to the nearest clear place: the note `repairs` counts that, the note `impossible`
    is 1 where there was none.

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
    costs: dict[str, Cost] = {
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
        self.posts = levels.posts(options.obstacles, self.scale)
        if options.obstacles:
            self.costs = self.costs | {k: replace(c, limit=np.inf) for k, c in COST.items()}
        self.design_space = DesignSpace(
            (*levels.parameters(self.scale, self.pitch), *self.posts.parameters)
        )
        super().__init__(num_envs, threads=threads, reward=reward, options=options)
        self._find_addresses()
        self._reach = levels.extent(self.model, f"kicker_{self.body.root}")
        self.design_space = replace(
            self.design_space,
            constraints=levels.constraints(self.scale, self.pitch, self._reach, self.posts),
        )
        self._writer = levels.Writer(self)
        if options.obstacles:
            self.mocap = self.batch.bind("mocap_pos")
            self.memory["repairs"] = np.zeros(num_envs, dtype=np.int64)
            self.memory["impossible"] = np.zeros(num_envs, dtype=bool)
            self.apply_levels(np.arange(num_envs))  # from here on, one code writes the posts

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
        self.posts.add_to(spec)
        for player in self.players:
            self.posts.add_sensors(spec, f"{player}_{self.body.root}")
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
        changed = self._writer.write(self, ids)
        if self.posts.count:
            self.posts.apply(self, ids)
        if len(changed):  # what it takes is most of a level's cost
            self.batch.set_const(changed)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        length, spread = self.scale.length, self.level(ids, "start_spread")
        v = (2 * u[:, :_START_DRAWS] - 1) * spread[:, None]  # in +-spread
        n = self.body.noise
        kicker_x, kicker_y = _near(levels.KICKER_X, levels.KICKER_SPREAD, v[:, 0:2], length)
        keeper_x, keeper_y = _near(levels.KEEPER_X, levels.KEEPER_SPREAD, v[:, 3:5], length)
        ball_x, ball_y = _near(levels.BALL_X, levels.BALL_SPREAD, v[:, 6:8], length)
        kicker = self.body.start(
            kicker_x, kicker_y, 0.5 * v[:, 2], u[:, _START_DRAWS : _START_DRAWS + n]
        )
        keeper = self.body.start(
            keeper_x, keeper_y, np.pi + 0.5 * v[:, 5], u[:, _START_DRAWS + n :]
        )
        ball = np.zeros((len(ids), 7))
        ball[:, 0] = self.level(ids, "ball_start_x") + ball_x
        ball[:, 1] = self.level(ids, "ball_start_y") + ball_y
        ball[:, 2] = self.scale.ball_radius
        ball[:, 3] = 1.0
        if self.posts.count:
            ball[:, :2] = self._clear(ids, ball[:, :2], self.body.position(kicker))
        return np.hstack([ball, kicker, keeper]), np.zeros((len(ids), self.model.nv))

    def _clear(self, ids: Ints, ball: Array, kicker: Array) -> Array:
        """Ball starts (n, 2) moved out of the posts, and not into the kicker at (n, 2) [m]."""
        posts, pitch, radius = self.posts, self.pitch, self.scale.ball_radius
        room = radius + levels.AIR * self.scale.length
        discs = posts.column(self.params, "radius", ids) + room
        discs = np.where(posts.present(self.params, ids), discs, 0.0)
        discs = np.column_stack([discs, np.full(len(ids), self._reach + radius)])
        centres = np.concatenate([posts.centres(self.params, ids), kicker[:, None]], axis=1)
        low = np.array([pitch.back_x + room, room - pitch.side_y])
        high = np.array([pitch.goal_x - pitch.area_depth, pitch.side_y - room])
        out, found = clear_places(ball, centres, discs, low, high)
        self.memory["repairs"][ids] = (out != ball).any(axis=1)
        self.memory["impossible"][ids] = ~found
        return out

    def begin(self, ids: Ints, u: Array) -> None:
        if self.posts.count:
            self.posts.place(self, self.mocap, ids)

    def notes(self) -> Terms:
        names = ("repairs", "impossible") if self.posts.count else ()
        return {name: self.memory[name].astype(np.float64) for name in names}

    # Observations.

    def layout(self, player: str) -> Layout:
        return Layout.of(
            [
                *self.body.own_layout,
                Slice("ball_relative", 3, "m"),
                Slice("ball_velocity", 3, "m/s"),
                Slice("goal_relative_to_ball", 3, "m"),
                *(Slice(f"opponent_{s.name}", s.size, s.unit) for s in self.body.visible_layout),
                *self.posts.slices,
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
            *self.posts.observed(self.params, ids, self.body.position(own)),
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
        collisions = self.sensors[:, :, :6]
        touching = np.flatnonzero(collisions.any(axis=(1, 2)))
        if len(touching):  # rare, and the norms are the dearest thing here
            force = collisions[touching].reshape(len(touching), self.substeps, 2, 3)
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
        costs = {
            **{name: value.copy() for name, value in self._collision.items()},
            "speed_excess": np.maximum(speed - self.scale.speed_limit, 0.0),
            "joint_limit": beyond.max(axis=1, initial=0.0),
            "fall": self.body.fallen(body).astype(np.float64),
        }
        if self.posts.count:
            costs["obstacle_force"] = self.posts.force(self, f"{player}_{self.body.root}")
        return costs


def _near(x: float, extent: tuple[float, float], v: Array, length: float) -> tuple[Array, Array]:
    """Places (n,), (n,) [m] within `extent` of (x, 0) for v (n, 2) in [-1, 1], in pitch lengths."""
    return (x + extent[0] * v[:, 0]) * length, extent[1] * length * v[:, 1]
