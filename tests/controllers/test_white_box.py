"""Published torch policies as controllers: white from inside, refused when self-contradictory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from foreign.toys import Array, Cart
from stable_baselines3 import PPO
from torch import nn

from robo_adv.agents.controllers import Controller, controller
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.errors import RoboAdvError
from robo_adv.rollout import play, scenarios
from robo_adv.threats.access import Access
from robo_adv.threats.mlp import MLP

MEAN, STD = torch.tensor([0.5, 4.0]), torch.tensor([0.2, 3.0])
SEEN = np.random.default_rng(0).normal([0.5, 4.0], [1.0, 9.0], (40, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def cart() -> GymnasiumWorld:
    return GymnasiumWorld(Cart, 3)


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)
    )


def _open(made: Any, world: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch) -> Controller:
    module = ModuleType("published")
    module.policy = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "published", module)
    return controller("published:policy", world, "agent")


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return ((x - MEAN) / STD).clamp(-10.0, 10.0)


def _agrees(found: Controller) -> None:
    """Access is what the controller does, on the environment's scale, and has a gradient."""
    assert found.access.mean is not None and not found.black_box
    x = torch.as_tensor(SEEN).requires_grad_(True)
    mean = found.access.mean(x)
    done = found.policy.predict(SEEN, deterministic=True)[0]
    assert np.abs(done).max() > 0.1
    assert np.allclose(
        np.clip(mean.detach().numpy(), -0.5, 2.0), np.clip(done, -0.5, 2.0), atol=1e-5
    )
    (slope,) = torch.autograd.grad(mean.sum(), x)
    assert slope.abs().max() > 0


class Published:
    """What people publish: a network and its frozen normaliser, in front of a mean action."""

    normaliser = MEAN, STD

    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(_normalised(observation))
        return out


class Behind(nn.Module):
    """The same as one module."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(_normalised(observation))
        return out


@pytest.mark.parametrize("form", ["stack", "module", "object", "factory", "class", "double"])
def test_a_torch_policy_is_an_mlp_from_inside_in_every_form(
    form: str, net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OfNothing(Published):
        def __init__(self) -> None:
            super().__init__(net)

    made = {
        "stack": nn.Sequential(nn.Identity(), net), "module": Behind(net),
        "object": Published(net), "factory": lambda world, player: Published(net),
        "class": OfNothing,
        "double": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double(),
    }[form]  # fmt: skip
    found = _open(made, cart, monkeypatch)
    _agrees(found)
    assert isinstance(found.access.mean, MLP) and found.deterministic
    told = "MLP 2 x 3 x 1" if form == "double" else "MLP 2 x 16 x 16 x 1"
    assert any(told in note for note in found.notes)
    if form in ("object", "class", "factory"):
        assert found.access.normaliser is not None
        assert np.allclose(found.access.normaliser[1], STD.numpy())
    assert len(play(cart, {"agent": found.policy}, scenarios(0, 4))) == 4


def test_a_network_that_is_no_mlp_is_differentiated_by_torch(
    net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = _open(nn.Sequential(nn.Linear(2, 8), nn.ELU(), nn.Linear(8, 1)), cart, monkeypatch)
    _agrees(found)
    assert not isinstance(found.access.mean, MLP)
    assert any("differentiated by torch" in note for note in found.notes)


def test_an_object_with_predict_may_say_all_there_is_to_know(
    net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Published):
        std = (0.3,)

        def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
            with torch.no_grad():
                action = self.mean(torch.as_tensor(observation).float()).numpy()
            return np.clip(action, -0.5, 2.0), None

        def value(self, observation: torch.Tensor) -> torch.Tensor:
            return observation.sum(1, keepdim=True)

        def q(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
            return self.value(observation) + action

    found = _open(Full(net), cart, monkeypatch)
    _agrees(found)
    assert found.access.missing == ()
    assert found.access.std is not None
    assert torch.allclose(found.access.std(torch.zeros(4, 2)), torch.full((4, 1), 0.3))

    class Whole:
        access = Access(mean=MLP.of(net, MEAN, 1.0 / STD, 10.0))
        predict = Full(net).predict

    _agrees(_open(Whole(), cart, monkeypatch))


def test_a_module_lies_in_the_current_folder(
    cart: GymnasiumWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import torch\npolicy = torch.nn.Sequential(torch.nn.Linear(2, 1))\n"
    (tmp_path / "lies_here.py").write_text(code)
    with pytest.raises(RoboAdvError, match="cannot import controller"):
        controller("lies_here:policy", cart, "agent")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    assert not controller("lies_here:policy", cart, "agent").black_box


def test_a_model_of_stable_baselines3_may_come_as_an_object(
    cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = PPO("MlpPolicy", Cart(), n_steps=8, batch_size=8, device="cpu", seed=0)
    found = _open(model, cart, monkeypatch)
    assert isinstance(found.access.mean, MLP) and found.access.std is not None
    expected = model.predict(SEEN, deterministic=True)[0]
    mean = found.access.mean(torch.as_tensor(SEEN)).numpy()
    assert np.allclose(np.clip(mean, -0.5, 2.0), expected, atol=1e-5)


class Acts(Published):
    """Its `predict` is right; subclasses say something else by `mean`."""

    def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
        with torch.no_grad():
            return Published.mean(self, torch.as_tensor(observation).float()).numpy(), None


class WrongNormaliser(Acts):
    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(((observation - MEAN) / STD**2).clamp(-10.0, 10.0))
        return out


class WithoutNormaliser(Acts):
    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(observation)
        return out


class WrongScale(Acts):
    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        return 0.98 * super().mean(observation)


class WrongClip(Acts):
    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(((observation - MEAN) / STD).clamp(-1.0, 1.0))
        return out


class OneNumber(Acts):
    def mean(self, observation: torch.Tensor) -> torch.Tensor:
        return super().mean(observation)[:, 0]


class ValueOfRows(Acts):
    def value(self, observation: torch.Tensor) -> torch.Tensor:
        return observation.sum(1)


class StdOfObservations(Acts):
    std = STD


class BadNormaliser(Acts):
    normaliser = MEAN, torch.zeros(2)


class NormaliserOfFive(Acts):
    normaliser = torch.zeros(5), torch.ones(5)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (WrongNormaliser, "is not what it does: for one observation.*normalise inside it"),
        (WithoutNormaliser, "is not what it does"),
        (WrongScale, "is not what it does"),
        (WrongClip, "is not what it does"),
        (OneNumber, r"`mean` gave \(64,\)"),
        (ValueOfRows, r"`value` gave \(64,\) for 64 observations"),
        (StdOfObservations, r"`std` gave \(64, 2\).*what scales observations is `normaliser`"),
        (BadNormaliser, "standard deviations above 0"),
        (NormaliserOfFive, r"shapes \(5,\) and \(5,\), expected two of \(2,\)"),
    ],
)
def test_an_object_that_contradicts_itself_is_refused(
    kind: Any, words: str, net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RoboAdvError, match=words):
        _open(kind(net), cart, monkeypatch)


def test_a_mean_without_gradient_is_refused_unless_its_trace_shows_an_mlp(
    net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Detached(Published):
        def mean(self, observation: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                return super().mean(observation)

    found = _open(Detached(net), cart, monkeypatch)
    assert isinstance(found.access.mean, MLP)
    _agrees(found)
    with pytest.raises(RoboAdvError, match="no gradient can be had of its `mean`"):
        _open(Detached(nn.Sequential(net, nn.ELU())), cart, monkeypatch)


def test_a_module_that_gives_no_tensor_says_what_is_needed(
    cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pair(nn.Module):
        def forward(self, observation: torch.Tensor) -> Any:
            return observation[:, :1], None

    with pytest.raises(RoboAdvError, match=r"gives tuple, expected a tensor of actions \(n, a\)"):
        _open(Pair(), cart, monkeypatch)


def test_attributes_of_the_same_name_that_are_numbers_keep_an_object_a_black_box(
    cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Numbers:
        mean, std = np.zeros(2), np.ones(2)

        def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
            return observation[:, :1], None

    found = _open(Numbers(), cart, monkeypatch)
    assert found.black_box and any("black box" in note for note in found.notes)


def test_a_policy_with_memory_is_a_black_box_and_says_why(
    net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Remembers(Published):
        def predict(
            self, observation: Array, state: Any = None, episode_start: Any = None,
            deterministic: bool = False,
        ) -> tuple[Array, Any]:  # fmt: skip
            old = np.zeros((1, len(observation), 1)) if state is None else state
            return observation[:, :1] + old[0], 0.5 * old + observation[None, :, :1]

    found = _open(Remembers(net), cart, monkeypatch)
    assert found.black_box and found.access.normaliser is not None
    assert any("keeps a state" in note and "black box" in note for note in found.notes)


def test_the_mean_of_a_policy_that_acts_at_random_is_not_compared(
    net: nn.Sequential, cart: GymnasiumWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noisy(Acts):
        def predict(self, observation: Array, *rest: Any) -> tuple[Array, None]:
            action, _ = super().predict(observation)
            return action + np.random.normal(0.0, 0.1, action.shape), None

    found = _open(Noisy(net), cart, monkeypatch)
    assert not found.black_box and any("was not compared" in note for note in found.notes)
