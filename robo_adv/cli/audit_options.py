"""Options of `robo-adv audit` that need reading or checking."""

from __future__ import annotations

from robo_adv.agents.attackers import SELECTED
from robo_adv.agents.subject import AuditConfig
from robo_adv.audit.engine import SEARCH
from robo_adv.audit.gates import Gate
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import REFERENCE
from robo_adv.audit.service import SERVICE
from robo_adv.cli.train import check_seed
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.imitation.demonstrations import DEMONSTRATED
from robo_adv.levels.suites import CONFIRM, SUITES
from robo_adv.rollout import REPORTED, SELECTION
from robo_adv.threats.threat import PORTS

RESERVED = 1_000_000  # scenario seeds of each use
MOST = {"episodes": 100_000, "search": 10_000, "videos": 100}
USES = {
    SELECTION: "policies are selected on",
    REFERENCE: "references are measured on",
    SEARCH: "attacks are searched on",
    SELECTED: "learned attackers are selected on",
    SUITES: "suites of levels are played on",
    CONFIRM: "suites of levels are confirmed on",
    SERVICE: "failures in service are searched on",
    DEMONSTRATED: "demonstrations are recorded on",
}


def check_counts(config: AuditConfig) -> None:
    """Raises RoboAdvError for numbers that no audit can have."""
    least = {"episodes": 2, "search": 1, "videos": 0, "train_adversary": 0, "threads": 0}
    for name, few in least.items():
        if not few <= getattr(config, name) <= MOST.get(name, 2**63):
            most = f" and at most {MOST[name]:,}" if name in MOST else ""
            raise RoboAdvError(
                f"an audit needs {name.replace('_', ' ')} of at least {few}{most}, got "
                f"{getattr(config, name):,}"
            )
    check_seed(config.seed, 2**63)
    last = config.seed + config.episodes - 1
    for first, use in USES.items():
        if config.seed < first + RESERVED and last >= first:
            raise RoboAdvError(
                f"scenario seeds {first:,} to {first + RESERVED - 1:,} are what {use}; reported ones "
                f"must be others, got {config.seed:,} to {last:,} (the default is {REPORTED:,})"
            )


def check_gates(gates: list[Gate], rows: list[Row]) -> None:
    """Raises RoboAdvError for a gate that no planned cell can be judged by."""
    cells = [("", 0.0), *((row.threat.port, budget) for row in rows for budget in row.budgets)]
    for gate in gates:
        if not any(gate.covers(*cell) for cell in cells):
            raise RoboAdvError(
                f"--fail-if: nothing is tried on port {gate.port!r} up to {gate.budget:g}; tried: "
                f"{', '.join(f'{port} {budget:g}' for port, budget in cells[1:])}"
            )


def parse_budgets(pairs: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """`PORT=B1,B2,...` pairs.

    Raises:
        RoboAdvError: another form, or no such port.
    """
    out = {}
    for pair in pairs:
        port, _, numbers = pair.partition("=")
        if port not in PORTS:
            raise unknown("port", port, PORTS)
        if port in out:
            raise RoboAdvError(f"budgets of port {port!r} are given twice")
        try:
            out[port] = tuple(float(number) for number in numbers.split(","))
        except ValueError as error:
            raise RoboAdvError(
                f"budgets {pair!r} are not PORT=NUMBER,NUMBER,..., for example observation=0.05,0.15"
            ) from error
    return out


def parse_shares(pairs: tuple[str, ...]) -> dict[str, float]:
    """`NAME=NUMBER` pairs.

    Raises:
        RoboAdvError: another form.
    """
    out = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            out[name] = float(number)
        except ValueError as error:
            raise RoboAdvError(f"--declare {pair!r} is not NAME=NUMBER, e.g. tax=0.02") from error
    return out
