"""SAC with hindsight: it learns a problem with a known answer, resumes exactly, and refuses others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from contracts.plane import GAME, add_plane

from robo_adv import seeding
from robo_adv.agents import hindsight, player
from robo_adv.agents.hindsight import Hindsight, HindsightConfig
from robo_adv.agents.make import make_seat
from robo_adv.bundle import load_bundle
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Driver
from robo_adv.rollout import play, scenarios
from robo_adv.training.hindsight import HindsightLearner
from robo_adv.training.learner import Learner, PPOConfig
from robo_adv.training.loop import load_state, save_state
from robo_adv.training.off_policy import SACConfig
from robo_adv.training.squashed import NormalisedDict
from training.tiny import (
    ONE_THREAD,
    Killed,
    assert_same_run,
    disturb_generators,
    new_run,
    resume_state,
)

Array = npt.NDArray[Any]
# A buffer of 50 rows, so that the third iteration overwrites the first.
TINY = SACConfig(
    num_envs=4, gradient_steps=1, iteration=80, learning_starts=60, buffer_size=200, batch_size=32,
    net_arch=(16,),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _plane(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    add_plane(monkeypatch)
    monkeypatch.setattr(player, "SELECTION_EPISODES", 8)
    yield


def _learner(seed: int = 0, config: SACConfig = TINY) -> HindsightLearner:
    seat = make_seat(GAME, config.num_envs, threads=1, reward="sparse")
    return HindsightLearner(seat, config, seed, ONE_THREAD)


def _config(**changes: Any) -> HindsightConfig:
    return HindsightConfig(
        **{"game": GAME, "sac": TINY, "threads": ONE_THREAD, "steps": 320, "checkpoint_every": 160,
           **changes}
    )  # fmt: skip


@pytest.mark.slow
def test_a_puck_learns_to_reach_its_mark_from_sparse_rewards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(player, "SELECTION_EPISODES", 200)
    sac = SACConfig(
        num_envs=8, gradient_steps=4, iteration=400, learning_starts=200, buffer_size=20_000,
        batch_size=128, learning_rate=3e-3, net_arch=(32, 32),
    )  # fmt: skip
    trainee = Hindsight(_config(sac=sac))
    assert trainee.score()["score"] < 0.3
    while trainee.steps < 1600:
        metrics = trainee.iterate()
    assert trainee.score()["score"] > 0.9
    assert metrics["episodes"] in (48, 56) and metrics["wins"] > 24


def test_the_policy_is_the_learners_actor_on_flat_observations() -> None:
    learner = _learner()
    for _ in range(2):
        learner.iterate()
    policy = learner.policy
    game = make_game(GAME, 32, threads=1)
    flat = game.reset(np.arange(32))["puck"]
    seen, _ = make_seat(GAME, 32, threads=1).reset(seed=list(range(32)))
    expected = learner.sac.predict(seen, deterministic=True)[0]
    action = policy.predict(flat, None, None, True)[0]
    np.testing.assert_allclose(action, expected, atol=1e-6)
    assert np.ptp(action, axis=0).min() > 0
    mean = policy.mean(torch.as_tensor(flat)).detach().numpy()
    np.testing.assert_allclose(action, mean, atol=1e-6)


def test_gradients_pass_from_actions_to_raw_flat_observations() -> None:
    learner = _learner()
    learner.iterate()
    x = torch.randn(4, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad(learner.policy.mean(x).sum(), x)
    assert gradient.abs().min() > 0


def test_sampled_actions_depend_on_the_episode_seed_alone_and_stay_in_the_box() -> None:
    learner = _learner()
    learner.iterate()
    policy, seeds = learner.policy, np.arange(50, dtype=np.uint64)
    x = np.tile(np.linspace(-1, 1, 7, dtype=np.float32), (50, 1))

    def acts(order: Array) -> Array:
        driver = Driver(policy, len(order), deterministic=False)
        driver.begin(np.arange(len(order)), seeds[order], x[order])
        return np.stack([driver.act(x[order]) for _ in range(2)])

    whole, order = acts(np.arange(50)), np.random.default_rng(0).permutation(50)
    torch.manual_seed(1)
    assert np.array_equal(acts(order), whole[:, order])
    assert np.array_equal(acts(np.array([7]))[:, 0], whole[:, 7])
    assert len(np.unique(whole[0, :, 0])) == 50 and np.abs(whole).max() < 1.0
    state = policy.start(seeding.as_seeds(seeds), x)
    assert not np.array_equal(policy.predict(x, state)[0], policy.predict(x, state, None, True)[0])


def test_statistics_are_those_of_all_observations_so_far_in_all_three_networks() -> None:
    learner, seen = _learner(), []
    step = learner.env.step

    def stepped(actions: Array) -> Any:
        last = learner.sac._last_obs
        assert isinstance(last, dict)
        seen.append(np.concatenate([last[key] for key in sorted(last)], axis=1))
        return step(actions)

    learner.env.step = stepped  # type: ignore[method-assign]
    for _ in range(4):
        learner.iterate()
        everything = np.concatenate(seen).astype(np.float64)
        for part in (learner.sac.actor, learner.sac.critic, learner.sac.critic_target):
            layer = part.features_extractor
            assert isinstance(layer, NormalisedDict)
            assert float(layer.count) == len(everything) == learner.steps
            np.testing.assert_allclose(layer.mean.numpy(), everything.mean(0), atol=1e-9)
            np.testing.assert_allclose(layer.var.numpy(), everything.var(0), atol=1e-9)


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_learner_continues_from_its_state_alone(iterations: int, tmp_path: Path) -> None:
    """Before learning started is the first state, after the buffer wrapped around the other."""
    config = TINY if iterations == 3 else SACConfig(**{**vars(TINY), "learning_starts": 200})
    first = _learner(7, config)
    for _ in range(iterations):
        first.iterate()
    tensors, values = first.state()
    expected = [first.iterate() for _ in range(2)]
    second = _learner(99, config)
    second.iterate()
    disturb_generators()
    second.load_state(tensors, values)
    assert [second.iterate() for _ in range(2)] == expected
    mine, other = first.state()[0], second.state()[0]
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_a_run_that_was_killed_and_resumed_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config()
    whole, parts = (new_run(tmp_path / name, config) for name in ("whole", "parts"))
    best = hindsight.train(config, whole, quiet=True)
    iterate, calls = HindsightLearner.iterate, 0

    def killed(self: HindsightLearner) -> dict[str, float]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise Killed
        return iterate(self)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(HindsightLearner, "iterate", killed)
        hindsight.train(config, parts, quiet=True)
    disturb_generators()
    hindsight.train(config, parts, resume=True, quiet=True)
    assert_same_run(whole, parts)
    assert whole.done and parts.done
    assert "buffer.observations.desired_goal" in resume_state(whole)[0]
    bundle = load_bundle(best)
    assert bundle.card.architecture.kind == "squashed-actor"
    assert bundle.card.provenance["recipe"] == "hindsight"
    game = make_game(GAME, 8, threads=1)
    assert len(play(game, {"puck": bundle.policy}, scenarios(0, 8))) == 8


def test_a_state_of_another_shape_is_refused(tmp_path: Path) -> None:
    trainee = Hindsight(_config())
    trainee.iterate()
    save_state(tmp_path / "state", trainee, 0.0, 0.0)
    for change, text in (
        ({"net_arch": (32,)}, "does not fit this learner"),
        ({"num_envs": 2}, "use the same options and num_envs"),
        ({"buffer_size": 40}, "use the same num_envs and buffer_size"),
    ):
        other = Hindsight(_config(sac=SACConfig(**{**vars(TINY), **change})))
        with pytest.raises(RoboAdvError, match=text):
            load_state(tmp_path / "state", other)


def test_what_cannot_be_relabelled_is_refused() -> None:
    with pytest.raises(
        RoboAdvError, match="KickAndDefend-v0 has no goals to relabel; games that do"
    ):
        Hindsight(_config(game="KickAndDefend-v0"))
    with pytest.raises(RoboAdvError, match=r"terms that do not depend on the goal \(effort\)"):
        Hindsight(_config(reward="lazy"))
    with pytest.raises(RoboAdvError, match="hindsight needs Dict observations with goals"):
        HindsightLearner(make_seat(GAME, 4, observation="flat"), TINY, 0)
    early = SACConfig(**{**vars(TINY), "learning_starts": 8})
    with pytest.raises(RoboAdvError, match=r"raise learning_starts \(8\) above num_envs times"):
        _learner(0, early).iterate()


def test_ppo_says_that_it_wants_flat_observations() -> None:
    config = PPOConfig(num_envs=4, n_steps=16, batch_size=64, net_arch=(16,))
    with pytest.raises(RoboAdvError, match="make the Seat with observation='flat'"):
        Learner(make_seat(GAME, 4), config, 0, ONE_THREAD)
    assert Learner(make_seat(GAME, 4, observation="flat"), config, 0, ONE_THREAD).iterate()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"num_envs": 0}, "num_envs must be at least 1, got 0"),
        ({"tau": 1.5}, r"tau must lie in 0\.\.1, got 1.5"),
        ({"net_arch": (10,)}, "widths must be multiples of 4"),
        ({"activation": "gelu"}, "activation 'gelu' is not one of"),
    ],
)
def test_bad_hyper_parameters_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        SACConfig(**changes)
