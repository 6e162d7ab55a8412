"""Suites: fixed sets of levels on which controllers are compared.

What is drawn at random is kept as a recipe (counter-based random numbers, so equal on every machine)
with a digest of the levels that it gives, frozen in `assets/suites/digests.json`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.levels.feasible import margins, repair
from robo_adv.levels.space import DesignSpace, Level, Parameter, Value

Array = npt.NDArray[np.float64]

# Scenario seeds of suites, and of `iid-b`, which measures what `iid-a` chose; also what levels are
# drawn from, by another stream.
SUITES = 7_000_000
CONFIRM = 8_000_000
RESERVED = 1_000_000  # scenario seeds of each
MOST_EPISODES = 1_000  # per level; level j's scenarios begin at seed j * MOST_EPISODES

DRAWN = 500  # levels of iid-a and of iid-b
SHELL = 200
NEAR, FAR = 0.1, 0.3  # how far the shell's levels lie beyond the bounds, of the range's width
CORNERS = 64
POINTS = 11  # of a sweep
GRID = 9  # of a map, each way


@dataclass(frozen=True)
class LevelSuite:
    """Named levels, and how they are played.

    Attributes:
        labels: one per level. varied: of each level, the parameters that a sweep or map sets; () else.
        episodes: per level, where the user does not say. first: scenario seed.
        drawn: whether the levels are a sample, of which another could have been drawn. Then each has
            scenarios of its own and intervals are over levels; else all are played on the same
            scenarios and intervals speak of these levels.
        beyond: how far the bounds were moved outwards, of the range's width.
        repaired: how many were impossible as proposed and moved. left_out: impossible, so not here.
    """

    name: str
    levels: tuple[Level, ...]
    labels: tuple[str, ...]
    varied: tuple[tuple[str, ...], ...] = ()
    episodes: int = 4
    drawn: bool = False
    first: int = SUITES
    beyond: float = 0.0
    repaired: int = 0
    left_out: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.levels or len(self.labels) != len(self.levels):
            raise RoboAdvError(
                f"suite {self.name!r} needs levels with a label each, got {len(self.levels)} levels "
                f"and {len(self.labels)} labels"
            )

    def __len__(self) -> int:
        return len(self.levels)

    def seeds(self, episodes: int) -> seeding.Seeds:
        """Scenario seeds (L, K): the first k columns are those of fewer episodes.

        Raises:
            RoboAdvError: fewer than one or more than 1000 episodes per level.
        """
        if not 1 <= episodes <= MOST_EPISODES:
            raise RoboAdvError(f"episodes per level must lie in 1..{MOST_EPISODES}, got {episodes}")
        own = (
            MOST_EPISODES * np.arange(len(self))[:, None]
            if self.drawn
            else np.zeros((len(self), 1))
        )
        step = (own.astype(np.int64) + np.arange(episodes)) % RESERVED
        return (step + self.first).astype(np.uint64)

    @property
    def digest(self) -> str:
        """12 hexadecimal digits that identify levels and scenarios; values count to 9 digits."""
        values = [
            {k: v if isinstance(v, str) else float(f"{v:.9g}") for k, v in level.values.items()}
            for level in self.levels
        ]
        text = json.dumps([values, list(self.labels), self.drawn, self.first], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def nominal(space: DesignSpace) -> LevelSuite:
    """The unedited world."""
    return LevelSuite("nominal", (space.nominal,), ("nominal",), episodes=200)


def iid(space: DesignSpace, name: str, first: int, n: int = DRAWN) -> LevelSuite:
    """`n` possible levels, uniform in the unit cube but for repair; fewer are the first of more."""
    points = seeding.uniform(
        np.arange(first, first + n, dtype=np.uint64), seeding.LEVEL, len(space)
    )
    found = repair(space, points)
    levels = tuple(space.decode(u) for u in found.points)
    return LevelSuite(
        name, levels, numbered(n), drawn=True, first=first, repaired=int(found.moved.sum())
    )


def numbered(n: int) -> tuple[str, ...]:
    return tuple(f"{j:03d}" for j in range(n))


def widened(parameter: Parameter, share: float) -> Parameter:
    """The parameter with bounds moved outwards by `share` of its range in the unit cube's scale.

    Ints, choices and angles stay. A lower bound of at least 0 stays so, a positive one stays at a
    tenth of itself at least, and a share of something stays within 1.
    """
    p = parameter
    if p.kind == "log":
        ratio = (p.high / p.low) ** share
        return replace(p, low=p.low / ratio, high=p.high * ratio)
    if p.kind != "float":
        return p
    reach = share * (p.high - p.low)
    low, high = p.low - reach, p.high + reach
    if p.low >= 0:
        low = max(low, 0.1 * p.low)
    if p.unit.startswith(("share", "fraction")) and p.high <= 1:
        high = min(high, 1.0)
    return replace(p, low=low, high=high)


def widen(space: DesignSpace, share: float) -> DesignSpace:
    """The space with the bounds of all its parameters moved outwards, see `widened`."""
    return replace(space, parameters=tuple(widened(p, share) for p in space))


def shell(space: DesignSpace, n: int = SHELL) -> LevelSuite:
    """Levels beyond the bounds: uniform on the surface of the cube that is r larger on each side, r
    uniform in 10..30 % of the range, as far as parameters may leave their bounds (`widened`).

    Of every level at least one parameter lies r beyond its bounds. What repair would move back inside
    is drawn anew.

    Raises:
        RoboAdvError: no parameter may leave its bounds.
    """
    wide = widen(space, FAR)
    low = np.array(
        [p.encode(w.low) if p.kind != "choice" else 0.0 for p, w in zip(space, wide, strict=True)]
    )
    high = np.array(
        [p.encode(w.high) if p.kind != "choice" else 1.0 for p, w in zip(space, wide, strict=True)]
    )
    # A flat parameter has no range to leave; a bound that was held back does not reach r.
    sides = [(k, 0) for k in range(len(space)) if low[k] < 1e-9 - FAR]
    sides += [(k, 1) for k in range(len(space)) if high[k] > 1 + FAR - 1e-9]
    if not sides:
        raise RoboAdvError(
            f"no level lies beyond the bounds: none of {', '.join(space.names) or 'no parameters'} "
            "can leave its own; leave out the suite shell"
        )
    kept: list[Array] = []
    repaired, seed = 0, SUITES
    while len(kept) < n:
        point = _beyond(seeding.uniform([seed], seeding.LEVEL, len(space) + 2, 1)[0], sides)
        scaled = (np.clip(point, low, high) - low) / np.where(high > low, high - low, 1.0)
        found = repair(wide, scaled[None])
        back = low + found.points[0] * (high - low)
        seed += 1
        if seed - SUITES > 100 * n:
            raise RoboAdvError(
                "hardly any level beyond the bounds is possible; leave out the suite shell"
            )
        if max((-back).max(), (back - 1).max()) > NEAR - 1e-9:
            repaired += int(found.moved[0])
            kept.append(found.points[0])
    levels = tuple(wide.decode(u) for u in kept)
    return LevelSuite("shell", levels, numbered(n), drawn=True, beyond=FAR, repaired=repaired,
                      left_out=seed - SUITES - n)  # fmt: skip


def _beyond(u: Array, sides: Sequence[tuple[int, int]]) -> Array:
    """A point (P,) on the surface, from uniform numbers (P + 2,)."""
    r = NEAR + (FAR - NEAR) * u[0]
    column, side = sides[int(u[1] * len(sides))]
    point: Array = -r + (1 + 2 * r) * u[2:]
    point[column] = 1 + r if side else -r
    return point


def ticks(parameter: Parameter, points: int) -> list[float]:
    """Places in [0, 1] of up to `points` different values over the whole range."""
    if parameter.kind == "choice":
        return [parameter.encode(option) for option in parameter.options]
    if parameter.high == parameter.low:
        return [0.0]
    grid = np.linspace(0.0, 1.0, points)
    if parameter.kind == "int":
        values = np.unique([int(parameter.decode(float(u))) for u in grid])
        return [parameter.encode(int(v)) for v in values]
    return [float(u) for u in grid]


def sweeps(space: DesignSpace, points: int = POINTS) -> LevelSuite:
    """Every parameter on its own over its range, the others at `anchor`."""
    rows = [(p.name, k, u) for k, p in enumerate(space) for u in ticks(p, points)]
    grid = np.array([anchor(space, name) for name, _, _ in rows])
    grid[np.arange(len(rows)), [k for _, k, _ in rows]] = [u for _, _, u in rows]
    return _laid_out(space, "sweeps", grid, [(name,) for name, _, _ in rows], episodes=20)


def solved_map(space: DesignSpace, first: str, second: str, points: int = GRID) -> LevelSuite:
    """A grid of two parameters (the second one fastest), the others at `anchor`.

    Raises:
        RoboAdvError: no such parameter, or twice the same.
    """
    a, b = space[first], space[second]
    if first == second:
        raise RoboAdvError(f"a map needs two parameters, got {first!r} twice")
    pairs = [(u, v) for u in ticks(a, points) for v in ticks(b, points)]
    grid = np.tile(anchor(space, first, second), (len(pairs), 1))
    grid[:, [space.names.index(first), space.names.index(second)]] = pairs
    return _laid_out(
        space, f"map-{first}-{second}", grid, [(first, second)] * len(grid), episodes=16
    )


def anchor(space: DesignSpace, *varied: str) -> Array:
    """Where parameters stay while others are varied: nominal, but that interchangeable things of
    which one is varied (`obstacle1_x`) are as many as it takes for it to be there (`obstacle_count`).
    """
    out = np.array(space.nominal_point)
    for name in varied:
        slot, count = space[name].slot, f"{space[name].slot}_count"
        if slot and count in space.names and count not in varied:
            stems = dict.fromkeys(p.name.split("_")[0] for p in space if p.slot == slot)
            needed = list(stems).index(name.split("_")[0]) + 1
            k = space.names.index(count)
            out[k] = max(out[k], space[count].encode(needed))
    return out


def _laid_out(
    space: DesignSpace, name: str, grid: Array, varied: list[tuple[str, ...]], episodes: int
) -> LevelSuite:
    """A suite of the possible ones of the points (n, P)."""
    found = margins(space, grid)
    possible = (
        np.all([m >= 0 for m in found.values()], axis=0) if found else np.ones(len(grid), bool)
    )
    levels = [space.decode(u) for u in grid]
    kept = [i for i in range(len(grid)) if possible[i]]
    labels = tuple(", ".join(f"{p}={told(levels[i][p])}" for p in varied[i]) for i in kept)
    return LevelSuite(
        name, tuple(levels[i] for i in kept), labels, tuple(varied[i] for i in kept),
        episodes=episodes, left_out=len(grid) - len(kept),
    )  # fmt: skip


def told(value: Value) -> str:
    """A parameter's value in few characters."""
    return value if isinstance(value, str) else f"{value:.4g}"


def corners(space: DesignSpace, n: int = CORNERS) -> LevelSuite:
    """Combinations of ends of all parameters, balanced: over the `n` (a power of 2) every end of a
    parameter comes up equally often, and so does every combination of ends of two or of three.

    Columns of Sylvester's Hadamard matrix with odd index, of which no three multiply to one: a design
    of resolution IV for up to n / 2 parameters (Box and Hunter 1961, Technometrics 3(3)).
    """
    odd = sorted(range(1, n, 2), key=lambda j: (j.bit_count(), j))
    columns = (odd + list(range(2, n, 2)))[: len(space)]
    if len(columns) < len(space):
        raise RoboAdvError(f"{n} corners cannot balance {len(space)} parameters; ask for more")
    signs = np.array(
        [[(i & j).bit_count() & 1 for j in columns] for i in range(n)], dtype=np.float64
    )
    points = np.unique(signs, axis=0)
    found = repair(space, points)
    levels = tuple(space.decode(u) for u in found.points)
    return LevelSuite("corners", levels, numbered(len(levels)), repaired=int(found.moved.sum()))


RECIPES: Mapping[str, Callable[[DesignSpace], LevelSuite]] = {
    "nominal": nominal,
    "iid-a": lambda space: iid(space, "iid-a", SUITES),
    "iid-b": lambda space: iid(space, "iid-b", CONFIRM),
    "shell": shell,
    "sweeps": sweeps,
    "corners": corners,
}
