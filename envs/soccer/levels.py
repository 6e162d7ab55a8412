"""Levels of the soccer games: what they may set, what they must keep, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import mujoco
import numpy as np

from robo_adv.envs.episode import Array, Ints
from robo_adv.envs.posts import Posts
from robo_adv.envs.soccer.bodies.body import Scale
from robo_adv.envs.soccer.pitch import Pitch
from robo_adv.levels import Parameter
from robo_adv.levels.feasible import Constraint

if TYPE_CHECKING:
    from robo_adv.envs.soccer.kick_and_defend import KickAndDefend

AIR = 0.02  # in pitch lengths: room that a ball needs beyond its size

# Half sizes of the regions of the starts, in pitch lengths, at `start_spread` 1; and their middles.
KICKER_X, KICKER_SPREAD = -1.3, (0.3, 0.6)
KEEPER_X, KEEPER_SPREAD = 1.6, (0.2, 0.35)
BALL_X, BALL_SPREAD = -0.2, (0.3, 0.6)


def parameters(scale: Scale, pitch: Pitch) -> tuple[Parameter, ...]:
    m, length, wide = scale.ball_mass, scale.length, pitch.goal_half_width
    rolling = 0.04 * scale.ball_radius
    return (
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
        Parameter("goal_half_width", 0.5 * wide, 1.5 * wide, wide, "m", role="task",
                  observed=True),
    )  # fmt: skip


def posts(count: int, scale: Scale) -> Posts:
    """Between the kicker's region and the keeper's area, which they never touch: the kicker starts at
    x <= -0.85 and the area begins at x = 1 (pitch lengths). Four posts and the balls between them
    are 1.2 wide at most and the pitch is 3, so they cannot seal the goal."""
    long = scale.length
    return Posts(
        count, x=(-0.4 * long, 0.85 * long), y=(-0.9 * long, 0.9 * long),
        radius=(0.04 * long, 0.12 * long), height=(0.15 * long, 0.15 * long),
        places=tuple((x * long, y * long) for x, y in
                     ((0.6, 0.4), (0.6, -0.4), (0.1, 0.75), (0.1, -0.75))),
        contype=0b11, conaffinity=0b11,
    )  # fmt: skip


def constraints(scale: Scale, pitch: Pitch, reach: float, posts: Posts) -> tuple[Constraint, ...]:
    """`reach` [m] is how far a robot's body extends from its middle."""
    long, radius = scale.length, scale.ball_radius

    def on_pitch(values: Mapping[str, Array]) -> Array:
        """The farthest start from the middle line is still inside the side line."""
        most = np.abs(values["ball_start_y"]) + long * BALL_SPREAD[1] * values["start_spread"]
        return np.asarray(pitch.side_y - radius - most)

    def apart(values: Mapping[str, Array]) -> Array:
        """The ball's backmost start is in front of the kicker's foremost one."""
        spread = (BALL_SPREAD[0] + KICKER_SPREAD[0]) * values["start_spread"]
        gap = values["ball_start_x"] + long * (BALL_X - KICKER_X - spread)
        return np.asarray(gap - reach - radius)

    out = [
        Constraint("the ball starts on the pitch", ("ball_start_y", "start_spread"), on_pitch),
        Constraint(
            "the ball starts apart from the kicker", ("ball_start_x", "start_spread"), apart
        ),
    ]
    if posts.count > 1:
        out.append(posts.gap("the ball", 2.0 * radius + AIR * long))
    return tuple(out)


class Writer:
    """Writes levels into the model fields of a batch, from nominal values."""

    def __init__(self, game: KickAndDefend) -> None:
        model = game.model
        self.nominal = {
            name: getattr(model, name).copy()
            for name in ("body_mass", "body_inertia", "geom_pos", "actuator_gainprm")
        }
        self.ball, self.ball_geom = model.body("ball").id, model.geom("ball").id
        self.goal_posts = [model.geom(name).id for name in ("post_left", "post_right")]
        self.bodies, self.motors = {}, {}
        for player in game.players:
            root = model.body(f"{player}_{game.body.root}").id
            self.bodies[player] = np.flatnonzero(model.body_rootid == root)
            self.motors[player] = np.arange(model.nu)[game.ctrl_slice(player)]

    def write(self, game: KickAndDefend, ids: Ints) -> Ints:
        """The values of simulations `ids`, from `game.params`; returns those that got other masses,
        on which MuJoCo's constants (`set_const`) depend."""
        expand, value, nominal = game.batch.expand, game.params, self.nominal
        mass, inertia = expand("body_mass"), expand("body_inertia")
        gain, friction = expand("actuator_gainprm"), expand("geom_friction")
        before = mass[ids]  # a copy
        weight = value["ball_mass"][ids]
        ratio = weight / nominal["body_mass"][self.ball]
        mass[ids, self.ball] = weight
        inertia[ids, self.ball] = ratio[:, None] * nominal["body_inertia"][self.ball]
        friction[ids, self.ball_geom, 0] = value["ball_friction"][ids]
        friction[ids, self.ball_geom, 2] = value["ball_rolling_friction"][ids]
        rows = ids[:, None]
        for player in game.players:
            b, a = self.bodies[player], self.motors[player]
            heavier = value[f"{player}_mass"][ids][:, None]
            mass[rows, b] = heavier * nominal["body_mass"][b]
            inertia[rows, b] = heavier[..., None] * nominal["body_inertia"][b]
            gain[rows, a, 0] = value[f"{player}_gain"][ids][:, None] * nominal[
                "actuator_gainprm"
            ][a, 0]  # fmt: skip
        wider = (value["goal_half_width"][ids] - game.pitch.goal_half_width)[:, None]
        y = nominal["geom_pos"][self.goal_posts, 1]
        expand("geom_pos")[rows, self.goal_posts, 1] = y + np.array([1.0, -1.0]) * wider
        changed: Ints = ids[(mass[ids] != before).any(axis=1)]
        return changed


def extent(model: mujoco.MjModel, root: str) -> float:
    """How far [m] the geoms of the robot whose first body is `root` extend from its middle in the
    plane, in the posture of `qpos0`, each as its bounding sphere."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = model.body(root).id
    geoms = np.flatnonzero(model.body_rootid[model.geom_bodyid] == body)
    away = data.geom_xpos[geoms, :2] - data.xpos[body, :2]
    return float((np.sqrt((away**2).sum(axis=1)) + model.geom_rbound[geoms]).max())
