"""Hardening: starts from the bundle, fine-tunes, scores under attack, resumes to the bit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_adv.agents import harden, hardened
from robo_adv.agents.harden import HardenConfig
from robo_adv.agents.hardened import Hardened
from robo_adv.audit.reference import Reference
from robo_adv.bundle import load_bundle, save_bundle
from robo_adv.cli import main
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Pool
from robo_adv.runs import Run
from robo_adv.threats.attacked import Attacked
from robo_adv.training.loop import Interrupted
from robo_adv.training.network import network_weights
from robo_adv.training.smooth import SmoothConfig, Smoothness
from robo_adv.training.squashed import SquashedPolicy, build_actor
from training.tiny import (
    FLAGS,
    GAME,
    ONE_THREAD,
    OPTIONS,
    PPO,
    Killed,
    assert_same_run,
    disturb_generators,
    metrics,
    new_run,
    stop_after,
    tiny_bundle,
)

TINY = [flag for flag in FLAGS if flag not in ("--set", "arms=0")]
METHODS: dict[str, dict[str, Any]] = {
    "sa-ppo": {"opponents": ("random",), "smooth": SmoothConfig(budget=0.5, ramp=0.5)},
    "opponents": {"method": "opponents", "opponents": ("random", "track-ball")},
}


@pytest.fixture(autouse=True)
def _short_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardened, "REFERENCE_EPISODES", 8)


@pytest.fixture(scope="module")
def kicker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("kicker") / "kicker")


def _config(kicker: Path, method: str = "sa-ppo", **changes: Any) -> HardenConfig:
    base = HardenConfig(
        controller=str(kicker), steps=5 * PPO.rollout, warmup=2 * PPO.rollout, ppo=PPO, seed=3,
        threads=ONE_THREAD, checkpoint_every=2 * PPO.rollout,
    )  # fmt: skip
    return dataclasses.replace(base, **{**METHODS[method], **changes})


def _trainee(config: HardenConfig, root: Path) -> Hardened:
    return Hardened(config, harden.prepare(config), new_run(root, config))


def _moved(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in first if not torch.equal(first[name], second[name])}


def test_it_starts_from_the_bundle_and_the_critic_learns_first(
    kicker: Path, tmp_path: Path
) -> None:
    trainee = _trainee(_config(kicker), tmp_path)
    start = network_weights(load_bundle(kicker).policy.network)
    begun = network_weights(trainee.learner.ppo.policy)
    assert not _moved(start, begun)
    trainee.iterate()
    assert trainee.iterate()["smooth_budget"] == 0.0
    warm = network_weights(trainee.learner.ppo.policy)
    assert _moved(start, warm) == {name for name in start if "value_net" in name}
    trainee.iterate()
    assert trainee.iterate()["smooth_budget"] > 0.0
    after = network_weights(trainee.learner.ppo.policy)
    assert start.keys() - _moved(start, after) == {n for n in start if n.startswith("features_")}


def test_its_score_under_sa_ppo_is_the_mean_of_the_rates_without_and_under_attack(
    kicker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hardened, "_attacked", lambda self: 0.75)
    found = _trainee(_config(kicker), tmp_path).before
    assert found["selection_win_rate_attacked"] == 0.75
    assert found["score"] == pytest.approx((found["selection_win_rate"] + 0.75) / 2.0)


def test_an_attack_of_budget_zero_changes_nothing(kicker: Path, tmp_path: Path) -> None:
    config = _config(kicker, smooth=SmoothConfig(budget=0.0), opponents=("zero",))
    calm = _trainee(config, tmp_path).before
    assert calm["selection_win_rate_attacked"] == calm["selection_win_rate"]


def test_the_attack_that_scores_it_has_the_scale_of_the_regulariser(
    kicker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def spy(policy: Any, threat: Any, attack: Any, scale: Any, **more: Any) -> Any:
        seen.append((threat.budget, np.array(scale)))
        return Attacked(policy, threat, attack, scale, **more)

    monkeypatch.setattr(hardened, "Attacked", spy)
    trainee = _trainee(_config(kicker), tmp_path)
    penalty = trainee.learner.penalty
    assert isinstance(penalty, Smoothness)
    ((budget, scale),) = seen
    assert budget == 0.5 == penalty.config.budget
    np.testing.assert_allclose(penalty.scale.numpy(), scale, rtol=1e-6)


def test_sigma_is_measured_once_kept_in_the_run_and_may_be_given(
    kicker: Path, tmp_path: Path
) -> None:
    config = _config(kicker)
    run = new_run(tmp_path, config)
    trainee = Hardened(config, harden.prepare(config), run)
    measured = Reference.load(run.folder / "reference.json")
    assert trainee.scale is not None and np.array_equal(trainee.scale, measured.std)
    other = dataclasses.replace(measured, std=tuple(2.0 * s for s in measured.std))
    other.save(tmp_path / "other.json")
    given = dataclasses.replace(config, reference=str(tmp_path / "other.json"))
    doubled = _trainee(given, tmp_path).scale
    assert doubled is not None and np.array_equal(doubled, 2.0 * trainee.scale)


def test_unit_policy_is_the_controllers_own_normaliser(kicker: Path, tmp_path: Path) -> None:
    trainee = _trainee(_config(kicker, smooth=SmoothConfig(unit="policy")), tmp_path)
    assert trainee.scale is not None
    np.testing.assert_allclose(trainee.scale, 1.0, atol=1e-6)  # tiny_bundle's has seen nothing
    assert not (trainee.scale == 0).any()


def test_method_opponents_has_no_regulariser_and_plays_a_pool_of_equal_shares(
    kicker: Path, tmp_path: Path
) -> None:
    trainee = _trainee(_config(kicker, "opponents"), tmp_path)
    assert trainee.learner.penalty is None and trainee.scale is None
    pool = trainee.opponents["keeper"]
    assert isinstance(pool, Pool)
    np.testing.assert_allclose(pool.cumulative, [0.5, 1.0])
    assert set(trainee.before) == {"score", "selection_win_rate"}


def test_the_zoos_normal_opponents_share_the_place_of_one() -> None:
    config = HardenConfig("zoo:kicker-omni4-s2", "opponents",
                          ("zoo:adversary-keeper-omni4-s2", "normal"))  # fmt: skip
    pool = harden.prepare(config).opponents["keeper"]
    assert isinstance(pool, Pool)
    np.testing.assert_allclose(np.diff(pool.cumulative, prepend=0), [1 / 2, 1 / 6, 1 / 6, 1 / 6])


@pytest.fixture(scope="module")
def whole_runs() -> dict[str, Run]:
    """Uninterrupted runs by method, made when first asked for."""
    return {}


@pytest.fixture
def whole(
    method: str, kicker: Path, whole_runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    if method not in whole_runs:
        config = _config(kicker, method)
        whole_runs[method] = new_run(tmp_path_factory.mktemp(method), config, "harden")
        harden.harden(config, whole_runs[method], quiet=True)
    return whole_runs[method]


@pytest.mark.parametrize(
    ("method", "iterations", "how"),
    [
        ("sa-ppo", 1, "interrupted"),  # while the critic learns alone
        ("sa-ppo", 3, "killed"),
        ("opponents", 3, "interrupted"),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    method: str, iterations: int, how: str, whole: Run, kicker: Path, tmp_path: Path
) -> None:
    config = _config(kicker, method)
    stopped = new_run(tmp_path, config, "harden")
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, iterations, how)
        with pytest.raises((Killed, Interrupted)):
            harden.harden(config, stopped, quiet=True)
    disturb_generators()
    harden.harden(config, stopped, resume=True, quiet=True)
    assert_same_run(whole, stopped)


@pytest.mark.parametrize("method", ["sa-ppo", "opponents"])
def test_the_card_says_that_it_was_hardened_from_what_and_how(
    method: str, whole: Run, kicker: Path
) -> None:
    card, start = (load_bundle(f).card for f in (whole.folder / "checkpoints" / "last", kicker))
    told = card.provenance
    assert (told["recipe"], told["method"], told["seed"]) == ("harden", method, 3)
    assert told["hardened"] == str(kicker) and told["hardened_sha256"] == start.sha256
    assert told["opponents"] == list(METHODS[method]["opponents"]) and told["reward"] == "dense"
    assert ("smooth" in told) == (method == "sa-ppo")
    assert (card.game, card.player, card.layout) == (start.game, start.player, start.layout)
    assert card.options.items() >= start.options.items()
    assert card.architecture == start.architecture and card.sha256 != start.sha256
    assert (
        card.metrics["before"] == json.loads((whole.folder / "summary.json").read_text())["before"]
    )


def test_a_weight_of_zero_is_plain_fine_tuning(kicker: Path, tmp_path: Path) -> None:
    config = _config(kicker, smooth=SmoothConfig(weight=0.0, budget=0.5))
    trainee = _trainee(config, tmp_path)
    assert trainee.learner.penalty is None and trainee.scale is not None
    assert "selection_win_rate_attacked" in trainee.before


def test_from_the_command_line_and_resumed(
    kicker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    arguments = [
        "harden", str(kicker), "--opponents", "random", "--steps", "640", "--warmup", "128",
        "--checkpoint-every", "256", "--smooth.budget", "0.3", *TINY, "--runs", str(tmp_path),
    ]  # fmt: skip
    assert main.run([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["exit_code"] == 0 and said["before"].keys() == said["after"].keys()
    whole = Run.open(said["folder"])
    config = whole.config["config"]
    assert config["smooth"] == dataclasses.asdict(SmoothConfig(budget=0.3))
    assert config["ppo"]["learning_rate"] == harden.fine(PPO).learning_rate < PPO.learning_rate
    with monkeypatch.context() as patch:
        stop_after(patch, 3, "interrupted")
        assert main.run(arguments) == 130
    (folder,) = set((tmp_path / GAME / "harden").iterdir()) - {whole.folder}
    assert main.run(["harden", "--resume", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "before and after" in out
    assert f"--compare {kicker} {folder / 'checkpoints' / 'best'} --ports observation" in out
    assert_same_run(whole, Run.open(folder))
    assert metrics(Run.open(folder))[-1]["smooth_budget"] == pytest.approx(0.3)
    assert main.run(["harden", "--resume", str(folder)]) == 2
    assert "is finished; nothing to resume" in capsys.readouterr().err


KICKER = "zoo:kicker-omni4-s2"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "name the controller to harden, for example zoo:"),
        (["chase-ball"], "'chase-ball' is a scripted policy, expected zoo:<name>"),
        (["math:sqrt"], "'math:sqrt' is no bundle, expected zoo:<name>"),
        (["nowhere"], "'nowhere' is no bundle"),
        (["zoo:kiker-omni4-s2"], "did you mean 'kicker-omni4-s2'"),
        (["net.onnx"], "'net.onnx' is no bundle"),
        (["net.zip"], "becomes a bundle by `robo-adv zoo import`"),
        (["squashed"], "squashed holds 'squashed-actor' alone (made by test)"),
        (["zoo:reach-panda-s1", "--method", "opponents"], "needs a game with opponents, Reach-v0 has one player (arm)"),  # noqa: E501
        (["zoo:reach-panda-s1", "--opponents", "zero"], "Reach-v0 has one player and no opponents"),
        ([KICKER, "--method", "opponents"], "method opponents needs --opponents"),
        ([KICKER, "--opponents", "tack-ball"], "unknown policy 'tack-ball'; did you mean 'track-ball'"),
        ([KICKER, "--opponents", "zoo:kicker-omni4-s1"], "was made for 'kicker' in KickAndDefend-v0, asked for 'keeper'"),  # noqa: E501
        ([KICKER, "--reward", "dence"], "dence"),
        ([KICKER, "--smooth.weight", "-1"], "smooth.weight must be a finite number of at least 0, got -1"),  # noqa: E501
        ([KICKER, "--steps", "0"], "steps must be at least 1, got 0"),
        ([KICKER, "--warmup", "-1"], "warmup must be at least 0 steps, got -1"),
        ([KICKER, "--reference", "nowhere.json"], "cannot read reference nowhere.json"),
        (["--resume", "nowhere"], "nowhere is not a run folder"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_mistakes_are_named_in_one_line_and_leave_nothing(
    arguments: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for name in ("net.onnx", "net.zip"):
        Path(name).write_bytes(b"")
    _squashed(Path("squashed"))
    before = set(Path().rglob("*"))
    assert main.run(["harden", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("robo-adv: error: ") and err.count("\n") == 1
    assert text in err
    assert set(Path().rglob("*")) == before


def _squashed(folder: Path) -> None:
    """SAC's actor as a bundle, which has no critic."""
    world = make_game(GAME, 1, threads=1, **OPTIONS)
    layout = world.layouts["kicker"]
    policy = SquashedPolicy(build_actor(layout.size, world.action_size("kicker"), (16,), "tanh"))
    save_bundle(
        folder, policy, game=GAME, options=OPTIONS, player="kicker", layout=layout.to_json(),
        net_arch=(16,), activation="tanh", provenance={"recipe": "test"},
    )  # fmt: skip


def test_a_run_of_another_verb_is_not_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Run.create(GAME, "adversary", {}, 0, tmp_path).folder
    assert main.run(["harden", "--resume", str(folder)]) == 2
    assert "is not a run of `robo-adv harden`" in capsys.readouterr().err


def test_an_unknown_method_is_refused(kicker: Path) -> None:
    with pytest.raises(RoboAdvError, match="unknown method 'trades'"):
        harden.prepare(HardenConfig(str(kicker), "trades"))  # type: ignore[arg-type]
