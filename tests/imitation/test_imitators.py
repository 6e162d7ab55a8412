"""What learners share: rewards, resuming, absorbing states, checkpoints, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imitation.follow import ENV, LENGTH, config, demonstrations, trained
from robo_adv.agents import imitator
from robo_adv.agents.imitators import absorbing
from robo_adv.agents.imitators.adversarial import Gail
from robo_adv.agents.imitators.asaf import Asaf, _whole
from robo_adv.agents.imitators.config import ImitatorConfig, config_of_run
from robo_adv.agents.imitators.lesson import prepare
from robo_adv.agents.imitators.score import score
from robo_adv.bundle import read_card
from robo_adv.cli.train import config_from
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstrations import load_demonstrations
from robo_adv.imitation.transitions import Transitions
from robo_adv.runs import Run
from robo_adv.training.loop import RESUME, Interrupted

ALL = ("gail", "airl", "gail-sac", "sqil", "asaf", "bc", "dagger")
SMALL: dict[str, dict[str, Any]] = {
    "asaf": {"asaf": {"n_steps": 64, "epochs": 2}}, "bc": {"steps": 40, "checkpoint_every": 10},
    "dagger": {"dagger": {"n_steps": 30}, "steps": 960, "checkpoint_every": 480},
    "gail": {"disc": {"updates": 3}}, "airl": {"disc": {"updates": 3}},
    "gail-sac": {"disc": {"updates": 3}, "sac": {"gradient_steps": 1, "buffer_size": 1_200}},
    "sqil": {"sac": {"gradient_steps": 1, "buffer_size": 1_200}},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demonstrations(tmp_path_factory.mktemp("follow") / "demonstrations")


def _small(folder: Path, learner: str, **changes: Any) -> ImitatorConfig:
    return config(folder, learner, **{**SMALL[learner], **changes})


# What the learner is paid.


def test_gail_is_paid_by_the_discriminator_and_never_by_the_environment(folder: Path) -> None:
    made = Gail(prepare(config(folder)), config(folder))
    observation, _ = made.env.reset(seed=1)
    action = np.linspace(-2, 2, 8, dtype=np.float32)[:, None]
    following, reward, terminated, *_ = made.env.step(action)
    played = np.clip(2.0 * action, -2.0, 2.0)
    batch = Transitions(observation, played, following, terminated)
    assert np.array_equal(reward, made.discriminator.reward(batch))
    (collected,) = made.env.collected
    assert np.array_equal(collected.action, played)
    assert np.array_equal(collected.next_observation, following)


def test_the_true_return_is_logged_beside_the_one_that_is_learned_from(folder: Path) -> None:
    made = Gail(prepare(config(folder)), config(folder))
    metrics = made.iterate()
    assert metrics["true_return"] < 0 < metrics["judged_return"]
    assert "return" not in metrics and {"expert_accuracy", "learner_accuracy"} <= set(metrics)


def test_a_last_observation_is_judged_and_not_the_next_episodes_first(folder: Path) -> None:
    made = Gail(prepare(config(folder)), config(folder))
    made.env.reset(seed=1)
    for _ in range(LENGTH):
        now, *_, info = made.env.step(np.zeros((8, 1), np.float32))
    last = made.env.collected[-1].next_observation
    assert np.array_equal(last[0], info["final_obs"][0]) and not np.array_equal(last, now)


def test_the_null_control_leaves_the_discriminator_as_it_was_made(folder: Path) -> None:
    made = Gail(prepare(config(folder)), config(folder, control="null"))
    before = {k: v.clone() for k, v in made.discriminator.state_dict().items()}
    metrics = made.iterate()
    assert all(torch.equal(v, before[k]) for k, v in made.discriminator.state_dict().items())
    assert "expert_accuracy" not in metrics


def test_the_shuffled_control_keeps_the_actions_and_loses_their_order(folder: Path) -> None:
    whole, mixed = (prepare(config(folder, control=c)).episodes for c in ("", "shuffled"))
    assert np.array_equal(np.sort(whole.actions, axis=0), np.sort(mixed.actions, axis=0))
    assert not np.array_equal(whole.actions, mixed.actions)


def test_subsampling_keeps_one_step_of_so_many_in_every_episode(folder: Path) -> None:
    assert len(prepare(config(folder, every=10, demos=3)).steps) == 3 * LENGTH // 10


# Being over.


def test_a_termination_earns_what_being_over_is_worth_for_ever(folder: Path) -> None:
    made = config(folder, absorb=True, options={"fragile": 0.5})
    learner = Gail(prepare(made), made)
    steps = Transitions(
        np.zeros((2, 1), np.float32), np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32),
        np.array([False, True]),
    )  # fmt: skip
    over = learner.discriminator.reward(absorbing.absorbing_steps(1, 1, 1))[0]
    alive = learner.discriminator.reward(absorbing.widened(steps))
    expected = alive + np.array([0.0, over * (0.5 / (1.0 - 0.5))])  # discount 0.5
    assert learner.judge(steps) == pytest.approx(expected)


def test_absorbing_steps_fill_up_to_the_time_limit_where_episodes_terminated(folder: Path) -> None:
    made = config(folder, absorb=True, options={"fragile": 0.5})
    learner = Gail(prepare(made), made)
    assert len(learner.expert) == 5 * LENGTH  # the expert's were cut by the limit alone
    learner.iterate()
    seen = learner.seen()
    ends = learner.env.terminated_after
    assert ends and len(seen) == 512 + sum(LENGTH - length for length in ends)
    assert seen.observation[512:, -1].all() and not seen.observation[:512, -1].any()


# Runs.


@pytest.mark.parametrize("learner", ALL)
def test_a_stopped_run_goes_on_to_the_bit(
    folder: Path, learner: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _small(folder, learner)
    whole = trained(tmp_path / "whole", made, imitator.train)
    right, calls = imitator.Imitator.iterate, []

    def stopping(self: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) > 1 and self.steps >= made.checkpoint_every:
            raise Interrupted("stop")
        return right(self)

    monkeypatch.setattr(imitator.Imitator, "iterate", stopping)
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", made, imitator.train)
    monkeypatch.setattr(imitator.Imitator, "iterate", right)
    torch.manual_seed(9)
    np.random.seed(9)
    (cut,) = (tmp_path / "cut" / ENV / "imitate").iterdir()
    run = Run.open(cut)
    again = config_from(config_of_run, run.config["config"])
    assert again == made
    imitator.train(again, run, resume=True, quiet=True)
    one, two = ((r / RESUME).read_bytes() for r in (whole.folder, cut))
    assert _without_seconds(one) == _without_seconds(two)
    for name in ("best", "last"):
        cards = [read_card(r / "checkpoints" / name) for r in (whole.folder, cut)]
        assert cards[0].sha256 == cards[1].sha256


def _without_seconds(state: bytes) -> tuple[Any, bytes]:
    size = int.from_bytes(state[:8], "little")
    header = json.loads(state[8 : 8 + size])
    header["__metadata__"].pop("seconds")
    return header, state[8 + size :]


def test_checkpoints_say_whether_the_true_reward_chose_them(folder: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, _small(folder, "bc"), imitator.train)
    told = {n: read_card(run.folder / "checkpoints" / n).provenance for n in ("best", "last")}
    assert "the true reward chose it" in told["best"]["checkpoint"]
    assert "no part" in told["last"]["checkpoint"]
    assert told["last"]["learner"] == "bc" and told["last"]["demonstrations"]["episodes"] == 5


def test_early_stopping_keeps_the_network_of_the_lowest_held_out_loss(folder: Path) -> None:
    made = _small(folder, "bc", steps=10_000, clone={"patience": 3, "learning_rate": 0.1})
    learner = imitator.Imitator(made).learner
    losses = []
    while learner.steps < made.steps:
        losses.append(learner.iterate()["validation_loss"])
    assert len(losses) < 400 and losses.index(min(losses)) == len(losses) - 4
    best = learner.cloner  # type: ignore[attr-defined]
    best.network.load_state_dict(learner.best.state_dict())  # type: ignore[attr-defined]
    assert best.likelihood_loss(learner.held_out) == min(losses)  # type: ignore[attr-defined]


def test_whole_episodes_are_those_that_begin_and_end_within_a_rollout() -> None:
    ended = np.array([[0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]], dtype=bool)
    first, length = _whole(ended, np.array([True, False]))
    assert first.tolist() == [0, 2] and length.tolist() == [2, 3]
    first, length = _whole(ended, np.array([False, True]))
    assert first.tolist() == [2, 6] and length.tolist() == [3, 3]


def test_asaf_keeps_its_own_actions_as_they_were_drawn_and_plays_them_clipped(folder: Path) -> None:
    """Judged as clipped, a mean far beyond the bounds would make its own actions improbable."""
    made = _small(folder, "asaf")
    learner = Asaf(prepare(made), replace(made, ppo=replace(made.ppo, log_std_init=1.0)))
    played, kept = learner._sample(np.zeros((64, 1), np.float32))
    assert np.abs(played).max() == 1.0 < np.abs(kept).max()
    np.testing.assert_allclose(np.clip(kept, -1.0, 1.0), played, atol=1e-6)


# Scores.


def test_a_score_is_0_for_random_actions_and_1_for_the_expert() -> None:
    random, expert = np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])
    assert score(random, random, expert, "return", True).score.value == 0.0
    assert score(expert, random, expert, "return", True).score.value == 1.0
    half = score((random + expert) / 2, random, expert, "return", True).score
    assert half.value == half.low == half.high == 0.5  # paired: the scenarios' spread cancels
    apart = score((random + expert) / 2, random, expert, "return", False).score
    assert apart.low < 0.5 < apart.high
    with pytest.raises(RoboAdvError, match="not above"):
        score(random, expert, random, "return", True)


# What is refused.


def test_demonstrations_of_another_task_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RoboAdvError, match="other actions"):
        prepare(config(folder, options={"high": 1.0}))
    shown = load_demonstrations(folder)
    for name, change in {
        "another environment": {"game": "Pendulum-v1"}, "another player": {"player": "arm"},
    }.items():  # fmt: skip
        replace(shown, card=shown.card.model_copy(update=change)).save(tmp_path / name)
        with pytest.raises(RoboAdvError, match=r"demonstrations of|player"):
            prepare(config(tmp_path / name))


def test_windows_longer_than_the_demonstrations_are_refused(folder: Path) -> None:
    with pytest.raises(RoboAdvError, match="longest"):
        imitator.Imitator(_small(folder, "asaf", asaf={"window": LENGTH + 1, "n_steps": 64}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learner": "gial"}, "gail"),
        ({"control": "nil"}, "null"),
        ({"learner": "bc", "control": "null"}, "shuffled"),
        ({"learner": "dagger", "control": "shuffled"}, "asks its expert"),
        ({"learner": "airl", "absorb": True}, "absorb"),
        ({"learner": "sqil", "absorb": True}, "absorb"),
        ({"learner": "gail-sac", "absorb": True, "sac": {"gamma": 1.0}}, "gamma 1.0"),
        ({"learner": "sqil", "control": "null"}, "has none"),
        ({"every": 0}, "at least 1"),
        ({"clone": {"validation": 1.0}}, "below 1"),
        ({"dagger": {"decay": 2.0}}, "at most 1"),
        ({"asaf": {"n_steps": 0}}, "n_steps"),
        ({"learner": "asaf", "every": 2, "asaf": {"window": 5}}, "every step"),
        ({"demos": 6}, "5 demonstrations"),
        ({"expert": "nobody", "learner": "dagger"}, "nobody"),
    ],
)
def test_a_config_that_cannot_be_is_refused(
    folder: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RoboAdvError, match=words):
        imitator.Imitator(config(folder, **{"learner": "gail", **changes}))


def test_a_reward_that_pays_for_living_is_warned_of_where_episodes_can_end_early(
    folder: Path,
) -> None:
    calm = imitator.Imitator(config(folder))
    fragile: dict[str, Any] = {"options": {"fragile": 0.5}}
    assert calm.warning() == ""
    assert "staying alive" in imitator.Imitator(config(folder, **fragile)).warning()
    assert imitator.Imitator(config(folder, **fragile, absorb=True)).warning() == ""
    assert imitator.Imitator(config(folder, **fragile, disc={"reward": "airl"})).warning() == ""
    assert "sqil's rewards" in imitator.Imitator(config(folder, "sqil", **fragile)).warning()
    assert "staying alive" in imitator.Imitator(config(folder, "gail-sac", **fragile)).warning()
