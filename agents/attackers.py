"""Attackers: PPO at a port of the closed loop, against a frozen controller.

Best checkpoint on selection scenarios, which are neither those of the search nor those reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robo_adv import seeding
from robo_adv.agents.attacker_seat import AttackerSeat
from robo_adv.agents.payoff import KEPT, Payoff
from robo_adv.audit.engine import Engine, Found, Trainer
from robo_adv.audit.plan import Row
from robo_adv.bundle import load_bundle, save_bundle
from robo_adv.envs.episode import World
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import Episodes, scenarios
from robo_adv.runs import Run, plain
from robo_adv.threats.learned import LearnedAttack
from robo_adv.threats.threat import Threat
from robo_adv.training.learner import Learner, PPOConfig, Threads
from robo_adv.training.loop import train as train_loop

SELECTED = 5_000_000  # first scenario seed on which checkpoints are chosen; never reported
SELECTION = 8  # scenarios per checkpoint
CHECKPOINTS = 8  # of a training
BEST = Path("checkpoints") / "best"
# Episodes of hundreds of steps, and a controller that is asked in each. Updates count more than
# samples: in games four times larger rollouts learned little in 100 thousand steps (docs/ladder.md).
# The ladder's suites depend on these values; a test holds them.
FOREIGN = PPOConfig(
    num_envs=16, n_steps=128, batch_size=256, n_epochs=10, learning_rate=1e-3, gamma=0.999,
    log_std_init=0.0, scale_reward=True,
)  # fmt: skip
GAMES = replace(FOREIGN, num_envs=32, n_steps=64)  # wider, as their physics runs in a batch
NEAR = 0.99  # discount of every other restart: which is stronger depends on the controller
ONE = Threads(update=1)  # batches are small
Make = Callable[[int], World]
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class AttackerConfig:
    """What a training depends on.

    Attributes:
        victim, digest, world, options, player: who is attacked, where. threat: in words. attack: its
            name, and parameters other than steps and restarts. reference: the units of the budget.
        seed: of network and exploration; the scenarios begin with it.
    """

    victim: str
    digest: str
    world: str
    options: Mapping[str, Any]
    player: str
    threat: str
    attack: str
    parameters: Mapping[str, Any]
    reference: Mapping[str, Any]
    steps: int
    seed: int
    ppo: PPOConfig = field(default_factory=PPOConfig)
    threads: Threads = Threads()


class Attacker:
    """One attacker in training; a Trainee of the shared loop."""

    def __init__(
        self, config: AttackerConfig, engine: Engine, threat: Threat, attack: LearnedAttack,
        make: Make, tell: Callable[[int, float], None] | None = None,
    ) -> None:  # fmt: skip
        self.config, self.threat, self.attack, self.tell = config, threat, attack, tell
        world = make(config.ppo.num_envs)
        self.arena = engine.alone(make(SELECTION))
        self.payoff = Payoff(engine.alone(world), attack.aim)
        seat = AttackerSeat(engine.alone(world), threat, attack, self.payoff)
        self.learner = Learner(seat, config.ppo, config.seed, config.threads)

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return self.learner.steps

    def iterate(self) -> dict[str, float]:
        """One rollout and one update."""
        metrics = {**self.learner.iterate(), **self.payoff.adapt()}
        if self.tell is not None:
            self.tell(self.steps, metrics.get("victim_return", np.nan))
        return metrics

    def score(self) -> dict[str, float]:
        """How badly the controller does on the selection scenarios under the deterministic policy."""
        attack = self.attack.held(self.learner.policy)
        setting = self.arena.setting(self.threat, [attack])
        played = self.arena.episodes(setting, scenarios(SELECTED, SELECTION))
        returns = float(played.returns[self.config.player].mean())
        return {
            "score": self._harm(played), "selection_return": returns,
            "selection_steps": float(played.length.sum()),
        }  # fmt: skip

    def _harm(self, played: Episodes) -> float:
        engine, aim = self.arena, self.attack.aim
        returns = float(played.returns[self.config.player].mean())
        if aim == "return":
            alone = not isinstance(engine.subject.world, Game)
            return -returns if alone else float(engine.badness(played).mean())
        judged = engine.subject.criterion.judge(played)
        harm = float((judged.unsafe + 0.25 * np.tanh(judged.severity)).mean())
        if aim == "cost":
            return harm
        wanted = engine.reference.returns
        missing = (wanted - returns) / max(abs(wanted), 1e-6) - (1.0 - KEPT)
        return harm - 10.0 * max(missing, 0.0)

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        """Write its policy as a bundle."""
        config, world = self.config, self.arena.subject.world
        left: list[list[str | int]] = [
            [f"left_{k}", 1, "share"] for k in range(self.threat.schedule.limits)
        ]
        save_bundle(
            folder, self.learner.policy, game=config.world, options=config.options,
            player=f"{config.player}/{self.threat.port}",
            layout=world.layouts[config.player].to_json() + left,
            net_arch=config.ppo.net_arch, activation=config.ppo.activation,
            provenance={
                "recipe": "attacker", "attack": config.attack, "parameters": config.parameters,
                "aim": self.attack.aim, "threat": config.threat, "victim": config.victim,
                "victim_sha256": config.digest, "seed": config.seed, "steps": self.steps,
            },
            metrics=metrics,
        )  # fmt: skip

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Everything that continues it bit by bit."""
        tensors, values = self.learner.state()
        payoff = {"weight": self.payoff.weight, "returns": self.payoff.returns}
        return tensors, {"learner": values, "payoff": payoff}

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.learner.load_state(tensors, values["learner"])
        self.payoff.weight = float(values["payoff"]["weight"])
        self.payoff.returns = [float(x) for x in values["payoff"]["returns"]]

    def close(self) -> None:
        """Free its worlds."""
        self.learner.env.world.close()  # type: ignore[attr-defined]
        self.arena.subject.world.close()


def trainer(
    folder: Path, make: Make, digest: str, seed: int, threads: Threads = ONE,
    tell: Tell | None = None, ppo: PPOConfig | None = None,
) -> Trainer:  # fmt: skip
    """Trains the learned attacks of an engine under `folder`, one run each; finished ones are read.

    Args:
        make: number of rows -> a world like the engine's. digest: of the controller.
        ppo: in place of the defaults for games or for other environments.
    """

    def train(engine: Engine, row: Row, attack: LearnedAttack) -> Found:
        threat = row.threat.at(row.budgets[-1])
        tried: list[tuple[float, Run, LearnedAttack]] = []
        usual = ppo or (GAMES if isinstance(engine.subject.world, Game) else FOREIGN)
        for k in range(attack.restarts):
            one = attack.variant(k)
            how = replace(usual, gamma=NEAR) if k % 2 else usual
            config = config_of(engine, row, threat, one, digest, seed + k, threads, how)
            place = folder / f"{row.name}-{threat.budget:g}" / f"seed-{k}"
            say = _said(attack, row, k, tell)
            run = _run(place, config, engine, threat, one, make, say)
            tried.append((float(_summary(run)["best_score"]), run, one))
        _, best, one = max(tried, key=lambda each: each[0])
        policy = load_bundle(best.folder / BEST).policy
        steps = sum(int(_summary(run)["played"]) for _, run, _ in tried)
        episodes = sum(int(_summary(run)["episodes"]) for _, run, _ in tried)
        calls = sum(int(_summary(run)["played"]) * (1 + sum(each.passes)) for _, run, each in tried)
        scores = ", ".join(f"{score:.3g}" for score, _, _ in tried)
        told = f"trained for {attack.steps:,} steps from {attack.restarts} seed(s), harm {scores}"
        return Found(one.held(policy), episodes, calls, told, steps)

    return train


def _run(
    folder: Path, config: AttackerConfig, engine: Engine, threat: Threat, attack: LearnedAttack,
    make: Make, tell: Callable[[int, float], None] | None,
) -> Run:  # fmt: skip
    """The training in `folder`: done before, gone on with, or new.

    Raises:
        RoboAdvError: the folder holds a training of something else.
    """
    started = (folder / "config.json").exists()
    run = Run.open(folder) if started else Run.at(
        folder, config.world, "attacker", config, config.seed
    )  # fmt: skip
    if started and plain(config) != run.config["config"]:
        raise RoboAdvError(
            f"{folder} holds an attacker that was trained otherwise (another controller, budget or "
            "other options); start a new run, or delete that folder to train again"
        )
    if run.done:
        return run
    learner = Attacker(config, engine, threat, attack, make, tell)
    result = train_loop(
        learner, run, config.steps, checkpoint_every=max(1, config.steps // CHECKPOINTS),
        resume=started, quiet=True,
    )  # fmt: skip
    learner.close()
    lines = run.metrics()
    selected = sum(int(line.get("selection_steps", 0)) for line in lines)
    episodes = sum(int(line["episodes"]) for line in lines)
    run.finish({**result, "played": int(result["steps"]) + selected, "episodes": episodes})
    torch.set_num_threads(1)  # a training sets its own
    return run


def config_of(
    engine: Engine, row: Row, threat: Threat, attack: LearnedAttack, digest: str, seed: int,
    threads: Threads, ppo: PPOConfig,
) -> AttackerConfig:  # fmt: skip
    """What a training of an attack depends on."""
    subject, world = engine.subject, engine.subject.world
    own = (f.name for f in fields(attack) if f.repr and f.name not in ("steps", "restarts"))
    parameters = {name: getattr(attack, name) for name in own}
    return AttackerConfig(
        victim=subject.name, digest=digest, world=world.id,
        options=plain(getattr(world, "options", {})), player=subject.player, threat=str(threat),
        attack=row.name, parameters=plain(parameters), reference=plain(engine.reference),
        steps=attack.steps, seed=seed, ppo=replace(ppo, anneal_over=attack.steps),
        threads=threads,
    )  # fmt: skip


def untrained(engine: Engine, row: Row, attack: LearnedAttack) -> Found:
    """Stands for a trainer until there is a folder to train in.

    Raises:
        RoboAdvError: always.
    """
    raise RoboAdvError(f"{row.label} learns, which needs a run folder")


def training_seed(seed: int) -> int:
    """Seed of trainings for the scenarios from `seed` on, in [2^31, 2^32), apart from those that are
    reported."""
    return int(2**31 + (int(seeding.derive(seed, seeding.ATTACK)[0]) >> 33))


def _said(
    attack: LearnedAttack, row: Row, k: int, tell: Tell | None
) -> Callable[[int, float], None] | None:
    if tell is None:
        return None
    said, last = tell, -1

    def say(done: int, value: float) -> None:
        nonlocal last
        if done * 20 // attack.steps > last:
            last = done * 20 // attack.steps
            start = f"training {row.label}, seed {k + 1} of {attack.restarts}"
            seen = "" if np.isnan(value) else f": return {value:.4g}"  # when an episode ended
            said(min(done, attack.steps), attack.steps, start + seen)

    return say


def _summary(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    return found
