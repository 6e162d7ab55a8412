"""Policies that stable-baselines3 trained on Gymnasium's environments, as bundles in the zoo."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from bundles.test_import import Planted
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from robo_adv.agents import named, zoo
from robo_adv.agents.bundle_import import import_zip
from robo_adv.agents.controllers import Controller, controller
from robo_adv.agents.evaluation import World
from robo_adv.agents.statistics_file import read_statistics
from robo_adv.bundle import load_bundle, read_card
from robo_adv.cli import main
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import BundleError
from robo_adv.threats.mlp import MLP

SHORT = ["--set", "max_episode_steps=15"]


class Trained:
    """A PPO behind VecNormalize and its files; its networks are larger than a fresh one's."""

    def __init__(self, env: str, folder: Path, **statistics: Any) -> None:
        self.zip, self.pkl = folder / "model.zip", folder / "model.pkl"
        self.venv = VecNormalize(DummyVecEnv([lambda: gymnasium.make(env)]), **statistics)
        self.model = PPO("MlpPolicy", self.venv, n_steps=64, batch_size=64, seed=3, device="cpu")
        self.model.learn(64)
        last: Any = self.model.policy.action_net
        with torch.no_grad():
            last.weight *= 60.0
        self.model.save(self.zip)
        self.venv.save(str(self.pkl))

    def actions(self, seen: Any) -> Any:
        """What the library itself does."""
        return self.model.predict(self.venv.normalize_obs(seen), deterministic=True)[0]


@pytest.fixture(scope="module", params=["Pendulum-v1", "Hopper-v5"])
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Trained]:
    return request.param, Trained(request.param, tmp_path_factory.mktemp("sb3"))


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained("Hopper-v5", tmp_path_factory.mktemp("hopper"))


@pytest.fixture
def own_zoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for module in (named, zoo):
        monkeypatch.setattr(module, "ZOO", tmp_path / "zoo")
    return tmp_path / "zoo"


def _observations(world: GymnasiumWorld, venv: VecNormalize, rows: int = 200) -> Any:
    """Such as it learned from, some of them beyond the clip."""
    rms: Any = venv.obs_rms
    noise = np.random.default_rng(0).normal(size=(rows, len(rms.mean)))
    noise[::10] *= 12.0
    return (rms.mean + np.sqrt(rms.var) * noise).astype(world.observation_space("agent").dtype)


def _import(env: str, found: Trained, target: Path) -> Controller:
    import_zip(found.zip, World(env, {}), "agent", target, found.pkl)
    return controller(str(target), GymnasiumWorld(env, 1), "agent")


def test_the_bundle_is_the_same_function_as_zip_and_statistics(
    trained: tuple[str, Trained], tmp_path: Path
) -> None:
    env, source = trained
    found = _import(env, source, tmp_path / "bundle")
    assert {p.suffix for p in (tmp_path / "bundle").iterdir()} == {".json", ".safetensors"}
    world = GymnasiumWorld(env, 1)
    seen = _observations(world, source.venv)
    expected = source.actions(seen)
    got = found.policy.predict(seen, deterministic=True)[0]
    space = world.action_space("agent")
    assert ((expected > space.low) & (expected < space.high)).mean() > 0.2
    half = (space.high - space.low) / 2.0
    assert (
        np.abs((got - expected) / half).max() < 1e-5
        and np.abs((got - expected) / half).mean() < 1e-6
    )
    assert found.access.mean is not None and isinstance(found.access.mean, MLP)
    mean = found.access.mean(torch.as_tensor(seen)).numpy()
    assert np.allclose(np.clip(mean, space.low, space.high), expected, atol=2e-5)
    assert found.access.std is not None and found.access.normaliser is not None
    theirs = torch.exp(source.model.policy.log_std.detach())
    assert torch.allclose(found.access.std(torch.as_tensor(seen[:1]))[0], theirs, rtol=1e-5)
    rms: Any = source.venv.obs_rms
    assert np.allclose(found.access.normaliser[1], np.sqrt(rms.var + 1e-8))


def test_the_normaliser_is_the_same_to_the_last_bits_even_with_another_epsilon(
    tmp_path: Path,
) -> None:
    source = Trained("Pendulum-v1", tmp_path, epsilon=0.3)
    _import("Pendulum-v1", source, tmp_path / "bundle")
    layer = load_bundle(tmp_path / "bundle").policy.network.features_extractor
    seen = _observations(GymnasiumWorld("Pendulum-v1", 1), source.venv)
    expected: Any = source.venv.normalize_obs(seen.astype(np.float64))
    assert np.abs(layer(torch.as_tensor(seen)).numpy() - expected).max() < 1e-5
    assert np.abs(expected).max() == 10.0


def test_statistics_that_a_bundle_cannot_hold_are_refused(tmp_path: Path) -> None:
    source = Trained("Pendulum-v1", tmp_path, clip_obs=5.0)
    with pytest.raises(BundleError, match=r"clips observations at 5.*a bundle clips at 10"):
        _import("Pendulum-v1", source, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_without_its_statistics_a_zip_is_refused_and_with_those_of_another_too(
    hopper: Trained, tmp_path: Path
) -> None:
    world = World("Hopper-v5", {})
    with pytest.raises(BundleError, match=r"learned behind VecNormalize.*--statistics"):
        import_zip(hopper.zip, world, "agent", tmp_path / "bundle")
    other = Trained("Pendulum-v1", tmp_path)
    with pytest.raises(BundleError, match=r"statistics of observations \(3,\), expected \(11,\)"):
        import_zip(hopper.zip, world, "agent", tmp_path / "bundle", other.pkl)
    (tmp_path / "none.pkl").write_bytes(b"nothing")
    with pytest.raises(BundleError, match="holds no VecNormalize statistics"):
        import_zip(hopper.zip, world, "agent", tmp_path / "bundle", tmp_path / "none.pkl")
    told = controller(str(hopper.zip), GymnasiumWorld("Hopper-v5", 1), "agent", trust=True).notes
    assert any("learned behind VecNormalize" in note for note in told)


def test_reading_statistics_runs_nothing_that_is_planted_in_them(
    hopper: Trained, tmp_path: Path
) -> None:
    venv: Any = hopper.venv
    venv.planted = Planted(tmp_path / "ran")
    venv.save(str(tmp_path / "planted.pkl"))
    del venv.planted
    found = read_statistics(tmp_path / "planted.pkl", 11)
    assert not (tmp_path / "ran").exists()
    rms: Any = hopper.venv.obs_rms
    assert np.array_equal(found.mean, rms.mean) and np.array_equal(found.var, rms.var)
    assert (found.epsilon, found.clip) == (1e-8, 10.0)
    pickle.loads((tmp_path / "planted.pkl").read_bytes())
    assert (tmp_path / "ran").exists(), "the planted code does nothing: the check says nothing"


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main.run([*arguments, "--json"]) == code
    data: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return data


def test_such_a_bundle_is_imported_added_measured_verified_listed_and_audited_by_its_name(
    hopper: Trained, own_zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    files = ["--env", "Hopper-v5", "--statistics", str(hopper.pkl), *SHORT]
    assert main.run(["zoo", "import", str(hopper.zip), "bundle", "--trust", *files]) == 0
    card = read_card(tmp_path / "bundle")
    assert card.game == "Hopper-v5" and card.options == {"max_episode_steps": 15}
    assert card.provenance["seed"] == 3 and card.provenance["steps"] == 64
    assert main.run(["zoo", "add", "bundle", "hopper-s3"]) == 0
    assert main.run(["zoo", "measure", "hopper-s3", "--episodes", "6"]) == 0
    metrics = _json(capsys, "zoo", "show", "hopper-s3")["metrics"]
    low, high = metrics["return_interval"]
    assert low < metrics["return_mean"] < high and metrics["episodes"] == 6
    assert metrics["fall_rate"]["episodes"] == 6 and "fall" in metrics["costs"]
    assert "success_rate" not in metrics
    assert _json(capsys, "zoo", "verify", "--episodes", "6")["differences"] == []
    assert main.run(["zoo"]) == 0
    assert f"return {metrics['return_mean']:.0f} [" in capsys.readouterr().out
    told = _json(capsys, "evaluate", "zoo:hopper-s3", "--episodes", "6")["rows"][0]
    assert told["return"]["value"] == pytest.approx(metrics["return_mean"], abs=1e-5)
    assert "success_rate" not in told and "fall" in told["costs"]
    threat = ["--attacks", "pgd", "--budgets", "observation=0.1", "--unit", "policy"]
    audited = _json(
        capsys, "audit", "zoo:hopper-s3", *threat, "--episodes", "3", "--videos", "0"
    )  # fmt: skip
    assert audited["world"] == "Hopper-v5"


def test_a_card_cannot_have_a_module_imported(tmp_path: Path, hopper: Trained) -> None:
    _import("Hopper-v5", hopper, tmp_path / "bundle")
    card = tmp_path / "bundle" / "policy.json"
    card.write_text(card.read_text().replace('"Hopper-v5"', '"planted_module:Hopper-v5"'))
    (tmp_path / "planted_module.py").write_text("raise AssertionError('was imported')")
    assert main.run(["evaluate", str(tmp_path / "bundle"), "--episodes", "2"]) == 2
