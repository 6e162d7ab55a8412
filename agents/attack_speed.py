"""Speed of gradient attacks: against the controller's own call, and against other toolboxes' PGD.

All is measured in turns within one run, on one thread, in CPU seconds of this process: on an idle
machine those are wall time, on a shared one other programs do not count.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.agents.access import network_access
from robo_adv.agents.named import find_bundle, game_of
from robo_adv.agents.rivals import PACKAGES, Problem, Rival, Work, art_pgd, foolbox_pgd
from robo_adv.policy import State
from robo_adv.threats.access import Access
from robo_adv.threats.attack import View
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.fgsm import FGSM
from robo_adv.threats.attacks.pgd import PGD
from robo_adv.threats.mlp import MLP
from robo_adv.threats.threat import Threat
from robo_adv.training.network import NetworkPolicy

CONTROLLER = "zoo:reach-panda-s1"
EPS = 0.1  # radius, in standard deviations of the controller's normaliser
PLAIN, SAME_LOSS = "controller", "PGD-20, plain loss"
AT_MOST = {"FGSM": 4.0, "PGD-20": 30.0}  # calls of the controller
AT_LEAST = {"Foolbox PGD-20": 1.0, "ART PGD-20, row by row": 10.0}  # times our time
Array = npt.NDArray[Any]
Results = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Bench:
    """A controller and the observations (n, d) at which it is attacked, in a ball of `radius` (d,)."""

    policy: NetworkPolicy
    access: Access
    clean: Array
    radius: Array

    def problem(self) -> Problem:
        """What all toolboxes are given."""
        assert isinstance(self.access.mean, MLP)
        return Problem(self.access.mean, self.clean, self.radius)

    def view(self, access: Access) -> View:
        """What an attack sees."""
        n, d = self.clean.shape
        anything = np.full(d, np.inf)
        return View(
            self.clean, self.radius, -anything, anything, first=self.clean,
            history=np.zeros((n, 0, d)), seeds=np.arange(n, dtype=np.uint64),
            step=np.zeros(n, np.uint64), groups=np.zeros(d, np.int64), observation=self.clean,
            left=np.zeros((n, 0)), access=access,
        )  # fmt: skip


def prepare(observations: int = 256, steps: int = 20) -> Bench:
    """A shipped controller (tanh, 64 x 64) in the middle of so many episodes."""
    bundle = find_bundle(CONTROLLER)
    game, policy = game_of(bundle.card, observations, threads=1), bundle.policy
    (player,) = game.players
    seen = game.reset(np.arange(observations))[player]
    for _ in range(steps):
        action, _ = policy.predict(seen, None, None, True)
        seen = game.step({player: action}).obs[player]
    access = network_access(policy)
    assert access.normaliser is not None
    return Bench(policy, access, seen, EPS * access.normaliser[1])


def attacks(bench: Bench) -> dict[str, Work]:
    """Our attacks as an audit uses them."""
    view = bench.view(bench.access)
    return {"FGSM": lambda: FGSM().propose(view), "PGD-20": lambda: PGD().propose(view)}


def calls(bench: Bench) -> dict[str, Work]:
    """The controller's own call, and the same under attack: with schedule and projection."""
    view = bench.view(bench.access)
    works: dict[str, Work] = {PLAIN: lambda: bench.policy.predict(bench.clean, None, None, True)[0]}
    for name, attack in (("FGSM", FGSM()), ("PGD-20", PGD())):
        threat = Threat("observation", 1.0)
        attacked = Attacked(bench.policy, threat, attack, bench.radius, access=bench.access)
        state = attacked.start(view.seeds, bench.clean)
        works[f"{PLAIN} under {name}"] = partial(_acts, attacked, bench.clean, state)
    return works


def _acts(attacked: Attacked, clean: Array, state: State) -> Array:
    return attacked.predict(clean, state, None, True)[0]


def others(bench: Bench, chosen: Sequence[Rival]) -> dict[str, Work]:
    """The other toolboxes' PGD, after ours with their loss, which knows no standard deviations."""
    problem, view = bench.problem(), bench.view(replace(bench.access, std=None))
    works: dict[str, Work] = {SAME_LOSS: lambda: PGD().propose(view)}
    if "foolbox" in chosen:
        works["Foolbox PGD-20"] = foolbox_pgd(problem)
    if "art" in chosen:
        works["ART PGD-20, row by row"] = art_pgd(problem, 1)
        works["ART PGD-20, one batch"] = art_pgd(problem, len(problem.clean))
    return works


def compare(
    bench: Bench, chosen: Sequence[Rival], rounds: int = 30, rival_rounds: int = 5
) -> Results:
    """Per row `us_per_observation`, for attacks the `loss` they reach, and medians of ratios within a
    round: `controller_calls` of ours, `times_ours` of other toolboxes (see `need`)."""
    own, mine = calls(bench), attacks(bench)
    theirs = others(bench, chosen) if chosen else {}
    torch.manual_seed(0), np.random.seed(0)  # the other toolboxes draw their starts from these
    with _one_thread():
        losses = {name: bench.problem().loss(work()) for name, work in (mine | theirs).items()}
        times = in_turns(own | mine, rounds)
        against = in_turns(theirs, rival_rounds)
    results: Results = {}
    for name, seconds in times.items():
        results[name] = {"controller_calls": _ratio(seconds, times[PLAIN])}
    for name, seconds in against.items():
        results[name] = {"times_ours": _ratio(seconds, against[SAME_LOSS])}
    for name, row in results.items():
        row["us_per_observation"] = 1e6 * median((times | against)[name]) / len(bench.clean)
        if name in losses:
            row["loss"] = losses[name]
    return results


def in_turns(
    works: Mapping[str, Callable[[], Any]], rounds: int, least: float = 0.005
) -> dict[str, list[float]]:
    """CPU seconds of one call of each work (called before) in each round; short ones are called as
    often as fills `least` seconds."""
    counts = {
        name: math.ceil(least / max(_cpu_seconds(work, 1), 1e-6)) for name, work in works.items()
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(_cpu_seconds(work, counts[name]))
    return found


def _cpu_seconds(work: Callable[[], Any], count: int) -> float:
    began = time.process_time()
    for _ in range(count):
        work()
    return (time.process_time() - began) / count


def _ratio(a: Sequence[float], b: Sequence[float]) -> float:
    return median(x / y for x, y in zip(a, b, strict=True))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def rival_versions(chosen: Sequence[Rival]) -> dict[str, str]:
    """Versions of the other toolboxes, by the name of their package."""
    return {PACKAGES[rival]: version(PACKAGES[rival]) for rival in chosen}
