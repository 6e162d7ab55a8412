"""The zoo: bundles that ship, their measured cards, and how they get in."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from robo_adv.agents.evaluation import (
    NORMAL,
    World,
    evaluate,
    normal_opponents,
    opponent_policy,
    other_player,
)
from robo_adv.agents.named import find_bundle, find_card, named_policy, zoo_names
from robo_adv.assets import ZOO
from robo_adv.bundle import CARD, load_bundle, save_bundle
from robo_adv.errors import BundleError, RoboAdvError, unknown
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED
from robo_adv.runs import plain
from robo_adv.training.network import ACTIVATIONS, NetworkPolicy, build_network

MEASURED_EPISODES = 400


def add(source: str, name: str) -> Path:
    """Copy a bundle into the zoo under `name`, re-checked and re-saved; returns its folder.

    Raises:
        RoboAdvError: the bundle is refused, or the name is taken or not a plain name.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,60}", name):
        raise RoboAdvError(f"zoo name {name!r} must be lower-case letters, digits, dots and dashes")
    if name in zoo_names():
        raise RoboAdvError(f"zoo policy {name!r} exists; remove its folder first")
    bundle = find_bundle(source)
    card = bundle.card
    provenance = {k: v for k, v in card.provenance.items() if k != "versions"}
    victim = _by_hash(provenance.get("victim_sha256"))
    if victim is not None:
        provenance["victim"] = f"zoo:{victim}"
    save_bundle(
        ZOO / name, bundle.policy, game=card.game, options=card.options, player=card.player,
        layout=plain(card.layout), net_arch=card.architecture.net_arch,
        activation=card.architecture.activation, provenance=provenance, metrics=card.metrics,
    )  # fmt: skip
    return ZOO / name


def _by_hash(sha256: Any) -> str | None:
    """The zoo policy with these weights."""
    return next((n for n in zoo_names() if find_card(f"zoo:{n}").sha256 == sha256), None)


def adversaries_of(name: str) -> list[str]:
    """Zoo adversaries that were trained against this zoo policy."""
    victim = f"zoo:{name}"
    return [n for n in zoo_names() if find_card(f"zoo:{n}").provenance.get("victim") == victim]


def measure(name: str, episodes: int = MEASURED_EPISODES) -> dict[str, Any]:
    """What a zoo policy's card says of it, on the reported scenarios: for a lone player its success
    rate, mean return and costs (mean, max, share of episodes above 0); else its win rates.

    Against the pool of the zoo's normal opponents and each of them alone, `zero` and `random`; an
    adversary also against its victim; a victim also against its adversaries, where `exploitability`
    is what the strongest of them takes from its win rate against normal opponents.
    """
    card = find_card(f"zoo:{name}")
    world = World(card.game, card.options)
    game = world.make(1, threads=1)
    policy = named_policy(f"zoo:{name}", game, card.player)
    if len(game.players) == 1:
        return _measure_alone(world, card.player, policy, episodes)
    other = other_player(game, card.player)
    each = normal_opponents(game, other)
    attackers = [f"zoo:{n}" for n in adversaries_of(name)]
    labels = dict.fromkeys([NORMAL, "zero", "random", *each, *attackers])
    opponents = {label: opponent_policy(label, game, other) for label in labels}
    rows = evaluate(world, card.player, policy, opponents, episodes=episodes)
    rates = {row.opponent: row.episodes.win_rate(card.player) for row in rows}
    out: dict[str, Any] = {
        "win_rate_normal": rates[NORMAL].to_json(),
        "win_rate_zero": rates["zero"].to_json(),
        "win_rate_random": rates["random"].to_json(),
        "win_rate_against": {label: rates[label].to_json() for label in [*each, *attackers]},
        "first_seed": REPORTED,
    }
    if attackers:
        worst = min(float(rates[label]) for label in attackers)
        out["exploitability"] = round(float(rates[NORMAL]) - worst, 6)
    return out


def _measure_alone(world: World, player: str, policy: Policy, episodes: int) -> dict[str, Any]:
    (row,) = evaluate(world, player, policy, {}, episodes=episodes)
    summary = row.to_json()
    return {
        "success_rate": summary["success_rate"],
        "return_mean": round(float(row.episodes.returns[player].mean()), 6),
        "costs": {name: _rounded(cost) for name, cost in summary["costs"].items()},
        "first_seed": REPORTED,
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 6) if isinstance(v, float) else v for k, v in values.items()}


def write_metrics(name: str, metrics: dict[str, Any]) -> None:
    """Put measured metrics into a zoo card, keeping what it held under other names."""
    folder = ZOO / name
    bundle = load_bundle(folder)
    card = bundle.card
    provenance = {k: v for k, v in card.provenance.items() if k != "versions"}
    save_bundle(
        folder, bundle.policy, game=card.game, options=card.options, player=card.player,
        layout=plain(card.layout), net_arch=card.architecture.net_arch,
        activation=card.architecture.activation, provenance=provenance,
        metrics={**card.metrics, **metrics},
    )  # fmt: skip


def import_zip(path: Path, world: World, player: str, target: Path) -> None:
    """A stable-baselines3 zip of an MLP policy as a bundle, without unpickling anything.

    Reads the zip's weights only (`load_data=False`). The network must be a plain `MlpPolicy` with
    separate actor and critic of equal sizes; VecNormalize statistics are not in the zip, so the
    policy must have been trained on raw observations.

    Raises:
        BundleError: not such a zip, or it does not fit the game.
    """
    from stable_baselines3.common.save_util import load_from_zip_file

    if target.exists() and not (target / CARD).is_file():
        raise RoboAdvError(f"{target} exists and is not a bundle; name another folder")
    game = world.make(1, threads=1)
    if player not in game.players:
        raise unknown(f"player of {game.id}", player, game.players)
    try:
        _, params, _ = load_from_zip_file(path, load_data=False, device="cpu")
    except Exception as error:  # any file may be given; the library raises many kinds
        raise BundleError(f"{path} is not a stable-baselines3 zip: {error}") from error
    weights = (params or {}).get("policy")
    if not isinstance(weights, dict):
        raise BundleError(f"{path} holds no policy weights")
    layer = re.compile(r"mlp_extractor\.policy_net\.\d+\.weight")
    actor = [weight for name, weight in weights.items() if layer.fullmatch(name)]
    activation = _activation(path)
    net_arch = tuple(int(w.shape[0]) for w in actor)
    network = build_network(
        game.layouts[player].size, game.action_size(player), net_arch, activation
    )
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
    save_bundle(
        target, NetworkPolicy(network), game=world.game, options=plain(game.options),
        player=player, layout=game.layouts[player].to_json(), net_arch=net_arch,
        activation=activation, provenance={"recipe": "imported", "file": path.name},
    )  # fmt: skip


def _activation(path: Path) -> str:
    """The activation that a zip names, read as text from its JSON; MlpPolicy's default is tanh."""
    with zipfile.ZipFile(path) as archive:
        data = json.loads(archive.read("data"))
    arguments = data.get("policy_kwargs") or {}
    named = str(arguments.get("activation_fn", "Tanh"))
    for name in ACTIVATIONS:
        if f"{name}'>" in named.lower() or named.lower() == name:
            return name
    raise BundleError(f"{path} has activation {named}, expected one of {[*ACTIVATIONS]}")


def compare(name: str, episodes: int = MEASURED_EPISODES) -> list[str]:
    """Differences between a card's metrics and a new measurement on the same scenarios."""
    card = find_card(f"zoo:{name}")
    found = json.loads(json.dumps(plain(measure(name, episodes))))
    differences = []
    for key, value in found.items():
        if key in card.metrics and card.metrics[key] != value:
            differences.append(f"{name}: {key} is {value}, the card says {card.metrics[key]}")
    return differences
