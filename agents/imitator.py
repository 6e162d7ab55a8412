"""Imitator: learns a policy from demonstrations by one of several learners.

The true reward plays no part in learning. It is logged (`true_return`), and it chooses the checkpoint
`best`; the checkpoint `last` owes nothing to it. Both say so in their cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
import torch

from robo_adv.agents.fitted import fitted_bundle
from robo_adv.agents.imitators.adversarial import Airl, Gail
from robo_adv.agents.imitators.asaf import Asaf
from robo_adv.agents.imitators.cloning import Clone
from robo_adv.agents.imitators.config import ABSORBING, ImitatorConfig
from robo_adv.agents.imitators.dagger import Dagger
from robo_adv.agents.imitators.lesson import Lesson, prepare
from robo_adv.agents.imitators.off_policy import GailSac, Sqil
from robo_adv.agents.imitators.score import Yardstick
from robo_adv.bundle import save_bundle
from robo_adv.imitation.rewards import REWARDS
from robo_adv.rollout import SELECTION
from robo_adv.runs import Run, plain
from robo_adv.training.loop import train as train_loop
from robo_adv.training.network import NetworkPolicy
from robo_adv.training.state import Tensors

Array = npt.NDArray[Any]
CHOSEN = {
    "best": "the best true score on the selection scenarios: the true reward chose it",
    "last": "the last one: the true reward had no part in it",
}


class ImitationLearner(Protocol):
    """What learns: GAIL, AIRL, SQIL, ASAF, BC, DAgger; made from (lesson, config)."""

    @property
    def steps(self) -> int: ...
    @property
    def policy(self) -> NetworkPolicy: ...
    def iterate(self) -> dict[str, float]: ...
    def state(self) -> tuple[Tensors, dict[str, Any]]: ...
    def load_state(self, tensors: Tensors, values: Mapping[str, Any]) -> None: ...


LEARNERS: dict[str, Any] = {
    "gail": Gail, "airl": Airl, "gail-sac": GailSac, "sqil": Sqil, "asaf": Asaf, "bc": Clone,
    "dagger": Dagger,
}  # fmt: skip


class Imitator:
    """A learner of demonstrations as the training loop wants it.

    Raises:
        RoboAdvError: demonstrations, task, expert and config do not go together.
    """

    def __init__(self, config: ImitatorConfig) -> None:
        self.config = config
        self.lesson: Lesson = prepare(config)
        self.task = self.lesson.task
        self.learner: ImitationLearner = LEARNERS[config.learner](self.lesson, config)
        self.yardstick = Yardstick(self.task, config.selection_episodes)

    @property
    def steps(self) -> int:
        return self.learner.steps

    def iterate(self) -> dict[str, float]:
        metrics = self.learner.iterate()
        if not self.task.reports_success:  # episodes are not won there: no rate of it is shown
            metrics.pop("wins", None)
            metrics["episodes_ended"] = metrics["episodes"]
            metrics["episodes"] = 0.0
        return metrics

    def score(self) -> dict[str, float]:
        """The true mean return, or rate of success, on the selection scenarios."""
        policy, _ = fitted_bundle(self.learner.policy, self.task.sample, self.task.player)
        value = float(self.yardstick.measure(policy, SELECTION).mean())
        return {"score": value, f"selection_true_{self.yardstick.unit}": value}

    def save(self, folder: Path, metrics: Mapping[str, Any]) -> None:
        task, config, card = self.task, self.config, self.lesson.whole.card
        save_bundle(
            folder,
            self.learner.policy,
            game=task.sample.id,
            options=plain(getattr(task.sample, "options", {})),
            player=task.player,
            layout=task.sample.layouts[task.player].to_json(),
            net_arch=config.base.net_arch,
            activation=config.base.activation,
            provenance={
                "recipe": "imitator", "learner": config.learner, "seed": config.seed,
                "steps": self.steps, "checkpoint": CHOSEN.get(folder.name, ""),
                "control": config.control, "every": config.every,
                "demonstrator": card.demonstrator.name,
                "demonstrations": {
                    "episodes": len(self.lesson.episodes), "steps": len(self.lesson.steps),
                    "sha256": self.lesson.episodes.digest,
                },
            },
            metrics=metrics,
        )  # fmt: skip

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        return self.learner.state()

    def load_state(self, tensors: dict[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        self.learner.load_state(tensors, values)

    def warning(self) -> str:
        """What to know of survival bias before a learner is believed; '' if it has none here."""
        config = self.config
        if config.learner not in (*ABSORBING, "sqil") or config.absorb or config.control == "null":
            return ""
        pays = 1 if config.learner == "sqil" else REWARDS[config.disc.reward].survival
        if not pays or not self.yardstick.ends_early():
            return ""
        wanted = "staying alive" if pays > 0 else "ending episodes early"
        said = f"episodes of {self.task.env} can end early, and"
        if config.learner == "sqil":
            return f"{said} sqil's rewards of 1 and 0 pay for {wanted}: compare with --control shuffled"
        return (
            f"{said} the reward {config.disc.reward!r} pays for {wanted} whatever the discriminator "
            "has learned: compare with --control null, or use --absorb or --disc.reward airl"
        )


def train(config: ImitatorConfig, run: Run, *, resume: bool = False, quiet: bool = False) -> Path:
    """Train; returns the folder of the best checkpoint's bundle (`best` says how it was chosen)."""
    imitator = Imitator(config)
    result = train_loop(
        imitator, run, config.steps, checkpoint_every=config.checkpoint_every, resume=resume,
        label=f"{config.learner} in {imitator.task.env}", outcome="success", quiet=quiet, note=note,
        again="imitate",
    )  # fmt: skip
    run.finish(result)
    return run.folder / "checkpoints" / "best"


def note(metrics: Mapping[str, float]) -> str:
    """What progress says: the true return, and the discriminator's accuracies or the loss."""
    parts = []
    if "true_return" in metrics:
        parts.append(f"true return {metrics['true_return']:.4g}")
    if "expert_accuracy" in metrics:
        parts.append(
            f"D {metrics['expert_accuracy']:.2f} expert {metrics['learner_accuracy']:.2f} learner"
        )
    elif "loss" in metrics:
        parts.append(f"loss {metrics['loss']:.3f}")
    return "  " + "  ".join(parts) if parts else ""
