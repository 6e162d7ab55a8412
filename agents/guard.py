"""Guard: plays what an exported test suite guards, and says what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from robo_adv import seeding
from robo_adv.agents.audit import WIDTH
from robo_adv.agents.failures import OUTCOMES, open_replay
from robo_adv.agents.subject import AuditConfig, Bench, prepare, world_for
from robo_adv.audit.engine import Engine, Setting
from robo_adv.audit.gates import Gate
from robo_adv.audit.reference import layout_of
from robo_adv.audit.replay import replay
from robo_adv.audit.suite import (
    NO_ATTACK,
    FailureCard,
    RowCard,
    Safety,
    cell_name,
    located,
    safe_successes,
)
from robo_adv.errors import RoboAdvError, unknown
from robo_adv.rollout import even_width
from robo_adv.runs import versions
from robo_adv.safety.outcomes import Outcomes
from robo_adv.safety.paired import discordant, paired_test, tango
from robo_adv.safety.statistics import CONFIDENCE, mcnemar

CONTROLLER, EPISODES, STRICT = "ROBO_ADV_CONTROLLER", "ROBO_ADV_EPISODES", "ROBO_ADV_STRICT"
ANY = "uniform"  # an attack that can be tried on every controller
BITS = ("robo_adv", "mujoco", "numpy", "gymnasium", "platform")  # what an episode's bits depend on


@dataclass(frozen=True)
class Finding:
    """What a test found.

    Attributes:
        verdict: holds; fails; undecided: the interval lies on both sides; known: it fails as it did
            in the audit; untested: it cannot be tried here.
        text: why. notice: whether it is worth saying although it holds.
    """

    verdict: Literal["holds", "fails", "undecided", "known", "untested"]
    text: str
    notice: bool = False


@dataclass(frozen=True)
class Settings:
    """What environment variables change: who plays, how many scenarios, whether undecided fails."""

    controller: str = ""
    episodes: int | None = None
    strict: bool = False

    @staticmethod
    def of(environ: Mapping[str, str]) -> Settings:
        """Raises RoboAdvError unless ROBO_ADV_EPISODES is a whole number."""
        episodes = environ.get(EPISODES, "")
        if episodes and not episodes.isdecimal():
            raise RoboAdvError(f"{EPISODES}={episodes!r} is not a number of episodes")
        strict = environ.get(STRICT, "") not in ("", "0")
        return Settings(environ.get(CONTROLLER, ""), int(episodes) if episodes else None, strict)


class Guard:
    """A suite in `folder`, ready to be asked.

    Attributes:
        failures, cells, gates: names of what can be asked.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        """Raises RoboAdvError for a broken suite or settings that do not fit it."""
        self.folder, self.safety = folder, Safety.load(folder)
        self.settings = settings or Settings()
        asked = self.settings.episodes
        self.episodes = self.safety.episodes if asked is None else asked
        self.safety.check_episodes(self.episodes)
        self._failures = {failure.name: failure for failure in self.safety.failures}
        self._cells = {NO_ATTACK: (NO_ATTACK, 0.0, self.safety.clean)} | {
            cell_name(row.label, cell.budget): (row.label, cell.budget, cell.outcomes)
            for row in self.safety.rows for cell in row.cells if cell.guarded
        }  # fmt: skip
        self.failures, self.cells = tuple(self._failures), tuple(self._cells)
        self.gates = self.safety.gates
        self._played: dict[str, Outcomes] = {}

    @property
    def controller(self) -> str:
        """Who plays."""
        return self.settings.controller or located(self.safety.controller, self.folder)

    def replays(self, name: str) -> Finding:
        """Whether a recorded failure plays again to the bit, and is judged as it was.

        Where versions differ, bits cannot be promised, and a difference proves nothing.
        """
        failure = self._failure(name)
        safety = self.safety
        judges = [text.partition(":")[0] for text in (safety.success, safety.unsafe) if ":" in text]
        opened = open_replay(self.folder / failure.folder, [*safety.imports, *judges])
        about = opened.recording.about
        episodes, digest = replay(opened.recording, opened.world, opened.criterion.limits)
        outcome = outcome_of(opened.criterion.judge(episodes))
        opened.world.close()
        if digest != about.digest:
            if changed := changes(about.versions):
                return Finding("untested", f"not the same as recorded, and {changed}")
            return Finding("fails", "not the same as recorded, although the versions are: the "
                           "environment, or the recording, was changed")  # fmt: skip
        if outcome != about.outcome:
            return Finding("fails", f"the same to the bit, but now judged {OUTCOMES[outcome]}, then "
                           f"{OUTCOMES[about.outcome]}: what judges was changed")  # fmt: skip
        return Finding("holds", f"the same to the bit: {OUTCOMES[outcome]}")

    def known_failure(self, name: str) -> Finding:
        """Whether the controller still fails in the scenario, and under the threat, of a failure."""
        failure = self._failure(name)
        row = self.safety.find(failure.row) if failure.level is None else None
        if why := self._why_not(row):
            return Finding("untested", why)
        world = world_for(self._config, 1)
        engine = self._bench.engine.alone(world)
        seeds = np.array([failure.scenario], dtype=np.uint64)
        now = outcome_of(self._play(engine, row, failure.budget, seeds, failure.level))
        world.close()
        where = f"scenario {failure.scenario}, {cell_name(failure.row, failure.budget)}"
        if now == "safe_success":
            return Finding("holds", f"fixed: {where} is a safe success now", notice=True)
        then = "" if now == failure.outcome else f" (it was: {OUTCOMES[failure.outcome]})"
        return Finding("known", f"known failure: {where}: {OUTCOMES[now]}{then}")

    def regression(self, name: str) -> Finding:
        """Whether safe successes of a cell were lost: all its scenarios are played again and paired
        with the audit's, so that what is gained elsewhere counts too.

        Proven is a net loss whose exact McNemar p-value is at most 5 %, shared by all guarded cells
        (Bonferroni); then the chance that a suite fails an equally good controller is below 5 %.
        """
        if name not in self._cells:
            raise unknown("guarded cell", name, self._cells)
        label, budget, recorded = self._cells[name]
        row = self.safety.find(label)
        if why := self._why_not(row):
            return Finding("untested", why)
        if not getattr(self._bench.engine.subject.world, "seeded", True):
            return Finding("untested", "the environment ignores seeds: scenarios do not pair up")
        outcomes = self._cell(row, budget)
        before, now = safe_successes(recorded)[: self.episodes], outcomes.safe_success
        gained, lost = discordant(now, before)
        level = (1.0 - CONFIDENCE) / len(self._cells)
        p, loss = paired_test(now, before), tango(lost, gained, len(now))
        value, low, high = (100 * x for x in (loss.value, loss.low, loss.high))
        text = (
            f"{before.sum()} -> {now.sum()} of {len(now)} safe successes: {lost} lost, {gained} "
            f"gained, a loss of {value:.3g} [{low:.3g}, {high:.3g}] points, "
            f"p = {p:.2g} (proven at {level:.2g}: 5 % over {len(self._cells)} cells)"
        )
        if lost:
            some = [str(seed) for seed in outcomes.seeds[before & ~now][:5]]
            text += f"; lost scenarios: {', '.join(some)}{', ...' if lost > len(some) else ''}"
            text += self._what_changed()
        if lost > gained and p <= level:
            return Finding("fails", text)
        if lost > gained and mcnemar(0, int(before.sum())) > level:
            return self._open(f"{text}; too few scenarios to prove any loss, export from an audit "
                              "with more --episodes")  # fmt: skip
        return Finding("holds", text, notice=lost > gained)

    def gate(self, name: str) -> Finding:
        """Whether a condition of --fail-if is met, by 95 % intervals, in any cell it covers."""
        gate, found, untested = Gate.parse(name), [], []
        for row, budget in self._covered(gate):
            if why := self._why_not(row):
                untested.append(why)
                continue
            rate = self._cell(row, budget).rates()[gate.condition.name]
            cell = cell_name(row.label if row else NO_ATTACK, budget)
            told = f"{cell}: {gate.condition.name} {rate}"
            verdict = gate.condition.judge(rate)
            if verdict == "inconclusive":
                more = gate.condition.more_episodes(rate)
                told += ", " + ("more than a million" if more is None else f"about {more}")
                told += " more episodes would decide"
            found.append((verdict, told))
        if met := [told for verdict, told in found if verdict == "fails"]:
            return Finding("fails", "; ".join(met))
        if untested and not found:
            return Finding("untested", "; ".join(untested))
        if left := [told for verdict, told in found if verdict == "inconclusive"] + untested:
            return self._open("; ".join(left))
        return Finding("holds", "; ".join(told for _, told in found))

    def _open(self, text: str) -> Finding:
        return Finding("fails" if self.settings.strict else "undecided", f"undecided: {text}")

    def _what_changed(self) -> str:
        """What else than the controller must have changed, if that is the audited one."""
        same = self.safety.controller_sha256
        if not same or self._bench.controller.digest != same:
            return ""
        changed = (
            changes(self.safety.versions) or "so its environment, or what it uses, was changed"
        )
        return f"; the controller is the one that was audited, {changed}"

    def _covered(self, gate: Gate) -> list[tuple[RowCard | None, float]]:
        cells: list[tuple[RowCard | None, float]] = [(None, 0.0)] if gate.covers("", 0.0) else []
        cells += [
            (row, cell.budget) for row in self.safety.rows for cell in row.cells
            if gate.covers(row.port, cell.budget)
        ]  # fmt: skip
        if not cells:
            raise RoboAdvError(f"the suite has no cell of port {gate.port} up to {gate.budget:g}")
        return cells

    def _failure(self, name: str) -> FailureCard:
        if name not in self._failures:
            raise unknown("recorded failure", name, self._failures)
        return self._failures[name]

    def _why_not(self, row: RowCard | None) -> str:
        """Why the controller cannot be tried under a row; '' when it can."""
        if row is None or row.port == "opponent":
            return ""
        why = self._bench.engine.why_not(row.row())
        return f"{row.label}: {why}" if why else ""

    def _cell(self, row: RowCard | None, budget: float) -> Outcomes:
        """Outcomes of a cell, played once."""
        name = cell_name(row.label if row else NO_ATTACK, budget)
        if name not in self._played:
            engine = self._bench.engine
            self._played[name] = self._play(engine, row, budget, engine.seeds)
        return self._played[name]

    def _play(
        self, engine: Engine, row: RowCard | None, budget: float, seeds: seeding.Seeds,
        level: Mapping[str, float | int | str] | None = None,
    ) -> Outcomes:  # fmt: skip
        subject, space = engine.subject, engine.subject.world.design_space
        if row is None:
            setting = Setting(subject.policy, levels=[space.level(level)] if level else ())
        elif row.port == "opponent":
            others = subject.opponents[located(row.attack, self.folder)]
            setting = Setting(subject.policy, others=others)
        else:
            attack = row.frozen(space)
            setting = engine.setting(row.row().threat.at(budget), [attack])
        with one_thread():
            return subject.criterion.judge(engine.episodes(setting, seeds))

    @cached_property
    def _bench(self) -> Bench:
        """The controller in its world, under the audit's conditions."""
        safety, config = self.safety, self._config
        world = world_for(config, even_width(self.episodes, WIDTH))
        layout = layout_of(world, safety.player) if safety.player in world.players else None
        if layout is not None and layout != safety.reference.layout:
            raise RoboAdvError(
                f"{world.id} gives other observations than when it was audited "
                f"({sum(size for _, size, _ in safety.reference.layout)} numbers then, "
                f"{sum(size for _, size, _ in layout)} now, or other slices): audit and export anew"
            )
        return prepare(config, world, safety.reference)

    @property
    def _config(self) -> AuditConfig:
        s, at = self.safety, self.folder
        attacks = (*(row.attack for row in s.rows if row.port != "opponent"), ANY)
        opponents = tuple(located(r.attack, at) for r in s.rows if r.port == "opponent")
        own = not self.settings.controller
        return AuditConfig(
            self.controller, env=s.env, options=s.options, player=s.player,
            opponent=located(s.opponent, at), adversaries=opponents, attacks=attacks,
            episodes=self.episodes, seed=s.seed, success=s.success, unsafe=s.unsafe, trust=s.trust,
            statistics=Path(located(s.statistics, at)) if s.statistics and own else None,
            imports=s.imports,
        )  # fmt: skip


def outcome_of(outcomes: Outcomes) -> str:
    """The outcome of a single episode."""
    return next(name for name, rate in outcomes.rates().items() if rate.count)


def changes(then: Mapping[str, str]) -> str:
    """How what the bits of an episode depend on differs from `then`; '' if it does not."""
    now = versions()
    changed = [f"{k} {then.get(k, '?')} -> {now[k]}" for k in BITS if then.get(k) != now[k]]
    return f"versions, which bits depend on, differ: {', '.join(changed)}" if changed else ""


@contextmanager
def one_thread() -> Iterator[None]:
    """The small matrices of a control step are fastest on one thread."""
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(kept)
