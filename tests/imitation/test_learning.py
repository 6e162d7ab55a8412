"""Every learner comes close to its expert on a tiny task, and does not once its labels are swapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitation.follow import EXPERT, GAIN, Expert, config, demonstrations
from robo_adv.agents.imitator import Imitator
from robo_adv.agents.imitators import asaf, off_policy
from robo_adv.imitation.asaf import asaf_loss
from robo_adv.imitation.discriminator import Discriminator

LEARNED, FAILED = 0.85, 0.5  # scores: 1 is the expert, 0 random actions
CHANGES: dict[str, dict[str, Any]] = {
    "gail": {"steps": 8_192, "disc": {"updates": 10, "batch_size": 128}},
    "airl": {"steps": 12_288, "disc": {"updates": 10, "batch_size": 128}},
    "gail-sac": {
        "steps": 4_096,
        "sac": {"tau": 0.05},
        "disc": {"learning_rate": 3e-3, "updates": 32, "batch_size": 128, "reward": "airl"},
    },
    "sqil": {"steps": 3_072, "sac": {"tau": 0.05}},
    "asaf": {"steps": 10_240, "asaf": {"n_steps": 64, "epochs": 5, "learning_rate": 3e-3}},
    "bc": {"steps": 400, "clone": {"batch_size": 32, "learning_rate": 3e-3}},
    "dagger": {"steps": 1_600, "clone": {"batch_size": 64, "learning_rate": 3e-3}},
}


def _score(folder: Path, learner: str, **changes: Any) -> float:
    """(R - random) / (expert - random); the expert's return is 0."""
    made = config(folder, learner, **{**CHANGES[learner], **changes})
    imitator = Imitator(made)
    while imitator.steps < made.steps:
        imitator.iterate()
    random = float(imitator.yardstick.measure(imitator.yardstick.random).mean())
    return 1.0 - imitator.score()["score"] / random


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstrations(tmp_path_factory.mktemp("follow") / "demonstrations")


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["gail", "airl", "gail-sac"])
def test_an_adversarial_learner_comes_close_to_the_expert(folder: Path, learner: str) -> None:
    assert _score(folder, learner) > LEARNED


@pytest.mark.parametrize(
    "learner", ["asaf", "bc", "dagger", pytest.param("sqil", marks=pytest.mark.slow)]
)
def test_a_learner_comes_close_to_the_expert(folder: Path, learner: str) -> None:
    assert _score(folder, learner) > LEARNED


@pytest.mark.parametrize("window", [4, 0])
def test_asaf_learns_from_windows_and_whole_episodes(folder: Path, window: int) -> None:
    changes = {**CHANGES["asaf"]["asaf"], "window": window, "stride": 4, "batch_size": 16,
               "epochs": 10}  # fmt: skip
    assert _score(folder, "asaf", asaf=changes, steps=12_288) > LEARNED


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["gail", "airl", "gail-sac"])
def test_an_adversarial_learner_with_swapped_labels_does_not(
    folder: Path, learner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Discriminator.update

    def swapped(self: Any, expert: Any, learner: Any, generator: Any, log_probs: Any = None) -> Any:
        given = None if log_probs is None else log_probs[::-1]
        return right(self, learner, expert, generator, given)

    monkeypatch.setattr(Discriminator, "update", swapped)
    assert _score(folder, learner) < FAILED


def test_asaf_with_swapped_labels_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = asaf_loss
    monkeypatch.setattr(asaf, "asaf_loss", lambda e, ef, g, gf: right(g, gf, e, ef))
    assert _score(folder, "asaf") < FAILED


@pytest.mark.slow
def test_sqil_that_is_paid_for_its_own_steps_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(off_policy, "_whose", lambda steps, shown: 1.0 - shown)
    assert _score(folder, "sqil") < FAILED


def test_cloning_of_shuffled_actions_does_not(folder: Path) -> None:
    assert _score(folder, "bc", control="shuffled") < FAILED


def test_dagger_with_a_wrong_expert_does_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Expert, "gain", -GAIN)
    assert _score(folder, "dagger", expert=EXPERT) < FAILED


@pytest.mark.slow
def test_gail_with_an_untrained_discriminator_does_not(folder: Path) -> None:
    assert _score(folder, "gail", control="null") < FAILED


def test_learning_leaves_the_global_generators_alone_but_for_ppo_and_sac(folder: Path) -> None:
    for learner in ("asaf", "bc", "dagger"):
        imitator = Imitator(config(folder, learner))
        torch.manual_seed(3)
        np.random.seed(3)
        before = torch.get_rng_state(), _numpy_state()
        imitator.iterate()
        assert torch.equal(before[0], torch.get_rng_state()), learner
        assert np.array_equal(before[1], _numpy_state()), learner


def _numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1]
