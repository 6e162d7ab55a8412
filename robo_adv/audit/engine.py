"""The engine of an audit: plays a controller on paired scenarios under one threat after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.audit.lab import EngineLab
from robo_adv.audit.plan import Row
from robo_adv.audit.reference import Reference
from robo_adv.errors import RoboAdvError
from robo_adv.levels import Level
from robo_adv.policy import Policy
from robo_adv.rollout import Episodes, play
from robo_adv.safety.criteria import Criterion
from robo_adv.safety.outcomes import Outcomes
from robo_adv.threats.access import Access
from robo_adv.threats.attack import ATTACKS, Attack, LevelAttack, Perturbation, Push
from robo_adv.threats.attacked import Attacked
from robo_adv.threats.attacks.single_sensor import SingleSensor
from robo_adv.threats.forces import Pusher
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.threat import Threat

if TYPE_CHECKING:
    from robo_adv.envs.episode import World

Array = npt.NDArray[Any]
Disturb = Callable[[Array, Mapping[str, Array]], None]
SEARCH = 4_000_000  # first scenario seed on which attacks are searched; never reported


@dataclass(frozen=True)
class Subject:
    """Who is audited, where.

    Attributes:
        name, player, policy: the controller and its place. world: where it plays.
        others: the other players' policies under normal conditions.
        criterion: judges episodes. access: the controller from inside, None for a black box.
        bodies: those that pushes act on. nulls: controllers that know nothing (hold still, act at
            random), whose safe successes are worth nothing.
        opponents: of port `opponent`, by name: a whole set of the other players each.
        trained: what it took to train some of these against the controller.
    """

    name: str
    player: str
    policy: Policy
    world: World
    criterion: Criterion
    others: Mapping[str, Policy] = field(default_factory=dict)
    access: Access | None = None
    bodies: tuple[str, ...] = ()
    nulls: tuple[Policy, ...] = ()
    opponents: Mapping[str, Mapping[str, Policy]] = field(default_factory=dict)
    trained: Mapping[str, Found] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        attack: it. episodes, played: episodes and environment steps that it took. steps: queries of the
            controller. told: in words, of what is no attack of the registry.
    """

    attack: Attack
    episodes: int = 0
    steps: int = 0
    told: str = ""
    played: int = 0


Trainer = Callable[["Engine", Row, LearnedAttack], Found]


@dataclass(frozen=True)
class Setting:
    """What a cell changes of its scenarios: the policy, the levels (in turn), pushes, the others.

    Attributes:
        found: the attack behind it. told: what a search found, in words.
    """

    policy: Policy
    levels: Sequence[Level] = ()
    pusher: Pusher | None = None
    others: Mapping[str, Policy] | None = None
    found: Found | None = None
    told: str = ""

    @property
    def excess(self) -> float:
        """How many times its budget the attack asked for."""
        if self.pusher is not None:
            return self.pusher.excess
        return float(getattr(self.policy, "excess", 0.0))

    @property
    def acted(self) -> bool:
        """Whether the threat's schedule ever let it act."""
        return bool(getattr(self.pusher or self.policy, "acted", True))


@dataclass(frozen=True)
class Played:
    """One cell: a row at one budget, or none.

    Attributes:
        outcomes, episodes: paired over scenarios. setting: what was changed.
        calls: how often the controller was asked, per observation: for actions, and by attacks that
            look inside (a pass forwards and one backwards are two); a search counts at the row's
            first budget.
        reasons: per scenario what was unsafe, in words; '' where nothing was.
    """

    outcomes: Outcomes
    episodes: Episodes
    setting: Setting
    calls: int
    reasons: Sequence[str] = ()


class Engine:
    """Plays cells. Scenarios are `seeds` in every cell; searches use seeds from SEARCH on.

    Args:
        subject: who is audited. reference: the units of the observation budgets.
        seeds: scenarios that are reported (n,). search: how many scenarios each tried attack meets.
        seed: of the searches.

    Attributes:
        trainer: makes learned attacks; without one they cannot be tried.
        make: number of rows -> a world like the subject's. Searches that try one attack after the
            other play in one as wide as their scenarios; without it, in the subject's.
    """

    trainer: Trainer | None = None
    make: Callable[[int], World] | None = None
    _narrow: Engine | None = None

    def __init__(
        self, subject: Subject, reference: Reference, seeds: seeding.Seeds, search: int = 8,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.subject, self.reference, self.seeds, self.seed = subject, reference, seeds, seed
        self.search_seeds = np.arange(SEARCH, SEARCH + search, dtype=np.uint64)
        self._found: dict[str, Found] = {}

    def alone(self, world: World) -> Engine:
        """The same engine, with what its searches found, in another world of the same kind."""
        return self.changed(world=world)

    def changed(self, **changes: Any) -> Engine:
        """The same engine, with what its searches found, and with changes of its subject."""
        subject = replace(self.subject, **changes)
        out = Engine(subject, self.reference, self.seeds, len(self.search_seeds), self.seed)
        out._found, out.trainer, out.make = dict(self._found), self.trainer, self.make
        return out

    @property
    def narrow(self) -> Engine:
        """The same engine in a world that is as wide as the search scenarios, if one can be made."""
        wide = len(self.search_seeds) < self.subject.world.num_envs
        if self._narrow is None:
            made = self.make and wide
            self._narrow = self.alone(self.make(len(self.search_seeds))) if made else self  # type: ignore[misc]
        return self._narrow

    def null(self) -> Array:
        """(n,) safe successes of the best of the controllers that know nothing; none without any."""
        played = [self.episodes(Setting(policy), self.seeds) for policy in self.subject.nulls]
        judged = [self.subject.criterion.judge(one).safe_success for one in played]
        nothing = np.zeros(len(self.seeds), dtype=bool)
        return max([nothing, *judged], key=lambda held: float(held.mean()))

    def why_not(self, row: Row) -> str:
        """Why a row cannot be played here; '' when it can."""
        subject, threat = self.subject, row.threat
        if threat.port == "opponent":
            return "" if row.name in subject.opponents else "no such opponent here"
        if missing := row.attack().missing(subject.access):
            return f"needs {', '.join(missing)} of the controller, a black box here"
        if self.trainer is None and issubclass(ATTACKS[row.name], LearnedAttack):
            return "it learns, and nothing here trains it"
        if threat.port == "level" and not len(subject.world.design_space):
            return "this world has no parameters"
        if threat.port == "force" and getattr(subject.world, "forces", None) is None:
            return "this world has no bodies to push"
        if threat.port == "force" and threat.schedule.shared > 1:
            return "a budget shared over steps is for observations and actions"
        space = subject.world.action_space(subject.player)
        if threat.port == "action" and threat.norm != "steps" and not space.is_bounded():
            return "the actions have no finite bounds, in which its budget is measured"
        if threat.unit == "policy" and (subject.access is None or not subject.access.normaliser):
            return "unit `policy` needs the controller's normaliser"
        return ""

    def play(self, row: Row | None = None, budget: float = 0.0) -> Played:
        """The cell of a row at a budget; without a row the clean one.

        Raises:
            RoboAdvError: the row cannot be played here.
        """
        setting = self.setting_of(row, budget)
        episodes = self.episodes(setting, self.seeds)
        calls = int(episodes.length.sum())
        if setting.found is not None:
            calls *= 1 + sum(setting.found.attack.passes)
            calls += setting.found.steps if row and budget == row.budgets[0] else 0
        judge = self.subject.criterion
        return Played(judge.judge(episodes), episodes, setting, calls, judge.reasons(episodes))

    def setting_of(self, row: Row | None, budget: float) -> Setting:
        """What a cell changes.

        Raises:
            RoboAdvError: the row cannot be played here.
        """
        if row is None:
            return Setting(self.subject.policy)
        if why := self.why_not(row):
            raise RoboAdvError(f"{row.label}: {why}")
        if row.threat.port == "opponent":
            others, taught = self.subject.opponents[row.name], self.subject.trained.get(row.name)
            return Setting(
                self.subject.policy, others=others, found=taught, told=taught.told if taught else ""
            )
        found = self._searched(row)
        setting = self.setting(row.threat.at(budget), [found.attack])
        told = found.told or describe(found.attack, self.subject.world, budget)
        return replace(setting, found=found, told=told)

    def _searched(self, row: Row) -> Found:
        """The row's attack, searched once at its largest budget."""
        if row.label not in self._found:
            more: dict[str, Any] = {}
            if row.threat.port == "level":
                more["size"] = len(self.subject.world.design_space)
            if issubclass(ATTACKS[row.name], SingleSensor):
                more["sensors"] = self._sensors(row.threat)
            lab = EngineLab(self, row)
            attack = row.attack(**more).search(lab)
            self._found[row.label] = Found(attack, lab.episodes, lab.steps, lab.told, lab.played)
        return self._found[row.label]

    def badness(self, episodes: Episodes) -> Array:
        """What searches raise (n,): see `badness`."""
        return badness(self.subject.criterion.judge(episodes))

    def setting(self, threat: Threat, attacks: Sequence[Attack]) -> Setting:
        """What a threat changes; scenario j is under attack j modulo their number."""
        first, policy, world = attacks[0], self.subject.policy, self.subject.world
        if isinstance(first, LevelAttack):
            space = world.design_space
            points = [a.point for a in attacks if isinstance(a, LevelAttack)]
            levels = [space.around(threat.budget * np.array(point)) for point in points]
            return Setting(policy, levels=levels)
        if isinstance(first, Push):
            pushes = [a for a in attacks if isinstance(a, Push)]
            return Setting(policy, pusher=self._pusher(threat, pushes))
        assert isinstance(first, Perturbation)
        return Setting(self.attacked(threat, first))

    def attacked(self, threat: Threat, attack: Perturbation) -> Attacked:
        """The controller under an observation or action attack."""
        subject = self.subject
        layout = subject.world.layouts[subject.player]
        if threat.port == "action":
            space = subject.world.action_space(subject.player)
            return Attacked(
                subject.policy, threat, attack, self.unit(threat),
                access=subject.access, low=space.low, high=space.high,
            )  # fmt: skip
        groups = np.repeat(np.arange(len(layout.names)), [s.size for s in layout])
        trigger = threat.schedule.trigger
        at = 0
        if trigger is not None:
            place = layout[trigger.name]
            at = place.start + trigger.index
            if at >= place.stop:
                raise RoboAdvError(
                    f"the schedule looks at {trigger.name}[{trigger.index}], which has "
                    f"{place.stop - place.start} entries"
                )
        return Attacked(
            subject.policy, threat, attack, self.scale(threat),
            access=subject.access, groups=groups, trigger=at,
        )  # fmt: skip

    def _pusher(self, threat: Threat, pushes: Sequence[Push]) -> Pusher:
        world: Any = self.subject.world
        return Pusher(world, threat, self.subject.bodies, pushes, self.subject.player)

    def unit(self, threat: Threat) -> Array:
        """One unit of an observation or action budget per entry (d,)."""
        if threat.port == "action":
            space = self.subject.world.action_space(self.subject.player)
            return np.asarray(0.5 * (space.high - space.low), dtype=np.float64)
        return self.scale(threat)

    def scale(self, threat: Threat) -> Array:
        """One unit of an observation budget per entry (d,), 0 where the threat may not act."""
        subject = self.subject
        layout = subject.world.layouts[subject.player]
        scale = np.ones(layout.size)
        if threat.unit == "sigma":
            scale = np.array(self.reference.std)
        elif threat.unit == "policy":
            assert subject.access is not None and subject.access.normaliser is not None
            scale = np.asarray(subject.access.normaliser[1], dtype=np.float64)
        touched = np.zeros(layout.size)
        touched[layout.index(threat.slices)] = 1.0
        return scale * touched

    def _sensors(self, threat: Threat) -> tuple[str, ...]:
        """Names of the sensors, '' for those that the threat may not touch."""
        layout = self.subject.world.layouts[self.subject.player]
        touched = self.scale(threat) > 0
        return tuple(name if touched[layout[name]].any() else "" for name in layout.names)

    def episodes(
        self, setting: Setting, seeds: seeding.Seeds, look: Disturb | None = None
    ) -> Episodes:
        """Play scenarios; level and attack j modulo their number belong to scenario j.

        Args:
            look: called before each step, as `play` calls its `disturb`; of no use with pushes.
        """
        subject, pusher = self.subject, setting.pusher
        others = subject.others if setting.others is None else setting.others
        levels = [setting.levels[j % len(setting.levels)] for j in range(len(seeds))] \
            if setting.levels else None  # fmt: skip
        try:
            return play(
                subject.world, {**others, subject.player: setting.policy}, seeds, levels,
                limits=subject.criterion.limits, disturb=pusher.push if pusher else look,
            )  # fmt: skip
        finally:
            if pusher:
                pusher.stop()


def badness(outcomes: Outcomes) -> Array:
    """What searches raise (n,): lost safe success first, then the score and the severity, which tell
    directions apart where nothing is lost yet."""
    lost = 1.0 - outcomes.safe_success
    return np.asarray(lost + 0.5 * (1.0 - outcomes.score) + 0.25 * np.tanh(outcomes.severity))


def describe(attack: Attack, world: World, budget: float) -> str:
    """What a search found, in words; '' for attacks that do not search."""
    if not isinstance(attack, LevelAttack):
        return attack.told
    space = world.design_space
    level = space.around(budget * np.array(attack.point))
    changed = [p for p in space if level[p.name] != p.nominal]
    return ", ".join(f"{p.name} {_short(level[p.name])} {p.unit}".rstrip() for p in changed)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"
