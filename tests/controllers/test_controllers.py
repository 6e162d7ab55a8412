"""Controllers by name: bundles, scripted ones and functions, tried on a world before they play."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from foreign.toys import Array, Cart, Linear

from robo_adv.agents.controllers import controller
from robo_adv.agents.named import zoo_names
from robo_adv.bundle import load_bundle, save_bundle
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError, UnknownNameError
from robo_adv.masks import Masked
from robo_adv.rollout import play, scenarios
from robo_adv.training.network import NetworkPolicy, build_network

W = np.array([[0.7], [-0.3]])


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the user's, importable as `mine`."""
    found = ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", found)
    return found


@pytest.fixture(scope="module")
def cart() -> GymnasiumWorld:
    return GymnasiumWorld(Cart, 3)


class Predicts:
    """A policy in stable-baselines3's sense, made from nothing."""

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        return observation @ W, state


def one_row(observation: Array) -> Any:
    assert observation.shape == (2,)
    return observation @ W


def ambiguous(observation: Array) -> Any:
    """Made for one observation; given a batch it answers nonsense of the right shape."""
    return observation @ W if observation.ndim == 1 else np.zeros((len(observation), 1))


@pytest.mark.parametrize(
    "made",
    [
        lambda observation: observation @ W,
        lambda observation: (observation @ W).tolist(),
        one_row,
        ambiguous,
        Predicts(),
        Predicts,
        lambda world, player: Predicts(),
        lambda world, player: one_row,
        lambda: Predicts(),
    ],
    ids=["batch", "lists", "one row", "ambiguous", "object", "class", "factory", "makes a function",
         "of nothing"],
)  # fmt: skip
def test_a_function_of_the_user_is_a_controller_in_every_form(
    made: Any, module: Any, cart: GymnasiumWorld
) -> None:
    module.policy = made
    found = controller("mine:policy", cart, "agent")
    assert found.kind == "callable" and found.deterministic and found.black_box
    seen = np.random.default_rng(0).normal(size=(6, 2))
    assert np.allclose(found.policy.predict(seen)[0], seen @ W)
    assert len(play(cart, {"agent": found.policy}, scenarios(0, 4))) == 4


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda observation: np.zeros((len(observation), 4)), r"\(n, 2\) to actions \(n, 1\)"),
        (lambda observation: observation.missing, "AttributeError"),
        (3, "expected a function of observations"),
        (Linear(5, 1), "fails on observations of shape"),
        (Linear(2, 3), r"shape \(3, 3\) for observations \(3, 2\), expected \(3, 1\)"),
    ],
)
def test_a_controller_that_does_not_fit_says_what_it_gave_and_what_is_needed(
    made: Any, words: str, module: Any, cart: GymnasiumWorld
) -> None:
    module.policy = made
    with pytest.raises(RoboAdvError, match=words):
        controller("mine:policy", cart, "agent")


def test_names_that_mean_nothing_are_refused(cart: GymnasiumWorld) -> None:
    for name, words in (
        ("zero1", "did you mean 'zero'.*FILE.onnx"),
        ("no_such_module:policy", "cannot import controller"),
        ("zoo:nobody", "unknown zoo policy"),
    ):
        with pytest.raises(RoboAdvError, match=words):
            controller(name, cart, "agent")
    with pytest.raises(UnknownNameError, match="agent"):
        controller("zero", cart, "kicker")
    with pytest.raises(RoboAdvError, match="belong to a zip"):
        controller("zero", cart, "agent", statistics=Path("statistics.pkl"))


def test_a_random_controller_is_seeded_per_episode_so_that_pairs_stay_pairs(module: Any) -> None:
    module.policy = lambda observation: (
        observation @ W + np.random.normal(size=(len(observation), 1))
    )
    world, alone = GymnasiumWorld(Cart, 5), GymnasiumWorld(Cart, 1)
    found = controller("mine:policy", world, "agent")
    assert not found.deterministic and found.reproducible
    assert any("seeded per episode" in note for note in found.notes)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    a = play(world, {"agent": found.policy}, scenarios(0, 7))
    b = play(alone, {"agent": found.policy}, scenarios(0, 7))
    assert np.array_equal(a.returns["agent"], b.returns["agent"])
    assert len(set(a.returns["agent"])) == 7
    after = np.random.get_state(legacy=False)["state"]["key"]
    assert np.array_equal(before, after), "the caller's generator was moved"


def test_a_random_controller_of_torch_is_seeded_as_well(module: Any, cart: GymnasiumWorld) -> None:
    module.policy = lambda observation: torch.randn(len(observation), 1).numpy()
    found = controller("mine:policy", cart, "agent")
    assert not found.deterministic and found.reproducible
    first, again = (play(cart, {"agent": found.policy}, scenarios(0, 4)) for _ in range(2))
    assert np.array_equal(first.returns["agent"], again.returns["agent"])


def test_a_controller_whose_chance_cannot_be_seeded_is_told(
    module: Any, cart: GymnasiumWorld
) -> None:
    rng = np.random.default_rng()
    module.policy = lambda observation: rng.normal(size=(len(observation), 1))
    found = controller("mine:policy", cart, "agent")
    assert not found.deterministic and not found.reproducible
    assert any("cannot be seeded" in note for note in found.notes)


def test_a_controller_that_gives_nan_is_told_and_fails_its_episodes(
    module: Any, cart: GymnasiumWorld
) -> None:
    module.policy = lambda observation: np.full((len(observation), 1), np.nan)
    found = controller("mine:policy", cart, "agent")
    assert found.deterministic and any("not finite" in note for note in found.notes)
    assert play(cart, {"agent": found.policy}, scenarios(0, 4)).forfeit.all()


def test_a_controller_cannot_write_into_what_the_world_shows(
    module: Any, cart: GymnasiumWorld
) -> None:
    def writes(observation: Array) -> Array:
        observation[:] = 0.0
        return np.zeros((len(observation), 1))

    module.policy = writes
    seen = np.ones((2, 2))
    controller("mine:policy", cart, "agent").policy.predict(seen)
    assert (seen == 1).all()


def test_scripted_policies_play_foreign_worlds(cart: GymnasiumWorld) -> None:
    for name in ("zero", "random"):
        found = controller(name, cart, "agent")
        assert found.kind == "scripted" and found.deterministic
        assert len(play(cart, {"agent": found.policy}, scenarios(0, 2))) == 2


def test_a_zoo_policy_is_known_from_inside() -> None:
    name = next(n for n in zoo_names() if n.startswith("kick"))
    folder = f"zoo:{name}"
    from robo_adv.agents.named import find_bundle

    bundle = find_bundle(folder)
    game = make_game(bundle.card.game, 2, threads=1, **bundle.card.options)
    found = controller(folder, game, bundle.card.player)
    assert found.kind == "bundle" and found.deterministic and not found.black_box
    seen = game.reset([1, 2])[bundle.card.player]
    access = found.access
    assert access.mean is not None and access.value is not None and access.std is not None
    x = torch.as_tensor(seen)
    mean = np.clip(access.mean(x).detach().numpy(), -1, 1)
    assert np.allclose(mean, found.policy.predict(seen, deterministic=True)[0], atol=1e-6)
    assert access.value(x).shape == (2, 1) and access.std(x).shape == mean.shape
    assert access.normaliser is not None and access.normaliser[0].shape == (seen.shape[1],)
    assert access.missing == ("q",)


def test_a_bundle_made_for_a_gymnasium_environment_plays_its_float64_observations(
    tmp_path: Path,
) -> None:
    world = GymnasiumWorld("Hopper-v5", 2, max_episode_steps=20)
    torch.manual_seed(0)
    policy = NetworkPolicy(build_network(11, 3, (8,), "tanh"))
    save_bundle(
        tmp_path / "hopper", policy, game=world.id, options={}, player="agent",
        layout=world.layouts["agent"].to_json(), net_arch=(8,), activation="tanh", provenance={},
    )  # fmt: skip
    found = controller(str(tmp_path / "hopper"), world, "agent")
    episodes = play(world, {"agent": found.policy}, scenarios(0, 3))
    again = load_bundle(tmp_path / "hopper").policy
    obs = world.reset([0, 1])["agent"]
    assert obs.dtype == np.float64 and np.isfinite(episodes.returns["agent"]).all()
    assert found.access.mean is not None
    expected = again.predict(obs.astype(np.float32), deterministic=True)[0]
    assert np.array_equal(found.policy.predict(obs, deterministic=True)[0], expected)
    assert np.allclose(
        found.access.mean(torch.as_tensor(obs)).detach().numpy(), expected, atol=1e-6
    )


class Smoothing:
    """Keeps a state as recurrent policies of stable-baselines3 do: episodes on the second axis."""

    def __init__(self, pair: bool) -> None:
        self.pair = pair

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        old = state[0] if self.pair and state is not None else state
        old = np.zeros((1, len(observation), 2)) if old is None else old
        rows = np.where(np.asarray(episode_start, bool)[:, None], 0.0, old[0])
        rows = 0.8 * rows + 0.2 * observation
        return rows @ W, (rows[None], rows[None]) if self.pair else rows[None]


@pytest.mark.parametrize("pair", [True, False])
def test_a_recurrent_controller_plays_alike_in_any_batch_and_under_a_threat_of_nothing(
    pair: bool, module: Any, cart: GymnasiumWorld
) -> None:
    module.policy = Smoothing(pair)
    policy = controller("mine:policy", cart, "agent").policy
    wide = play(cart, {"agent": policy}, scenarios(0, 7)).returns["agent"]
    alone = play(GymnasiumWorld(Cart, 1), {"agent": policy}, scenarios(0, 7)).returns["agent"]
    masked = Masked(policy, np.zeros(0, np.int64), "zeros")
    under = play(cart, {"agent": masked}, scenarios(0, 7)).returns["agent"]
    assert np.array_equal(wide, alone) and np.array_equal(wide, under)
    memoryless = play(cart, {"agent": Predicts()}, scenarios(0, 7)).returns["agent"]
    assert not np.array_equal(wide, memoryless)


@pytest.mark.parametrize(
    ("state", "words"),
    [({"h": 1}, "state of .'dict'."), (np.zeros((1, 5)), r"state of shape \(1, 5\)")],
)
def test_a_state_whose_episodes_cannot_be_found_is_refused(
    state: Any, words: str, module: Any, cart: GymnasiumWorld
) -> None:
    class Odd:
        def predict(self, observation: Array, *rest: Any) -> tuple[Array, Any]:
            return observation @ W, state

    module.policy = Odd()
    with pytest.raises(RoboAdvError, match=words):
        controller("mine:policy", cart, "agent")
