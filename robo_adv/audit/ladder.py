"""The attack ladder: fixed, versioned suites of attacks at one port, from weak to strong.

A suite's name carries its version. A test holds the digest of every definition: a rung that changes
makes another suite, and needs another name, since cards of one name are compared with each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from robo_adv.audit.plan import Row
from robo_adv.audit.sanity import Kind
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.runs import plain
from robo_adv.threats.attack import ATTACKS, Attack
from robo_adv.threats.learned import Aim, LearnedAttack
from robo_adv.threats.threat import Threat

Raises = Literal["action", "return"]
DEFAULT = "standard-v0"
TRIES = 8  # checkpoints of a training, each judged on about as many scenarios as a search's try


@dataclass(frozen=True)
class Rung:
    """One attack of a suite.

    Attributes:
        name: of the rung, its own within a port. attack, parameters: what is played.
        kind: what it knows. raises: what it pushes up, the change of the action or the loss of return.
        data, tries: what its preparation takes at most: environment steps of watching and training,
            and attacks that are judged on the search scenarios. each: more of these, per action.
        instead: name of a rung that it stands in for where that one cannot be tried.
    """

    name: str
    attack: str
    kind: Kind
    raises: Raises = "action"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    data: int = 0
    tries: int = 0
    each: int = 0
    instead: str = ""

    @property
    def aim(self) -> Aim:
        """What it is after: `return`, or (for safety alone) `cost` or `stealth`."""
        aim: Aim = self.parameters.get("aim", "return")
        return aim

    @property
    def effort(self) -> tuple[int, int]:
        """Its steps and starts, by which equal attacks are compared."""
        learned = self.kind == "learned"
        steps = int(self.parameters.get("steps", 1))
        return (1, int(self.parameters.get("restarts", 1))) if learned else (steps, 1)

    def cost(self, episodes: int, search: int, horizon: int, actions: int) -> tuple[int, int]:
        """Environment steps and queries of the controller that it takes at most.

        Args:
            episodes: reported scenarios. search: scenarios per tried attack. horizon: longest episode.
            actions: size of the controller's action.
        """
        tries = self.tries + self.each * actions
        steps = self.data + (tries * search + episodes) * horizon
        attack = ATTACKS[self.attack](**self.parameters)
        return steps, steps * (1 + max(sum(one.passes) for one in _variants(attack)))

    def row(self, port: str, budget: float, unit: str = "") -> RungRow:
        """It as a row of the engine, searched and played at one budget."""
        norm = ATTACKS[self.attack].norm
        threat = Threat(port, 0.0, norm, unit)  # type: ignore[arg-type]
        return RungRow(self.attack, threat, (budget,), self.parameters, self.name)


@dataclass(frozen=True)
class RungRow(Row):
    """A row of a ladder: the same attack may stand on several rungs, and each budget is searched apart.

    Attributes:
        rung: name of the rung.
    """

    rung: str = ""

    @property
    def label(self) -> str:
        """For example `observation/director-cost@0.15`."""
        return f"{self.threat.port}/{self.rung}@{self.budgets[0]:.12g}"


@dataclass(frozen=True)
class Suite:
    """A ladder per port.

    Attributes:
        name: with its version. ports: rungs from weak to strong.
    """

    name: str
    ports: Mapping[str, tuple[Rung, ...]]

    def rungs(self, port: str, only: Sequence[str] = (), aim: str = "") -> tuple[Rung, ...]:
        """The rungs of a port, or some of them.

        Raises:
            RoboAdvError: no ladder at this port, no such rung, or none with this aim.
        """
        if port not in self.ports:
            raise RoboAdvError(
                f"suite {self.name} has no ladder at port {port!r} (it has: {', '.join(self.ports)}); "
                f"`robo-adv audit CONTROLLER --ports {port}` tries what there is"
            )
        known = {rung.name: rung for rung in self.ports[port]}
        for name in only:
            if name not in known:
                raise unknown(f"rung of {self.name} at port {port!r}", name, known)
        found = tuple(r for r in known.values() if (not only or r.name in only))
        found = tuple(r for r in found if not aim or r.aim == aim)
        if not found:
            aims = ", ".join(sorted({rung.aim for rung in known.values()}))
            raise RoboAdvError(
                f"no rung of {self.name} at port {port!r} with the aim {aim!r} is left (aims: {aims})"
            )
        return found

    @property
    def digest(self) -> str:
        """sha256 of the definition, with the parameters that its rungs leave to their attacks."""
        rungs = {p: [_whole(rung) for rung in rungs] for p, rungs in self.ports.items()}
        values = [self.name, rungs, HARDER, STARTS]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _whole(rung: Rung) -> dict[str, Any]:
    attack = ATTACKS[rung.attack](**rung.parameters)
    usual, *others = (_values(one) for one in _variants(attack))
    unlike = {"variants": others} if any(other != usual for other in others) else {}
    return {**plain(rung), "parameters": usual, **unlike}


def _variants(attack: Attack) -> list[Attack]:
    """What the restarts of an attack that learns train; other attacks as they are."""
    if not isinstance(attack, LearnedAttack):
        return [attack]
    return [attack.variant(k) for k in range(attack.restarts)]


def _values(attack: Attack) -> dict[str, Any]:
    return {f.name: plain(getattr(attack, f.name)) for f in fields(attack) if f.repr}


def learned(name: str, attack: str, steps: int, restarts: int = 1, aim: Aim = "return") -> Rung:
    """A rung that trains for so many steps from each of several seeds."""
    parameters = {"steps": steps, "restarts": restarts, "aim": aim}
    data, tries = steps * restarts, TRIES * restarts
    return Rung(name, attack, "learned", "return", parameters, data, tries)


HARDER = 40  # gradient steps of the harder PGD of the sanity rules
STARTS = 3  # random starts of PGD that they compare
NOISE = (Rung("uniform", "uniform", "noise"), Rung("corner", "corner", "noise"))
FGSM = Rung("fgsm", "fgsm", "white-box")
PGD = Rung("pgd-20", "pgd", "white-box", "action", {"steps": 20})
ACTIONS = (
    Rung("action-uniform", "action-uniform", "noise"),
    Rung("action-corner", "action-corner", "noise"),
)
FORCES = (
    Rung("random-push", "random-push", "noise"),
    Rung("worst-push", "worst-push", "black-box", "return", {}, 0, 32),
)
LEVELS = (
    Rung("level-random", "level-random", "black-box", "return", {"tries": 24}, 0, 24),
    Rung("level-cem", "level-cem", "black-box", "return", {}, 0, 96),
)
SAFETY: tuple[Aim, ...] = ("cost", "stealth")


def searched(scale: int = 1) -> tuple[Rung, ...]:
    """White-box and black-box attacks on observations, with so many times the usual effort."""
    data = 60_000 * scale
    copied, rounds = 20_000 * scale, {"rounds": 3 * scale}
    return (
        Rung("critic", "critic", "white-box", "return"), FGSM, PGD,
        Rung("directional", "directional", "white-box", "return", {}, 0, 0, 2),
        Rung("robust-sarsa", "robust-sarsa", "white-box", "return", {"data": data}, data, 8),
        Rung("rs-mad", "rs-mad", "white-box", "return", {"data": data}, data, 14),
        Rung("square", "square", "black-box"),
        Rung("evolution", "evolution", "black-box", "return", rounds, 2_000, 36 * scale),
        Rung("snooping", "snooping", "black-box", "action", {"data": copied}, copied),
    )  # fmt: skip


def _suite(name: str, seen: Sequence[Rung], steps: int, restarts: int, safety: int) -> Suite:
    """A suite whose learned rungs train for so many steps, those for safety for `safety`."""

    def strongest(attack: str) -> list[Rung]:
        aims = [learned(f"{attack}-{aim}", attack, safety, 1, aim) for aim in SAFETY if safety]
        return [learned(attack, attack, steps, restarts), *aims]

    blind = [  # the same against a black box
        replace(rung, instead=rung.name.removeprefix("snooping-"))
        for rung in strongest("snooping-director")
    ]
    return Suite(name, {
        "observation": (*NOISE, *seen, *strongest("director"), *blind),
        "action": (*ACTIONS, *strongest("action-adversary")),
        "force": (*FORCES, *strongest("force-adversary")),
        "level": LEVELS,
    })  # fmt: skip


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        _suite("quick-v0", (FGSM, PGD), 100_000, 1, 0),
        _suite("standard-v0", (*searched(), learned("sa-rl", "sa-rl", 500_000)),
               500_000, 2, 300_000),
        _suite("full-v0", (*searched(4), learned("sa-rl", "sa-rl", 1_000_000, 2)),
               1_000_000, 4, 1_000_000),
    )
}  # fmt: skip


def find_suite(name: str) -> Suite:
    """A suite by name.

    Raises:
        UnknownNameError: no such suite.
    """
    if name not in SUITES:
        raise unknown("suite of the ladder", name, SUITES)
    return SUITES[name]


@dataclass(frozen=True)
class Probe:
    """What the sanity rules play besides: an attack of the ladder with another budget or effort.

    Attributes:
        times: the budget, in budgets of the ladder. start: which of several random starts it is.
    """

    rung: Rung
    times: float = 1.0
    start: int | None = None


def probes(rungs: Sequence[Rung], curve: bool) -> list[Probe]:
    """What is to be played besides `rungs` of one port, all of which can be played.

    Args:
        curve: whether several budgets are played anyway.
    """
    usual = {"pgd": 0, "action-corner": 1, "random-push": 1, "corner": 1}
    found = sorted((r for r in rungs if r.attack in usual), key=lambda r: usual[r.attack])
    if not found:
        return []
    rung = found[0]
    out = [] if curve else [
        Probe(_again(rung, "half"), 0.5), Probe(_again(rung, "double"), 2.0)
    ]  # fmt: skip
    if rung.attack == "pgd":
        out.append(Probe(_again(rung, f"{HARDER} steps", steps=HARDER)))
        out += [Probe(_again(rung, f"start {k}", start=k), start=k) for k in range(1, STARTS)]
    return out


def _again(rung: Rung, told: str, **parameters: Any) -> Rung:
    return Rung(
        f"{rung.name} ({told})", rung.attack, rung.kind, rung.raises,
        {**rung.parameters, **parameters},
    )  # fmt: skip
