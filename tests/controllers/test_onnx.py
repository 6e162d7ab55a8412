"""ONNX files as controllers: run exactly, in any batch, and refused in words when they do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from controllers.onnx_files import write_onnx
from foreign.toys import Cart

from robo_adv.agents.controllers import Controller, controller
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver
from robo_adv.rollout import play, scenarios


@pytest.fixture(scope="module")
def world() -> GymnasiumWorld:
    return GymnasiumWorld("Hopper-v5", 4, max_episode_steps=30)


def _load(path: Path, world: GymnasiumWorld) -> Controller:
    return controller(str(path), world, "agent")


@pytest.mark.parametrize("batch", ["n", None, 1, 5])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_file_computes_its_function_whatever_its_batch_size(
    batch: Any, dtype: Any, world: GymnasiumWorld, tmp_path: Path
) -> None:
    w = write_onnx(tmp_path / "policy.onnx", 11, 3, batch=batch, dtype=dtype)
    found = _load(tmp_path / "policy.onnx", world)
    assert found.kind == "onnx" and found.deterministic
    seen = np.random.default_rng(0).normal(size=(7, 11))
    action, _ = found.policy.predict(seen)
    assert action.shape == (7, 3)
    assert np.allclose(action, np.tanh(seen.astype(dtype) @ w), atol=1e-6)


def test_a_file_plays_a_world_the_same_in_batches_of_1_and_4(
    world: GymnasiumWorld, tmp_path: Path
) -> None:
    write_onnx(tmp_path / "policy.onnx", 11, 3)
    policies = {"agent": _load(tmp_path / "policy.onnx", world).policy}
    alone = GymnasiumWorld("Hopper-v5", 1, max_episode_steps=30)
    a, b = (play(w, policies, scenarios(0, 5)) for w in (world, alone))
    assert np.array_equal(a.returns["agent"], b.returns["agent"])


def test_a_file_plays_a_game(tmp_path: Path) -> None:
    game = make_game("KickAndDefend-v0", 2, threads=1, body="omni", arms=0)
    size, actions = game.layouts["kicker"].size, game.action_size("kicker")
    write_onnx(tmp_path / "kicker.onnx", size, actions)
    found = controller(str(tmp_path / "kicker.onnx"), game, "kicker")
    obs = game.reset([1, 2])
    driver = Driver(found.policy, 2)
    driver.begin(np.arange(2), game.seeds, obs["kicker"])
    assert driver.act(obs["kicker"]).shape == (2, actions)


def test_the_output_with_the_actions_is_found_among_several(
    world: GymnasiumWorld, tmp_path: Path
) -> None:
    path = tmp_path / "policy.onnx"
    w = write_onnx(path, 11, 3, names=("value", "log_prob", "actions"))
    action, _ = _load(path, world).policy.predict(np.ones((2, 11)))
    assert np.allclose(action, np.tanh(np.ones((2, 11)) @ w), atol=1e-6)
    write_onnx(path, 11, 3, names=("value", "left", "right"))
    with pytest.raises(RoboAdvError, match=r"left \['n', 3\].*named action or actions"):
        _load(path, world)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"size": 17, "actions": 6}, r"obs tensor\(float\) \['n', 17\].*17 observations.*gives 11"),
        ({"size": 11, "actions": 6}, r"outputs action \['n', 6\]; expected one of 3 actions"),
        ({"size": 11, "actions": 3, "inputs": ("obs", "hidden")}, r"inputs obs.*hidden.*one input"),
    ],
)
def test_a_file_that_does_not_fit_says_what_it_has_and_what_is_needed(
    keywords: dict[str, Any], words: str, world: GymnasiumWorld, tmp_path: Path
) -> None:
    size, actions = keywords.pop("size"), keywords.pop("actions")
    write_onnx(tmp_path / "policy.onnx", size, actions, **keywords)
    with pytest.raises(RoboAdvError, match=words):
        _load(tmp_path / "policy.onnx", world)


def test_a_file_that_is_no_network_is_refused(world: GymnasiumWorld, tmp_path: Path) -> None:
    (tmp_path / "policy.onnx").write_bytes(b"not a network")
    with pytest.raises(RoboAdvError, match="is not an ONNX network"):
        _load(tmp_path / "policy.onnx", world)
    with pytest.raises(RoboAdvError, match="there is no file"):
        _load(tmp_path / "other.onnx", world)


def test_a_network_that_gives_nan_forfeits_and_crashes_nothing(tmp_path: Path) -> None:
    cart = GymnasiumWorld(Cart, 2)
    write_onnx(tmp_path / "policy.onnx", 2, 1, weight=np.nan)
    found = _load(tmp_path / "policy.onnx", cart)
    assert any("not finite" in note for note in found.notes) and found.deterministic
    assert play(cart, {"agent": found.policy}, scenarios(0, 3)).forfeit.all()
