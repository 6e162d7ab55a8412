"""Delays and sensor noise do exactly what they say, and nothing at zero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.envs.manipulation.interface import REFERENCE_NOISE
from robo_adv.envs.manipulation.push import Push
from robo_adv.levels.space import Value

Array = npt.NDArray[np.float64]
N, STEPS = 3, 16
SEEDS = np.arange(N)


def actions(seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (STEPS, N, 3))


def game(level: Mapping[str, Value]) -> Push:
    made = Push(N, threads=1)
    made.reset(SEEDS, levels=[made.design_space.level(level)] * N)
    return made


def trajectory(level: Mapping[str, Value], played: Array) -> tuple[Array, Array]:
    """Observations (T + 1, N, d) and states of the joints and objects (T + 1, N, nq)."""
    made = game(level)
    seen, states = [made.observe("arm", slice(None))], [made.qpos.copy()]
    for action in played:
        seen.append(made.step({"arm": action}).obs["arm"])
        states.append(made.qpos.copy())
    return np.stack(seen), np.stack(states)


@pytest.mark.parametrize("delay", [1, 2, 4])
def test_a_delayed_action_is_the_undelayed_one_some_steps_later(delay: int) -> None:
    """Before the first one arrives, zero actions do."""
    played = actions()
    late = np.concatenate([np.zeros((delay, N, 3)), played[:-delay]])
    seen, states = trajectory({"action_delay": delay}, played)
    expected, moved = trajectory({}, late)
    assert np.array_equal(states, moved)
    assert np.array_equal(seen, expected)


@pytest.mark.parametrize("delay", [1, 3, 4])
def test_a_delayed_observation_is_the_one_some_steps_ago(delay: int) -> None:
    """Before that, the first one; the world goes on as ever; the desired goal is never late."""
    played = actions()
    seen, states = trajectory({"observation_delay": delay}, played)
    now, moved = trajectory({}, played)
    assert np.array_equal(states, moved)
    for t in range(STEPS + 1):
        assert np.array_equal(seen[t], now[max(t - delay, 0)]), f"step {t}"
    fixed = Push(1, threads=1).layouts["arm"]["desired_goal"]
    assert np.array_equal(seen[..., fixed], now[..., fixed])


def test_both_delays_together_are_one_after_the_other() -> None:
    played = actions()
    late = np.concatenate([np.zeros((2, N, 3)), played[:-2]])
    seen, _ = trajectory({"action_delay": 2, "observation_delay": 1}, played)
    expected, _ = trajectory({"observation_delay": 1}, late)
    assert np.array_equal(seen, expected)


def test_sensor_noise_has_the_stated_size_in_every_slice() -> None:
    """Mean 0, sigma = scale x reference of the unit; other numbers at every step and seed."""
    layout, scale, n = Push(1, threads=1).layouts["arm"], 1.5, 2000
    made = Push(n, threads=2)
    level = made.design_space.level({"sensor_noise": scale})
    noisy = made.reset(np.arange(n), levels=[level] * n)["arm"]
    plain = Push(n, threads=2).reset(np.arange(n))["arm"]
    noise = (noisy - plain).astype(np.float64)
    for piece in layout:
        columns = noise[:, layout[piece.name]]
        sigma = scale * REFERENCE_NOISE.get(piece.unit, 0.0)
        if piece.name == "desired_goal":
            sigma = 0.0
        if sigma == 0.0:
            assert not columns.any(), piece.name
        else:
            assert abs(columns.std() / sigma - 1.0) < 0.05, piece.name
            assert abs(columns.mean()) < 4.0 * sigma / np.sqrt(columns.size), piece.name
            assert len(np.unique(columns[:, 0])) > 0.9 * n, piece.name
    later = made.step({"arm": np.zeros((n, 3))}).obs["arm"][:, 0] - noisy[:, 0]
    assert later.std() > scale * REFERENCE_NOISE["m"], "the same noise at every step"


def test_sensor_noise_leaves_the_world_alone() -> None:
    played = actions()
    _, states = trajectory({"sensor_noise": 2.0}, played)
    _, expected = trajectory({}, played)
    assert np.array_equal(states, expected)


def test_zero_delays_and_noise_change_no_bit_beside_others() -> None:
    played = actions()
    expected, _ = trajectory({}, played)
    made = Push(N, threads=1)
    space = made.design_space
    full = space.level({"action_delay": 4, "observation_delay": 4, "sensor_noise": 2.0})
    first = made.reset(SEEDS, levels=[space.nominal, full, space.nominal])["arm"]
    seen = np.stack([first, *(made.step({"arm": action}).obs["arm"] for action in played)])
    assert np.array_equal(seen[:, [0, 2]], expected[:, [0, 2]])
    assert not np.array_equal(seen[:, 1], expected[:, 1])


def test_an_episode_goes_on_from_a_snapshot_in_the_middle_of_its_delays() -> None:
    level = {"action_delay": 3, "observation_delay": 2, "sensor_noise": 1.0}
    first, second = game(level), Push(N, threads=1)
    played = actions()
    for action in played[:7]:
        last = first.step({"arm": action}).obs["arm"]
    second.restore(first.snapshot(), first.levels)
    assert np.array_equal(second.observe("arm", slice(None)), last)
    for action in played[7:]:
        one, other = (made.step({"arm": action}) for made in (first, second))
        assert np.array_equal(one.obs["arm"], other.obs["arm"])
        assert np.array_equal(one.rewards["arm"], other.rewards["arm"])
        for name, cost in one.costs["arm"].items():
            assert np.array_equal(cost, other.costs["arm"][name]), name


def test_delays_do_not_leak_into_the_next_episode() -> None:
    made = game({"action_delay": 4, "observation_delay": 4})
    for action in actions():
        made.step({"arm": action})
    space = made.design_space
    level = space.level({"action_delay": 2, "observation_delay": 2})
    again = made.reset(SEEDS + 5, levels=[level] * N)["arm"]
    fresh = Push(N, threads=1)
    assert np.array_equal(again, fresh.reset(SEEDS + 5, levels=[level] * N)["arm"])
    for action in actions(1):
        one, other = (g.step({"arm": action}).obs["arm"] for g in (made, fresh))
        assert np.array_equal(one, other)
