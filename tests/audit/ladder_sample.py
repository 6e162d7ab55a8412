"""Ladders made by hand, and the card of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from robo_adv.audit.ladder import SUITES, Probe, Rung
from robo_adv.audit.ladder_numbers import budget_card, rung_card
from robo_adv.audit.ladder_run import Climb, Spent, Step
from robo_adv.audit.robustness import RobustnessCard
from robo_adv.audit.store import Cell
from robo_adv.safety.outcomes import Outcomes

EPISODES = 8
CLEAN = np.linspace(90.0, 110.0, EPISODES)
HARM = Rung("director-cost", "director", "learned", "return", {"aim": "cost"})


def step(
    rung: Rung, returns: float | np.ndarray[Any, Any], budget: float = 0.1,
    unsafe: Sequence[bool] = (False,) * EPISODES, probe: Probe | None = None,
) -> Step:  # fmt: skip
    """A rung that left these returns; a success is 50 or more."""
    values = np.broadcast_to(np.asarray(returns, dtype=np.float64), (EPISODES,))
    harm = np.array(unsafe)
    outcomes = Outcomes(
        np.arange(EPISODES, dtype=np.uint64), values >= 50.0, harm, np.where(harm, 2.0, 0.0),
        np.ones(EPISODES), np.full(EPISODES, np.inf),
    )  # fmt: skip
    returned = tuple(float(x) for x in values)
    cell = Cell("made", budget, outcomes, returned, (10,) * EPISODES, calls=100, seconds=1.0)
    return Step(rung, budget, cell, Spent(40), probe)


def climb(*steps: Step) -> Climb:
    """A ladder of these steps."""
    clean = step(Rung("no attack", "none", "noise"), CLEAN, 0.0)
    budgets = sorted({one.budget for one in steps if one.probe is None})
    return Climb("observation", "sigma", tuple(budgets), clean, steps)


def usual(less: float = 0.0) -> Climb:
    """Noise, PGD and an attack on safety; PGD leaves so much less."""
    noise, pgd = SUITES["quick-v0"].ports["observation"][0], SUITES["quick-v0"].rungs(
        "observation", ("pgd-20",)
    )[0]  # fmt: skip
    harmed = [True] * 4 + [False] * 4
    return climb(
        step(noise, CLEAN - 5), step(pgd, CLEAN - 70 - less), step(HARM, CLEAN - 90, unsafe=harmed)
    )


def card(found: Climb, **changes: Any) -> RobustnessCard:
    """The card of a ladder."""
    cards = tuple(budget_card(found, budget, "return") for budget in found.budgets)
    values: dict[str, Any] = {
        "suite": "quick-v0", "suite_sha256": SUITES["quick-v0"].digest, "controller": "zoo:one",
        "controller_sha256": "0" * 64, "world": "Run-v0", "player": "agent", "port": found.port,
        "unit": found.unit, "measure": "return", "seed": 1, "episodes": EPISODES,
        "clean": rung_card(found.clean, found.clean), "budgets": cards, **changes,
    }  # fmt: skip
    return RobustnessCard(**values)
