"""Certificates of an audited controller: what no attack on its observations can do, at each budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.audit.engine import Engine, Setting
from robo_adv.audit.plan import Row
from robo_adv.errors import RoboAdvError
from robo_adv.policy import EpisodicPolicy, predict_padded
from robo_adv.rollout import Episodes
from robo_adv.safety.statistics import Rate
from robo_adv.threats.bounds import Ball
from robo_adv.threats.certificate import certify, why_not
from robo_adv.threats.smoothing import Smoothed, certified_returns, certified_share, episode_radius

Array = npt.NDArray[Any]
STATES = 256  # observations that are certified
NORMS = ("linf", "l2")
AGREE = 1e-3  # of the action range, by which network and controller may differ


def certificates(
    engine: Engine, rows: Sequence[Row], states: int = STATES, seed: int = 0
) -> list[dict[str, Any]]:
    """Per kind of budget of the observation rows their certified figures, as JSON values.

    A bound holds for every attack, so rows that differ in the attack alone share one entry. States are
    evenly spaced over clean episodes in the search scenarios.

    Args:
        states: how many. seed: of the attacks that stand beside the bounds.
    """
    kinds = _kinds(engine, rows)
    if not kinds:
        return []
    space = engine.subject.world.action_space(engine.subject.player)
    low, high = (np.asarray(end, dtype=np.float64) for end in (space.low, space.high))
    why = why_not(engine.subject.access, low, high)
    seen = np.zeros((0, 0)) if why else observations(engine, states)
    why = why or _differs(engine, seen, low, high)
    out = []
    for mine in kinds:
        found: dict[str, Any] = {**_about(mine), "why_not": why, "budgets": []}
        for budget in [] if why else _budgets(mine):
            access, norm = engine.subject.access, cast(Ball, mine[0].threat.norm)
            radius = budget * engine.scale(mine[0].threat)
            assert access is not None  # else there is a reason why not
            certificate = certify(access, seen, radius, low, high, norm=norm, seed=seed)
            found["budgets"].append({"budget": budget, **certificate.to_json()})
        out.append(found)
    return out


def smoothed(
    engine: Engine, rows: Sequence[Row], sigma: float, quantile: float = 0.5
) -> list[dict[str, Any]]:
    """What policy smoothing certifies of returns and safe success, per kind of budget, as JSON values.

    The controller plays the reported scenarios with noise of `sigma` units of the budget on every entry
    that the threat may touch. It speaks of that noisy controller, and needs no access to it.

    Raises:
        RoboAdvError: sigma is not above 0, or episodes of this world have no last step.
    """
    world: Any = engine.subject.world
    steps = getattr(world, "time_limit", 0) or getattr(world, "clock_steps", 0)
    if not steps:
        raise RoboAdvError(f"{world.id} does not say how long an episode can be at most")
    played: dict[Any, Episodes] = {}
    out = []
    for mine in _kinds(engine, rows):
        threat, scale = mine[0].threat, engine.scale(mine[0].threat)
        same = (threat.unit, threat.slices)
        if same not in played:
            policy = Smoothed(engine.subject.policy, sigma, scale)
            played[same] = engine.episodes(Setting(policy), engine.seeds)
        budgets, entries = _budgets(mine), int((scale > 0).sum())
        returns = certified_returns(
            played[same].returns[engine.subject.player], budgets, sigma, int(steps),
            norm=threat.norm, entries=entries, quantile=quantile,
        )  # fmt: skip
        held = engine.subject.criterion.judge(played[same]).safe_success
        found = {**_about(mine), "entries": entries, **returns.to_json()}
        found["safe_success"] = Rate(int(held.sum()), len(held)).to_json()
        for line in found["budgets"]:
            radius = float(episode_radius(line["budget"], int(steps), threat.norm, entries))
            line["safe_success"] = certified_share(int(held.sum()), len(held), radius, sigma)
        out.append(found)
    return out


def observations(engine: Engine, states: int = STATES) -> Array:
    """Observations (n, d), n <= states, evenly spaced over clean episodes in the search scenarios."""
    player, who, what = engine.subject.player, [], []

    def look(scenarios: Array, seen: Mapping[str, Array]) -> None:
        good = (scenarios >= 0) & np.isfinite(seen[player]).all(axis=1)
        who.append(scenarios[good].copy())
        what.append(seen[player][good].copy())

    engine.episodes(Setting(engine.subject.policy), engine.search_seeds, look)
    # By scenario, so that it does not depend on how many play at once.
    order = np.argsort(np.concatenate(who), kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, states).round().astype(int))
    return np.asarray(np.concatenate(what)[order[chosen]])


def _kinds(engine: Engine, rows: Sequence[Row]) -> list[list[Row]]:
    """Observation rows that were played, those of one norm, unit and choice of slices together."""
    kinds: dict[Any, list[Row]] = {}
    for row in rows:
        threat = row.threat
        if threat.port == "observation" and threat.norm in NORMS and not engine.why_not(row):
            kinds.setdefault((threat.norm, threat.unit, threat.slices), []).append(row)
    return list(kinds.values())


def _about(rows: Sequence[Row]) -> dict[str, Any]:
    threat = rows[0].threat
    return {
        "rows": [row.label for row in rows], "port": threat.port, "norm": threat.norm,
        "unit": threat.unit, "slices": list(threat.slices),
    }  # fmt: skip


def _budgets(rows: Sequence[Row]) -> list[float]:
    return sorted({budget for row in rows for budget in row.budgets})


def _differs(engine: Engine, seen: Array, low: Array, high: Array) -> str:
    """Why the network's bounds are not the controller's; '' when both act alike."""
    policy, access = engine.subject.policy, engine.subject.access
    assert access is not None and access.mean is not None
    seeds, starts = np.arange(len(seen), dtype=np.uint64), np.ones(len(seen), dtype=bool)
    state = policy.start(seeds, seen) if isinstance(policy, EpisodicPolicy) else None
    action, _ = predict_padded(policy, seen.copy(), state, starts, True)
    with torch.no_grad():
        wanted = access.mean(torch.as_tensor(seen, dtype=torch.float32)).numpy()
    away = np.abs(np.clip(action, low, high) - np.clip(wanted, low, high)) / (high - low)
    if away.max() <= AGREE:
        return ""
    return f"its actions differ from its network's by up to {100 * away.max():.2g} % of their range"
