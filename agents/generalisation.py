"""Generalisation: how a controller fares on suites of levels, every level played several times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from robo_adv.agents.controllers import BLACK_BOX, Controller, controller
from robo_adv.agents.evaluation import normal_opponents, opponent_policy, other_player
from robo_adv.agents.named import bundle_folder, find_card
from robo_adv.agents.worlds import make_world
from robo_adv.audit.reference import REFERENCE, measure
from robo_adv.envs.episode import World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace
from robo_adv.levels.measures import enough, measures, worst
from robo_adv.levels.statistics import TAILS
from robo_adv.levels.suite_files import KINDS, changed, has_presets, make_suite
from robo_adv.levels.suites import GRID, LevelSuite, solved_map
from robo_adv.policy import Policy
from robo_adv.rollout import play, scenarios
from robo_adv.runs import plain
from robo_adv.safety.bootstrap import Estimate, bootstrap, mean
from robo_adv.safety.criteria import Criterion, make_criterion
from robo_adv.safety.statistics import Rate

Array = npt.NDArray[Any]
WIDTH = 128  # simulations side by side at most
ALL = "all"
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class LevelsConfig:
    """Attributes:
    suites: names, files, or `all`. maps: pairs of parameters. grid: points of a map, each way.
    episodes: per level; 0 for what each suite has. opponent: who plays the other player; '' for the
        zoo's normal ones, where it has some, else `zero`.
    """

    controller: str
    suites: tuple[str, ...] = ("nominal", "presets", "iid-b")
    maps: tuple[tuple[str, str], ...] = ()
    grid: int = GRID
    game: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    player: str = ""
    opponent: str = ""
    episodes: int = 0
    width: int = WIDTH
    threads: int = 0


@dataclass(frozen=True)
class Played:
    """A suite as a controller played it; arrays are (levels, episodes).

    Attributes:
        unsafe: by the criterion. severity: above 1 is unsafe. costs: per name, of the whole episode.
        impossible: where the game found no clear place for a start or goal.
    """

    suite: LevelSuite
    success: Array
    returns: Array
    unsafe: Array
    severity: Array
    diverged: Array
    impossible: Array
    costs: Mapping[str, Array]

    def rate(self, j: int) -> Rate:
        """Success on level j."""
        return Rate(int(self.success[j].sum()), self.success.shape[1])

    def to_json(self) -> dict[str, Any]:
        """Every episode of every level, as JSON values."""
        return {
            "suite": self.suite.name, "seeds_from": self.suite.first,
            "episodes_per_level": self.success.shape[1],
            "levels": [
                {
                    "name": self.suite.labels[j], "values": dict(level.values),
                    "success": self.success[j].astype(int).tolist(),
                    "unsafe": self.unsafe[j].astype(int).tolist(),
                    "returns": [round(float(x), 6) for x in self.returns[j]],
                    "costs": {
                        name: [round(float(x), 6) for x in cost[j]]
                        for name, cost in self.costs.items()
                    },
                }
                for j, level in enumerate(self.suite.levels)
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """Who is evaluated, where, against whom, and by what criterion."""

    controller: Controller
    world: World
    player: str
    policies: Mapping[str, Policy]
    criterion: Criterion
    opponent: str = ""

    @property
    def space(self) -> DesignSpace:
        return self.world.design_space


def prepare(config: LevelsConfig) -> Bench:
    """Names to what can be played.

    Raises:
        RoboAdvError: something does not exist or does not fit.
    """
    torch.set_num_threads(1)  # the small matrices of a control step are fastest on one
    world = make_world(
        config.game, config.width, options=config.options, controller=config.controller,
        threads=config.threads,
    )  # fmt: skip
    name = config.controller
    bundle = not Path(name).is_file() and bundle_folder(name) is not None
    player = config.player or (find_card(name).player if bundle else world.players[0])
    found = controller(name, world, player)
    policies: dict[str, Policy] = {player: found.policy}
    opponent = config.opponent
    if len(world.players) > 1:
        assert isinstance(world, Game)
        other = other_player(world, player)
        opponent = opponent or ("normal" if normal_opponents(world, other) else "zero")
        policies[other] = opponent_policy(opponent, world, other)
    elif opponent:
        raise RoboAdvError(f"{world.id} has one player and no opponents; got {opponent}")
    reference = None
    if not getattr(world, "reports_success", True):
        measured = measure(name, world, player, policies, scenarios(REFERENCE, 50))
        reference = measured[0].returns
    criterion = make_criterion(world, player, reference=reference)
    return Bench(found, world, player, policies, criterion, opponent)


def suites_of(config: LevelsConfig, bench: Bench) -> list[LevelSuite]:
    """The suites that a config names, then its maps.

    Raises:
        RoboAdvError: no such suite, or none of this game.
    """
    space, game = bench.space, bench.world.id
    if not len(space):
        raise RoboAdvError(f"{game} has no level parameters here: every level is the nominal one")
    names: list[str] = []
    for name in config.suites:
        every = [kind for kind in KINDS if kind != "presets" or has_presets(game)]
        names += every if name == ALL else [name]
    out = [make_suite(name, game, space) for name in dict.fromkeys(names)]
    return out + [solved_map(space, *pair, config.grid) for pair in config.maps]


def play_suite(
    bench: Bench,
    suite: LevelSuite,
    episodes: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Played:
    """Play every level of a suite; what happens does not depend on the world's width.

    Args:
        episodes: per level, 0 for the suite's own number. progress: called with episodes done.
    """
    seeds = suite.seeds(episodes or suite.episodes)
    levels = [level for level in suite.levels for _ in range(seeds.shape[1])]
    found = play(
        bench.world, bench.policies, seeds.ravel(), levels, limits=bench.criterion.limits,
        progress=progress,
    )  # fmt: skip
    judged = bench.criterion.judge(found)
    player = bench.player
    impossible = found.notes.get("impossible", np.zeros(len(levels)))

    def table(values: Array) -> Array:
        return np.asarray(values.reshape(seeds.shape))

    return Played(
        suite, table(judged.success), table(found.returns[player]), table(judged.unsafe),
        table(judged.severity), table(found.diverged), table(impossible > 0),
        {name: table(cost) for name, cost in found.costs[player].items()},
    )  # fmt: skip


def generalise(
    config: LevelsConfig, bench: Bench, suites: Sequence[LevelSuite], tell: Tell | None = None
) -> list[Played]:
    """Play suites one after the other; `tell` hears of episodes done, of all, and the suite's name."""
    sizes = [len(suite) * (config.episodes or suite.episodes) for suite in suites]
    done, out = 0, []
    for suite, size in zip(suites, sizes, strict=True):

        def progress(now: int, done: int = done, name: str = suite.name) -> None:
            if tell:
                tell(done + now, sum(sizes), name)

        progress(0)
        out.append(play_suite(bench, suite, config.episodes, progress))
        done += size
    return out


def summary(config: LevelsConfig, bench: Bench, played: Sequence[Played]) -> dict[str, Any]:
    """What is reported of played suites, as JSON values."""
    world = bench.world
    return {
        "format": "robo_adv.generalisation/1", "controller": config.controller,
        "controller_sha256": bench.controller.digest, "game": world.id, "player": bench.player,
        "opponent": bench.opponent, "options": plain(getattr(world, "options", {})),
        "space": bench.space.digest, "criterion": bench.criterion.to_json(),
        "notices": [
            *(note for note in bench.controller.notes if note != BLACK_BOX),
            *(note for note in [getattr(world, "notice", "")] if note),
            *(note for one in played if (note := changed(one.suite, bench.space))),
        ],
        "suites": [suite_summary(one) for one in played],
    }  # fmt: skip


def suite_summary(one: Played) -> dict[str, Any]:
    """Measures of one suite with intervals; success per level; of a sweep its worst points."""
    suite, (levels, episodes) = one.suite, one.success.shape
    found = measures(one.success, drawn=suite.drawn)
    out: dict[str, Any] = {
        "name": suite.name, "digest": suite.digest, "levels": levels, "episodes": episodes,
        "drawn": suite.drawn, "beyond": suite.beyond, "repaired": suite.repaired,
        "left_out": suite.left_out, "diverged": int(one.diverged.sum()),
        "impossible": int(one.impossible.sum()),
        "measures": {name: value.to_json() for name, value in found.items()},
        "enough_levels": {name: enough(name, levels) for name in found if name in TAILS},
        "return": mean_over_levels(one.returns, suite.drawn).to_json(),
        "unsafe": measures(one.unsafe, drawn=suite.drawn)["mean"].to_json(),
        "labels": list(suite.labels),
        "successes": one.success.sum(axis=1).tolist(), "unsafes": one.unsafe.sum(axis=1).tolist(),
    }  # fmt: skip
    if swept := sweep_of(suite):
        out["sweeps"] = {}
        for name, rows in swept.items():
            if episodes > 1:
                point = worst(one.success[rows])
                value = suite.levels[rows[point.index]][name]
                out["sweeps"][name] = {"worst_at": value, **point.rate.to_json()}
    return out


def sweep_of(suite: LevelSuite) -> dict[str, list[int]]:
    """Per swept parameter, its levels in order; {} for a suite that sweeps none."""
    out: dict[str, list[int]] = {}
    for j, names in enumerate(suite.varied):
        if len(names) == 1:
            out.setdefault(names[0], []).append(j)
    return out


def mean_over_levels(values: Array, drawn: bool) -> Estimate:
    """Mean of (levels, episodes) with an interval over levels, or over episodes of these levels."""
    units = values.mean(axis=1) if drawn and len(values) > 1 else values.mean(axis=0)
    if len(units) < 2:
        return Estimate(float(units.mean()), -np.inf, np.inf)
    return bootstrap(mean, [units], np.random.default_rng(0), reps=2000)
