"""Design: students learn on levels that a generator proposes (unsupervised environment design).

One round: the generator proposes levels, impossible ones are repaired (counted), every student plays
each of them K times from the same scenario seeds and takes a gradient step if the batch is meant for
that, the generator hears how it went. Every environment step of every student counts towards `steps`:
the antagonist's, and those that only score levels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv import seeding
from robo_adv.agents.player import SELECTION_EPISODES
from robo_adv.agents.protagonist import bind, config_for
from robo_adv.agents.student import KeepClose, Student, horizon
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.levels import DesignSpace, Level
from robo_adv.levels.edits import canonical
from robo_adv.levels.feasible import Repaired, repair
from robo_adv.levels.generator import Batch, Outcomes, make_generator
from robo_adv.levels.space import Value
from robo_adv.rollout import SELECTION, play, scenarios
from robo_adv.runs import Run, write_text
from robo_adv.training.learner import PPOConfig, Threads
from robo_adv.training.loop import train as train_loop
from robo_adv.training.network import load_network_weights, network_weights
from robo_adv.training.state import Tensors, with_prefix

Array = npt.NDArray[np.float64]
RECORD = "levels.jsonl"
ROLLOUT = 8192  # environment steps of a round, about, where nothing else is said
MINIBATCHES = 8


@dataclass(frozen=True)
class DesignConfig:
    """Attributes:
    generator, parameters: of the levels, and its hyper-parameters. free: the level parameters that it
        sets, all by default. fixed: values of parameters that it does not set, nominal by default.
    opponents: policies of other players. steps: environment steps of all students together.
    episodes: per student and round; 0 makes a round of about 8192 steps.
    same_start: whether all students begin with the same network; exploration differs anyway.
    """

    game: str = "Reach-v0"
    options: dict[str, Any] = field(default_factory=dict)
    player: str = "arm"
    opponents: tuple[str, ...] = ()
    reward: str = "dense"
    generator: str = "paired"
    parameters: dict[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    fixed: dict[str, Value] = field(default_factory=dict)
    steps: int = 1_000_000
    seed: int = 0
    episodes: int = 0
    same_start: bool = True
    ppo: PPOConfig = PPOConfig()
    threads: Threads = Threads()
    checkpoint_every: int = 100_000


def preset(game: str, generator: str = "paired") -> DesignConfig:
    """The config for a game: its first player learns, as `robo-adv train` has it.

    Raises:
        UnknownNameError: no such game.
    """
    usual = config_for(game)
    return DesignConfig(
        game=usual.game, player=usual.player, opponents=usual.opponents, reward=usual.reward,
        generator=generator, ppo=usual.ppo,
    )  # fmt: skip


def space_of(config: DesignConfig) -> DesignSpace:
    """The design space that the generator sees.

    Raises:
        RoboAdvError: an unknown game, option, parameter or value, or nothing left to set.
    """
    space = make_game(config.game, 1, threads=1, **config.options).design_space
    if both := set(config.free) & set(config.fixed):
        raise RoboAdvError(f"{', '.join(sorted(both))}: cannot be free and fixed")
    space = space.freeze(config.fixed)
    space = space.only(config.free) if config.free else space
    if not len(space):
        raise RoboAdvError(f"the design space of {config.game} has no free parameter left")
    return space


class Design:
    """The students and their generator: a trainee of `robo_adv.training.loop`.

    Raises:
        RoboAdvError: see `space_of` and `make_generator`; a round that cannot be split as the
            generator needs it.
    """

    def __init__(self, config: DesignConfig, run: Run | None = None) -> None:
        self.config, self.run = config, run
        self.space = space_of(config)
        self.generator = make_generator(config.generator, config.parameters)
        self.generator.begin(self.space, config.seed)
        world = make_game(config.game, 1, threads=1, **config.options)
        self.ppo = round_config(config, horizon(world))
        opponents = bind(config.game, config.options, config.player, config.opponents)
        self.students = [
            Student(
                config.game, config.options, config.player, opponents, self.ppo,
                config.seed + 2**16 * k,
                threads=config.threads, reward=config.reward,
                provenance={"recipe": "design", "generator": config.generator,
                            "parameters": config.parameters, "student": name_of(k),
                            "free": list(self.space.names), "fixed": config.fixed,
                            "seed": config.seed},
            )
            for k in range(self.generator.students)
        ]  # fmt: skip
        if config.same_start:  # the same network, and exploration of its own, else nobody differs
            first = network_weights(self.students[0].learner.ppo.policy)
            for student in self.students[1:]:
                load_network_weights(student.learner.ppo.policy, first)
        self._keep_close()
        self.rounds = 0
        self.selection = selection_levels(self.space)

    def _keep_close(self) -> None:
        weight = float(getattr(self.generator, "student_kl", 0.0))
        if weight > 0:
            every = int(getattr(self.generator, "kl_every", 1))
            first, second = self.students[:2]
            first.learner.penalise(KeepClose(second, weight, every))

    @property
    def steps(self) -> int:
        return sum(student.steps for student in self.students)

    def iterate(self) -> dict[str, float]:
        """One round."""
        progress = min(self.steps / self.config.steps, 1.0)
        batch = self.generator.ask(self.ppo.num_envs, progress)
        check_batch(batch, self.ppo.num_envs, len(self.students), self.config.generator)
        made = [self._possible(points) for points in batch.points]
        seeds = self._seeds()
        played, metrics = [], []
        for k, student in enumerate(self.students):
            levels = self._levels(made[k % len(made)].points, batch.episodes)
            numbers, logged = student.play(levels, seeds, batch.learn)
            played.append(numbers)
            metrics.append(logged)
        outcomes = self._outcomes(batch, made, played)
        told = self.generator.tell(batch, outcomes)
        if "score" in told:  # the loop's word for how good a checkpoint is
            told["level_score"] = told.pop("score")
        self._record(batch, outcomes)
        self.rounds += 1
        return {**metrics[0], **self._summary(batch, made, outcomes), **told,
                "steps": float(self.steps)}  # fmt: skip

    def _seeds(self) -> seeding.Seeds:
        rows = np.arange(self.ppo.num_envs, dtype=np.uint64)
        position = np.uint64(self.rounds * self.ppo.num_envs) + rows
        return seeding.derive([self.config.seed], seeding.LEVEL, position)

    def _possible(self, points: Array) -> Repaired:
        found = repair(self.space, points)
        return replace(found, points=canonical(self.space, found.points))

    def _levels(self, points: Array, episodes: int) -> list[Level]:
        return [level for u in points for level in [self.space.decode(u)] * episodes]

    def _outcomes(
        self, batch: Batch, made: list[Repaired], played: list[dict[str, Array]]
    ) -> Outcomes:
        students, shape = len(self.students), (batch.levels, batch.episodes)
        numbers = {
            name: np.stack([mine[name].reshape(shape) for mine in played]) for name in played[0]
        }
        whole = [made[k % len(made)] for k in range(students)]
        return Outcomes(
            points=np.stack([found.points for found in whole]),
            repaired=np.stack([found.moved for found in whole]),
            **numbers,
        )

    def _summary(self, batch: Batch, made: list[Repaired], outcomes: Outcomes) -> dict[str, float]:
        points = made[0].points
        spread = points.std(axis=0).mean() / np.sqrt(1.0 / 12.0)
        return {
            "learned": float(batch.learn),
            "levels": float(sum(len(found.points) for found in made)),
            "repaired_rate": float(np.mean([found.moved.mean() for found in made])),
            "diversity": float(spread),
            **{f"success_{name_of(k)}": float(mine.mean())
               for k, mine in enumerate(outcomes.success)},
        }  # fmt: skip

    def _record(self, batch: Batch, outcomes: Outcomes) -> None:
        if self.run is None:
            return
        sets = outcomes.points if len(batch.points) > 1 else outcomes.points[:1]
        line = {
            "steps": self.steps, "round": self.rounds, "source": batch.source,
            "learn": batch.learn, "points": np.round(sets, 4).tolist(),
            "success": np.round(outcomes.success.mean(axis=2), 4).tolist(),
            "returns": [[float(f"{x:.6g}") for x in mine] for mine in outcomes.returns.mean(axis=2)],
        }  # fmt: skip
        with (self.run.folder / RECORD).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def score(self) -> dict[str, float]:
        """Success rate of the protagonist on uniform levels that only choose the checkpoint."""
        student = self.students[0]
        policies = {**student.opponents, student.player: student.learner.policy}
        seeds = scenarios(SELECTION, SELECTION_EPISODES)
        rate = float(play(student.arena, policies, seeds, self.selection).win_rate(student.player))
        return {"score": rate, "selection_success_rate": rate}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """The protagonist's bundle in `folder`, the others' beside it (`<folder>-antagonist`)."""
        for k, student in enumerate(self.students):
            place = folder if k == 0 else folder.with_name(f"{folder.name}-{name_of(k)}")
            student.save(place, metrics)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = self.generator.state()
        tensors = {f"generator/{name}": tensor for name, tensor in tensors.items()}
        out: dict[str, Any] = {"generator": values, "rounds": self.rounds, "students": []}
        for k, student in enumerate(self.students):
            mine, plain_values = student.state()
            tensors.update({f"{k}/{name}": tensor for name, tensor in mine.items()})
            penalty = student.learner.penalty
            updates = penalty.updates if isinstance(penalty, KeepClose) else 0
            out["students"].append({"learner": plain_values, "updates": updates})
        return tensors, out

    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None:
        self.generator.load_state(with_prefix(tensors, "generator/"), values["generator"])
        self.rounds = int(values["rounds"])
        for k, student in enumerate(self.students):
            student.load_state(with_prefix(tensors, f"{k}/"), values["students"][k]["learner"])
            penalty = student.learner.penalty
            if isinstance(penalty, KeepClose):
                penalty.updates = int(values["students"][k]["updates"])
        if self.run is not None:
            kept = [line for line in read_record(self.run) if line["steps"] <= self.steps]
            text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in kept)
            write_text(self.run.folder / RECORD, text)


def read_record(run: Run) -> list[dict[str, Any]]:
    """The rounds of a run: steps, source, points (S, n, P), success and returns (S, n) of each; a
    last line that a kill cut short is left out."""
    path, out = run.folder / RECORD, []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return out


def name_of(k: int) -> str:
    """What student k is called."""
    return ("protagonist", "antagonist")[k] if k < 2 else f"antagonist{k}"


def selection_levels(space: DesignSpace) -> list[Level]:
    """Uniform possible levels for the selection scenarios."""
    seeds = scenarios(SELECTION, SELECTION_EPISODES)
    points = seeding.uniform(seeds, seeding.LEVEL, len(space))
    return [space.decode(u) for u in repair(space, points).points]


def round_config(config: DesignConfig, steps: int) -> PPOConfig:
    """PPO whose rollout is one round of episodes of so many steps."""
    rows = config.episodes or max(16, 16 * round(ROLLOUT / steps / 16))
    batch = -(-rows * steps // MINIBATCHES)
    while rows * steps % batch:
        batch += 1
    return replace(config.ppo, num_envs=rows, n_steps=steps, batch_size=batch)


def check_batch(batch: Batch, rows: int, students: int, name: str) -> None:
    """Raises ValueError for a batch that breaks the contract of `Generator.ask`."""
    sets, n, _ = batch.points.shape
    if n * batch.episodes != rows or sets not in (1, students):
        raise ValueError(
            f"generator {name} gave {sets} sets of {n} levels, {batch.episodes} episodes each; a "
            f"round has {rows} episodes of {students} student(s)"
        )


def told(metrics: Mapping[str, float]) -> str:
    """What progress says beside the success rate."""
    shown = ("regret", "level_score", "diversity", "repaired_rate")
    return "  ".join(f"{name} {metrics[name]:.2f}" for name in shown if name in metrics)


def train(
    config: DesignConfig, run: Run, *, resume: bool = False, quiet: bool = False
) -> Path:  # fmt: skip
    """Train; returns the folder of the protagonist's best checkpoint's bundle."""
    design = Design(config, run)
    students = f"{len(design.students)} students" if len(design.students) > 1 else "1 student"
    result = train_loop(
        design, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"{config.generator} on {config.game}, {students}", outcome="success", quiet=quiet,
        note=told,
    )  # fmt: skip
    run.finish({**result, "generator": config.generator, "rounds": design.rounds})
    return run.folder / "checkpoints" / "best"
