"""Foreign stable-baselines3 zips: opened with trust only, exact, and white from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from foreign.toys import Goal
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from robo_adv.agents.controllers import Controller, controller
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import BundleError, RoboAdvError
from robo_adv.rollout import play, scenarios
from robo_adv.threats.mlp import MLP

REPLAY: dict[str, Any] = {"learning_starts": 20, "buffer_size": 500}
MAKE: dict[str, tuple[Any, dict[str, Any]]] = {
    "PPO": (PPO, {"n_steps": 64, "batch_size": 32}),
    "A2C": (A2C, {}),
    "SAC": (SAC, REPLAY),
    "TD3": (TD3, REPLAY),
    "DDPG": (DDPG, REPLAY),
}


def make(name: str, env: Any, policy: str = "MlpPolicy") -> Any:
    """A small model."""
    algorithm, keywords = MAKE[name]
    kwargs = {"net_arch": [16]}  # fresh: the library writes into it
    return algorithm(policy, env, policy_kwargs=kwargs, device="cpu", seed=0, **keywords)


@pytest.fixture(scope="module")
def world() -> GymnasiumWorld:
    return GymnasiumWorld("Pendulum-v1", 4, max_episode_steps=40)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PPO]:
    """A PPO that learned on Pendulum-v1 for a few hundred steps."""
    model = make("PPO", gymnasium.make("Pendulum-v1")).learn(320)
    path = tmp_path_factory.mktemp("sb3") / "ppo.zip"
    model.save(path)
    return path, model


def _open(path: Path, world: GymnasiumWorld, **keywords: Any) -> Controller:
    return controller(str(path), world, "agent", trust=True, **keywords)


def test_a_zip_is_not_opened_without_trust(
    trained: tuple[Path, PPO], world: GymnasiumWorld
) -> None:
    with pytest.raises(RoboAdvError, match=r"--trust.*pickled.*runs whatever is in them"):
        controller(str(trained[0]), world, "agent")


def test_a_trusted_zip_acts_as_its_library_lets_it_act_in_a_plain_loop(
    trained: tuple[Path, PPO],
) -> None:
    path, model = trained
    one = GymnasiumWorld("Pendulum-v1", 1)
    found = _open(path, one)
    assert found.kind == "sb3" and found.deterministic and not found.black_box
    episodes = play(one, {"agent": found.policy}, scenarios(3, 2))
    env = gymnasium.make("Pendulum-v1")
    for j, seed in enumerate((3, 4)):
        obs, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            # The width that evaluation pads to, since last bits depend on it.
            action = model.predict(np.repeat(obs[None], 32, axis=0), deterministic=True)[0][0]
            obs, reward, terminated, truncated, _ = env.step(action)
            total, over = total + float(reward), terminated or truncated
        assert episodes.returns["agent"][j] == total


@pytest.mark.parametrize("name", MAKE)
def test_access_from_inside_agrees_with_what_the_policy_does(
    name: str, world: GymnasiumWorld, tmp_path: Path
) -> None:
    model = make(name, gymnasium.make("Pendulum-v1")).learn(64)
    model.save(tmp_path / "model.zip")
    found = _open(tmp_path / "model.zip", world)
    seen = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert found.access.mean is not None and found.access.value is not None
    x = torch.as_tensor(seen, dtype=torch.float64).requires_grad_(True)
    mean = found.access.mean(x)
    low, high = world.actions.low, world.actions.high
    expected = model.predict(seen, deterministic=True)[0]
    assert np.allclose(np.clip(mean.detach().numpy(), low, high), expected, atol=1e-5)
    (slope,) = torch.autograd.grad(mean.sum(), x)
    assert slope.abs().sum() > 0 and found.access.value(x).shape == (5, 1)
    assert isinstance(found.access.mean, MLP), "slower, and without certificates"
    if name in ("PPO", "A2C"):
        assert isinstance(found.access.value, MLP)
        assert found.access.std is not None and found.access.q is None
        assert (found.access.std(x) > 0).all()
        with torch.no_grad():
            plain = model.policy.predict_values(torch.as_tensor(seen))
        assert torch.allclose(found.access.value(x), plain, atol=1e-6)
    else:
        assert found.access.q is not None
        with torch.no_grad():
            unit = torch.as_tensor(expected) / 2.0  # Pendulum's actions lie in +-2
            plain = torch.cat(model.critic(torch.as_tensor(seen), unit), 1).amin(1, keepdim=True)
        assert torch.allclose(found.access.q(x, torch.as_tensor(expected)), plain, atol=1e-5)


def test_statistics_of_vecnormalize_come_as_a_second_file(
    world: GymnasiumWorld, tmp_path: Path
) -> None:
    venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")]))
    model = make("PPO", venv).learn(128)
    model.save(tmp_path / "ppo.zip")
    venv.save(str(tmp_path / "statistics.pkl"))
    found = _open(tmp_path / "ppo.zip", world, statistics=tmp_path / "statistics.pkl")
    seen = np.random.default_rng(0).normal(0.0, 3.0, (6, 3)).astype(np.float32)
    expected = model.predict(venv.normalize_obs(seen), deterministic=True)[0]
    assert np.allclose(found.policy.predict(seen, deterministic=True)[0], expected, atol=1e-6)
    bare = _open(tmp_path / "ppo.zip", world)
    assert not np.allclose(bare.policy.predict(seen, deterministic=True)[0], expected)
    assert found.access.mean is not None and found.access.normaliser is not None
    mean = found.access.mean(torch.as_tensor(seen)).detach().numpy()
    assert np.allclose(np.clip(mean, -2.0, 2.0), expected, atol=1e-5)
    statistics: Any = venv.obs_rms
    assert np.allclose(found.access.normaliser[0], statistics.mean)
    assert isinstance(found.access.mean, MLP) and found.access.mean.clip == 10.0
    assert any("behind VecNormalize" in note for note in bare.notes)
    assert not any("behind VecNormalize" in note for note in found.notes)
    (tmp_path / "other.pkl").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="no VecNormalize statistics"):
        _open(tmp_path / "ppo.zip", world, statistics=tmp_path / "other.pkl")


def test_a_network_that_is_no_plain_one_is_differentiated_by_torch(
    world: GymnasiumWorld, tmp_path: Path
) -> None:
    kwargs = {"net_arch": [16], "activation_fn": torch.nn.ELU}
    model = PPO(
        "MlpPolicy", gymnasium.make("Pendulum-v1"), policy_kwargs=kwargs, device="cpu", seed=0
    )
    model.save(tmp_path / "elu.zip")
    found = _open(tmp_path / "elu.zip", world)
    seen = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert found.access.mean is not None and not isinstance(found.access.mean, MLP)
    mean = found.access.mean(torch.as_tensor(seen)).detach().numpy()
    expected = model.predict(seen, deterministic=True)[0]
    assert np.allclose(np.clip(mean, -2.0, 2.0), expected, atol=1e-6)


def test_a_zip_of_another_environment_says_both_shapes(trained: tuple[Path, PPO]) -> None:
    hopper = GymnasiumWorld("Hopper-v5", 1)
    with pytest.raises(RoboAdvError, match=r"observations of shape \(3,\); Hopper-v5 has \(11,\)"):
        _open(trained[0], hopper)


def test_what_is_no_model_is_refused(world: GymnasiumWorld, tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="is not a stable-baselines3 zip"):
        _open(tmp_path / "model.zip", world)


def test_a_model_of_dict_observations_plays_a_goal_task(tmp_path: Path) -> None:
    model = make("SAC", Goal(), "MultiInputPolicy").learn(30)
    model.save(tmp_path / "model.zip")
    world = GymnasiumWorld(Goal, 2)
    found = _open(tmp_path / "model.zip", world)
    obs = world.reset([1, 2])["agent"]
    parts = {key: obs[:, world.layouts["agent"][key]] for key in world.layouts["agent"].names}
    expected = model.predict(parts, deterministic=True)[0]
    assert np.allclose(found.policy.predict(obs, deterministic=True)[0], expected, atol=1e-6)
    assert len(play(world, {"agent": found.policy}, scenarios(0, 3))) == 3
