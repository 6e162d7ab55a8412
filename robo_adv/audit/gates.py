"""Gates: conditions of --fail-if on the cells of an audit, judged by 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.outcomes import FROZEN, SAFE_SUCCESS, UNSAFE
from robo_adv.safety.statistics import FailIf, Rate
from robo_adv.threats.threat import PORTS

MEASURES = (SAFE_SUCCESS, UNSAFE, FROZEN)


@dataclass(frozen=True)
class Gate:
    """A condition of --fail-if: of the clean cell, or of a port's cells up to a budget."""

    condition: FailIf
    port: str = ""
    budget: float = 0.0

    @staticmethod
    def parse(text: str) -> Gate:
        """Read `MEASURE<NUMBER` or `MEASURE@PORT<=BUDGET<NUMBER`.

        Raises:
            RoboAdvError: another form, no such measure or port.
        """
        name, at, rest = text.partition("@")
        if not at:
            gate = Gate(FailIf.parse(text))
        else:
            port, sign, tail = rest.partition("<=")
            cut = next((i for i, c in enumerate(tail) if c in "<>"), -1)
            try:
                budget = float(tail[:cut])
            except ValueError:
                budget = -1.0
            if not sign or cut < 0 or not 0 <= budget < math.inf:
                raise RoboAdvError(
                    f"--fail-if {text!r} is not MEASURE<NUMBER or MEASURE@PORT<=BUDGET<NUMBER, for "
                    'example "unsafe@force<=0.5>0.1"'
                )
            if port not in PORTS:
                raise unknown("port", port, PORTS)
            gate = Gate(FailIf.parse(name + tail[cut:]), port, budget)
        if gate.condition.name not in MEASURES:
            raise unknown("measure of --fail-if", gate.condition.name, MEASURES)
        return gate

    def covers(self, port: str, budget: float) -> bool:
        """Whether it is judged on the cells of a port at a budget; the clean cell's port is ''."""
        return port == self.port and budget <= self.budget

    def cells(self, summary: Mapping[str, Any]) -> Iterator[tuple[str, Rate]]:
        """What it is judged on in an audit's summary, with names.

        Raises:
            RoboAdvError: nothing.
        """
        cells = [("no attack", summary["clean"])] if self.covers("", 0.0) else [
            (f"{row['label']} {cell['budget']:g}", cell)
            for row in summary["rows"] if not row["skipped"]
            for cell in row["cells"][1:] if self.covers(row["port"], cell["budget"])
        ]  # fmt: skip
        if not cells:
            raise RoboAdvError(f"--fail-if: no cell of port {self.port!r} up to {self.budget:g}")
        for label, cell in cells:
            rate = cell[self.condition.name]
            yield label, Rate(rate["count"], rate["episodes"])


def measured_gates(safe_success: Rate, unsafe: Rate | None) -> list[str]:
    """Gates that a controller with these rates without attack holds by itself, and that one whose
    interval lies wholly on the bad side of theirs fails.

    Args:
        unsafe: None where nothing is judged unsafe.
    """
    low = math.floor(100 * safe_success.low) / 100
    found = [f"{SAFE_SUCCESS}<{low:g}"] if low > 0 else []
    high = 1.0 if unsafe is None else math.ceil(100 * unsafe.high) / 100
    return found + ([f"{UNSAFE}>{high:g}"] if high < 1 else [])
