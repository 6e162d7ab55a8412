"""safety.json: what an exported test suite guards, as plain data that is checked when it is read.

Names that begin with `./` or `../` are files, relative to the suite's folder; all other names mean
what they mean on the command line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from robo_adv.audit.engine import Engine
from robo_adv.audit.gates import Gate
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import Reference
from robo_adv.cards import Strict, read_json
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.levels import DesignSpace
from robo_adv.runs import plain, versions
from robo_adv.threats.attack import ATTACKS, Attack, Blow, LevelAttack
from robo_adv.threats.schedule import Schedule
from robo_adv.threats.threat import Threat

CARD = "safety.json"
NO_ATTACK = "no attack"  # name of the cell without a threat
KEPT = 1_000  # scenarios of each cell that are kept at most

Letters = Annotated[str, Field(pattern="^[SUF]+$", max_length=KEPT)]
Budget = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


class CellCard(Strict):
    """One row at one budget: per scenario S (safe success), U (unsafe) or F (neither).

    Attributes:
        guarded: whether the suite tests that nothing of it is lost.
    """

    budget: Budget
    outcomes: Letters
    guarded: bool = False


class RowCard(Strict):
    """A threat and an attack, at rising budgets.

    Attributes:
        found: what a search found: the attack's parameters, or a place in [-1, 1] per parameter of
            the world; empty for attacks that do not search.
    """

    label: str
    port: str
    attack: str
    norm: str
    unit: str
    slices: tuple[str, ...] = ("*",)
    schedule: str = "always"
    parameters: dict[str, Any] = Field(default_factory=dict)
    found: dict[str, Any] = Field(default_factory=dict)
    cells: tuple[CellCard, ...] = Field(min_length=1)

    def row(self) -> Row:
        """It as a row of a plan.

        Raises:
            RoboAdvError: no such port, norm, unit or attack, or other parameters than it has.
        """
        if self.port != "opponent" and self.attack not in ATTACKS:
            raise unknown("attack", self.attack, ATTACKS)
        threat = Threat(
            self.port, 0.0, self.norm, self.unit, self.slices, Schedule.parse(self.schedule)  # type: ignore[arg-type]
        )  # fmt: skip
        row = Row(self.attack, threat, tuple(c.budget for c in self.cells), self.parameters)
        if self.port != "opponent":
            _made(ATTACKS[self.attack], self.parameters, self.label)
        return row

    def frozen(self, space: DesignSpace) -> Attack:
        """The attack as the audit played it: a searched one is not searched again.

        Raises:
            RoboAdvError: it was found for other parameters than the world now has.
        """
        if not self.found:
            return self.row().attack()
        if self.port == "level":
            for name, value in self.found.items():
                if name not in space.names:
                    raise unknown(f"parameter in `found` of {self.label}", name, space.names)
                if not isinstance(value, int | float) or not -1.0 <= value <= 1.0:
                    raise RoboAdvError(f"{self.label}: {name} lies in -1..1, got {value!r}")
            return LevelAttack(len(space), tuple(float(self.found.get(n, 0)) for n in space.names))
        return _made(Blow if self.port == "force" else ATTACKS[self.attack], self.found, self.label)


class FailureCard(Strict):
    """A recorded failure: where it lies, and where the controller failed.

    Attributes:
        level: of a failure in service, which no row tells.
    """

    folder: str = Field(pattern=r"^failures/\w+$")
    row: str
    budget: float = Field(ge=0.0, allow_inf_nan=False)
    scenario: int = Field(ge=0, lt=2**64)
    outcome: Literal["unsafe", "frozen"]
    level: dict[str, float | int | str] | None = None

    @property
    def name(self) -> str:
        """For example `1 force/random-push@2`."""
        return f"{self.folder.partition('/')[2]} {cell_name(self.row, self.budget)}"


class Safety(Strict):
    """safety.json.

    Attributes:
        controller, trust, statistics: who is guarded (see `robo-adv audit --help`), and the sha256 of
            the file that was audited. env, options, imports: the world. player, opponent: whom it
            plays, against whom.
        success, unsafe: how episodes are judged, '' by the world's default; `criterion` in words.
        seed: first scenario. episodes: how many of each cell the tests play.
        reference: what one sigma is. clean: outcomes without a threat. rows: and under threats.
        gates: conditions of --fail-if. left_out: labels of rows that cannot be played without the run.
    """

    format: Literal["robo_adv.safety/1"] = "robo_adv.safety/1"
    controller: str
    controller_sha256: str = ""
    trust: bool = False
    statistics: str = ""
    env: str
    options: dict[str, Any] = Field(default_factory=dict)
    imports: tuple[str, ...] = ()
    player: str
    opponent: str = ""
    success: str = ""
    unsafe: str = ""
    criterion: dict[str, str] = Field(default_factory=dict)
    seed: int = Field(ge=0, lt=2**63)
    episodes: int = Field(ge=1)
    reference: Reference
    clean: Letters
    rows: tuple[RowCard, ...] = ()
    failures: tuple[FailureCard, ...] = ()
    gates: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    versions: dict[str, str] = Field(default_factory=versions)

    def __str__(self) -> str:
        guarded = sum(cell.guarded for row in self.rows for cell in row.cells)
        left = "".join(
            f"; {label} is left out: its network stays with the run" for label in self.left_out
        )
        return (
            f"recorded failures: {len(self.failures)}, guarded cells: {1 + guarded} of {self.episodes} "
            f"scenarios each, gates: {', '.join(self.gates) or 'none'}{left}"
        )

    @model_validator(mode="after")
    def _fits(self) -> Safety:
        lengths = {len(self.clean), *(len(c.outcomes) for row in self.rows for c in row.cells)}
        if len(lengths) > 1:
            raise ValueError(f"cells hold different numbers of scenarios: {sorted(lengths)}")
        labels = [row.label for row in self.rows]
        if len(set(labels)) < len(labels):
            raise ValueError("two rows have the same label")
        return self

    @staticmethod
    def load(folder: Path) -> Safety:
        """Read and check a suite's card.

        Raises:
            RoboAdvError: missing, or anything in it that does not exist or makes no sense.
        """
        safety = read_json(folder / CARD, Safety, "a safety suite's card")
        try:
            for row in safety.rows:
                row.row()
            for gate in safety.gates:
                Gate.parse(gate)
            safety.check_episodes(safety.episodes)
        except RoboAdvError as error:
            raise RoboAdvError(f"{folder / CARD}: {error}") from error
        return safety

    def check_episodes(self, episodes: int) -> None:
        """Raises RoboAdvError for more scenarios than are known, or none."""
        if not 1 <= episodes <= len(self.clean):
            raise RoboAdvError(
                f"{episodes} episodes were asked for, the audit's outcomes are known for 1 to "
                f"{len(self.clean)}; export from an audit with more --episodes"
            )

    def find(self, label: str) -> RowCard | None:
        """A row; None for no attack.

        Raises:
            UnknownNameError: no such row.
        """
        rows = {row.label: row for row in self.rows}
        if label != NO_ATTACK and label not in rows:
            raise unknown("row", label, [NO_ATTACK, *rows])
        return rows.get(label)


def cell_name(label: str, budget: float) -> str:
    """For example `observation/pgd@0.1`."""
    return f"{label}@{budget:.12g}" if budget else label


def safe_successes(text: str) -> npt.NDArray[np.bool_]:
    """(n,) which of the letters are safe successes."""
    return np.array([letter == "S" for letter in text])


def searched(engine: Engine, rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What searches found per row, as JSON values from which `RowCard.frozen` makes it again; attacks
    with networks of their own are left out.

    Raises:
        RoboAdvError: a row that cannot be played.
    """
    out = {}
    for row in rows:
        searches = row.threat.port != "opponent" and ATTACKS[row.name].search is not Attack.search
        if searches and is_plain(row.name) and not engine.why_not(row):
            found = engine.setting_of(row, row.budgets[-1]).found
            assert found is not None
            out[row.label] = _values(found.attack, engine.subject.world.design_space)
    return out


def is_plain(attack: str) -> bool:
    """Whether JSON holds all of an attack, which it does not of networks that were trained for it."""
    return attack not in ATTACKS or all(field.repr for field in fields(ATTACKS[attack]))


def portable(name: str, folder: Path) -> str:
    """The name of a file (or a bundle's folder) relative to `folder`; other names as they are."""
    if not name or not Path(name).exists():
        return name
    path = os.path.relpath(Path(name).resolve(), folder.resolve())
    path = Path(path).as_posix()
    return path if path.startswith("../") else f"./{path}"


def located(name: str, folder: Path) -> str:
    """What `portable` made, seen from here."""
    return str((folder / name).resolve()) if name.startswith(("./", "../")) else name


def _values(attack: Attack, space: DesignSpace) -> dict[str, Any]:
    if isinstance(attack, LevelAttack):
        return dict(zip(space.names, attack.point, strict=True))
    return {str(name): plain(value) for name, value in vars(attack).items()}


def _made(kind: type[Attack], values: Mapping[str, Any], label: str) -> Attack:
    """An attack of a kind; raises RoboAdvError for parameters that it does not have."""
    known: dict[str, Any] = {field.name: field.default for field in fields(kind)}
    made = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, value in made.items():
        if name not in known:
            raise unknown(f"parameter of {label}", name, known)
        wanted = type(known[name])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise RoboAdvError(
                f"{label}: parameter {name} is {value!r}, expected {wanted.__name__}, for example "
                f"{known[name]!r}"
            )
    return kind(**made)
