"""Bundles of policies that see: the same bytes act alike, and tampered ones are refused unread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from robo_adv.bundle import CARD, WEIGHTS, load_bundle, save_bundle
from robo_adv.errors import BundleError, RoboAdvError
from robo_adv.policy import predict_padded
from robo_adv.sight import Sight, seen_slices
from robo_adv.training.network import NetworkPolicy
from robo_adv.training.sighted import build_sighted

Array = npt.NDArray[Any]
LAYOUT = [["goal", 2, "m"], ["speed", 3, "m/s"], ["clock", 1, "1"]]
SIGHT = Sight(cameras=("top", "side"), size=36, slices=("speed", "clock"))
COLUMNS = (2, 3, 4, 5)


def _policy(seed: int = 0) -> NetworkPolicy:
    torch.manual_seed(seed)
    network = build_sighted(6, 2, (16,), "tanh", SIGHT, COLUMNS)
    layer: Any = network.features_extractor
    layer.update(torch.randn(50, 6) * 3.0 + 1.0)
    return NetworkPolicy(network)


def _rows(count: int = 5, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(count, 6))
    pixels = rng.integers(0, 256, (count, SIGHT.pixels))
    return np.concatenate([numbers, pixels], axis=1).astype(np.float32)


def _act(policy: NetworkPolicy, rows: Array) -> Array:
    return policy.predict(rows, deterministic=True)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_bundle(
        tmp_path / "bundle", _policy(), game="Toy-v0", options={}, player="arm",
        layout=LAYOUT, net_arch=(16,), activation="tanh", provenance={},  # type: ignore[arg-type]
    )  # fmt: skip
    return tmp_path / "bundle"


def test_a_policy_that_sees_comes_back_to_the_bit(folder: Path) -> None:
    found = load_bundle(folder)
    assert found.card.architecture.kind == "cnn" and found.policy.sight == SIGHT
    assert found.policy.observation_size == 6
    assert np.array_equal(_act(found.policy, _rows()), _act(_policy(), _rows()))


def test_it_acts_by_pixels_and_told_numbers_and_by_no_others() -> None:
    policy, rows = _policy(), _rows(64)
    before = _act(policy, rows)
    for column, matters in [(0, False), (1, False), (2, True), (5, True)]:
        changed = rows.copy()
        changed[:, column] += 1.0
        assert np.array_equal(_act(policy, changed), before) is not matters, column
    for camera in (0, 1):
        changed = rows.copy()
        place = slice(6 + camera * 36 * 36 * 3, 6 + (camera + 1) * 36 * 36 * 3)
        changed[:, place] = 255.0 - changed[:, place]
        assert not np.allclose(_act(policy, changed), before, atol=1e-4)


def test_pixels_reach_the_network_as_the_picture_they_are() -> None:
    """A mutant that mixes rows, columns, channels or cameras up fails here."""
    layer: Any = _policy().network.features_extractor
    pictures = np.arange(3 * 2 * 36 * 36 * 3).reshape(3, 2, 36, 36, 3) % 251
    rows = np.concatenate([np.zeros((3, 6)), pictures.reshape(3, -1)], axis=1)
    seen = layer.inner.pictures(torch.as_tensor(rows)).numpy()
    assert np.array_equal(seen, pictures.transpose(0, 1, 4, 2, 3))


def test_an_action_does_not_depend_on_what_acts_beside_it() -> None:
    policy, rows = _policy(), _rows(40)
    starts = np.ones(40, bool)
    whole, _ = predict_padded(policy, rows, None, starts, True)
    alone = [predict_padded(policy, rows[i : i + 1], None, starts[:1], True)[0] for i in range(40)]
    assert np.array_equal(np.concatenate(alone), whole)


def test_without_pictures_it_says_what_it_needs() -> None:
    with pytest.raises(RoboAdvError, match=r"cameras top, side.*not shown here.*evaluate") as said:
        _act(_policy(), _rows()[:, :6])
    assert "\n" not in str(said.value)


def test_own_stands_for_what_the_robot_feels_itself() -> None:
    from robo_adv.envs.game import make_game

    layout = make_game("Push-v0", 1, threads=1).layouts["arm"]
    own = seen_slices(layout, ("own",))
    assert own == ("joint_position", "joint_velocity", "tool_position", "tool_velocity",
                   "target_lead", "clock")  # fmt: skip
    assert seen_slices(layout, ()) == ()
    assert seen_slices(layout, ("clock", "object_p*")) == ("object_position", "clock")
    with pytest.raises(RoboAdvError, match="did you mean 'clock'"):
        seen_slices(layout, ("clok",))


def _sight(card: dict[str, Any], **changes: Any) -> None:
    card["architecture"]["sight"].update(changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: _sight(card, cameras=["top"]), "other tensors|needs"),
        (lambda card: _sight(card, cameras=["a", "b", "c", "d"]), "needs"),
        (lambda card: _sight(card, cameras=["a", "b", "c", "d", "e"]), "at most 4"),
        (lambda card: _sight(card, cameras=["top", "top"]), "twice"),
        (lambda card: _sight(card, cameras=[]), "at least 1"),
        (lambda card: _sight(card, size=128), "needs"),
        (lambda card: _sight(card, size=100_000), "less than or equal"),
        (lambda card: _sight(card, slices=["speed"]), "has shape"),
        (lambda card: _sight(card, slices=["sped", "clock"]), "unknown observation slice 'sped'"),
        (lambda card: _sight(card, module="os"), "not permitted"),
        (lambda card: card["architecture"].update(kind="mlp"), "a cnn, and nothing else"),
        (lambda card: card["architecture"].update(sight=None), "a cnn, and nothing else"),
    ],
)
def test_cards_of_another_sight_are_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(BundleError, match=words) as refused:
        load_bundle(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("how", ["shape", "missing", "nan", "dtype"])
def test_weights_of_another_eye_are_refused(folder: Path, how: str) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = next(n for n in tensors if "eyes.1" in n and tensors[n].ndim == 4)
    if how == "missing":
        del tensors[name]
        tensors["more"] = torch.zeros(100_000)
    elif how == "shape":
        tensors[name] = torch.zeros(*tensors[name].shape[:-1], tensors[name].shape[-1] + 1)
    else:
        tensors[name] = tensors[name].double() if how == "dtype" else tensors[name] * np.nan
    save_file(tensors, folder / WEIGHTS)
    card = json.loads((folder / CARD).read_text())
    card["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(BundleError, match="tensor"):
        load_bundle(folder)
