"""DesignSpace and Level: the parameters of a world for one episode, as plain data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.runs import plain

if TYPE_CHECKING:
    from robo_adv.levels.feasible import Constraint

Kind = Literal["float", "log", "int", "choice", "angle"]
Role = Literal["task", "dynamics", "interface"]
Value = float | int | str


@dataclass(frozen=True)
class Parameter:
    """One knob of a world.

    Attributes:
        low, high: bounds in `unit` (inclusive); unused by a choice.
        nominal: the value of an unedited world.
        kind: float (linear), log (positive, log scale), int, choice (of `options`), angle [rad].
        role: task (what is asked), dynamics (what the physics is), interface (what is sensed).
        observed: whether the player's observation tells its value.
        slot: things that can be exchanged for each other, as in `obstacle` for `obstacle0_x`,
            `obstacle1_x` ...: parameters of one slot come in equal groups, in the same order.
    """

    name: str
    low: float
    high: float
    nominal: Value
    unit: str
    kind: Kind = "float"
    role: Role = "dynamics"
    options: tuple[str, ...] = ()
    observed: bool = False
    slot: str = ""

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if self.nominal not in self.options:
                raise ValueError(f"{self.name}: nominal {self.nominal!r} not in {self.options}")
        elif self.low > self.high:
            raise ValueError(f"{self.name}: low {self.low} is above high {self.high}")
        elif not self.low <= float(self.nominal) <= self.high:
            raise ValueError(f"{self.name}: nominal {self.nominal} outside its bounds")
        elif self.kind == "log" and self.low <= 0:
            raise ValueError(f"{self.name}: a log parameter needs low > 0, got {self.low}")

    def decode(self, u: float) -> Value:
        """The value at u in [0, 1] of the unit cube."""
        u = min(max(u, 0.0), 1.0)
        if self.kind == "choice":
            return self.options[min(int(u * len(self.options)), len(self.options) - 1)]
        if self.kind == "log":
            value = float(np.exp(np.log(self.low) + u * (np.log(self.high) - np.log(self.low))))
            return min(max(value, self.low), self.high)
        value = self.low + u * (self.high - self.low)
        return round(value) if self.kind == "int" else float(value)

    def encode(self, value: Value) -> float:
        """The place in [0, 1] that decodes to `value`."""
        if self.kind == "choice":
            return (self.options.index(str(value)) + 0.5) / len(self.options)
        if self.high == self.low:
            return 0.0
        if self.kind == "log":
            log_low, log_high = np.log(self.low), np.log(self.high)
            return float((np.log(float(value)) - log_low) / (log_high - log_low))
        return (float(value) - self.low) / (self.high - self.low)

    def check(self, value: Value) -> Value:
        """`value` in its canonical type; raises RoboAdvError when it is outside the bounds."""
        if self.kind == "choice":
            if value not in self.options:
                raise unknown(f"value of parameter {self.name!r}", str(value), self.options)
            return value
        if isinstance(value, str) or not np.isfinite(value):
            raise RoboAdvError(f"parameter {self.name!r} needs a finite number, got {value!r}")
        if not self.low <= value <= self.high:
            bounds = f"[{self.low:g}, {self.high:g}] {self.unit}".rstrip()
            raise RoboAdvError(f"parameter {self.name!r} is {value:g}, outside {bounds}")
        if self.kind == "int" and value != int(value):
            raise RoboAdvError(f"parameter {self.name!r} takes whole numbers, got {value:g}")
        return int(value) if self.kind == "int" else float(value)


@dataclass(frozen=True)
class Level:
    """A point of a DesignSpace: read-only, complete, with a content hash.

    Make levels through `DesignSpace.level`, which fills in nominal values and checks bounds.
    """

    values: Mapping[str, Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))

    def __getitem__(self, name: str) -> Value:
        return self.values[name]

    def __hash__(self) -> int:
        return hash(self.hash)

    def to_json(self) -> str:
        """Canonical JSON: sorted names, no spaces."""
        return json.dumps(dict(self.values), sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """12 hexadecimal digits that identify the content."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]


@dataclass(frozen=True)
class DesignSpace:
    """The parameters a game's levels may set.

    Attributes:
        parameters: those that are free. fixed: values of the others, see `freeze`.
        constraints: what a level must keep to be possible, see `robo_adv.levels.feasible`.
    """

    parameters: tuple[Parameter, ...] = ()
    fixed: Mapping[str, Value] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise unknown("level parameter", name, self.names)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(parameter.name for parameter in self.parameters)

    @cached_property
    def nominal(self) -> Level:
        return self.level({})

    def level(self, values: Mapping[str, Value]) -> Level:
        """A checked level: `values` over the nominal ones.

        Raises:
            RoboAdvError: an unknown name, or a value out of bounds.
        """
        given = {name: self._checked(name, value) for name, value in values.items()}
        return Level(
            {p.name: given.get(p.name, p.nominal) for p in self.parameters} | dict(self.fixed)
        )

    def _checked(self, name: str, value: Value) -> Value:
        if name in self.fixed:
            if value != self.fixed[name]:
                raise RoboAdvError(f"{name!r} is fixed at {self.fixed[name]}, got {value!r}")
            return value
        return self[name].check(value)

    def from_json(self, text: str) -> Level:
        """The level that `Level.to_json` wrote; raises RoboAdvError for anything else."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise RoboAdvError(f"not a level: {error}") from error
        if not isinstance(values, dict):
            raise RoboAdvError(f"a level is a JSON object of name: value, got {text[:60]!r}")
        return self.level(values)

    def decode(self, u: npt.ArrayLike) -> Level:
        """The level at a point (P,) of the unit cube."""
        point = np.asarray(u, dtype=np.float64)
        if point.shape != (len(self),):
            raise RoboAdvError(f"expected a point of shape ({len(self)},), got {point.shape}")
        values = {p.name: p.decode(float(x)) for p, x in zip(self, point, strict=True)}
        return Level(values | dict(self.fixed))

    def encode(self, level: Level) -> npt.NDArray[np.float64]:
        """The point (P,) of the unit cube that decodes to `level`."""
        return np.array([p.encode(level[p.name]) for p in self], dtype=np.float64)

    def around(self, place: npt.ArrayLike) -> Level:
        """The level at a place (P,) of the cube [-1, 1]^P around the nominal level: 0 is exactly the
        nominal value of a parameter, -1 and 1 are exactly the ends of its range."""
        shares = np.clip(np.asarray(place, dtype=np.float64), -1.0, 1.0)
        if shares.shape != (len(self),):
            raise RoboAdvError(f"expected a place of shape ({len(self)},), got {shares.shape}")
        values: dict[str, Value] = {}
        for p, share in zip(self, shares, strict=True):
            middle = p.encode(p.nominal)
            room = 1.0 - middle if share > 0 else middle
            values[p.name] = p.nominal if share == 0 else p.decode(middle + float(share) * room)
        return Level(values | dict(self.fixed))

    @cached_property
    def digest(self) -> str:
        """12 hexadecimal digits that identify the free parameters and the values of the others."""
        known = [plain(p) for p in self.parameters]
        text = json.dumps([known, dict(self.fixed)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def nominal_point(self) -> npt.NDArray[np.float64]:
        """The point (P,) of the nominal level."""
        return self.encode(self.nominal)

    def freeze(self, values: Mapping[str, Value]) -> DesignSpace:
        """The space without these parameters, which keep the values given.

        Raises:
            RoboAdvError: an unknown name, or a value out of bounds.
        """
        fixed = {name: self._checked(name, value) for name, value in values.items()}
        free = tuple(p for p in self.parameters if p.name not in fixed)
        return replace(self, parameters=free, fixed={**self.fixed, **fixed})

    def only(self, names: Iterable[str]) -> DesignSpace:
        """The space of some parameters; the others keep their nominal values.

        Raises:
            RoboAdvError: an unknown name.
        """
        kept = {self[name].name for name in names}
        return self.freeze({p.name: p.nominal for p in self.parameters if p.name not in kept})

    def sample(self, rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
        """Points (n, P), uniform in the unit cube."""
        return rng.random((n, len(self)))
