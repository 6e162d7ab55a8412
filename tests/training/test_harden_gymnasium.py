"""Hardening a bundle of one of Gymnasium's environments: judged by returns, on its own range."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from robo_adv.agents import harden, hardened
from robo_adv.agents.evaluation import World
from robo_adv.agents.harden import HardenConfig
from robo_adv.agents.hardened import Hardened
from robo_adv.agents.named import named_policy
from robo_adv.bundle import load_bundle, save_bundle
from robo_adv.cli import main
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import SELECTION, play, scenarios
from robo_adv.runs import Run
from robo_adv.training.learner import PPOConfig
from robo_adv.training.loop import Interrupted
from robo_adv.training.network import NetworkPolicy, build_network
from robo_adv.training.smooth import SmoothConfig
from training.tiny import (
    ONE_THREAD,
    Killed,
    assert_same_run,
    disturb_generators,
    metrics,
    new_run,
    stop_after,
)

WORLD, PLAYER = "Pendulum-v1", "agent"
PPO = PPOConfig(num_envs=2, n_steps=64, batch_size=64, n_epochs=2, scale_reward=True)


@pytest.fixture(autouse=True)
def _few_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardened, "RETURNS", 4)
    monkeypatch.setattr(hardened, "REFERENCE_EPISODES", 4)


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pendulum") / "policy"
    world = World(WORLD, {}).make(1)
    torch.manual_seed(0)
    network = build_network(3, 1, (16,), "tanh")
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    save_bundle(
        folder, NetworkPolicy(network), game=WORLD, options={}, player=PLAYER,
        layout=world.layouts[PLAYER].to_json(), net_arch=(16,), activation="tanh",
        provenance={"recipe": "test"}, metrics={},
    )  # fmt: skip
    world.close()
    return folder


def config_of(pendulum: Path, **changes: Any) -> HardenConfig:
    base = HardenConfig(
        controller=str(pendulum), steps=5 * PPO.rollout, warmup=2 * PPO.rollout, ppo=PPO, seed=3,
        smooth=SmoothConfig(budget=0.3, ramp=0.5, unit="policy"), threads=ONE_THREAD,
        checkpoint_every=2 * PPO.rollout,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def trainee_of(config: HardenConfig, root: Path) -> Hardened:
    return Hardened(config, harden.prepare(config), new_run(root, config))


def test_its_score_is_the_mean_of_the_returns_without_and_under_attack(
    pendulum: Path, tmp_path: Path
) -> None:
    trainee = trainee_of(config_of(pendulum), tmp_path)
    arena = World(WORLD, {}).make(4)
    policies = {PLAYER: named_policy(str(pendulum), arena, PLAYER)}
    wanted = play(arena, policies, scenarios(SELECTION, 4)).returns[PLAYER].mean()
    found = trainee.before
    assert found["selection_return"] == pytest.approx(wanted, rel=1e-6)
    assert found["selection_return_attacked"] != found["selection_return"]
    both = found["selection_return"] + found["selection_return_attacked"]
    assert found["score"] == pytest.approx(both / 2.0)


def test_an_attack_of_budget_zero_changes_no_return(pendulum: Path, tmp_path: Path) -> None:
    calm = trainee_of(config_of(pendulum, smooth=SmoothConfig(budget=0.0)), tmp_path).before
    assert calm["selection_return_attacked"] == calm["selection_return"]


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    pendulum: Path, tmp_path: Path, how: str
) -> None:
    config = config_of(pendulum)
    whole, stopped = (new_run(tmp_path / name, config, "harden") for name in ("a", "b"))
    harden.harden(config, whole, quiet=True)
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 3, how)
        with pytest.raises((Killed, Interrupted)):
            harden.harden(config, stopped, quiet=True)
    disturb_generators()
    harden.harden(config, stopped, resume=True, quiet=True)
    assert_same_run(whole, stopped)
    assert metrics(whole)[-1]["smooth_budget"] == pytest.approx(0.3)
    card = load_bundle(whole.folder / "checkpoints" / "last").card
    assert card.game == WORLD and card.provenance["hardened"] == str(pendulum)
    assert "reward" not in card.provenance and card.metrics["before"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reward": "sparse"}, "pays its own reward"),
        ({"method": "opponents", "opponents": ("zero",)}, "needs a game with opponents"),
        ({"opponents": ("zero",)}, "has one player"),
        ({"reference": "reference.json"}, "nothing here is measured in it"),
    ],
)
def test_what_makes_no_sense_there_is_refused(
    pendulum: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(RoboAdvError, match=said):
        harden.prepare(config_of(pendulum, **changes))


def test_the_verb_hardens_it_and_tells_returns(
    pendulum: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "harden", str(pendulum), "--steps", "128", "--warmup", "64", "--ppo.num-envs", "2",
        "--ppo.n-steps", "32", "--threads.update", "1", "--runs", str(tmp_path),
    ]  # fmt: skip
    assert main.run(arguments) == 0
    out = capsys.readouterr().out
    assert "return attacked" in out and "%" not in out
    (folder,) = (path for path in tmp_path.rglob("config.json"))
    config = Run.open(folder.parent).config["config"]
    assert config["ppo"]["scale_reward"] and config["ppo"]["n_epochs"] == 10
