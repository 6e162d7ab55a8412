"""Broken games and policies, planted one defect each, that the contract checks must reject."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from contracts import checks
from contracts.cases import SMALL
from contracts.traces import mixed_actions, random_actions

from robo_adv import seeding
from robo_adv.agents.scripted import Random
from robo_adv.envs.episode import DRAW, Array, Bools, Ints, Observation, Step, Terms
from robo_adv.envs.game import Game
from robo_adv.envs.layout import Layout, Slice
from robo_adv.envs.soccer.kick_and_defend import KickAndDefend
from robo_adv.levels import Level
from robo_adv.policy import Policy, State


class StartsFromASharedStream(KickAndDefend):
    rng = np.random.default_rng(0)

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        return super().start(ids, self.rng.random(u.shape))


class StartsByTheNumberOfResets(KickAndDefend):
    resets = 0

    def start(self, ids: Ints, u: Array) -> tuple[Array, Array]:
        self.resets += 1
        return super().start(ids, np.clip(u + 1e-6 * self.resets, 0.0, 0.999))


class ReturnsAReusedBuffer(KickAndDefend):
    def _observe_all(self) -> dict[str, Observation]:
        buffers: dict[str, Observation] = self.__dict__.setdefault("buffers", {})
        for player, fresh in super()._observe_all().items():
            buffers.setdefault(player, fresh.copy())[:] = fresh
        return buffers


class RemembersTheCallersActions(KickAndDefend):
    def apply(self, player: str, action: Array) -> None:
        last: dict[str, Array] = self.__dict__.setdefault("last", {})
        super().apply(player, last.get(player, action))
        last[player] = action


class ObservesTheNeighbour(KickAndDefend):
    def observe(self, player: str, ids: Ints | slice) -> Observation:
        obs = super().observe(player, ids)
        obs[:, 0] += 1e-6 * self.qpos[:, 0].mean().astype(np.float32)
        return obs


class ActsOnTheNeighbour(KickAndDefend):
    def apply(self, player: str, action: Array) -> None:
        super().apply(player, action + 1e-6 * np.roll(action, 1, axis=0))


class JudgesByTheBatchIndex(KickAndDefend):
    def verdict(self) -> Ints:
        winner = super().verdict()
        swap = (np.arange(self.num_envs) % 2 == 1) & (winner >= 0)
        return np.where(swap, 1 - winner, winner)


class LosesARewardTerm(KickAndDefend):
    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        result = super().step(actions)
        effort = result.reward_terms["kicker"]["effort"]
        rewards = {**result.rewards, "kicker": result.rewards["kicker"] - effort}
        return replace(result, rewards=rewards)


class HidesATermInAnother(KickAndDefend):
    def _weighted_terms(self, player: str, diverged: Bools) -> Terms:
        terms = super()._weighted_terms(player, diverged)
        terms.pop("effort")
        return terms


class RewardsCosts(KickAndDefend):
    def reward_terms(self, player: str) -> Terms:
        terms = super().reward_terms(player)
        terms["win"] = terms["win"] - 0.1 * self.cost_terms(player)["speed_excess"]
        return terms


class HasANegativeCost(KickAndDefend):
    def cost_terms(self, player: str) -> Terms:
        costs = super().cost_terms(player)
        return {**costs, "speed_excess": costs["speed_excess"] - 0.1}


class HasAnUnnamedCost(KickAndDefend):
    def _costs(self, player: str, diverged: Bools) -> Terms:
        return {**super()._costs(player, diverged), "regret": np.zeros(self.num_envs)}


class HasADeadKnob(KickAndDefend):
    def apply_levels(self, ids: Ints) -> None:
        mass = self.params["keeper_mass"].copy()
        self.params["keeper_mass"][:] = 1.0
        super().apply_levels(ids)
        self.params["keeper_mass"][:] = mass


class KeepsThePreviousLevel(KickAndDefend):
    def apply_levels(self, ids: Ints) -> None:
        edited = [i for i in ids if self.levels[i] != self.design_space.nominal]
        if edited:
            super().apply_levels(np.array(edited))


class AppliesLevelsToEverySimulation(KickAndDefend):
    def apply_levels(self, ids: Ints) -> None:
        for column in self.params.values():
            column[:] = column[ids[0]]
        super().apply_levels(np.arange(self.num_envs))


class HasALayoutOfAnotherSize(KickAndDefend):
    def layout(self, player: str) -> Layout:
        return Layout.of([*super().layout(player), Slice("surprise", 1, "m")])


class ReportsTheNextStartAsTheEnd(KickAndDefend):
    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        result = super().step(actions)
        if result.final is None:
            return result
        obs = {p: result.obs[p][result.final.ids] for p in self.players}
        return replace(result, final=replace(result.final, obs=obs))


class RestartsOneStepLate(KickAndDefend):
    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        result = super().step(actions)
        if result.final is None:
            return result
        obs = {p: result.obs[p].copy() for p in self.players}
        for p in self.players:
            obs[p][result.final.ids] = result.final.obs[p]
        return replace(result, obs=obs)


class ForgetsTheClockInASnapshot(KickAndDefend):
    def restore(
        self, snapshot: Mapping[str, npt.NDArray[Any]], levels: list[Level]  # type: ignore[override]
    ) -> None:  # fmt: skip
        super().restore(snapshot, levels)
        self.length[:] = 0


class ForgivesBadActions(KickAndDefend):
    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        return super().step({p: np.nan_to_num(np.asarray(a)) for p, a in actions.items()})


class CallsDivergenceADraw(KickAndDefend):
    def _judge(self, forfeit: Ints, diverged: Bools) -> Ints:
        return np.where(diverged, DRAW, super()._judge(forfeit, diverged))


class IgnoresDivergence(KickAndDefend):
    def _advance(self) -> Bools:
        return np.zeros_like(super()._advance())


class DivergesTogether(KickAndDefend):
    def _advance(self) -> Bools:
        diverged = super()._advance()
        return diverged | diverged.any()


class RewardsDivergence(KickAndDefend):
    def step(self, actions: Mapping[str, npt.ArrayLike]) -> Step:
        result = super().step(actions)
        rewards = {p: reward + 0.1 * result.truncated for p, reward in result.rewards.items()}
        return replace(result, rewards=rewards)


def _maker(mutant: type[Game]) -> Callable[..., Game]:
    def make(num_envs: int, threads: int = 1) -> Game:
        game = mutant(num_envs, threads=threads, **SMALL.options)
        assert SMALL.prepare is not None
        SMALL.prepare(game)
        return game

    return make


_batch = partial(checks.batch_does_not_matter, act=random_actions)
_knobs = partial(checks.no_dead_knob, act=mixed_actions(SMALL.scripted), stir=SMALL.stir)
_snapshot = partial(checks.snapshot_continues, act=random_actions)


@pytest.mark.parametrize(
    ("mutant", "check", "why"),
    [
        (StartsFromASharedStream, checks.seeds_decide, "same seeds in two games"),
        (StartsFromASharedStream, _batch, "shuffled"),
        (StartsByTheNumberOfResets, checks.episodes_do_not_remember, "after another episode"),
        (ReturnsAReusedBuffer, checks.observations_are_fresh, "view of an earlier one"),
        (RemembersTheCallersActions, checks.episodes_do_not_remember, "after another episode"),
        (ObservesTheNeighbour, _batch, "obs of kicker differ"),
        (ActsOnTheNeighbour, _batch, "shuffled"),
        (JudgesByTheBatchIndex, _batch, "winner differs|win differs|reward.* differs|return"),
        (LosesARewardTerm, checks.reward_terms_sum, "not the sum of its terms"),
        (HidesATermInAnother, checks.reward_terms_sum, "terms and weights"),
        (RewardsCosts, checks.costs_are_apart, "reward changes with the costs"),
        (HasANegativeCost, checks.costs_are_apart, "negative"),
        (HasAnUnnamedCost, checks.costs_are_apart, "named in Game.costs"),
        (HasADeadKnob, _knobs, "dead knob: keeper_mass"),
        (KeepsThePreviousLevel, checks.nominal_level_is_no_level, "back from edited levels"),
        (AppliesLevelsToEverySimulation, checks.nominal_level_is_no_level, "beside edited levels"),
        (HasALayoutOfAnotherSize, checks.spaces_and_layouts_fit, "layout"),
        (ReportsTheNextStartAsTheEnd, checks.same_step_autoreset, "not the ended episode's last"),
        (RestartsOneStepLate, checks.same_step_autoreset, "next episode did not start"),
        (ForgetsTheClockInASnapshot, _snapshot, "restored observations differ"),
        (ForgivesBadActions, checks.bad_actions_forfeit, "no forfeit"),
        (CallsDivergenceADraw, checks.divergence_is_contained, "not truncated"),
        (IgnoresDivergence, checks.divergence_is_contained, "not truncated"),
        (DivergesTogether, checks.divergence_is_contained, "not truncated"),
        (RewardsDivergence, checks.divergence_is_contained, "reward"),
    ],
)
def test_a_broken_game_is_rejected(
    mutant: type[Game], check: Callable[[Callable[..., Game]], None], why: str
) -> None:
    with pytest.raises(AssertionError, match=why):
        check(_maker(mutant))


class RandomFromASharedStream(Random):
    rng = np.random.default_rng(0)

    def predict(
        self,
        observation: npt.NDArray[Any],
        state: State = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], State]:
        return self.rng.uniform(-1, 1, (len(observation), self.action_size)), state


class RandomByTheRow(Random):
    def start(self, seeds: seeding.Seeds, observation: npt.NDArray[Any]) -> tuple[Array, ...]:
        rows = np.arange(len(seeds), dtype=np.uint64)
        return rows, np.zeros(len(seeds), dtype=np.uint64)  # type: ignore[return-value]


class NormalisesOverTheBatch(Random):
    def predict(
        self,
        observation: npt.NDArray[Any],
        state: State = None,
        episode_start: npt.NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[npt.NDArray[Any], State]:
        centred = observation - observation.mean(axis=0)
        return np.tanh(centred[:, : self.action_size]).astype(np.float64), state


@pytest.mark.parametrize(
    "mutant", [RandomFromASharedStream, RandomByTheRow, NormalisesOverTheBatch]
)
def test_a_broken_policy_is_rejected(mutant: type[Random]) -> None:
    game = SMALL(1)

    def make_policy() -> Policy:
        return mutant(game, "kicker")

    with pytest.raises(AssertionError, match="actions differ in a batch"):
        checks.policy_rows_are_independent(make_policy, game.layouts["kicker"].size)
