"""Swaps: each removes the harm of its own kind of error, and of no other."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.masks import Masked
from robo_adv.policy import EpisodicPolicy, Policy, State
from robo_adv.rollout import scenarios
from robo_adv.safety.error_events import burst_steps
from robo_adv.safety.error_parts import PARTS, parts_of, signed_errors
from robo_adv.safety.swap import InBursts, InContext, Swapped, Where, WithoutMean, removals
from safety.synthetic import (
    BASELINE,
    BIASED,
    BLIND,
    CONTEXT,
    HIGH,
    LOW,
    SPIKED,
    Array,
    Cart,
    X,
    drive,
    features,
)  # fmt: skip

SEEDS = scenarios(0, 100)
DEFECTS = {"transient": SPIKED, "conditional": BLIND, "systematic": BIASED}
BURSTS = InBursts(threshold=0.4, length=3, low=LOW, high=HIGH)


def in_context(observation: Array) -> Array:
    return np.asarray(observation[:, CONTEXT] > 0.0)


def swaps(mean: Array) -> dict[str, Where]:
    return {
        "transient": BURSTS,
        "conditional": InContext(in_context),
        "systematic": WithoutMean(mean, LOW, HIGH),
    }


def errors_of(controller: Policy) -> tuple[Array, Array, Array]:
    """Errors (T, 1) where the baseline drives, with episodes and contexts (T,)."""
    seen = drive(BASELINE, SEEDS).observations.swapaxes(0, 1)  # (n, steps, 4)
    flat = seen.reshape(-1, seen.shape[-1])
    actions = [policy.predict(flat)[0] for policy in (controller, BASELINE)]
    episodes = np.repeat(np.arange(len(seen)), seen.shape[1])
    return signed_errors(actions[0], actions[1], LOW, HIGH), episodes, in_context(flat).astype(int)


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_swap_removes_the_harm_of_its_own_error_only(kind: str) -> None:
    controller = DEFECTS[kind]
    mean = errors_of(controller)[0].mean(axis=0)
    before = drive(controller, SEEDS).outcomes
    after = {
        name: drive(Swapped(controller, BASELINE, where), SEEDS).outcomes
        for name, where in swaps(mean).items()
    }
    found = removals(before, after)
    assert before.unsafe.any() and not after[kind].unsafe.any()
    assert found[kind].harm_removed.value == before.unsafe.mean()
    assert found[kind].harm_removed.low > 0.0 and found[kind].adjusted_p < 0.05
    inside = before.unsafe & (features(SEEDS)[:, 1] > 0.0)  # there the baseline acts throughout
    others = {"transient": 0.0, "systematic": 0.0, "conditional": inside.mean()} | {
        kind: before.unsafe.mean()
    }
    for name, removal in found.items():
        assert removal.harm_removed.value == pytest.approx(others[name], abs=0.031)
    json.dumps({name: removal.to_json() for name, removal in found.items()}, allow_nan=False)


@pytest.mark.parametrize("kind", DEFECTS)
def test_the_profile_names_the_error_that_the_swap_removes(kind: str) -> None:
    e, episodes, contexts = errors_of(DEFECTS[kind])
    parts = dict(zip(PARTS, parts_of(e, episodes, contexts, 10), strict=True))
    assert max(parts, key=lambda name: parts[name]) == kind
    if kind != "conditional":  # which begins with a few steps that are right
        bursts = burst_steps(e, episodes, contexts, threshold=0.4, longest=3)
        assert bursts.any() == (kind == "transient")


@pytest.mark.parametrize("threshold", [0.2, 0.4])
def test_a_lasting_change_is_swapped_for_its_first_steps_only(threshold: float) -> None:
    bursts = InBursts(threshold, 3, LOW, HIGH)
    e = np.r_[np.zeros(6), np.full(10, 0.5), np.zeros(6)]
    state = bursts.start(np.zeros((1, 4)))
    taken = []
    for value in e:
        candidate, baseline = np.array([[2.0 * value]]), np.zeros((1, 1))
        action, state = bursts.choose(np.zeros((1, 4)), candidate, baseline, state)
        taken.append(float(action[0, 0]))
    swapped = np.flatnonzero(np.array(taken) != 2.0 * e)
    assert swapped.tolist() == [6, 7, 8]  # L = 3 steps; on the way back both act alike


def test_errors_known_beforehand_are_no_burst_at_the_start() -> None:
    known = InBursts(0.15, 3, LOW, HIGH, mean=np.array([0.2]))
    for where, swapped in ((known, False), (InBursts(0.15, 3, LOW, HIGH), True)):
        state = where.start(np.zeros((1, 4)))
        action, _ = where.choose(np.zeros((1, 4)), np.array([[0.4]]), np.zeros((1, 1)), state)
        assert (action[0, 0] == 0.0) == swapped


def test_never_is_the_candidate_and_always_the_baseline_to_the_bit() -> None:
    for always, controller in ((False, BLIND), (True, BASELINE)):
        where = InContext(lambda o, always=always: np.full(len(o), always))  # type: ignore[misc]
        made = drive(Swapped(BLIND, BASELINE, where), SEEDS)
        assert (made.actions == drive(controller, SEEDS).actions).all()


def _noisy(controller: Cart) -> Policy:
    return Masked(controller, np.array([0]), "noise", sigma=0.05)


@pytest.mark.parametrize("where", [BURSTS, InContext(in_context)])
def test_swapped_episodes_are_the_same_alone_and_in_a_batch(where: Where) -> None:
    """Both controllers keep state of their own: noise drawn from the episode's seed."""
    swapped = Swapped(_noisy(SPIKED), _noisy(BASELINE), where)
    assert isinstance(swapped, EpisodicPolicy)
    together = drive(swapped, SEEDS[:40]).actions
    assert (together[:, :3] == drive(swapped, SEEDS[:3]).actions).all()
    assert (together[:, ::-1] == drive(swapped, SEEDS[:40][::-1]).actions).all()
    inside = Masked(Swapped(SPIKED, _noisy(BASELINE), where), np.array([0]), "noise", 0.05)
    assert (drive(inside, SEEDS[:4]).actions == drive(inside, SEEDS[:8]).actions[:, :4]).all()


def test_each_controller_gets_its_own_state_back() -> None:
    noisy = Masked(BLIND, np.array([0, 1]), "noise", sigma=0.05)
    fixed = Masked(BASELINE, np.array([0]), "initial")
    for where, alone in ((InContext(lambda o: o[:, X] > 99.0), noisy), (InContext(lambda o: o[:, X] < 99.0), fixed)):  # fmt: skip  # noqa: E501
        swapped = drive(Swapped(noisy, fixed, where), SEEDS).actions
        assert (swapped == drive(alone, SEEDS).actions).all()


def test_episode_start_alone_forgets_the_past() -> None:
    swapped = Swapped(Cart(bias=0.9), Cart(), BURSTS)
    observation, begin = np.zeros((2, 4)), np.array([True, False])
    observation[:, X] = 1.0  # at the mark: the baseline rests
    state: State = None
    for _ in range(5):
        action, state = swapped.predict(observation, state)
    assert action[:, 0] == pytest.approx([0.9, 0.9])  # the bias is the median by now
    action, _ = swapped.predict(observation, state, begin)
    assert action[:, 0] == pytest.approx([0.0, 0.9])


class Recurrent(Cart):
    """Keeps a state of its own making."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return super().predict(observation)[0], (np.zeros(1),)


class Wide(Cart):
    """Has two actions."""

    def predict(
        self,
        observation: Array,
        state: State = None,
        episode_start: Array | None = None,
        deterministic: bool = False,
    ) -> tuple[Array, State]:
        return np.zeros((len(observation), 2)), None


def test_controllers_that_cannot_be_swapped_are_refused() -> None:
    for wrong, message in ((Recurrent(), "needs `start"), (Wide(), r"\(100, 2\)")):
        with pytest.raises(RoboAdvError, match=message.replace("100", "128")):
            drive(Swapped(BASELINE, wrong, BURSTS), SEEDS)
    with pytest.raises(RoboAdvError, match="same scenario seeds"):
        outcomes = [drive(BASELINE, scenarios(s, 10)).outcomes for s in (0, 5)]
        removals(outcomes[0], {"bursts": outcomes[1]})
