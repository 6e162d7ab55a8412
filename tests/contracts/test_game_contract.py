"""Every registered game keeps the contract of `robo_adv.envs.game.Game`, with every body."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import parallel_api_test
from stable_baselines3.common import env_checker

from contracts import checks
from contracts.cases import SMALL, Case, every_case
from contracts.traces import mixed_actions
from robo_adv.agents.make import make_single
from robo_adv.envs.faces import SingleEnv, parallel_env
from robo_adv.envs.game import make_game
from robo_adv.envs.seat import Seat
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend
from robo_adv.errors import RoboAdvError
from robo_adv.policy import Policy, State
from robo_adv.training.vec_env import VectorToVecEnv


def _players(case: Case) -> tuple[str, ...]:
    return case(1).players


def _single(case: Case, player: str, observation: Any = "auto") -> gymnasium.Env[Any, Any]:
    return make_single(
        case.game, player=player, opponent="random", observation=observation, **case.options
    )


@every_case
def test_gymnasium_checks_pass_without_unexpected_warnings(case: Case) -> None:
    for player in _players(case):
        env = _single(case, player)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_env(env, skip_render_check=True)
        expected = ("probably too low", "probably too high")  # observations have no bounds
        texts = [str(w.message) for w in caught]
        assert [text for text in texts if not any(e in text for e in expected)] == []
        env.close()


@every_case
def test_stable_baselines3_checks_pass_without_warnings(case: Case) -> None:
    for player in _players(case):
        env = _single(case, player)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            env_checker.check_env(env)
        env.close()


@every_case
def test_pettingzoo_checks_pass(case: Case) -> None:
    env = parallel_env(case.game, **case.options)
    parallel_api_test(env, num_cycles=60)
    env.close()


@every_case
def test_gymnasium_makes_the_game_by_its_id(case: Case) -> None:
    env = gymnasium.make(f"robo_adv/{case.game}", **case.options)
    assert isinstance(env.unwrapped, SingleEnv)
    env.close()
    batch = gymnasium.make_vec(
        f"robo_adv/{case.game}", num_envs=3, observation="flat", **case.options
    )
    assert isinstance(batch.unwrapped, Seat)
    observation, _ = batch.reset(seed=1)
    assert observation.shape[0] == 3
    batch.close()


@every_case
def test_a_single_environment_is_reproduced_by_its_seed(case: Case) -> None:
    def trajectory(seed: int) -> list[bytes]:
        env = _single(case, _players(case)[0], "flat")
        actions = np.random.default_rng(0)
        out = [env.reset(seed=seed)[0].tobytes()]
        for _ in range(8):
            out.append(env.step(actions.uniform(-1, 1, env.action_space.shape))[0].tobytes())
        out.append(env.reset()[0].tobytes())  # the next scenario follows from the seed, too
        return out

    first, again, other = trajectory(3), trajectory(3), trajectory(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))
    assert first[0] != first[-1]


@every_case
def test_a_parallel_environment_is_reproduced_by_its_seed(case: Case) -> None:
    def trajectory(seed: int) -> list[bytes]:
        env = parallel_env(case.game, **case.options)
        actions = np.random.default_rng(0)
        obs, _ = env.reset(seed=seed)
        out = [obs[p].tobytes() for p in env.agents]
        for _ in range(8):
            act = {p: actions.uniform(-1, 1, env.action_space(p).shape) for p in env.agents}
            obs, *_ = env.step(act)
            out += [obs[p].tobytes() for p in obs]
        obs, _ = env.reset()
        return out + [obs[p].tobytes() for p in env.agents]

    first, again, other = trajectory(3), trajectory(3), trajectory(4)
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


@every_case
def test_seeds_decide_the_trajectory(case: Case) -> None:
    checks.seeds_decide(case)


@every_case
def test_an_episode_is_the_same_alone_in_a_batch_shuffled_and_at_any_thread_count(
    case: Case,
) -> None:
    checks.batch_does_not_matter(case, mixed_actions(case.scripted))


@every_case
def test_an_episode_does_not_remember_earlier_ones(case: Case) -> None:
    checks.episodes_do_not_remember(case)


@every_case
def test_observations_are_fresh_arrays(case: Case) -> None:
    checks.observations_are_fresh(case)


@every_case
def test_observations_fit_their_spaces_and_layouts(case: Case) -> None:
    checks.spaces_and_layouts_fit(case)


@every_case
def test_reward_terms_sum_to_the_reward(case: Case) -> None:
    checks.reward_terms_sum(case)


@every_case
def test_costs_are_physical_and_never_part_of_the_reward(case: Case) -> None:
    checks.costs_are_apart(case)


@every_case
def test_an_ended_episode_is_reported_and_restarts_in_the_same_step(case: Case) -> None:
    checks.same_step_autoreset(case)


@every_case
def test_the_nominal_level_is_no_level_to_the_bit(case: Case) -> None:
    checks.nominal_level_is_no_level(case)


@every_case
def test_every_level_parameter_has_an_effect_at_both_ends(case: Case) -> None:
    checks.no_dead_knob(case, mixed_actions(case.scripted), case.stir)


@every_case
def test_levels_are_plain_data_within_bounds(case: Case) -> None:
    checks.levels_are_plain_data(case)


@every_case
def test_a_snapshot_continues_to_the_bit(case: Case) -> None:
    checks.snapshot_continues(case, mixed_actions(case.scripted))


@every_case
def test_a_non_finite_action_forfeits_and_touches_no_other_simulation(case: Case) -> None:
    checks.bad_actions_forfeit(case)


@every_case
@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(checks.push_to_infinity, id="force"),
        pytest.param(checks.write("qvel", np.nan), id="qvel-nan"),
        pytest.param(checks.write("qvel", 1e30), id="qvel-1e30"),
        pytest.param(checks.write("qpos", np.nan, 0), id="qpos-nan"),
    ],
)
def test_a_diverged_simulation_is_contained(
    case: Case,
    breakage: checks.Breakage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    checks.divergence_is_contained(case, breakage)
    checks.divergence_ends_with_the_last_valid_observation(case, breakage)
    assert list(tmp_path.iterdir()) == [], "a log file in the user's folder"


@every_case
def test_a_seat_reports_the_same_as_its_game(case: Case) -> None:
    game, twin = case(3), case(3)
    player = game.players[0]
    rest: dict[str, Policy] = {p: _Constant(game.action_size(p)) for p in game.players[1:]}
    seat = Seat(game, player, rest, observation="flat")
    seat.reset(seed=[4, 5, 6])
    twin.reset([4, 5, 6])
    action = np.full((3, game.action_size(player)), 0.3)
    for _ in range(40):
        obs, reward, terminated, truncated, info = seat.step(action)
        joint = {p: np.full((3, twin.action_size(p)), 0.1) for p in rest} | {player: action}
        result = twin.step(joint)
        assert np.array_equal(obs, result.obs[player])
        assert np.array_equal(reward, result.rewards[player])
        assert np.allclose(sum(info["reward_terms"].values()), reward, rtol=0, atol=1e-12)
        assert ("final_obs" in info) == bool((terminated | truncated).any())
        if result.final is None:
            continue
        ids, details = result.final.ids, info["final_info"]
        assert np.flatnonzero(info["_final_obs"]).tolist() == ids.tolist()
        assert np.flatnonzero(info["_final_info"]).tolist() == ids.tolist()
        assert np.array_equal(np.stack(list(info["final_obs"][ids])), result.final.obs[player])
        assert np.array_equal(details["winner"][ids], result.final.winner)
        assert np.array_equal(details["won"][ids], result.final.winner == 0)
        assert np.array_equal(details["length"][ids], result.final.length)
        assert np.array_equal(details["return"][ids], result.final.returns[player])
        return
    raise AssertionError("no episode ended")


class _Constant:
    """A policy that always does the same."""

    def __init__(self, size: int) -> None:
        self.size = size

    def predict(
        self,
        observation: checks.Array,
        state: State = None,
        episode_start: checks.Array | None = None,
        deterministic: bool = False,
    ) -> tuple[checks.Array, State]:
        return np.full((len(observation), self.size), 0.1), None


def test_a_stable_baselines3_vec_env_gets_last_observations_and_returns() -> None:
    game = SMALL(2)
    env = VectorToVecEnv(Seat(game, "kicker", {"keeper": _Constant(game.action_size("keeper"))}))
    env.seed(4)
    env.reset()
    total = np.zeros(2)
    for _ in range(40):
        _, reward, done, infos = env.step(np.zeros((2, game.action_size("kicker"))))
        total += reward
        if done[0]:
            break
    assert done[0]
    assert infos[0]["terminal_observation"].shape == (game.layouts["kicker"].size,)
    assert infos[0]["TimeLimit.truncated"] is False
    assert np.isclose(infos[0]["episode"]["r"], total[0], atol=1e-4)
    assert infos[0]["episode"]["l"] == 30


def test_an_unknown_game_or_option_names_close_matches() -> None:
    with pytest.raises(RoboAdvError, match="KickAndDefend-v0"):
        make_game("KickAndDefent-v0")
    with pytest.raises(RoboAdvError, match="did you mean 'omni'"):
        make_game("KickAndDefend-v0", body="omny")
    with pytest.raises(RoboAdvError, match="arms"):
        make_game("KickAndDefend-v0", arms=9)
    with pytest.raises(RoboAdvError):
        make_game("KickAndDefend-v0", keeper_out="wins")
    with pytest.raises(RoboAdvError, match="num_envs"):
        make_game("KickAndDefend-v0", 0)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(RoboAdvError, match="arms"):
        make_game("KickAndDefend-v0", armz=2)


class _TinyArena(KickAndDefend):
    """So little memory that a fallen ant's contacts do not fit."""

    room = 0  # [bytes]

    def build(self) -> mujoco.MjSpec:
        spec = super().build()
        spec.memory = self.room
        return spec


def test_a_simulation_that_runs_out_of_memory_ends_truncated_and_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    truncated = np.zeros(4, dtype=bool)
    for memory in range(80_000, 10_000, -2_000):
        monkeypatch.setattr(_TinyArena, "room", memory)
        game, calm = (kind(4, threads=1, body="ant") for kind in (_TinyArena, KickAndDefend))
        for world in (game, calm):
            world.reset([0, 1, 2, 3])
            world.qpos[2, world._q["kicker"].start + 2] = 0.1
        still = {p: np.zeros((4, 8)) for p in game.players}
        result, expected = game.step(still), calm.step(still)
        truncated = result.truncated
        if truncated.any():
            break
    assert truncated.tolist() == [False, False, True, False]
    for p in game.players:
        assert np.array_equal(result.obs[p][[0, 1, 3]], expected.obs[p][[0, 1, 3]])
        assert np.isfinite(result.obs[p]).all()
        assert result.rewards[p][2] == 0.0


@every_case
def test_infos_of_a_single_environment_carry_reward_terms_and_costs(case: Case) -> None:
    env = _single(case, _players(case)[0])
    env.reset(seed=1)
    _, reward, _, _, info = env.step(np.full(env.action_space.shape or (), 0.5))
    assert np.isclose(sum(info["reward_terms"].values()), float(reward))
    assert set(info["costs"]) == set(case(1).costs)


@every_case
def test_infos_of_a_parallel_environment_carry_reward_terms_and_costs(case: Case) -> None:
    env = parallel_env(case.game, **case.options)
    env.reset(seed=1)
    actions = {p: np.full(env.action_space(p).shape, 0.5) for p in env.agents}
    _, rewards, _, _, infos = env.step(actions)
    for p, info in infos.items():
        assert set(info["costs"]) == set(env.game.costs)
        assert np.isclose(sum(info["reward_terms"].values()), rewards[p])
