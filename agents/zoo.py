"""The zoo: bundles that ship, their measured cards, and how they get in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from robo_adv.agents.bundle_import import import_published, import_zip
from robo_adv.agents.evaluation import (
    NORMAL,
    World,
    evaluate,
    is_gymnasium,
    normal_opponents,
    opponent_policy,
    other_player,
)
from robo_adv.agents.named import find_bundle, find_card, named_policy, zoo_names
from robo_adv.assets import ZOO
from robo_adv.bundle import load_bundle, save_bundle
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy
from robo_adv.rollout import REPORTED
from robo_adv.runs import plain

__all__ = [
    "add",
    "adversaries_of",
    "compare",
    "import_published",
    "import_zip",
    "measure",
    "write_metrics",
]

MEASURED_EPISODES = 400
GYMNASIUM_EPISODES = 50  # in an environment of Gymnasium's, where episodes are long


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


def measure(name: str, episodes: int | None = None) -> dict[str, Any]:
    """What a zoo policy's card says of it, on the reported scenarios: for a lone player its success
    rate, mean return and costs (mean, max, share of episodes above 0); in an environment of
    Gymnasium's its mean return with a bootstrap interval, its falls and costs; else its win rates.

    Against the pool of the zoo's normal opponents and each of them alone, `zero` and `random`; an
    adversary also against its victim; a victim also against its adversaries, where `exploitability`
    is what the strongest of them takes from its win rate against normal opponents.
    """
    card = find_card(f"zoo:{name}")
    world = World(card.game, card.options)
    game = world.make(1, threads=1)
    policy = named_policy(f"zoo:{name}", game, card.player)
    if is_gymnasium(card.game):
        return _measure_return(world, card.player, policy, episodes or GYMNASIUM_EPISODES)
    episodes = episodes or MEASURED_EPISODES
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


def _measure_return(world: World, player: str, policy: Policy, episodes: int) -> dict[str, Any]:
    (row,) = evaluate(world, player, policy, {}, episodes=episodes)
    summary, length, found = row.to_json(), row.episodes.length, row.mean_return
    out: dict[str, Any] = {
        "return_mean": round(found.value, 6),
        "return_interval": [round(found.low, 6), round(found.high, 6)],
        "episodes": episodes,
        "length_mean": round(float(length.mean()), 6),
        "costs": {name: _rounded(cost) for name, cost in summary["costs"].items()},
        "first_seed": REPORTED,
    }
    if "fall" in row.episodes.costs[player]:
        out["fall_rate"] = row.episodes.violation_rate(player, "fall").to_json()
    if "success_rate" in summary:
        out["success_rate"] = summary["success_rate"]
    return out


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


def compare(name: str, episodes: int | None = None) -> list[str]:
    """Differences between a card's metrics and a new measurement on the same scenarios."""
    card = find_card(f"zoo:{name}")
    found = json.loads(json.dumps(plain(measure(name, episodes))))
    differences = []
    for key, value in found.items():
        if key in card.metrics and card.metrics[key] != value:
            differences.append(f"{name}: {key} is {value}, the card says {card.metrics[key]}")
    return differences
