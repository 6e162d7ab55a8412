"""Policies that were trained on Dict observations play where observations are flat."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from stable_baselines3 import PPO

from contracts.plane import GAME, add_plane
from robo_adv.agents.make import make_seat
from robo_adv.agents.named import named_policy
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.policy import DictPolicy, EpisodicPolicy, Policy, State
from robo_adv.rollout import play, scenarios
from robo_adv.training.vec_env import VectorToVecEnv

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def _plane(monkeypatch: pytest.MonkeyPatch) -> None:
    add_plane(monkeypatch)


def _box(size: int) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)


SPACE = gymnasium.spaces.Dict(
    {"achieved_goal": _box(2), "desired_goal": _box(2), "observation": _box(3)}
)


class Flat:
    """Goes to the mark, from the flat observation."""

    def predict(
        self,
        observation: Any,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return np.clip(3.0 * (observation[:, 2:4] - observation[:, :2]), -1, 1), None


class OfDict(Flat):
    """The same from the Dict."""

    def __init__(self, space: gymnasium.Space[Any] = SPACE) -> None:
        self.observation_space = space

    def predict(
        self,
        observation: Any,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        assert len(observation["observation"]) == len(observation["achieved_goal"])
        return np.clip(
            3.0 * (observation["desired_goal"] - observation["achieved_goal"]), -1, 1
        ), None


class Counting(OfDict):
    """Keeps a state per episode."""

    def start(self, seeds: Any, observation: Any) -> tuple[Array, ...]:
        return (observation["desired_goal"].copy(),)

    def predict(
        self,
        observation: Any,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        assert state is not None and np.array_equal(state[0], observation["desired_goal"])
        return super().predict(observation)[0], state


def _module(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    module = ModuleType("my_policies")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, "my_policies", module)


@pytest.mark.parametrize("policy", [OfDict(), Counting()])
def test_a_dict_policy_plays_like_its_flat_twin(policy: Policy) -> None:
    game = make_game(GAME, 7, threads=1)
    adapted = DictPolicy(policy, game.layouts["puck"])
    assert isinstance(adapted, EpisodicPolicy) == isinstance(policy, Counting)
    one, other = (play(game, {"puck": p}, scenarios(0, 20)) for p in (adapted, Flat()))
    for name in ("winner", "length"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert np.array_equal(one.returns["puck"], other.returns["puck"])
    assert one.win_rate("puck").count == 20


def test_a_stable_baselines3_model_of_the_dict_face_is_found_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seat = make_seat(GAME, 32)
    model = PPO("MultiInputPolicy", VectorToVecEnv(seat), n_steps=8, batch_size=64, device="cpu")
    _module(monkeypatch, model=model, make=lambda game, player: model)
    game = make_game(GAME, 32, threads=1)
    seen, _ = seat.reset(seed=list(range(32)))
    expected = model.predict(seen, deterministic=True)[0]
    flat = game.reset(np.arange(32))["puck"]
    for name in ("my_policies:model", "my_policies:make"):
        policy = named_policy(name, game, "puck")
        assert np.array_equal(policy.predict(flat, None, None, True)[0], expected)
        assert len(play(game, {"puck": policy}, scenarios(0, 10))) == 10


def test_policies_of_flat_observations_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = Flat()
    _module(monkeypatch, flat=flat)
    game = make_game(GAME, 1, threads=1)
    assert named_policy("my_policies:flat", game, "puck") is flat


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (
            {**SPACE.spaces, "wrist": gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)},
            r"OfDict wants pictures \['wrist'\]; evaluation gives",
        ),
        ({**SPACE.spaces, "observation": _box(9)}, r"'observation': \(9,\).*this game gives"),
        ({"observation": _box(7)}, r"wants observations \{'observation': \(7,\)\}"),
    ],
)
def test_a_policy_of_other_observations_is_refused(
    space: dict[str, gymnasium.Space[Any]], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _module(monkeypatch, policy=OfDict(gymnasium.spaces.Dict(space)))
    with pytest.raises(RoboAdvError, match=text):
        named_policy("my_policies:policy", make_game(GAME, 1, threads=1), "puck")


def test_a_policy_of_the_dict_with_pictures_of_a_game_without_goals_is_refused() -> None:
    game = make_game("KickAndDefend-v0", 1, threads=1)
    size = game.layouts["kicker"].size
    whole = OfDict(gymnasium.spaces.Dict({"observation": _box(size)}))
    assert isinstance(DictPolicy(whole, game.layouts["kicker"]), DictPolicy)
    with pytest.raises(RoboAdvError, match="this game gives"):
        DictPolicy(OfDict(), game.layouts["kicker"])
    with pytest.raises(RoboAdvError, match="has no Dict observation_space"):
        DictPolicy(Flat(), game.layouts["kicker"])
