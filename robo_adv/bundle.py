"""Bundles: a policy on disk as `policy.json` and `policy.safetensors`; loading never runs code.

The loader checks sizes, hash, names, shapes, dtypes and finiteness against a local table of
architectures before it builds anything. There is no pickle, no import path and no EnvSpec in a
bundle (`PPO.load` and `gymnasium.make(EnvSpec.from_json(...))` both run what a file says).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from robo_adv.cards import Strict, read_json
from robo_adv.errors import BundleError, RoboAdvError
from robo_adv.runs import plain, versions, write_folder
from robo_adv.sight import Sight
from robo_adv.training.network import (
    Kind,
    NetworkPolicy,
    build_network,
    load_network_weights,
    network_weights,
)
from robo_adv.training.sighted import build_sighted, sighted_sizes
from robo_adv.training.squashed import SquashedPolicy, build_actor

CARD, WEIGHTS = "policy.json", "policy.safetensors"
MAX_WEIGHTS = 64 * 1024 * 1024  # [bytes]
JsonValue = Any


class Architecture(Strict):
    """What the local builder needs; enums, sizes, and names of cameras and slices only."""

    kind: Kind = "mlp"
    net_arch: tuple[int, ...] = Field(max_length=8)
    activation: Literal["tanh", "relu"]
    observation_size: int = Field(ge=1, le=100_000)
    action_size: int = Field(ge=1, le=10_000)
    sight: Sight | None = None

    def model_post_init(self, context: Any) -> None:
        if not all(1 <= width <= 4096 for width in self.net_arch):
            raise ValueError("layer widths must lie in 1..4096")
        if (self.kind == "cnn") != (self.sight is not None):
            raise ValueError("a cnn, and nothing else, has a sight")


class Card(Strict):
    """policy.json.

    Attributes:
        game, options, player: where it plays, one of our games or an environment of Gymnasium's
            registry (never the name of a module). layout: [name, size, unit] of its observation.
        architecture: how to build it. sha256: of policy.safetensors.
        provenance: how it was made (command, seed, steps, versions).
        metrics: what was measured, with intervals.
    """

    format: Literal["robo_adv.policy/1"] = "robo_adv.policy/1"
    game: str = Field(max_length=100)
    options: dict[str, bool | int | float | str | None]
    player: str = Field(max_length=100)
    layout: list[tuple[str, int, str]]
    architecture: Architecture
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    metrics: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle."""

    card: Card
    policy: NetworkPolicy
    folder: Path


def save_bundle(
    folder: Path,
    policy: NetworkPolicy,
    *,
    game: str,
    options: Mapping[str, Any],
    player: str,
    layout: list[list[str | int]],
    net_arch: tuple[int, ...],
    activation: str,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Write a bundle, replacing the folder in one step.

    Raises:
        RoboAdvError: the folder cannot be written.
    """
    tensors = network_weights(policy.network)

    def write(target: Path) -> None:
        (target / WEIGHTS).write_bytes(save(tensors))
        card = Card.model_validate(
            {
                "game": game,
                "options": plain(options),
                "player": player,
                "layout": layout,
                "architecture": {
                    "kind": policy.kind,
                    "net_arch": net_arch,
                    "activation": activation,
                    "observation_size": policy.observation_size,
                    "action_size": policy.action_size,
                    "sight": policy.sight,
                },
                "sha256": hashlib.sha256((target / WEIGHTS).read_bytes()).hexdigest(),
                "provenance": {**plain(provenance), "versions": versions()},
                "metrics": plain(metrics or {}),
            }
        )
        (target / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")

    write_folder(folder, write)


def read_card(folder: Path) -> Card:
    """The card of a bundle, checked against the schema.

    Raises:
        BundleError: missing, too large, not JSON, or not a card.
    """
    path = folder / CARD
    if folder.is_file():
        hint = ""
        if folder.suffix == ".zip":
            hint = (
                "; a stable-baselines3 zip can run code when opened: import it with "
                "`robo-adv zoo import FILE --trust`"
            )
        raise BundleError(f"{folder} is a file, expected a bundle folder with {CARD}{hint}")
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: no {CARD} in it")
    return read_json(path, Card, "a policy card", BundleError)


def load_bundle(folder: Path) -> Bundle:
    """A bundle, after all checks.

    Raises:
        BundleError: whatever is wrong with it, in one sentence.
    """
    card = read_card(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise BundleError(f"{folder} is not a bundle: no {WEIGHTS} in it")
    if path.stat().st_size > MAX_WEIGHTS:
        raise BundleError(f"{path} has {path.stat().st_size} bytes, at most {MAX_WEIGHTS} expected")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != card.sha256:
        raise BundleError(
            f"{path} does not match its card (sha256 {found[:12]}..., card says "
            f"{card.sha256[:12]}...): it was edited or cut short"
        )
    size = sum(size for _, size, _ in card.layout)
    if size != card.architecture.observation_size:
        raise BundleError(
            f"{folder / CARD}: layout has {size} numbers, "
            f"observation_size is {card.architecture.observation_size}"
        )
    network = _load_network(path, card.architecture, _columns(card, folder / CARD))
    policy = SquashedPolicy if card.architecture.kind == "squashed-actor" else NetworkPolicy
    return Bundle(card, policy(network), folder)


def _columns(card: Card, path: Path) -> tuple[int, ...]:
    """Which numbers of the observation a policy that sees is told."""
    if card.architecture.sight is None:
        return ()
    try:
        return card.architecture.sight.columns(card.layout)
    except RoboAdvError as problem:
        raise BundleError(f"{path}: {problem}") from problem


def _parameters(architecture: Architecture, columns: tuple[int, ...]) -> int:
    """Number of weights without normalisation: of actor and critic, or of the actor alone."""
    inputs, actions, eyes = architecture.observation_size, architecture.action_size, 0
    if architecture.sight is not None:
        inputs, eyes = sighted_sizes(architecture.sight, columns)
    sizes = (inputs, *architecture.net_arch)
    trunk = sum((a + 1) * b for a, b in pairwise(sizes))
    if architecture.kind == "squashed-actor":
        return trunk + (sizes[-1] + 1) * 2 * actions
    return eyes + 2 * trunk + (sizes[-1] + 1) * (actions + 1)


def _load_network(path: Path, architecture: Architecture, columns: tuple[int, ...]) -> Any:
    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except SafetensorError as error:
        raise BundleError(f"{path} is not a safetensors file: {error}") from error
    needed = 4 * _parameters(architecture, columns)  # a card must not make us build gigabytes
    if needed > path.stat().st_size:
        raise BundleError(
            f"{path} has {path.stat().st_size} bytes, its card's architecture needs {needed}"
        )
    build: Callable[..., Any] = build_network if architecture.kind == "mlp" else build_actor
    if architecture.sight is not None:
        build = partial(build_sighted, sight=architecture.sight, columns=columns)
    network = build(
        architecture.observation_size,
        architecture.action_size,
        architecture.net_arch,
        architecture.activation,
    )
    expected = network_weights(network)
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            names = set(file.keys())
            if names != set(expected):
                odd = sorted(names ^ set(expected))
                raise BundleError(f"{path} has other tensors than its architecture: {odd[:4]}")
            for name in names:
                shape = tuple(file.get_slice(name).get_shape())
                if shape != tuple(expected[name].shape):
                    raise BundleError(
                        f"{path}: tensor {name!r} has shape {shape}, "
                        f"expected {tuple(expected[name].shape)}"
                    )
                tensors[name] = file.get_tensor(name)
    except SafetensorError as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype != expected[name].dtype:
            raise BundleError(
                f"{path}: tensor {name!r} is {tensor.dtype}, expected {expected[name].dtype}"
            )
        if not torch.isfinite(tensor).all():
            raise BundleError(f"{path}: tensor {name!r} holds NaN or infinity")
    if (tensors["features_extractor.var"] < 0).any():
        raise BundleError(f"{path}: a variance is negative")
    load_network_weights(network, tensors)
    return network
