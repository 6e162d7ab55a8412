"""VectorToVecEnv: stable-baselines3 sees the same episodes that the vector environment played."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.errors import RoboAdvError
from robo_adv.training.vec_env import VectorToVecEnv
from training.fakes import Corridor
from training.tiny import GAME


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED, None])
def test_only_same_step_autoreset_is_accepted(mode: AutoresetMode | None) -> None:
    with pytest.raises(RoboAdvError, match=r"must use AutoresetMode\.SAME_STEP, got"):
        VectorToVecEnv(Corridor(mode=mode))


def test_final_observations_and_infos_reach_the_learner() -> None:
    vec = VectorToVecEnv(Corridor(num_envs=4, length=3))
    vec.reset()
    for _ in range(2):
        _, _, done, infos = vec.step(np.zeros((4, 2)))
        assert not done.any() and infos == [{}] * 4
    stepped, reward, done, infos = vec.step(np.zeros((4, 2)))
    observation = np.asarray(stepped)
    assert done.all() and reward.dtype == np.float32
    assert observation[:, 0].tolist() == [0, 0, 0, 0]  # already the next episode
    for i, info in enumerate(infos):
        assert info["terminal_observation"].tolist() == [3, i % 2, 1000 * i]
        assert info["TimeLimit.truncated"] is (i % 2 == 1)
        assert info["episode"] == {"r": 3.0, "l": 3}
    (columns,) = vec.finished
    assert columns["won"].tolist() == [False, True, False, True]
    assert columns["cost_force"].tolist() == [6, 6, 6, 6]
    assert not any(name.startswith("_") for name in columns)


def test_an_episode_that_ends_by_rule_and_by_limit_at_once_is_not_truncated() -> None:
    class Both(Corridor):
        def step(self, actions):  # type: ignore[no-untyped-def]
            observation, reward, terminated, truncated, info = super().step(actions)
            return observation, reward, terminated | truncated, terminated | truncated, info

    vec = VectorToVecEnv(Both(length=1))
    vec.reset()
    _, _, _, infos = vec.step(np.zeros((4, 2)))
    assert [info["TimeLimit.truncated"] for info in infos] == [False] * 4


def test_only_ended_rows_get_an_info() -> None:
    env = Corridor(num_envs=3, length=4)
    vec = VectorToVecEnv(env)
    vec.reset()
    env.clock[:] = [0, 3, 1]
    _, _, done, infos = vec.step(np.zeros((3, 2)))
    assert done.tolist() == [False, True, False]
    assert [bool(info) for info in infos] == [False, True, False]
    assert [len(columns["length"]) for columns in vec.finished] == [1]


def test_the_seed_is_used_for_the_next_reset_only() -> None:
    env = Corridor()
    vec = VectorToVecEnv(env)
    assert list(vec.seed(7)) == [7, 8, 9, 10]
    vec.reset(), vec.reset()
    assert env.seeds == [7, None]
    vec.close()
    assert env.closed_times == 1


def test_attributes_and_methods_of_the_environment_are_reached() -> None:
    env = Corridor(num_envs=3)
    vec = VectorToVecEnv(env)
    assert vec.get_attr("length") == [5, 5, 5] and vec.get_attr("length", [0, 2]) == [5, 5]
    vec.set_attr("length", 9)
    assert env.length == 9 and vec.get_attr("length", 1) == [9]
    assert len(vec.env_method("observe", indices=[1])) == 1
    assert vec.env_is_wrapped(gymnasium.Wrapper) == [False] * 3


def test_observations_that_stable_baselines3_keeps_are_not_overwritten_later() -> None:
    game = make_game(GAME, 3, threads=1, arms=0)
    vec = VectorToVecEnv(Seat(game, "kicker", {"keeper": SCRIPTED["random"](game, "keeper")}))
    kept = [vec.reset()]
    copies = [kept[0].copy()]
    for _ in range(30):
        stepped = vec.step(np.ones((3, game.action_size("kicker"))))[0]
        assert isinstance(stepped, np.ndarray)
        kept.append(stepped)
        copies.append(stepped.copy())
    assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))
    assert vec.finished, "no episode ended"


def test_stable_baselines3_evaluates_and_trains_on_a_seat() -> None:
    game = make_game(GAME, 4, threads=1, arms=0)
    vec = VectorToVecEnv(Seat(game, "kicker", {"keeper": SCRIPTED["zero"](game, "keeper")}))
    model = PPO("MlpPolicy", vec, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    model.learn(256)
    assert len(model.ep_info_buffer or ()) >= 4
    returns, lengths = evaluate_policy(
        model, vec, n_eval_episodes=4, return_episode_rewards=True, warn=False
    )
    assert lengths == [25] * 4  # the clock of these tests
    assert np.isfinite(returns).all()


def test_a_registered_gymnasium_vector_environment_can_be_adapted() -> None:
    env = gymnasium.make_vec(
        "Pendulum-v1", 2, vectorization_mode="sync", max_episode_steps=3,
        vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
    )  # fmt: skip
    vec = VectorToVecEnv(env)
    vec.reset()
    for _ in range(3):
        _, _, done, infos = vec.step(np.zeros((2, 1), dtype=np.float32))
    assert done.all()
    assert infos[0]["TimeLimit.truncated"]
