"""Reference: what one standard deviation of a sensor is, measured once and frozen.

Budgets in `sigma` refer to the nominal episodes of one reference controller and are shared by all
controllers that are compared: measured anew for each, hardening would change its own budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy
from robo_adv.rollout import Episodes, play
from robo_adv.runs import plain, write_text

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]
REFERENCE = 3_000_000  # first scenario seed of reference episodes
DIGITS = 6  # significant digits that are kept: last bits depend on the order of summation


@dataclass(frozen=True)
class Reference:
    """Attributes:
    controller, world: whose nominal episodes, where. episodes, seed: how many, from which scenario.
    mean, std: of what it saw (d,). layout: [name, size, unit] of it. returns: mean return.
    """

    controller: str
    world: str
    episodes: int
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: tuple[tuple[str, int, str], ...]
    returns: float

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_text(path, json.dumps(plain(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> Reference:
        """Read what `save` wrote.

        Raises:
            RoboAdvError: no such file, or not a reference.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            layout = tuple((str(n), int(s), str(u)) for n, s, u in values.pop("layout"))
            mean, std = tuple(map(float, values.pop("mean"))), tuple(map(float, values.pop("std")))
            sizes = {len(mean), len(std), sum(size for _, size, _ in layout)}
            if len(sizes) != 1 or not np.isfinite([*mean, *std]).all() or min(std, default=-1) < 0:
                raise ValueError(
                    "mean and std need one finite number per entry of the layout, std none below 0"
                )
            return Reference(mean=mean, std=std, layout=layout, **values)
        except OSError as error:
            raise RoboAdvError(f"cannot read reference {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RoboAdvError(f"{path} is not a reference written by an audit: {error}") from error

    def check_fits(self, layout: tuple[tuple[str, int, str], ...]) -> None:
        """Raises RoboAdvError unless it was measured on observations of this layout."""
        if self.layout != layout:
            raise RoboAdvError(
                f"the reference was measured in {self.world} on {sum(s for _, s, _ in self.layout)} "
                f"observations, this world gives {sum(s for _, s, _ in layout)} or other slices; "
                "measure one with the reference controller in this world (leave out --reference)"
            )


def layout_of(world: World, player: str) -> tuple[tuple[str, int, str], ...]:
    """The player's layout as plain values."""
    return tuple((s.name, s.size, s.unit) for s in world.layouts[player])


def measure(
    name: str, world: World, player: str, policies: Mapping[str, Policy], seeds: seeding.Seeds
) -> tuple[Reference, Episodes]:
    """The reference of a controller, and the nominal episodes it comes from."""
    moments = _Moments(world.layouts[player].size)

    def watch(scenarios: Array, observations: Mapping[str, Array]) -> None:
        moments.add(observations[player][scenarios >= 0])

    episodes = play(world, policies, seeds, disturb=watch)
    reference = Reference(
        controller=name, world=world.id, episodes=len(seeds), seed=int(seeds[0]),
        mean=_rounded(moments.mean), std=_rounded(moments.std), layout=layout_of(world, player),
        returns=float(f"{episodes.returns[player].mean():.{DIGITS}g}"),
    )  # fmt: skip
    return reference, episodes


class _Moments:
    """Mean and standard deviation, updated in batches (Chan et al. 1979)."""

    def __init__(self, size: int) -> None:
        self.count, self.mean, self._m2 = 0, np.zeros(size), np.zeros(size)

    def add(self, batch: Array) -> None:
        batch = batch[np.isfinite(batch).all(axis=1)].astype(np.float64)
        if not len(batch):
            return
        total = self.count + len(batch)
        away = batch.mean(axis=0) - self.mean
        self._m2 += batch.var(axis=0) * len(batch) + away**2 * self.count * len(batch) / total
        self.mean = self.mean + away * len(batch) / total
        self.count = total

    @property
    def std(self) -> Array:
        return np.sqrt(self._m2 / max(self.count, 1))


def _rounded(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{v:.{DIGITS}g}") for v in values)
