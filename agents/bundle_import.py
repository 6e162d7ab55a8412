"""Stable-baselines3 zips and published checkpoints become bundles: numbers are read, nothing is run."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from pydantic import ValidationError
from torch import nn

from robo_adv.agents.evaluation import World
from robo_adv.agents.fitted import action_range
from robo_adv.agents.published import read_published
from robo_adv.agents.statistics_file import Statistics, read_statistics
from robo_adv.bundle import CARD, save_bundle
from robo_adv.envs.game import Game
from robo_adv.errors import BundleError, RoboAdvError, unknown
from robo_adv.runs import plain
from robo_adv.training.network import ACTIVATIONS, CLIP, EPSILON, NetworkPolicy, build_network

Array = npt.NDArray[Any]


def import_zip(
    path: Path, world: World, player: str, target: Path, statistics: Path | None = None
) -> None:
    """A stable-baselines3 zip of an MLP policy of PPO or A2C as a bundle, without unpickling anything.

    The network must be a plain `MlpPolicy` with separate actor and critic of equal sizes. The
    statistics become its first layer; without them it must have been trained on raw observations,
    which the bundle clips at +-10. The zip acts on the environment's scale and is clipped there; the
    bundle acts in [-1, 1], which its player maps to that scale again.

    Args:
        statistics: the file of VecNormalize.

    Raises:
        BundleError: not such a zip, or it does not fit the game.
    """
    from stable_baselines3.common.save_util import load_from_zip_file

    game = _place(world, player, target)
    try:
        _, params, _ = load_from_zip_file(path, load_data=False, device="cpu")
    except Exception as error:  # any file may be given; the library raises many kinds
        raise BundleError(f"{path} is not a stable-baselines3 zip: {error}") from error
    weights = (params or {}).get("policy")
    if not isinstance(weights, dict):
        raise BundleError(f"{path} holds no policy weights")
    layer = re.compile(r"mlp_extractor\.policy_net\.\d+\.weight")
    actor = [weight for name, weight in weights.items() if layer.fullmatch(name)]
    data = _data(path)
    activation = _activation(path, data)
    net_arch = tuple(int(w.shape[0]) for w in actor)
    size = game.layouts[player].size
    network = build_network(size, game.action_size(player), net_arch, activation)
    if not all(torch.isfinite(weight).all() for weight in weights.values()):
        raise BundleError(f"{path} holds weights that are NaN or infinite")
    state = network.state_dict()
    missing = [n for n in state if n not in weights and "features_extractor" not in n]
    if missing or not actor:
        raise BundleError(f"{path} is not a plain MlpPolicy: no {missing[:3]}")
    try:
        network.load_state_dict({**state, **{n: weights[n] for n in state if n in weights}})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise BundleError(f"{path} does not fit {player!r} of {world.game}: {reason}") from error
    _onto_unit_range(network, *action_range(game, player))
    if statistics is not None:
        _normalise(network, read_statistics(statistics, size), statistics)
    elif data.get("_last_original_obs") is not None:
        raise BundleError(
            f"{path} learned behind VecNormalize; without its statistics it is another policy: give "
            "the file that VecNormalize.save wrote as --statistics FILE.pkl"
        )
    _save(target, network, game, player, net_arch, activation, _provenance(path, data, statistics))


def import_published(path: Path, world: World, player: str, target: Path) -> None:
    """A checkpoint of SA-PPO's code as a bundle; see `robo_adv.agents.published`.

    Raises:
        BundleError: no such checkpoint, one with a memory or with other clips than a bundle's, or one
            that does not fit the world.
    """
    game = _place(world, player, target)
    size, actions = game.layouts[player].size, game.action_size(player)
    found = read_published(path, size, actions)
    if found.actor is None:
        raise BundleError(
            f"{path} holds a policy with a memory, which a bundle cannot hold; audit the file itself"
        )
    hidden = [layer for layer in found.actor if isinstance(layer, nn.Linear)]
    net_arch = tuple(int(layer.out_features) for layer in hidden[:-1])
    network = build_network(size, actions, net_arch, "tanh")
    network.mlp_extractor.policy_net.load_state_dict(found.actor[:-1].state_dict())
    network.action_net.load_state_dict(found.actor[-1].state_dict())
    shapes = [layer.weight.shape for layer in found.critic or () if isinstance(layer, nn.Linear)]
    if found.critic is not None and shapes[:-1] == [layer.weight.shape for layer in hidden[:-1]]:
        network.mlp_extractor.value_net.load_state_dict(found.critic[:-1].state_dict())
        network.value_net.load_state_dict(found.critic[-1].state_dict())
    with torch.no_grad():
        network.log_std.copy_(found.log_std.reshape(-1))
    _onto_unit_range(network, *action_range(game, player))
    of = found.normaliser
    given = Statistics(of.mean, of.std**2, 1.0, 0.0, of.clip)
    _normalise(network, given, path)
    told = {"recipe": "imported", "file": path.name, "seed": None, "steps": None}
    _save(target, network, game, player, net_arch, "tanh", told)


def _place(world: World, player: str, target: Path) -> Game:
    """Where it plays.

    Raises:
        RoboAdvError: no such player, or the target is something else.
    """
    if target.exists() and not (target / CARD).is_file():
        raise RoboAdvError(f"{target} exists and is not a bundle; name another folder")
    game = world.make(1, threads=1)
    if player not in game.players:
        raise unknown(f"player of {game.id}", player, game.players)
    if not getattr(game, "clip_actions", True):
        raise RoboAdvError(
            "a bundle acts within the range of the actions, so clip_actions=false would do nothing to "
            "it; audit the file itself with that option, or import it without"
        )
    return game


def _save(
    target: Path, network: Any, game: Game, player: str, net_arch: tuple[int, ...],
    activation: str, provenance: dict[str, Any],
) -> None:  # fmt: skip
    try:
        save_bundle(
            target, NetworkPolicy(network), game=game.id,
            options=plain(game.options), player=player, layout=game.layouts[player].to_json(),
            net_arch=net_arch, activation=activation, provenance=provenance,
        )  # fmt: skip
    except ValidationError as error:
        raise BundleError(
            f"a bundle cannot hold this: {error.errors()[0]['msg']} "
            f"({'.'.join(str(part) for part in error.errors()[0]['loc'])})"
        ) from error
    finally:
        game.close()


def _provenance(path: Path, data: dict[str, Any], statistics: Path | None) -> dict[str, Any]:
    out = {
        "recipe": "imported", "file": path.name,
        "seed": data.get("seed"), "steps": data.get("num_timesteps"),
    }  # fmt: skip
    return out if statistics is None else {**out, "statistics": statistics.name}


def _normalise(network: Any, found: Statistics, path: Path) -> None:
    """Put statistics into the network's first layer.

    Raises:
        BundleError: the layer cannot hold them.
    """
    var = found.var + found.epsilon - EPSILON
    if found.clip != CLIP or (var < 0).any():
        raise BundleError(
            f"{path} clips observations at {found.clip:g} with epsilon {found.epsilon:g}; a bundle "
            f"clips at {CLIP:g} with {EPSILON:g}: audit the file itself, without importing it"
        )
    layer = network.features_extractor
    layer.load_state_dict(
        {
            "mean": torch.as_tensor(found.mean),
            "var": torch.as_tensor(var),
            "count": torch.tensor(found.count, dtype=torch.float64),
        }
    )


def _onto_unit_range(network: Any, low: Array, high: Array) -> None:
    """Let the last layer act in [-1, 1] instead of [low, high] (a,)."""
    if (low == -1.0).all() and (high == 1.0).all():
        return
    half, middle = torch.as_tensor((high - low) / 2.0), torch.as_tensor((high + low) / 2.0)
    with torch.no_grad():
        last = network.action_net
        last.bias.copy_((last.bias.double() - middle) / half)
        last.weight.copy_(last.weight.double() / half[:, None])
        network.log_std -= torch.log(half).float()


def _data(path: Path) -> dict[str, Any]:
    """A zip's JSON, as text."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
    except (KeyError, ValueError) as error:
        raise BundleError(f"{path} is not a stable-baselines3 zip: {error}") from error
    return data if isinstance(data, dict) else {}


def _activation(path: Path, data: dict[str, Any]) -> str:
    """The activation that a zip names; MlpPolicy's default is tanh."""
    arguments = data.get("policy_kwargs") or {}
    named = str(arguments.get("activation_fn", "Tanh"))
    for name in ACTIVATIONS:
        if f"{name}'>" in named.lower() or named.lower() == name:
            return name
    raise BundleError(f"{path} has activation {named}, expected one of {[*ACTIVATIONS]}")
