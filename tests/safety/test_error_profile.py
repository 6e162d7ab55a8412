"""Error profiles: exact sums, each defect in its own part, and intervals that cover."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_adv.errors import RoboAdvError
from robo_adv.safety.error_parts import PARTS, parts_of, signed_errors
from robo_adv.safety.error_profile import profile, profile_difference, profile_over_blocks
from safety.synthetic import Array, covered

E, T, L = 60, 100, 10
EPISODES = np.repeat(np.arange(E), T)
CONTEXTS = np.tile(np.arange(T) // 10 == 5, E).astype(int)  # a tenth of the steps, run of 10
NOISE = 0.05


def noise(seed: int = 0) -> Array:
    return NOISE * np.random.default_rng(seed).standard_normal((E * T, 2))


def defect(name: str, e: Array, seed: int = 1) -> Array:
    """`e` (T, 2) with one defect in its first entry, worth a mean square of about 0.02 to 0.04."""
    e, rng = e.copy(), np.random.default_rng(seed)
    if name == "systematic":
        e[:, 0] += 0.2
    elif name == "conditional":
        e[CONTEXTS == 1, 0] += 0.5
    elif name == "drift":
        e[:, 0] += np.repeat(0.2 * (-1.0) ** np.arange(E), T)
    elif name == "transient":
        struck = rng.random(len(e)) < 0.02
        e[struck, 0] += rng.choice([-1.0, 1.0], struck.sum())
    return e


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(1, 4))
def test_the_parts_sum_to_the_mean_square_exactly(seed: int, block: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    e = rng.standard_normal((200, width)) + 3.0
    episodes, contexts = np.sort(rng.integers(5, size=200)), rng.integers(3, size=200)
    parts = parts_of(e, episodes, contexts, block)
    assert parts.sum() == pytest.approx((e**2).sum(axis=1).mean(), rel=1e-12)
    assert (parts > -1e-12).all()


def test_parts_equal_a_hand_computed_case() -> None:
    """Two episodes; context 1 in the last two steps of the first; blocks of 2 steps."""
    e = np.array([1.0, 3.0, 5.0, 2.0, 4.0, 0.0, 2.0, 1.0])
    episodes = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    contexts = np.array([0, 0, 0, 1, 1, 0, 0, 0])
    means = np.array([2.0, 2.0, 5.0, 3.0, 3.0, 1.0, 1.0, 1.0])  # blocks 13 | 5 | 24 | 02 | 1
    inside = np.where(contexts == 1, 3.0, 2.0)
    expected = [2.25**2, ((inside - 2.25) ** 2).mean(), ((means - inside) ** 2).mean(),
                ((e - means) ** 2).mean()]  # fmt: skip
    assert parts_of(e, episodes, contexts, 2) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "size"),
    [("systematic", 0.04), ("conditional", 0.0225), ("drift", 0.04), ("transient", 0.018)],
)
def test_each_defect_lands_in_its_own_part(name: str, size: float) -> None:
    """Spikes leave 1 / L of their square in the drift; 0.5 in a tenth of the steps shifts the mean."""
    before = parts_of(noise(), EPISODES, CONTEXTS, L)
    after = parts_of(defect(name, noise()), EPISODES, CONTEXTS, L)
    rise = dict(zip(PARTS, after - before, strict=True))
    assert rise[name] == pytest.approx(size, rel=0.25)
    assert all(abs(other) < 0.2 * size for part, other in rise.items() if part != name)


def test_a_burst_is_transient_at_every_block_length_above_it() -> None:
    found = profile_over_blocks(
        defect("transient", noise()), EPISODES, CONTEXTS, L, np.random.default_rng(0), reps=50
    )
    assert list(found) == [5, 10, 20]
    assert all(p.share("transient") > 0.8 for p in found.values())
    json.dumps({str(size): p.to_json() for size, p in found.items()}, allow_nan=False)


def _episodes(rng: np.random.Generator, mean: float, spread: float) -> Array:
    """30 episodes of 20 steps: a mean, an own bias per episode, white noise of 0.1."""
    own = mean + spread * rng.standard_normal((30, 1))
    return (own + 0.1 * rng.standard_normal((30, 20))).ravel()[:, None]


@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_the_intervals_cover_the_true_parts(mean: float) -> None:
    """Also at 0, which the plug-in value cannot reach: |mean|^2 is never negative."""
    rng, trials, spread = np.random.default_rng(2), 150, 0.2
    labels, flat = np.repeat(np.arange(30), 20), np.zeros(600, int)
    truth = {"systematic": mean**2, "drift": spread**2 + 0.01 / 10, "transient": 0.01 * 0.9}
    hits = dict.fromkeys(truth, 0)
    corrected = []
    for _ in range(trials):
        found = profile(_episodes(rng, mean, spread), labels, flat, 10, rng, reps=300)
        corrected.append(found.corrected["systematic"])
        for name, true in truth.items():
            hits[name] += found.parts[name].covers(true)
    assert covered(hits["systematic"], trials) and covered(hits["transient"], trials)
    assert covered(hits["drift"], trials, 0.9)  # the variance of 30 numbers: 90 % by simulation
    assert np.mean(corrected) == pytest.approx(mean**2, abs=0.005)  # the plug-in is 0.0013 higher


def test_differences_are_shown_where_the_candidate_differs() -> None:
    rng = np.random.default_rng(3)
    worse = defect("conditional", noise(4))
    found = profile_difference(worse, noise(5), EPISODES, CONTEXTS, L, rng, reps=400)
    assert found["conditional"].low > 0.02 and found["conditional"].covers(0.0225)
    assert found["transient"].covers(0.0) and found["drift"].covers(0.0)


def test_training_seeds_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    shifts = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    errors = np.stack([noise(k) + np.array([shift, 0.0]) for k, shift in enumerate(shifts)])
    found = profile(errors, EPISODES, CONTEXTS, L, rng, reps=400)
    assert found.parts["systematic"].value == pytest.approx((shifts**2).mean(), abs=2e-3)
    assert found.parts["systematic"].low < 0.01 and found.parts["systematic"].high > 0.12
    assert found.total == pytest.approx((errors**2).sum(axis=2).mean())
    with pytest.raises(RoboAdvError, match=r"as many training seeds, got \[5, 1\]"):
        profile_difference(errors, errors[0], EPISODES, CONTEXTS, L, rng)


def test_signed_errors_are_parts_of_the_actions_range() -> None:
    made = signed_errors(np.array([[1.0, 0.0]]), np.array([[0.0, 5.0]]), np.array([-1, -10]), np.array([1, 10]))  # fmt: skip  # noqa: E501
    assert made.tolist() == [[0.5, -0.25]]
    with pytest.raises(RoboAdvError, match="finite action bounds"):
        signed_errors(np.ones((1, 1)), np.ones((1, 1)), np.array([-np.inf]), np.array([np.inf]))


@pytest.mark.parametrize(
    ("errors", "episodes", "block", "message"),
    [
        (np.ones((4, 1)), np.zeros(3, int), 2, r"episodes \(T,\)"),
        (np.array([[np.nan]] * 4), np.arange(4), 2, "row 0"),
        (np.ones((4, 1)), np.arange(4), 0, "at least one step"),
        (np.ones((4, 1)), np.zeros(4, int), 2, "at least 2 episodes"),
    ],
)
def test_errors_that_cannot_be_profiled_are_refused(
    errors: Array, episodes: Array, block: int, message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        profile(errors, episodes, np.zeros(4, int), block, np.random.default_rng(0))
