"""Contact limits of body regions as data, each number with how it is known.

The numbers follow ISO/TS 15066:2016 Annex A as far as public secondary sources and memory go (see
`contact_limits.json` beside this file); nobody read them in the standard. They are a design aid and
no conformity claim. `load_limits(path)` takes your own file in their place, as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from robo_adv.errors import RoboAdvError, unknown

Array = npt.NDArray[np.float64]
RegionName = Literal[
    "skull", "face", "neck", "back", "chest", "abdomen", "pelvis", "upper_arm", "forearm", "hand",
    "thigh", "lower_leg",
]  # fmt: skip
Status = Literal["primary", "secondary", "memory", "unmarked", "own"]
Column = Literal["quasi_static_force", "transient_force", "stiffness", "mass"]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]

NOTICE = (
    "A design aid, not a conformity claim: nothing computed with these numbers shows that a robot "
    "cell is safe; measured contact on the real machine decides."
)
FILE = Path(__file__).with_name("contact_limits.json")
MAX_FILE = 256 * 1024  # [bytes]
_MARKS = {"primary": "", "own": "", "secondary": "", "memory": "*", "unmarked": "*"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Known(_Strict):
    """A number and how it is known.

    Attributes:
        status: `primary` read in the standard; `secondary` read in a source that quotes it; `memory`
            remembered, unverified; `unmarked` no record, unverified; `own` the user's.
    """

    value: Positive
    status: Status
    source: Text


class Allowance(_Strict):
    """A transient force, or None where no transient contact is allowed at all."""

    value: Positive | None
    status: Status
    source: Text


class Range(_Strict):
    """The least and the greatest value within a region."""

    low: Positive
    high: Positive
    status: Status
    source: Text

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} is above high {self.high:g}")
        return self


class Region(_Strict):
    """One part of the body.

    Attributes:
        quasi_static_force, transient_force: [N]. pressure: quasi-static [N/cm^2].
        stiffness: [N/mm]. mass: effective mass [kg].
    """

    meaning: Text
    quasi_static_force: Known
    transient_force: Allowance
    pressure: Range
    stiffness: Known
    mass: Known

    @model_validator(mode="after")
    def _blow_above_clamp(self) -> Self:
        blow, clamp = self.transient_force.value, self.quasi_static_force.value
        if blow is not None and blow < clamp:
            raise ValueError(f"transient force {blow:g} N is below the quasi-static {clamp:g} N")
        return self

    @property
    def impact_force(self) -> float:
        """The limit [N] of a blow: the transient force; the quasi-static one where there is none."""
        blow = self.transient_force.value
        return self.quasi_static_force.value if blow is None else blow

    @property
    def stiffness_si(self) -> float:
        """Stiffness [N/m]."""
        return 1000.0 * self.stiffness.value


class Limits(_Strict):
    """A complete table; `str()` prints it, with `NOTICE` whatever the file says."""

    format: Literal["robo_adv.contact_limits/1"]
    notice: Text
    units: dict[str, str]
    remarks: list[Text] = Field(default_factory=list)
    regions: dict[RegionName, Region]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in RegionName.__args__ if name not in self.regions]  # type: ignore[attr-defined]
        if missing:
            raise ValueError(f"regions missing: {', '.join(missing)}")
        if self.units != UNITS:
            raise ValueError(f"units must be {UNITS}, got {self.units}")
        return self

    def __getitem__(self, region: str) -> Region:
        """The region of that name; UnknownNameError when there is none."""
        for name, found in self.regions.items():
            if name == region:
                return found
        raise unknown("body region", region, self.regions)

    def column(self, name: Column, regions: Iterable[str]) -> Array:
        """One number per region (r,) in the file's units; NaN where no transient force is allowed."""
        values = [getattr(self[region], name).value for region in regions]
        return np.array([np.nan if value is None else value for value in values])

    def __str__(self) -> str:
        head = f"{'region':<10}{'F_QS N':>9}{'F_T N':>9}{'k N/mm':>9}{'m kg':>9}"
        rows = [
            f"{name:<10}" + "".join(
                f"{_show(known):>9}"
                for known in (r.quasi_static_force, r.transient_force, r.stiffness, r.mass)
            )
            for name, r in self.regions.items()
        ]  # fmt: skip
        notices = dict.fromkeys((self.notice, NOTICE))
        return "\n".join([head, *rows, "* from memory or without a record: unverified", *notices])


UNITS = {"force": "N", "pressure": "N/cm^2", "stiffness": "N/mm", "mass": "kg"}


def load_limits(path: Path | str | None = None) -> Limits:
    """The shipped table, or the one in your JSON file, which must be complete.

    Raises:
        RoboAdvError: no such file, not JSON, a name twice, an unknown field or region, a value that
            is missing, negative or no number.
    """
    return _shipped() if path is None else _read(Path(path))


@cache
def _shipped() -> Limits:
    return _read(FILE)


def _read(path: Path) -> Limits:
    try:
        if path.stat().st_size > MAX_FILE:
            raise RoboAdvError(f"contact limits {path} are larger than {MAX_FILE} bytes")
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise RoboAdvError(f"cannot read contact limits {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RoboAdvError(f"contact limits {path} are not JSON: {error}") from error
    try:
        return Limits.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=True)
        raise RoboAdvError(
            f"contact limits {path} do not fit: {'; '.join(_explain(e) for e in wrong[:5])}"
            f"{f'; and {len(wrong) - 5} more' if len(wrong) > 5 else ''} "
            f"(start from a copy of {FILE.name}; see docs/contact-limits.md)"
        ) from error


def _explain(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"] if part != "[key]") or "the file"
    got = error["input"]
    shown = f", got {got!r}" if isinstance(got, str | float | int | None) else ""
    return f"{place}: {error['msg']}{shown}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} appears twice")
        found[name] = value
    return found


def _show(known: Known | Allowance) -> str:
    value = "none" if known.value is None else f"{known.value:g}"
    return value + _MARKS[known.status]
