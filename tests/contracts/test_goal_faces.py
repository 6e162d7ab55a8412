"""Goal-conditioned faces: Dict observations, relabelling, success, and cameras."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common import env_checker
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.vec_env import VecTransposeImage
from stable_baselines3.sac import SAC

from contracts.plane import GAME, Plane, add_plane
from robo_adv.agents.make import make_seat, make_single
from robo_adv.envs.game import GAMES, make_game
from robo_adv.envs.goal import GoalGame
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.training.vec_env import VectorToVecEnv

Array = npt.NDArray[Any]
GOAL_GAMES = [GAME, *(name for name in GAMES if issubclass(GAMES[name], GoalGame))]
every_goal_game = pytest.mark.parametrize("game", GOAL_GAMES)


@pytest.fixture(autouse=True)
def _plane(monkeypatch: pytest.MonkeyPatch) -> None:
    add_plane(monkeypatch)


def _actions(seat: Seat, steps: int, seed: int = 0) -> Iterator[Array]:
    shape = (steps, seat.num_envs, *(seat.single_action_space.shape or ()))
    return iter(np.random.default_rng(seed).uniform(-1, 1, shape))


def _bytes(seen: Any) -> bytes:
    parts = [seen[name] for name in sorted(seen)] if isinstance(seen, dict) else [seen]
    return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


@every_goal_game
@pytest.mark.parametrize("reward", ["sparse", "dense"])
def test_gymnasium_and_stable_baselines3_accept_the_dict_face(game: str, reward: str) -> None:
    env = make_single(game, reward=reward)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spaces without bounds; the other test looks at the texts
        check_env(env, skip_render_check=True)
    env_checker.check_env(env)


@every_goal_game
def test_flattening_the_dict_gives_the_flat_observation_at_every_step(game: str) -> None:
    dicts, flats = make_seat(game, 3), make_seat(game, 3, observation="flat")
    space = dicts.single_observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    assert [*space.spaces] == ["achieved_goal", "desired_goal", "observation"]
    one, other = dicts.reset(seed=5)[0], flats.reset(seed=5)[0]
    for action in _actions(dicts, dicts.game.clock_steps + 5):  # type: ignore[attr-defined]
        for i in range(3):
            row = {name: part[i] for name, part in one.items()}
            assert space.contains(row)
            assert np.array_equal(_flatten(space, row), other[i])
        one, reward, _, _, info = dicts.step(action)
        other, expected, _, _, flat_info = flats.step(action)
        assert np.array_equal(reward, expected)
        if "final_obs" not in info:
            continue
        for mine, theirs in zip(info["final_obs"], flat_info["final_obs"], strict=True):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                assert np.array_equal(_flatten(space, mine), theirs)


def _flatten(space: gymnasium.Space[Any], row: Any) -> Array:
    return np.asarray(gymnasium.spaces.flatten(space, row))


@every_goal_game
@pytest.mark.parametrize("reward", ["sparse", "dense"])
def test_the_reward_of_every_step_is_that_of_its_goals(game: str, reward: str) -> None:
    seat = make_seat(game, 4, reward=reward)
    seat.reset(seed=1)
    ends = 0
    for action in _actions(seat, seat.game.clock_steps + 5):  # type: ignore[attr-defined]
        seen, rewards, terminated, truncated, info = seat.step(action)
        infos = [
            {"reward_terms": {k: v[i] for k, v in info["reward_terms"].items()}} for i in range(4)
        ]
        last = [
            info["final_obs"][i] if done else {name: part[i] for name, part in seen.items()}
            for i, done in enumerate(terminated | truncated)
        ]
        achieved, desired = (
            np.stack([row[name] for row in last]) for name in ("achieved_goal", "desired_goal")
        )
        assert np.array_equal(seat.compute_reward(achieved, desired, infos), rewards)
        for i in range(4):
            one = seat.compute_reward(achieved[i], desired[i], infos[i])
            assert np.ndim(one) == 0 and one == rewards[i]
        ends += int(terminated.sum())
        assert np.array_equal(info["is_success"], _reached(seat, achieved, desired))
        if terminated.any():
            details = info["final_info"]
            assert np.array_equal(details["is_success"][terminated], details["won"][terminated])
    assert ends >= 4


def _reached(seat: Seat, achieved: Array, desired: Array) -> Array:
    assert seat.goals is not None
    return seat.goals.success(achieved.astype(np.float64), desired.astype(np.float64))


def test_final_observations_are_those_of_gymnasiums_own_vector_environments() -> None:
    seat = make_seat(GAME, 2)
    sync = SyncVectorEnv(
        [lambda: make_single(GAME)] * 2, autoreset_mode=AutoresetMode.SAME_STEP
    )  # fmt: skip
    assert seat.observation_space == sync.observation_space
    assert _bytes(seat.reset(seed=3)[0]) == _bytes(sync.reset(seed=3)[0])
    for action in _actions(seat, Plane.clock_steps):
        *mine, info = seat.step(action.astype(np.float32))
        *theirs, other = sync.step(action.astype(np.float32))
        for a, b in zip(mine[1:], theirs[1:], strict=True):
            assert np.array_equal(a, b)
    assert info["final_obs"].dtype == other["final_obs"].dtype == object
    for a, b in zip(info["final_obs"], other["final_obs"], strict=True):
        assert [*a] == [*b] and _bytes(a) == _bytes(b)
    for name in ("_final_obs", "_final_info"):
        assert np.array_equal(info[name], other[name])
    assert np.array_equal(info["final_info"]["is_success"], other["final_info"]["is_success"])


def test_dict_observations_are_fresh_arrays() -> None:
    seat = make_seat(GAME, 2)
    kept = [seat.reset(seed=3)[0]]
    copies = [_bytes(kept[0])]
    for action in _actions(seat, 12):
        seen = seat.step(action)[0]
        kept.append(seen)
        copies.append(_bytes(seen))
        for part in seen.values():
            part.flags.writeable = True
    assert [_bytes(seen) for seen in kept] == copies


def test_a_seat_of_dicts_continues_from_a_snapshot_to_the_bit() -> None:
    first, second = (make_seat(GAME, 3, cameras=("top",)) for _ in range(2))
    first.reset(seed=8)
    for action in _actions(first, 5):
        first.step(action)
    second.restore(*first.snapshot())
    for action in _actions(first, 12, seed=1):
        for a, b in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            assert _bytes(a) == _bytes(b)


def test_terms_that_do_not_depend_on_goals_are_taken_from_infos_or_refused() -> None:
    env = make_single(GAME, reward="lazy")
    env.reset(seed=1)
    seen, reward, _, _, info = env.step(np.array([0.5, -1.0]))
    goals = seen["achieved_goal"], seen["desired_goal"]
    assert env.compute_reward(*goals, info) == reward
    assert env.compute_reward(goals[1], goals[1], info) == pytest.approx(-0.15)
    with pytest.raises(RoboAdvError, match="'effort' of Plane-v0 does not depend on the goal"):
        env.compute_reward(*goals, {})


def test_kinds_of_observation_that_make_no_sense_are_refused() -> None:
    with pytest.raises(RoboAdvError, match="has no goals"):
        make_seat("KickAndDefend-v0", observation="dict")
    with pytest.raises(RoboAdvError, match="did you mean 'flat'"):
        make_seat(GAME, observation="flatt")  # type: ignore[arg-type]
    with pytest.raises(RoboAdvError, match="flat observations hold no pictures"):
        make_seat(GAME, observation="flat", cameras=("top",))
    with pytest.raises(RoboAdvError, match=r"unknown camera 'tip'.*did you mean 'top'.*side, top"):
        make_seat(GAME, cameras=("tip",))
    with pytest.raises(RoboAdvError, match="'top' is given twice"):
        make_seat(GAME, cameras=("top", "top"))
    with pytest.raises(RoboAdvError, match=r"camera_size must lie in 1\.\.1024 pixels, got 0"):
        make_seat(GAME, cameras=("top",), camera_size=0)


def test_games_without_goals_have_no_compute_reward_and_no_success() -> None:
    seat = make_seat("KickAndDefend-v0", 2)
    assert not hasattr(seat, "compute_reward")
    seat.reset(seed=1)
    assert "is_success" not in seat.step(next(_actions(seat, 1)))[-1]


# stable-baselines3.


def test_hindsight_transitions_in_the_buffer_have_the_reward_of_their_goals() -> None:
    vec = VectorToVecEnv(make_seat(GAME, 4, reward="sparse"))
    model = _sac(vec)
    buffer = model.replay_buffer
    assert isinstance(buffer, HerReplayBuffer)
    sample = buffer.sample(400)
    achieved = sample.next_observations["achieved_goal"].numpy()
    desired = sample.next_observations["desired_goal"].numpy()
    expected = vec.env_method("compute_reward", achieved, desired, None, indices=[0])[0]
    assert np.array_equal(sample.rewards.numpy()[:, 0], expected.astype(np.float32))
    assert 0.1 < (expected == 0.0).mean() < 0.9, "relabelling made no successes"
    real = (buffer.observations["desired_goal"][: buffer.pos]).reshape(-1, 2)
    relabelled = ~(desired[:, None] == real[None]).all(axis=2).any(axis=1)
    assert 0.6 < relabelled.mean() < 0.9  # four of five


def test_hindsight_works_with_other_terms_when_every_step_has_an_info() -> None:
    vec = VectorToVecEnv(make_seat(GAME, 4, reward="lazy"), step_infos=True)
    model = _sac(vec, copy_info_dict=True)
    buffer = model.replay_buffer
    assert isinstance(buffer, HerReplayBuffer)
    sample = buffer.sample(200)
    effort = 0.1 * sample.actions.abs().sum(dim=1).numpy()
    goal = np.round(sample.rewards.numpy()[:, 0] + effort, 5)
    assert set(goal.tolist()) == {-1.0, 0.0}


def _sac(vec: VectorToVecEnv, **buffer: Any) -> SAC:
    model = SAC(
        "MultiInputPolicy", vec, buffer_size=2000, learning_starts=10_000, device="cpu", seed=0,
        replay_buffer_class=HerReplayBuffer, policy_kwargs={"net_arch": [16]},
        replay_buffer_kwargs={"n_sampled_goal": 4, "goal_selection_strategy": "future", **buffer},
    )  # fmt: skip
    return model.learn(400)


def test_an_eval_callback_sees_the_success_rate() -> None:
    vec = VectorToVecEnv(make_seat(GAME, 4, reward="sparse"))
    callback = EvalCallback(vec, n_eval_episodes=8, eval_freq=20, verbose=0, warn=False)
    model = SAC("MultiInputPolicy", vec, learning_starts=10_000, device="cpu", seed=0)
    model.learn(80, callback=callback)
    assert len(callback._is_success_buffer) == 8
    assert np.asarray(model.ep_success_buffer).dtype == bool


# Cameras.


def test_pictures_join_the_dict_of_any_game() -> None:
    for game, names in ((GAME, ("top", "side")), ("KickAndDefend-v0", ("side",))):
        env = make_single(game, cameras=names, camera_size=32)
        space = env.observation_space
        assert isinstance(space, gymnasium.spaces.Dict)
        seen, _ = env.reset(seed=1)
        assert seen in space and [*seen] == [*space.spaces]
        assert {*seen} - {"achieved_goal", "desired_goal"} == {"observation", *names}
        for name in names:
            assert seen[name].shape == (32, 32, 3) and seen[name].dtype == np.uint8
            assert np.ptp(seen[name]) > 50, "a picture of nothing"
        env.close()


def test_pictures_are_those_of_the_whole_forward_computation() -> None:
    import mujoco

    seat = make_seat(GAME, 3, cameras=("side",))
    seen, _ = seat.reset(seed=2)
    renderer = seat.view.renderer
    assert renderer is not None
    for i in range(3):
        data = seat.game.batch.get_data(i, renderer._data)
        mujoco.mj_forward(seat.game.batch.get_model(i, renderer._model), data)
        renderer._renderer.update_scene(data, camera="side")
        assert np.array_equal(renderer._renderer.render(), seen["side"][i])
    assert len({picture.tobytes() for picture in seen["side"]}) == 3


def test_pictures_of_a_scenario_are_the_same_alone_and_among_many() -> None:
    many, alone = make_seat(GAME, 5, cameras=("side",)), make_seat(GAME, 1, cameras=("side",))
    seen, one = many.reset(seed=20)[0], alone.reset(seed=23)[0]
    for action in _actions(many, 6):
        assert np.array_equal(seen["side"][3], one["side"][0])
        seen, one = many.step(action)[0], alone.step(action[3:4])[0]


def test_the_last_observation_has_the_picture_of_the_last_state() -> None:
    seat = make_seat(GAME, 2, cameras=("side",))
    seat.reset(seed=4)
    drawn: list[Array] = []
    renderer = seat.view.renderer
    assert renderer is not None
    for action in _actions(seat, Plane.clock_steps):
        before = seat.game.snapshot()
        seen, _, terminated, _, info = seat.step(action)
    assert terminated.all()
    twin = make_game(GAME, 2, threads=1)
    twin.clock_steps = 100  # type: ignore[attr-defined]
    twin.reset([0, 1])
    twin.restore(before, twin.levels)
    twin.step({"puck": action})
    from robo_adv.cameras import CameraRenderer

    expected = CameraRenderer(twin.batch, ("side",)).draw(np.arange(2))["side"]
    drawn = [row["side"] for row in info["final_obs"]]
    assert np.array_equal(np.stack(drawn), expected)
    assert not np.array_equal(seen["side"], expected), "the next episode looks the same"


def test_a_diverged_episode_ends_with_its_last_valid_picture() -> None:
    seat = make_seat(GAME, 2, cameras=("side",))
    seat.reset(seed=4)
    seen = seat.step(np.zeros((2, 2)))[0]
    seat.game.qvel[1] = np.nan
    _, _, _, truncated, info = seat.step(np.zeros((2, 2)))
    assert truncated.tolist() == [False, True]
    assert _bytes(info["final_obs"][1]) == _bytes({name: part[1] for name, part in seen.items()})
    assert info["is_success"].tolist()[1] is False


def test_levels_show_in_pictures() -> None:
    def picture(mass: float) -> Array:
        env = make_single(GAME, cameras=("side",))
        level = Plane.design_space.level({"puck_mass": mass})
        env.reset(seed=1, options={"level": level})
        for _ in range(3):
            seen = env.step(np.ones(2))[0]
        return np.asarray(seen["side"])

    assert not np.array_equal(picture(0.5), picture(3.0))


def test_stable_baselines3_sees_pictures_channel_first() -> None:
    vec = VectorToVecEnv(make_seat(GAME, 2, cameras=("top",), camera_size=40))
    model = SAC("MultiInputPolicy", vec, buffer_size=100, learning_starts=1000, device="cpu")
    assert isinstance(model.env, VecTransposeImage)
    model.learn(40)
    assert model.env.observation_space["top"].shape == (3, 40, 40)  # type: ignore[index]


def test_cameras_are_fast_enough_to_learn_from() -> None:
    from robo_adv.cameras import camera_speed

    game = make_game(GAME, 16, threads=1)
    game.reset(np.arange(16))
    assert camera_speed(game, ("top", "side")) > 30  # far below what an idle core gives
