"""Recording: what was played, whatever is played beside it, with what was thrown away counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from foreign.toys import Cart, linear_for

from robo_adv.agents.recording import RecordConfig, Taker, choose, record
from robo_adv.agents.scripted import SCRIPTED
from robo_adv.envs.foreign import GymnasiumWorld
from robo_adv.envs.game import make_game
from robo_adv.errors import RoboAdvError
from robo_adv.imitation.demonstrations import DEMONSTRATED, Episode, load_demonstrations
from robo_adv.policy import Policy
from robo_adv.safety.criteria import make_criterion

Array = npt.NDArray[Any]
FIRST = DEMONSTRATED


@pytest.fixture(autouse=True, scope="module")
def _cart() -> Iterator[None]:
    gymnasium.register("RecordedCart-v0", Cart, max_episode_steps=20)
    yield
    del gymnasium.registry["RecordedCart-v0"]


class Moody:
    """Acts by the position and is not finite where the cart starts on the right."""

    def predict(
        self, observation: Array, state: Any = None, episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Array, Any]:  # fmt: skip
        x = observation[:, :1].astype(np.float64)
        return np.where((x > 0.5) & (observation[:, 1:] == 0), np.nan, 5.0 * x), state


def _taker(width: int, policy: Policy | None = None, success: str = "") -> Taker:
    world = GymnasiumWorld(Cart, width)
    judge = make_criterion(world, "agent", success=success) if success else None
    return Taker(world, {"agent": policy or linear_for(world)["agent"]}, "agent", judge=judge)


def _same(one: Episode, other: Episode) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__]
    return all(
        a is b is None or np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True)
        for a, b in pairs
    )


def test_what_is_recorded_is_what_the_environment_does_with_these_actions() -> None:
    data = record(RecordConfig("random", env="RecordedCart-v0", episodes=5, width=2))
    env = gymnasium.make("RecordedCart-v0")
    for episode in data.episodes():
        seen, _ = env.reset(seed=episode.seed)
        rows, paid = [seen], []
        for action in episode.actions:
            seen, reward, terminated, truncated, _ = env.step(action)
            rows.append(seen)
            paid.append(reward)
        assert np.array_equal(episode.observations, np.array(rows, dtype=np.float32))
        assert np.array_equal(episode.rewards, np.array(paid, dtype=np.float64))
        assert (episode.terminated, episode.truncated) == (terminated, truncated)
    assert data.seeds.tolist() == [FIRST + k for k in range(5)]
    assert data.card.game == "RecordedCart-v0" and data.card.demonstrator.kind == "scripted"
    assert np.isnan(data.success).all()


def test_recorded_actions_are_clipped_to_what_was_played() -> None:
    taken, _ = _taker(3, Moody()).take(FIRST, 12)
    actions = np.concatenate([e.actions for e in taken])
    finite = actions[np.isfinite(actions)]
    assert finite.min() == -0.5 and finite.max() == 2.0


@pytest.mark.parametrize("width", [2, 5, 40])
def test_an_episode_does_not_depend_on_what_is_recorded_beside_it(width: int) -> None:
    alone, _ = _taker(1).take(FIRST, 7)
    beside, _ = _taker(width).take(FIRST, 7)
    assert all(_same(*pair) for pair in zip(alone, beside, strict=True))
    later, _ = _taker(width).take(FIRST + 4, 3)
    assert all(_same(*pair) for pair in zip(alone[4:], later, strict=True))


@pytest.mark.parametrize(
    "config",
    [
        RecordConfig("zoo:reach-panda-s1", episodes=3, stochastic=True),
        RecordConfig("chase-ball", env="KickAndDefend-v0", options={"arms": 0}, episodes=5,
                     opponent="random"),
    ],
    ids=["a stochastic bundle", "two players"],
)  # fmt: skip
def test_games_are_recorded_alike_at_any_width(config: RecordConfig) -> None:
    made = [record(RecordConfig(**{**vars(config), "width": width})) for width in (1, 2, 32)]
    assert len({data.digest for data in made}) == 1
    data = made[0]
    assert len(data) == config.episodes and np.isin(data.success, (0, 1)).all()
    game = make_game(data.card.game, 1, threads=1, **data.card.options)
    assert data.check_fits(game, data.card.player) == ()
    assert data.card.demonstrator.deterministic is (not config.stochastic)
    assert data.card.others == ({"keeper": "random"} if config.opponent else {})


def test_only_successes_are_kept_the_first_ones_by_seed_at_any_width() -> None:
    everything, _ = _taker(8, success="return>=1").take(FIRST, 60)
    good = [e for e in everything if e.success == 1.0]
    assert 5 < len(good) < 55
    for width in (1, 7, 64):
        kept, counts = choose(
            _taker(width, success="return>=1"), FIRST, 5, 60, True, lambda kept, played: None
        )
        assert all(_same(*pair) for pair in zip(kept, good[:5], strict=True))
        last = kept[-1].seed - FIRST + 1
        assert counts == {"played": last, "failed": last - 5, "diverged": 0, "forfeited": 0}


def test_episodes_with_actions_that_are_no_numbers_are_thrown_away() -> None:
    kept, counts = choose(_taker(4, Moody()), FIRST, 9, 100, False, lambda kept, played: None)
    assert len(kept) == 9 and counts["forfeited"] == counts["played"] - 9 > 0
    assert all(np.isfinite(e.actions).all() and e.observations[0, 0] <= 0.5 for e in kept)


def test_diverged_episodes_are_thrown_away() -> None:
    world = GymnasiumWorld(Cart, 3, nan_at=6)
    taker = Taker(world, {"agent": SCRIPTED["zero"](world, "agent")}, "agent")  # type: ignore[arg-type]
    kept, counts = choose(taker, FIRST, 2, 8, False, lambda kept, played: None)
    assert kept == [] and counts["diverged"] == counts["played"] == 8


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    record(
        RecordConfig("random", env="RecordedCart-v0", episodes=3, success="return>=0"),
        lambda kept, played: told.append((kept, played)),
    )
    assert told[-1] == (3, 3) and told == sorted(told)


def test_the_card_says_how_episodes_were_chosen() -> None:
    config = RecordConfig("random", env="RecordedCart-v0", episodes=4, only_successful=True,
                          success="return>=0.5")  # fmt: skip
    data = record(config)
    told = data.card.recording
    assert told.only_successful and told.success == "return>=0.5"
    assert told.played == 4 + told.failed and told.failed > 0 and told.first_seed == FIRST
    assert (data.returns >= 0.5).all() and (data.success == 1.0).all()
    few = record(RecordConfig(**{**vars(config), "attempts": told.played - 1}))
    assert len(few) == 3 and np.array_equal(few.seeds, data.seeds[:3])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"episodes": 0}, "episodes must be 1 to 100,000, got 0"),
        ({"width": 0}, "width must be 1 to 4,096, got 0"),
        ({"attempts": 2, "episodes": 3}, "2 attempts cannot give 3 episodes"),
        ({"seed": -1}, "scenario seeds are 0 to 9223372036854775807, got -1"),
        ({"seed": 2**64 - 1}, "scenario seeds are 0 to 9223372036854775807, got 18446744073709551615"),
        ({"seed": 1_000_000}, "scenario seeds 1,000,000 to 8,999,999 are for evaluation"),
        ({"seed": 999_999}, "demonstrations must not show them"),
        ({"only_successful": True}, "does not tell what success is; name a condition"),
        ({"only_successful": True, "success": "return>=1e9"}, r"no episode to keep in 20 .*20 failed"),
        ({"success": "retrun>=1"}, "retrun"),
        ({"controller": "rnadom"}, "unknown controller 'rnadom'; did you mean 'random'"),
        ({"controller": "zoo:hopper-s2"}, "made for 'agent' in Hopper-v5, not for RecordedCart-v0"),
        ({"player": "kicker"}, "unknown player of RecordedCart-v0 'kicker'"),
        ({"opponent": "zero"}, "one player and no opponents; leave out --opponent"),
        ({"env": "CartPole-v1"}, "needed are continuous ones"),
        ({"env": "Nowhere-v9"}, "Nowhere"),
    ],
)  # fmt: skip
def test_recordings_that_cannot_be_are_refused(changes: dict[str, Any], text: str) -> None:
    config = {"controller": "random", "env": "RecordedCart-v0", "episodes": 1, **changes}
    with pytest.raises(RoboAdvError, match=text):
        record(RecordConfig(**config))


def test_a_recording_is_a_set_of_demonstrations_on_disk(tmp_path: Any) -> None:
    data = record(RecordConfig("random", env="RecordedCart-v0", episodes=2))
    data.save(tmp_path / "set")
    back = load_demonstrations(tmp_path / "set")
    assert back.card == data.card and back.digest == data.digest
