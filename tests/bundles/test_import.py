"""Foreign stable-baselines3 zips: refused without --trust; with it only their weights are read."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from training.tiny import GAME, tiny_bundle

from robo_adv.agents.evaluation import World
from robo_adv.agents.named import named_policy
from robo_adv.agents.zoo import import_zip
from robo_adv.bundle import CARD, load_bundle, read_card
from robo_adv.cli import main
from robo_adv.envs.game import make_game
from robo_adv.errors import BundleError, RoboAdvError

WORLD = World(GAME, {"arms": 0})
FLAGS = ["--set", "arms=0"]


class Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


class Blank(gymnasium.Env[Any, Any]):
    """Spaces of a player, nothing else."""

    def __init__(self, player: str) -> None:
        game = make_game(GAME, 1, threads=1, arms=0)
        self.observation_space = game.observation_space(player)
        self.action_space = game.action_space(player)


def _model(player: str = "kicker", **policy_kwargs: Any) -> PPO:
    kwargs = {"net_arch": [24, 16], "log_std_init": -1.0, **policy_kwargs}
    model = PPO(
        "MlpPolicy", Blank(player), policy_kwargs=kwargs, n_steps=8, batch_size=8, device="cpu"
    )
    torch.manual_seed(0)
    for parameter in model.policy.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def model() -> PPO:
    return _model()


@pytest.fixture
def archive(model: PPO, tmp_path: Path) -> Path:
    model.save(tmp_path / "model.zip")
    return tmp_path / "model.zip"


def _rewrite(archive: Path, changes: dict[str, bytes]) -> None:
    with zipfile.ZipFile(archive) as before:
        parts = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(archive, "w") as after:
        for name, content in {**parts, **changes}.items():
            after.writestr(name, content)


def _plant(archive: Path, mark: Path, where: str) -> None:
    """Code in the zip's `data`, as in reference/safe_policy.py, or in its weights."""
    if where == "data":
        with zipfile.ZipFile(archive) as before:
            data = json.loads(before.read("data"))
        code = base64.b64encode(pickle.dumps(Planted(mark))).decode()
        data["extra_key"] = {":type:": "x", ":serialized:": code}
        _rewrite(archive, {"data": json.dumps(data).encode()})
    else:
        file = io.BytesIO()
        torch.save({"policy": Planted(mark)}, file)
        _rewrite(archive, {where: file.getvalue()})


def _same_actions(model: PPO, folder: Path) -> None:
    policy = load_bundle(folder).policy
    x = np.random.default_rng(1).standard_normal((64, policy.observation_size)).astype(np.float32)
    expected, _ = model.predict(x, deterministic=True)
    got, _ = policy.predict(x, None, None, True)
    assert np.abs(expected).max() > 0.2
    np.testing.assert_allclose(got, expected, atol=2e-6)
    theirs = model.policy.state_dict()["log_std"]
    assert torch.equal(policy.network.log_std.detach(), theirs)


def test_imported_weights_act_like_the_original(
    model: PPO, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bundle"
    assert main.run(["zoo", "import", str(archive), str(target), "--trust", *FLAGS]) == 0
    assert f"imported into {target}" in capsys.readouterr().out.replace("\n", "")
    _same_actions(model, target)
    assert read_card(target).provenance["recipe"] == "imported"
    named_policy(str(target), WORLD.make(1), "kicker")


def test_without_trust_nothing_is_opened(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "bundle"
    assert main.run(["zoo", "import", str(archive), str(target), *FLAGS]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "only with --trust" in err
    assert not target.exists()


@pytest.mark.parametrize("verb", ["evaluate", "attack"])
def test_a_zip_in_place_of_a_bundle_is_refused_and_never_run(
    verb: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "planted-code-ran"
    _plant(archive, mark, "data")
    assert main.run([verb, str(archive), "--runs", str(tmp_path / "runs")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "`robo-adv zoo import FILE --trust`" in err
    assert not mark.exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("where", ["data", "policy.pth", "pytorch_variables.pth", "extra.pth"])
def test_planted_code_is_never_run_by_an_import(
    model: PPO, archive: Path, tmp_path: Path, where: str
) -> None:
    mark, target = tmp_path / "planted-code-ran", tmp_path / "bundle"
    _plant(archive, mark, where)
    try:
        import_zip(archive, WORLD, "kicker", target)
    except BundleError:
        assert not target.exists()
    else:
        _same_actions(model, target)
    assert not mark.exists()


def test_the_planted_code_would_run_where_a_zip_is_trusted_blindly(
    archive: Path, tmp_path: Path
) -> None:
    _plant(archive, tmp_path / "ran", "data")
    PPO.load(archive, device="cpu")
    assert (tmp_path / "ran").exists(), "the planted code does nothing: other checks say nothing"


def test_a_zip_for_another_player_or_body_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="does not fit 'kicker' of KickAndDefend-v0"):
        import_zip(archive, World(GAME, {"arms": 3}), "kicker", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip"])
def test_what_is_not_a_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="is not a stable-baselines3 zip"):
        import_zip(path, WORLD, "kicker", tmp_path / "bundle")


def test_a_missing_file_and_an_empty_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        import_zip(tmp_path / "none.zip", WORLD, "kicker", tmp_path / "bundle")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(BundleError, match="holds no policy weights"):
        import_zip(tmp_path / "empty.zip", WORLD, "kicker", tmp_path / "bundle")


def test_a_network_with_another_activation_acts_like_the_original_or_is_refused(
    tmp_path: Path,
) -> None:
    model = _model(activation_fn=torch.nn.ReLU)
    model.save(tmp_path / "relu.zip")
    try:
        import_zip(tmp_path / "relu.zip", WORLD, "kicker", tmp_path / "bundle")
    except BundleError:
        return
    _same_actions(model, tmp_path / "bundle")


def test_weights_that_are_not_finite_are_refused_at_import(tmp_path: Path) -> None:
    model = _model()
    with torch.no_grad():
        model.policy.state_dict()["action_net.weight"][0, 0] = float("nan")
    model.save(tmp_path / "nan.zip")
    with pytest.raises(BundleError, match="NaN"):
        import_zip(tmp_path / "nan.zip", WORLD, "kicker", tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_an_unknown_player_is_refused_at_import(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match=r"unknown player .*'kiper'.*did you mean"):
        import_zip(archive, WORLD, "kiper", tmp_path / "bundle")


def test_importing_into_a_folder_that_is_no_bundle_keeps_its_files(
    archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "thesis"
    target.mkdir()
    (target / "chapter.tex").write_text("years of work")
    with pytest.raises(RoboAdvError, match="thesis"):
        import_zip(archive, WORLD, "kicker", target)
    assert (target / "chapter.tex").exists()


def test_importing_over_a_bundle_replaces_it(archive: Path, tmp_path: Path, model: PPO) -> None:
    target = tiny_bundle(tmp_path / "bundle")
    import_zip(archive, WORLD, "kicker", target)
    _same_actions(model, target)
    assert (target / CARD).exists()
