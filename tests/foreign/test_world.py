"""Any Gymnasium environment is a world: played to the bit as in a plain loop, in any batch."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from foreign.toys import Array, Cart, Goal, Linear, linear_for
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import Episodes, play, scenarios

MUJOCO = ("HalfCheetah-v5", "Hopper-v5", "Ant-v5")


def _plain(env: Any, policy: Linear, seed: int, flat: bool) -> tuple[list[Array], float]:
    """Observations and return of one episode in the loop that Gymnasium's documentation shows."""

    def as_row(observation: Any) -> Any:
        return spaces.flatten(env.observation_space, observation) if flat else observation

    seen, total = [], 0.0
    observation, _ = env.reset(seed=seed)
    while True:
        row = as_row(observation)
        seen.append(row)
        (action,), _ = policy.predict(row[None])
        action = np.clip(action, env.action_space.low, env.action_space.high)
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            return [*seen, as_row(observation)], total


@pytest.mark.parametrize("name", [*MUJOCO, "Pendulum-v1", "goal", "cart"])
def test_nominal_play_equals_a_plain_gymnasium_loop_bit_for_bit(name: str) -> None:
    own: Any = {"goal": Goal, "cart": Cart}.get(name)
    keywords: dict[str, Any] = {} if own else {"max_episode_steps": 60}
    world = GymnasiumWorld(own or name, 1, **keywords)
    policy = linear_for(world)["agent"]
    env = own() if own else gymnasium.make(name, **keywords)
    obs = world.reset([5])["agent"]
    for seed in (5, 6):
        expected, total = _plain(env, policy, seed, own is Goal)
        for row in expected[:-1]:
            assert np.array_equal(obs[0], row) and obs.dtype == row.dtype
            world.scenarios = lambda ids: (np.array([6], dtype=np.uint64), None)
            result = world.step({"agent": policy.predict(obs)[0]})
            obs = result.obs["agent"]
        assert result.final is not None and np.array_equal(
            result.final.obs["agent"][0], expected[-1]
        )
        assert result.final.returns["agent"][0] == total
        assert result.final.length[0] == len(expected) - 1


def _same(a: Episodes, b: Episodes) -> None:
    assert np.array_equal(a.winner, b.winner) and np.array_equal(a.length, b.length)
    assert np.array_equal(a.returns["agent"], b.returns["agent"])
    for name, value in a.costs["agent"].items():
        assert np.array_equal(value, b.costs["agent"][name]), name


@pytest.mark.parametrize("name", ["Hopper-v5", "HalfCheetah-v5", "cart"])
def test_a_scenario_is_the_same_in_a_batch_of_1_and_of_16(name: str) -> None:
    make: Any = partial(GymnasiumWorld, Cart) if name == "cart" else partial(
        GymnasiumWorld, name, max_episode_steps=25
    )  # fmt: skip
    one, many = make(1), make(16)
    seeds = scenarios(40, 20)
    space = many.design_space
    rng = np.random.default_rng(0)
    levels = [space.decode(rng.uniform(size=len(space))) for _ in seeds]
    levels[::3] = [space.nominal] * len(levels[::3])
    first = play(one, linear_for(one), seeds, levels)
    _same(first, play(many, linear_for(many), seeds, levels))
    order = rng.permutation(len(seeds))
    shuffled = play(many, linear_for(many), seeds[order], [levels[i] for i in order])
    assert np.array_equal(first.returns["agent"][order], shuffled.returns["agent"])


def test_layouts_name_and_measure_what_mujoco_environments_show() -> None:
    def told(name: str, **keywords: Any) -> list[tuple[str, int, str]]:
        layout = GymnasiumWorld(name, 1, **keywords).layouts["agent"]
        return [(s.name, s.size, s.unit) for s in layout]

    assert told("Hopper-v5") == [
        ("qpos_position", 1, "m"), ("qpos_angle", 4, "rad"), ("qvel_linear", 2, "m/s"),
        ("qvel_angular", 4, "rad/s"),
    ]  # fmt: skip
    whole = told("Hopper-v5", exclude_current_positions_from_observation=False)
    assert whole[0] == ("qpos_position", 2, "m")
    assert ("cfrc_ext", 78, "N m, N") in told("Ant-v5")
    assert told("Reacher-v5")[-1] == ("fingertip_to_target", 2, "m")
    assert told("Pendulum-v1") == [("observation", 3, "own unit")]
    goal = GymnasiumWorld(Goal, 1).layouts["agent"]
    assert goal.names == ["achieved_goal", "desired_goal", "observation"]


def test_seeds_that_an_environment_ignores_are_noticed() -> None:
    assert GymnasiumWorld(Cart, 1).seeded
    assert not GymnasiumWorld(Cart, 1, global_random=True).seeded
    alike = GymnasiumWorld(Cart, 1, always_alike=True)
    assert alike.seeded and not alike.varied and GymnasiumWorld(Cart, 1).varied


def test_large_seeds_are_folded_so_that_no_simulator_refuses_them() -> None:
    world = GymnasiumWorld(Cart, 2)
    obs = world.reset(np.array([7, 2**63 + 7], dtype=np.uint64))["agent"]
    assert np.array_equal(obs[0], obs[1])


_ONE = Cart()


def _the_same() -> Cart:
    return _ONE


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (partial(GymnasiumWorld, "CartPole-v1"), ("Discrete", "continuous")),
        (partial(GymnasiumWorld, "Hoper-v5"), ("Hoper", "Hopper")),
        (partial(GymnasiumWorld, "Hopper-v5", 0), ("num_envs",)),
        (partial(GymnasiumWorld, "Hopper-v5", colour=1), ("colour",)),
        (partial(GymnasiumWorld, Cart, raises_at=1), ("first 8 steps", "solver broke down")),
        (partial(GymnasiumWorld, _the_same, 2), ("same environment twice",)),
    ],
)
def test_what_cannot_be_audited_is_refused_in_words(make: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(RoboAdvError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def test_environments_that_show_pictures_are_refused() -> None:
    class Camera(Cart):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    with pytest.raises(RoboAdvError, match="pictures"):
        GymnasiumWorld(Camera, 1)


def test_actions_are_clipped_to_the_environments_own_space() -> None:
    world = GymnasiumWorld(Cart, 3)
    world.reset([1, 2, 3])
    world.step({"agent": [[-9.0], [0.25], [9.0]]})
    assert [row.env.action for row in world._rows.rows] == [-0.5, 0.25, 2.0]
    assert world.action_space("agent") == spaces.Box(-0.5, 2.0, (1,), np.float32)
    with pytest.raises(RoboAdvError, match=r"shape \(3, 2\), expected \(3, 1\)"):
        world.step({"agent": np.zeros((3, 2))})


def test_an_action_that_is_not_finite_forfeits_its_own_episode_only() -> None:
    world, undisturbed = GymnasiumWorld(Cart, 2), GymnasiumWorld(Cart, 2)
    for w in (world, undisturbed):
        w.reset([1, 2])
    result = world.step({"agent": [[np.nan], [0.3]]})
    other = undisturbed.step({"agent": [[0.1], [0.3]]})
    assert result.final is not None and result.final.ids.tolist() == [0]
    assert result.final.forfeit[0] and not result.final.diverged[0]
    assert result.terminated.tolist() == [True, False]
    assert np.array_equal(result.obs["agent"][1], other.obs["agent"][1])


@pytest.mark.parametrize("fault", ["nan_at", "raises_at"])
def test_a_simulator_that_breaks_down_ends_the_episode_as_diverged(fault: str) -> None:
    faults: dict[str, Any] = {fault: 12}
    world = GymnasiumWorld(Cart, 2, **faults)
    world.scenarios = lambda ids: (world.seeds[ids] + np.uint64(10), None)
    obs = world.reset([1, 2])["agent"]
    for _ in range(11):
        obs = world.step({"agent": np.full((2, 1), 0.1)}).obs["agent"]
    result = world.step({"agent": np.full((2, 1), 0.1)})
    final = result.final
    assert final is not None and final.diverged.all() and not final.forfeit.any()
    assert result.truncated.all() and not result.terminated.any()
    assert np.array_equal(final.obs["agent"], obs), "not the last valid observation"
    assert (result.rewards["agent"] == 0).all() and (result.costs["agent"]["terminated"] == 0).all()
    assert np.isfinite(result.obs["agent"]).all() and world.seeds.tolist() == [11, 12]


def test_mujocos_silent_restart_after_a_blow_up_counts_as_diverged() -> None:
    world = GymnasiumWorld("HalfCheetah-v5", 2)
    world.reset([1, 2])
    assert world.forces is not None
    world.forces[1, 1, 0] = 1e12
    for _ in range(5):
        result = world.step({"agent": np.zeros((2, 6))})
        if result.final is not None:
            break
    assert result.final is not None and result.final.ids.tolist() == [1]
    assert result.final.diverged[0] and np.isfinite(result.final.obs["agent"]).all()


def test_an_environment_without_an_end_is_cut() -> None:
    world = GymnasiumWorld(Cart, 2, ends=10**9)
    assert world.time_limit == 10_000
    world.time_limit = 7
    episodes = play(world, linear_for(world), scenarios(0, 3))
    assert episodes.length.tolist() == [7, 7, 7] and (episodes.winner == -2).all()


def test_reported_costs_are_summed_and_an_environment_without_costs_has_none() -> None:
    costly = GymnasiumWorld(Cart, 2, cost=1, always_alike=True)
    episodes = play(costly, linear_for(costly), scenarios(0, 2))
    assert np.array_equal(episodes.costs["agent"]["cost"], 0.5 * episodes.length)
    assert list(GymnasiumWorld(Cart, 2).costs) == ["terminated"]


def test_a_cost_that_turns_up_late_is_an_error_unless_it_was_announced() -> None:
    late = GymnasiumWorld(Cart, 1, cost=15, always_alike=True)
    with pytest.raises(RoboAdvError, match=r"info_costs=\('cost',\)"):
        play(late, linear_for(late), scenarios(0, 1))
    told = GymnasiumWorld(Cart, 1, cost=15, always_alike=True, info_costs="cost")
    episodes = play(told, linear_for(told), scenarios(0, 1))
    assert episodes.costs["agent"]["cost"][0] == 0.5 * 6 and episodes.length[0] == 20


def test_success_that_a_goal_task_reports_is_the_players_win() -> None:
    class Seek:
        def predict(self, observation: Array, *_: Any) -> tuple[Array, None]:
            return 10 * (observation[:, 2:4] - observation[:, :2]), None

    world = GymnasiumWorld(Goal, 4)
    assert world.reports_success
    assert play(world, {"agent": Seek()}, scenarios(0, 6)).won("agent").all()
    idle = play(world, linear_for(world), scenarios(0, 6))
    assert not idle.won("agent").all()


def test_what_a_world_returned_never_changes_later() -> None:
    world, undisturbed = GymnasiumWorld(Cart, 2), GymnasiumWorld(Cart, 2)
    obs, expected = world.reset([1, 2])["agent"], undisturbed.reset([1, 2])["agent"]
    for _ in range(30):
        action = np.full((2, 1), 0.2)
        result, other = world.step({"agent": action}), undisturbed.step({"agent": action})
        assert np.array_equal(result.obs["agent"], other.obs["agent"])
        assert np.array_equal(result.rewards["agent"], other.rewards["agent"])
        for array in (obs, result.rewards["agent"], result.costs["agent"]["terminated"], action):
            array[:] = 7.0
        obs = result.obs["agent"]
    assert expected.shape == (2, 2)


def test_random_actions_fill_the_range_of_the_world() -> None:
    world = GymnasiumWorld(Cart, 200)
    policy: Any = SCRIPTED["random"](world, "agent")  # type: ignore[arg-type]
    obs = world.reset(range(200))["agent"]
    action, _ = policy.predict(obs, policy.start(np.arange(200, dtype=np.uint64), obs))
    assert action.shape == (200, 1)
    assert -0.5 <= action.min() < -0.4 and 1.9 < action.max() < 2.0
    endless: Any = SCRIPTED["random"](GymnasiumWorld(Cart, 1, endless_actions=True), "agent")  # type: ignore[arg-type]
    assert (endless.low, endless.high) == (-1.0, 1.0)


def test_a_class_of_its_own_draws_what_it_draws() -> None:
    class Drawn(Cart):
        metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
        render_mode = "rgb_array"

        def render(self) -> Any:
            return np.full((10, 20, 3), 9, dtype=np.uint8)

    world = GymnasiumWorld(Drawn, 1)
    world.reset([0])
    assert world.render(0, 64, 48).shape == (48, 64, 3) and (world.render(0) == 9).all()
    with pytest.raises(RoboAdvError, match="draws no pictures"):
        GymnasiumWorld(Cart, 1).render()

    class Undrawable(Drawn):
        def render(self) -> Any:
            raise gymnasium.error.DependencyNotInstalled("pygame is not installed")

    with pytest.raises(RoboAdvError, match="cannot draw itself: pygame is not installed"):
        GymnasiumWorld(Undrawable, 1).render()
