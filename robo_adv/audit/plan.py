"""Plans: which attacks an audit tries, at which budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.threats.attack import ATTACKS, Attack
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import PORTS, UNITS, Threat

# Budgets per port and norm, from hardly noticeable to gross.
BUDGETS: dict[tuple[str, str], tuple[float, ...]] = {
    ("observation", "linf"): (0.05, 0.1, 0.2, 0.5, 1.0),
    ("observation", "l2"): (0.2, 0.5, 1.0, 2.0, 5.0),
    ("observation", "std"): (0.05, 0.1, 0.2, 0.5, 1.0),
    ("observation", "probability"): (0.05, 0.1, 0.2, 0.5, 1.0),
    ("observation", "steps"): (1.0, 2.0, 3.0, 5.0, 8.0),
    ("action", "linf"): (0.05, 0.1, 0.2, 0.5, 1.0),
    ("action", "mixing"): (0.05, 0.1, 0.2, 0.3, 0.5),
    ("action", "probability"): (0.05, 0.1, 0.2, 0.3, 0.5),
    ("action", "steps"): (1.0, 2.0, 3.0, 5.0, 8.0),
    ("force", "l2"): (0.1, 0.2, 0.5, 1.0, 2.0),
    ("level", "linf"): (0.2, 0.4, 0.6, 0.8, 1.0),
    ("opponent", "probability"): (1.0,),
}
# What each suite tries, per port; opponents are added by name.
SUITES: dict[str, dict[str, tuple[str, ...]]] = {
    "quick": {
        "observation": ("corner", "pgd"),
        "action": ("action-corner",),
        "force": ("random-push",),
        "level": ("level-grid",),
    },
    "standard": {
        "observation": ("uniform", "corner", "fgsm", "pgd", "critic", "delay", "dropout"),
        "action": ("action-uniform", "nr-mdp", "action-delay"),
        "force": ("random-push", "worst-push"),
        "level": ("level-grid", "level-cem"),
    },
    "full": {
        "observation": (
            "uniform", "corner", "gaussian", "bias", "fgsm", "pgd", "critic", "q-critic", "delay",
            "dropout", "stuck", "single-sensor",
        ),
        "action": ("action-uniform", "action-corner", "nr-mdp", "pr-mdp", "action-delay"),
        "force": ("random-push", "worst-push"),
        "level": ("level-random", "level-grid", "level-cem", "level-cma"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One line of an audit: an attack under a threat, at rising budgets.

    Attributes:
        name: of the attack; of port `opponent`, who plays. threat: with a budget of 0.
        budgets: rising, above 0. parameters: of the attack.
    """

    name: str
    threat: Threat
    budgets: tuple[float, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.budgets, self.budgets[1:], strict=False))
        if not self.budgets or self.budgets[0] <= 0 or not rising:
            raise RoboAdvError(
                f"budgets of {self.name} must rise and be above 0, got {list(self.budgets)}; the "
                "budget 0 is always played"
            )
        for budget in self.budgets:
            self.threat.at(budget)

    @property
    def label(self) -> str:
        """What tells this row from all others, for example `observation/pgd`."""
        extra = [] if self.threat.slices == ("*",) else list(self.threat.slices)
        if str(self.threat.schedule) != "always":
            extra.append(str(self.threat.schedule))
        tail = f" ({', '.join(extra)})" if extra else ""
        return f"{self.threat.port}/{self.name}{tail}"

    def attack(self, **more: Any) -> Attack:
        """A fresh attack of this row."""
        return ATTACKS[self.name](**{**self.parameters, **more})


def plan(
    ports: Sequence[str],
    *,
    suite: str = "standard",
    attacks: Sequence[str] = (),
    budgets: Mapping[str, Sequence[float]] | None = None,
    units: Sequence[str] = (),
    slices: Sequence[str] = ("*",),
    schedule: Schedule | None = None,
    opponents: Iterable[str] = (),
) -> list[Row]:
    """The rows of an audit.

    Args:
        ports: which ports. suite: which attacks, unless `attacks` names them.
        budgets: per port, in place of BUDGETS, for attacks whose norm is the port's first one.
        units: at most one per port, in place of the port's first. slices, schedule: of observation
            threats and of all.

    Raises:
        UnknownNameError: no such port, suite or attack.
    """
    for port in ports:
        if port not in PORTS:
            raise unknown("port", port, PORTS)
    if suite not in SUITES:
        raise unknown("suite", suite, SUITES)
    for name in budgets or {}:
        if name not in ports:
            tried = ", ".join(ports)
            raise RoboAdvError(f"budgets of port {name!r}, which is not tried (ports: {tried})")
    known = sorted({unit for some in UNITS.values() for unit in some})
    for unit in units:
        if unit not in known:
            raise unknown("unit", unit, known)
    usual = (name for port in ports for name in SUITES[suite].get(port, ()))
    chosen = dict.fromkeys(attacks or usual)
    rows = [
        row
        for name in chosen
        if (row := _row(name, budgets or {}, units, tuple(slices), schedule or Schedule()))
        .threat.port in ports
    ]  # fmt: skip
    if "opponent" in ports:
        threat = Threat("opponent", 0.0, "probability", schedule=Schedule())
        rows += [Row(name, threat, (1.0,)) for name in opponents]
    return rows


def _row(
    name: str,
    budgets: Mapping[str, Sequence[float]],
    units: Sequence[str],
    slices: tuple[str, ...],
    schedule: Schedule,
) -> Row:
    kind = ATTACKS[name]
    seen = kind.port == "observation"
    unit = next((unit for unit in units if unit in UNITS[kind.port, kind.norm]), "")
    radial = kind.norm in ("linf", "l2", "std")
    threat = Threat(
        kind.port, 0.0, kind.norm, unit, slices if seen else ("*",), schedule,
    )  # fmt: skip
    first = next(norm for port, norm in BUDGETS if port == kind.port)
    own = budgets.get(kind.port) if kind.norm == first or radial else None
    return Row(name, threat, tuple(own or BUDGETS[kind.port, kind.norm]))
