"""An opponent that is trained within an audit, against the audited controller."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from robo_adv.agents.adversary import BEST, AdversaryConfig, train_within
from robo_adv.agents.attackers import training_seed
from robo_adv.agents.evaluation import other_player
from robo_adv.agents.named import named_policy
from robo_adv.agents.subject import TRAINED, AuditConfig, Bench
from robo_adv.audit.engine import Found
from robo_adv.bundle import CARD, read_card
from robo_adv.envs.game import Game
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, plain
from robo_adv.threats.attack import ATTACKS
from robo_adv.training.learner import Threads

CHECKPOINTS = 8  # of a training
SHARES = 20  # how often progress is told
Tell = Callable[[int, int, str], None]


def with_trained(
    bench: Bench, config: AuditConfig, folder: Path, tell: Tell | None = None
) -> Bench:
    """The bench with an opponent that was trained in `folder` against its controller, now or before.

    Raises:
        RoboAdvError: the training that `folder` holds is broken, or against another controller.
    """
    subject = bench.engine.subject
    world = subject.world
    assert isinstance(world, Game)
    steps = config.train_adversary
    attack = AdversaryConfig(
        victim=subject.name, game=world.id, options=plain(world.options), player=subject.player,
        trust=config.trust, statistics=config.statistics, steps=steps,
        checkpoint_every=max(1, steps // CHECKPOINTS), seed=training_seed(config.seed),
        threads=Threads(physics=config.threads),
    )  # fmt: skip
    _check_victim(folder, bench)
    run = train_within(folder, attack, _said(steps, tell) if tell else None)
    torch.set_num_threads(1)  # a training sets its own
    other = other_player(world, subject.player)
    policy = named_policy(str(run.folder / BEST), world, other)
    engine = bench.engine.changed(
        opponents={**subject.opponents, TRAINED: {other: policy}},
        trained={**subject.trained, TRAINED: _effort(run)},
    )
    return replace(bench, engine=engine)


def _check_victim(folder: Path, bench: Bench) -> None:
    """Raises RoboAdvError when `folder` holds a training against what the controller was before."""
    if not (folder / BEST / CARD).exists():
        return
    victim = read_card(folder / BEST).provenance.get("victim_sha256")
    if victim != bench.controller.digest:
        raise RoboAdvError(
            f"{bench.controller.name} has changed since the adversary in {folder} was trained against "
            "it; start a new audit, or delete that folder to train again"
        )


def _said(steps: int, tell: Tell) -> Callable[[int, float], None]:
    """Progress of a training of so many steps, told in few lines."""
    told = -1

    def say(done: int, share: float) -> None:
        nonlocal told
        if done * SHARES // steps > told:
            told = done * SHARES // steps
            tell(min(done, steps), steps, f"training an adversary: wins {100 * share:.0f} %")

    return say


def _effort(run: Run) -> Found:
    """What the training took: episodes, queries of the controller, and its result in words."""
    made: dict[str, Any] = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    told = (
        f"trained for {int(made['steps']):,} steps against this controller; wins "
        f"{100 * made['best_score']:.0f} % of other scenarios"
    )
    return Found(ATTACKS["none"](), int(made["episodes"]), int(made["queries"]), told)
