"""Failure in service: does the controller fail on jobs as they come, how most likely, and how often?

A job is a level of the world and a scenario seed. Assumed of service: every parameter of the world's
DesignSpace varies on its own, normally around its nominal value, on its own scale (that of
`DesignSpace.around`), the ends of its range at `reach` standard deviations and never beyond; whatever a
seed decides is drawn anew for every job. A world without parameters has jobs of different seeds only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv.audit.engine import Engine, Setting
from robo_adv.audit.replay import Replay, capture
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Level
from robo_adv.runs import plain, write_text
from robo_adv.safety.conditions import Condition
from robo_adv.safety.criteria import Criterion, relative_return
from robo_adv.safety.design_point import Found, check_simulations, search
from robo_adv.safety.outcomes import Outcomes
from robo_adv.seeding import Seeds

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]
SERVICE = 6_000_000  # first scenario seed of jobs in service; none is used for anything else
REACH = 3.0  # standard deviations from a parameter's nominal value to either end of its range
CELL = "failure-search.json"
LABEL = "failure search"
TOGETHER = 256  # jobs that are played between two reports of progress
_NEARLY = 1e-9  # margin of a safe success that its score or severity calls none
DENSITY = (
    "A job is one episode without attack, in a world of its own: every parameter varies on its own "
    "around its nominal value, normally, with the ends of its range at {reach:g} standard deviations "
    "and never beyond. What the scenario seed decides is drawn anew."
)
NO_PARAMETERS = (
    "A job is one episode without attack. This world has no parameters to vary, so jobs differ by "
    "their scenario seed alone."
)
ALIKE = "The environment starts alike whatever its seed: all jobs without a change are one."


class Service:
    """Plays jobs with an engine's controller, without any attack.

    Attributes:
        reach: standard deviations from nominal to either end of a range. steps: control steps played.
    """

    def __init__(
        self, engine: Engine, progress: Callable[[int], None] | None = None, reach: float = REACH
    ) -> None:
        self.engine, self.space, self.reach = engine, engine.subject.world.design_space, reach
        self.progress, self.played, self.steps = progress, 0, 0

    def __call__(self, z: Array, seeds: Seeds) -> Array:
        """Margins (n,) of jobs: levels at z (n, parameters), 0 nominal, with scenario seeds (n,)."""
        parts = range(0, len(z), TOGETHER)
        return np.concatenate([self._play(z[k : k + TOGETHER], seeds[k : k + TOGETHER])
                               for k in parts])  # fmt: skip

    def level(self, z: Array) -> Level:
        """The level at a standard normal point (parameters,)."""
        return self.space.around(np.asarray(z) / self.reach)

    def _play(self, z: Array, seeds: Seeds) -> Array:
        subject = self.engine.subject
        levels = [self.level(point) for point in z] if len(self.space) else ()
        episodes = self.engine.episodes(Setting(subject.policy, levels=levels), seeds)
        self.played, self.steps = self.played + len(z), self.steps + int(episodes.length.sum())
        if self.progress:
            self.progress(self.played)
        outcomes = subject.criterion.judge(episodes)
        share = relative_return(episodes.returns[subject.player], self.engine.reference.returns)
        return margins(outcomes, None if is_graded(subject.criterion) else share)


def is_graded(criterion: Criterion) -> bool:
    """Whether its scores tell more than done or not."""
    return criterion.reference is not None or not isinstance(criterion.success, Condition)


def margins(outcomes: Outcomes, share: Array | None = None) -> Array:
    """How far jobs are from failure (n,), in [-1, 1]: above 0 exactly for a safe success.

    The smaller one of two distances: 1 - severity, and how clearly it was done (2 score - 1). The sign
    is exact; the size only guides the search.

    Args:
        share: of the reference's return that was reached (n,), in place of scores that say no more
            than done or not.
    """
    safe = 1.0 - outcomes.severity
    safe = np.where(safe < 0.0, np.tanh(safe), safe)
    done = 2.0 * outcomes.score - 1.0
    if share is not None:
        part = 0.9 * np.nan_to_num(np.asarray(share, dtype=np.float64))
        done = np.where(outcomes.success, 0.1 + part, part - 1.0)
    found = np.minimum(safe, done)
    return np.where(
        outcomes.safe_success, np.maximum(found, _NEARLY), np.minimum(found, 0.0)
    )  # fmt: skip


def failure_search(
    engine: Engine, simulations: int, folder: Path, progress: Callable[[int], None] | None = None,
    reach: float = REACH,
) -> dict[str, Any]:  # fmt: skip
    """The three answers as JSON values; those that `folder/cells` holds are not searched again.

    Raises:
        RoboAdvError: too few simulations, a `reach` that is none, a full disk.
    """
    check_search(simulations, reach)
    path = folder / "cells" / CELL
    names = list(engine.subject.world.design_space.names)
    asked = {"simulations": simulations, "seed": SERVICE, "reach": reach, "parameters": names,
             "search_seed": engine.seed}  # fmt: skip
    kept = _kept(path, asked)
    if kept is not None:
        return kept
    service = Service(engine, progress, reach)
    rng = np.random.default_rng([engine.seed, *LABEL.encode()])
    found = search(service, len(names), rng, simulations, first=SERVICE)
    text = json.dumps({"asked": asked, "found": _told(found, service)}, indent=1) + "\n"
    write_text(path, text)
    return dict(json.loads(text)["found"])


def check_search(simulations: int, reach: float) -> None:
    """Raises RoboAdvError: too few simulations, or a reach that is no number above 0."""
    check_simulations(simulations)
    if not (math.isfinite(reach) and reach > 0.0):
        raise RoboAdvError(
            "the ends of a parameter's range lie a number above 0 of standard deviations from its "
            f"nominal value, got {reach:g}; 3 is usual, more is a world that varies less"
        )


def _kept(path: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What was found before; a file that cannot be read, or answers something else, does not count."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return dict(kept["found"]) if kept["asked"] == asked else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _told(found: Found, service: Service) -> dict[str, Any]:
    answers, world = found.answers, service.engine.subject.world
    likely = answers.most_likely
    seen: dict[str, Any] | None = None
    if likely is not None and found.seed is not None:
        level = service.level(likely.scenario)
        at = np.clip(likely.scenario, -service.reach, service.reach)
        changed = changes(service.space, level, at)
        seen = {
            "scenario": found.seed, "level": plain(level.values), "margin": likely.margin,
            "deviations": float(math.sqrt((likely.scenario**2).sum())),
            "changed": changed, "told": in_words(changed),
        }  # fmt: skip
    return answers.to_json() | {
        "most_likely": seen, "regions": found.regions, "calls": service.steps,
        "parameters": list(service.space.names), "reach": service.reach,
        "density": DENSITY.format(reach=service.reach) if len(service.space) else NO_PARAMETERS,
        "first_seed": SERVICE,
        "notice": "" if getattr(world, "varied", True) else ALIKE,
    }  # fmt: skip


def changes(space: DesignSpace, level: Level, at: Array) -> list[dict[str, Any]]:
    """The parameters that leave their nominal value by `at` (parameters,) standard deviations, those
    that go farthest first."""
    found = [
        {"name": p.name, "unit": p.unit, "value": level[p.name], "nominal": p.nominal,
         "deviations": float(away)}
        for p, away in zip(space, at, strict=True) if level[p.name] != p.nominal
    ]  # fmt: skip
    return sorted(found, key=lambda one: -abs(one["deviations"]))


def in_words(changed: list[dict[str, Any]]) -> str:
    """`object_mass 1.8 x nominal (nominal 1)`, for each change."""
    return ", ".join(
        f"{one['name']} {_short(one['value'])} {one['unit']}".rstrip()
        + f" (nominal {_short(one['nominal'])})"
        for one in changed
    )


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def recorded(
    engine: Engine,
    world: World,
    seed: int,
    level: Level | None,
    about: Mapping[str, Any],
    told: str,
) -> tuple[Replay, Outcomes]:
    """Play one job in a world of one row, and record it.

    Args:
        about: what a replay says of world and controller. told: how the level differs, in words.
    """
    subject = engine.alone(world).subject
    policies = {**subject.others, subject.player: subject.policy}
    more = {**about, "threat": LABEL, "budget": 0.0, "attack": told, "outcome": "frozen"}
    recording, episodes = capture(
        world, policies, seed, level, more, player=subject.player, limits=subject.criterion.limits
    )
    outcomes = subject.criterion.judge(episodes)
    outcome = next(name for name, rate in outcomes.rates().items() if rate.count)
    judged = recording.about.model_copy(update={"outcome": outcome})
    return replace(recording, about=judged), outcomes
