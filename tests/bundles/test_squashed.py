"""Bundles of SAC's actor: the same checks hold, and bundles of before keep their bytes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from robo_adv.bundle import CARD, WEIGHTS, load_bundle, save_bundle
from robo_adv.errors import BundleError
from robo_adv.training.network import NetworkPolicy, build_network
from robo_adv.training.squashed import SquashedPolicy, build_actor

SIZE, ACTIONS, NET = 6, 3, (16, 12)
LAYOUT: list[list[str | int]] = [
    ["achieved_goal", 2, "m"],
    ["desired_goal", 2, "m"],
    ["speed", 2, "m"],
]


def _save(folder: Path, policy: NetworkPolicy) -> Path:
    save_bundle(
        folder, policy, game="Reach-v0", options={}, player="arm", layout=LAYOUT, net_arch=NET,
        activation="relu", provenance={"recipe": "test"},
    )  # fmt: skip
    return folder


def _actor() -> SquashedPolicy:
    torch.manual_seed(0)
    actor = build_actor(SIZE, ACTIONS, NET, "relu")
    actor.features_extractor.update(torch.randn(100, SIZE) * 3 + 1)  # type: ignore[operator]
    return SquashedPolicy(actor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return _save(tmp_path / "arm", _actor())


def _rewrite(folder: Path, **architecture: Any) -> None:
    """A card with other architecture and the hash of whatever weights there are."""
    card = json.loads((folder / CARD).read_text())
    card["architecture"].update(architecture)
    card["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    (folder / CARD).write_text(json.dumps(card))


def test_an_actor_comes_back_to_the_bit(folder: Path, tmp_path: Path) -> None:
    first, second = _actor(), load_bundle(folder)
    assert second.card.architecture.kind == "squashed-actor"
    assert isinstance(second.policy, SquashedPolicy)
    x = np.random.default_rng(0).standard_normal((32, SIZE)).astype(np.float32)
    for deterministic in (True, False):
        actions = [p.predict(x, None, None, deterministic)[0] for p in (first, second.policy)]
        assert np.array_equal(actions[0], actions[1])
    _save(tmp_path / "again", second.policy)
    for name in (CARD, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_card_without_a_kind_is_an_actor_critic(tmp_path: Path) -> None:
    folder = _save(tmp_path / "old", NetworkPolicy(build_network(SIZE, ACTIONS, NET, "relu")))
    card = json.loads((folder / CARD).read_text())
    assert card["architecture"].pop("kind") == "mlp"
    (folder / CARD).write_text(json.dumps(card))
    assert type(load_bundle(folder).policy) is NetworkPolicy


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        ({"kind": "mlp"}, "its card's architecture needs|other tensors than its architecture"),
        ({"kind": "rnn"}, "architecture.kind"),
        ({"kind": "cnn"}, "has a sight"),
        ({"net_arch": [4096, 4096]}, "its card's architecture needs"),
        ({"net_arch": [16]}, "other tensors than its architecture"),
        ({"action_size": 2}, r"tensor '.*' has shape"),
        ({"observation_size": 5}, "layout has 6 numbers"),
    ],
)
def test_a_card_that_does_not_fit_the_weights_is_refused(
    folder: Path, architecture: dict[str, Any], text: str
) -> None:
    _rewrite(folder, **architecture)
    with pytest.raises(BundleError, match=text):
        load_bundle(folder)


@pytest.mark.parametrize("kind", ["squashed-actor"])
def test_an_actor_critic_is_no_actor(tmp_path: Path, kind: str) -> None:
    folder = _save(tmp_path / "ac", NetworkPolicy(build_network(SIZE, ACTIONS, NET, "relu")))
    _rewrite(folder, kind=kind)
    with pytest.raises(BundleError, match="other tensors than its architecture"):
        load_bundle(folder)


def _nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors["log_std.weight"][0, 0] = float("nan")


def _negative(tensors: dict[str, torch.Tensor]) -> None:
    tensors["features_extractor.var"][0] = -1.0


def _shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["mu.weight"] = tensors["mu.weight"].T.contiguous()


def _half(tensors: dict[str, torch.Tensor]) -> None:
    tensors["mu.weight"] = tensors["mu.weight"].half()


def _extra(tensors: dict[str, torch.Tensor]) -> None:
    tensors["critic.weight"] = torch.zeros(2)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_nan, "'log_std.weight' holds NaN or infinity"),
        (_negative, "a variance is negative"),
        (_shape, r"'mu.weight' has shape \(12, 3\), expected \(3, 12\)"),
        (_half, "'mu.weight' is torch.float16, expected torch.float32"),
        (_extra, r"other tensors than its architecture: \['critic.weight'\]"),
    ],
)
def test_broken_weights_are_refused(
    folder: Path, spoil: Callable[[dict[str, torch.Tensor]], None], text: str
) -> None:
    tensors = load_file(folder / WEIGHTS)
    spoil(tensors)
    save_file(tensors, folder / WEIGHTS)
    _rewrite(folder)
    with pytest.raises(BundleError, match=text):
        load_bundle(folder)


class _Planted:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_planted_code_does_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "planted"
    (folder / WEIGHTS).write_bytes(pickle.dumps(_Planted(mark)))
    _rewrite(folder)
    with pytest.raises(BundleError, match="is not a safetensors file"):
        load_bundle(folder)
    assert not mark.exists()
