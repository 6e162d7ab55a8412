"""MuJoCo environments as worlds: pushes, physical knobs that are never dead, falls and speeds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from robo_adv.envs.foreign import GymnasiumWorld, knobs
from robo_adv.levels import Level

STANDING: dict[str, dict[str, Any]] = {
    "HalfCheetah-v5": {},
    "Hopper-v5": {"terminate_when_unhealthy": False},
    "Walker2d-v5": {"terminate_when_unhealthy": False},
    "Ant-v5": {"terminate_when_unhealthy": False},
    "Humanoid-v5": {"terminate_when_unhealthy": False},
    "Swimmer-v5": {},
    "Reacher-v5": {},
    "Pusher-v5": {},
    "InvertedPendulum-v5": {},
}


def _run(world: GymnasiumWorld, levels: list[Level], steps: int) -> Any:
    """Observations (T, N, d) from one seed under the same random actions in all rows."""
    rng = np.random.default_rng(3)
    low, high = world.actions.low, world.actions.high
    obs = [world.reset([9] * world.num_envs, levels=levels)["agent"]]
    for _ in range(steps):
        action = np.repeat(rng.uniform(low, high)[None], world.num_envs, axis=0)
        obs.append(world.step({"agent": action}).obs["agent"])
    return np.array(obs)


@pytest.mark.parametrize("name", STANDING)
def test_every_knob_changes_what_happens_at_both_ends_of_its_range(name: str) -> None:
    space = GymnasiumWorld(name, 1, **STANDING[name]).design_space
    assert {"mass", "strength"} <= set(space.names)
    ends = [space.level({p.name: end}) for p in space for end in (p.low, p.high)]
    world = GymnasiumWorld(name, 1 + len(ends), **STANDING[name])
    trace = _run(world, [space.nominal, *ends], 45)
    for row, level in enumerate(ends, start=1):
        assert not np.array_equal(trace[:, row], trace[:, 0]), f"{name}: {level.to_json()} is dead"
    assert np.array_equal(_run(world, [space.nominal] * len(trace[0]), 5)[:, -1], trace[:6, 0]), (
        "a level left a trace"
    )


def test_walking_robots_have_all_knobs_and_others_those_that_do_something() -> None:
    full = ("torso_mass", "mass", "friction", "damping", "strength", "gravity")
    assert GymnasiumWorld("Walker2d-v5", 1).design_space.names == full
    assert "gravity" not in GymnasiumWorld("Reacher-v5", 1).design_space.names
    assert "medium" in GymnasiumWorld("Swimmer-v5", 1).design_space.names
    assert len(GymnasiumWorld("Pendulum-v1", 1).design_space) == 0


def test_a_friction_knob_that_moves_the_floor_alone_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = knobs.scale

    def floor_only(model: Any, ratios: Any) -> None:
        for name, ratio in ratios.items():
            if name == "friction":
                model.geom_friction[0] *= ratio  # below the feet's own: a dead knob downwards
            else:
                whole(model, {name: ratio})

    monkeypatch.setattr(knobs, "scale", floor_only)
    for name in ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5"):
        assert "friction" not in GymnasiumWorld(name, 1).design_space.names


def test_masses_keep_their_inertia_and_derived_constants() -> None:
    world = GymnasiumWorld("Hopper-v5", 2)
    heavy = world.design_space.level({"torso_mass": 2.0})
    world.reset([1, 1], levels=[world.design_space.nominal, heavy])
    light, doubled = (row.env.unwrapped.model for row in world._rows.rows)
    torso = light.body("torso").id
    assert doubled.body_mass[torso] == 2 * light.body_mass[torso]
    assert np.allclose(doubled.body_inertia[torso], 2 * light.body_inertia[torso])
    assert doubled.body_subtreemass[0] == pytest.approx(
        light.body_subtreemass[0] + light.body_mass[torso]
    )
    assert np.allclose(doubled.body_mass[torso + 1 :], light.body_mass[torso + 1 :])


def test_a_push_is_what_xfrc_applied_does_in_a_plain_loop() -> None:
    world, env = GymnasiumWorld("Hopper-v5", 2), gymnasium.make("Hopper-v5")
    base: Any = env.unwrapped
    obs, (plain, _) = world.reset([3, 3])["agent"], env.reset(seed=3)
    assert world.forces is not None and world.forces.shape == (2, base.model.nbody, 6)
    for step in range(12):
        push = np.zeros((base.model.nbody, 6))
        push[1, 0] = 8.0 if step >= 4 else 0.0
        world.forces[0] = push
        base.data.xfrc_applied[:] = push
        obs = world.step({"agent": np.zeros((2, 3))}).obs["agent"]
        plain, *_ = env.step(np.zeros(3, np.float32))
        assert np.array_equal(obs[0], plain)
        assert np.array_equal(obs[0], obs[1]) == (step < 4)
    assert world.forces[0, 1, 0] == 8.0, "the world cleared a force"


def test_a_push_ends_when_it_is_taken_away_and_with_the_episode() -> None:
    world, free = GymnasiumWorld("Hopper-v5", 1), GymnasiumWorld("Hopper-v5", 1)
    assert world.forces is not None
    world.reset([1])
    world.forces[0, 1, 0] = 30.0
    world.step({"agent": np.zeros((1, 3))})
    world.forces[:] = 0.0
    world.step({"agent": np.zeros((1, 3))})
    assert not world._rows.rows[0].env.unwrapped.data.xfrc_applied.any()
    world.reset([2])
    free.reset([2])
    for _ in range(3):
        a, b = (w.step({"agent": np.zeros((1, 3))}).obs["agent"] for w in (world, free))
        assert np.array_equal(a, b)


def test_a_cheetah_on_its_back_has_fallen_and_one_on_its_feet_has_not() -> None:
    world = GymnasiumWorld("HalfCheetah-v5", 2)
    world.reset([1, 2])
    base = world._rows.rows[1].env.unwrapped
    qpos = base.data.qpos.copy()
    qpos[2] = 2.8  # pitch [rad]
    base.set_state(qpos, 0.0 * base.data.qvel)
    costs = world.step({"agent": np.zeros((2, 6))}).costs["agent"]
    assert costs["fall"].tolist() == [0.0, 1.0] and (costs["terminated"] == 0).all()
    assert costs["tilt"][0] < 0.3 and costs["tilt"][1] == pytest.approx(2.8, abs=0.2)


def test_falls_are_terminations_or_what_the_environment_calls_unhealthy() -> None:
    for keywords in ({}, {"terminate_when_unhealthy": False}):
        world = GymnasiumWorld("Hopper-v5", 1, **keywords)  # type: ignore[arg-type]
        world.reset([1])
        for _ in range(80):
            result = world.step({"agent": np.full((1, 3), 1.0)})
            if result.costs["agent"]["fall"][0]:
                break
        assert result.costs["agent"]["fall"][0] == 1.0
        assert result.terminated[0] == (not keywords)
        assert result.costs["agent"]["height_loss"][0] >= 0.0


@pytest.mark.parametrize(("name", "planar"), [("HalfCheetah-v5", False), ("Ant-v5", True)])
def test_speed_is_what_the_environment_reports(name: str, planar: bool) -> None:
    world, env = GymnasiumWorld(name, 1), gymnasium.make(name)
    world.reset([4])
    env.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, (1, world.action_size("agent"))).astype(np.float32)
        speed = world.step({"agent": action}).costs["agent"]["speed"][0]
        info = env.step(action[0])[4]
        x = info["x_velocity"]
        assert speed == (np.hypot(x, info["y_velocity"]) if planar else max(x, 0.0))


def test_a_picture_shows_a_row_and_changes_nothing() -> None:
    world, blind = GymnasiumWorld("Hopper-v5", 2), GymnasiumWorld("Hopper-v5", 2)
    world.reset([1, 2])
    blind.reset([1, 2])
    for _ in range(3):
        action = np.full((2, 3), 0.3)
        a, b = world.step({"agent": action}), blind.step({"agent": action})
        assert np.array_equal(a.obs["agent"], b.obs["agent"])
        pictures = [world.render(i, 160, 120) for i in range(2)]
    assert pictures[0].shape == (120, 160, 3) and pictures[0].std() > 5
    assert not np.array_equal(pictures[0], pictures[1])
    world.close()
