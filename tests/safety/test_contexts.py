"""Contexts: the one that fails is found, chance is not, and the worst is covered."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.rollout import scenarios
from robo_adv.safety.context_tree import grow
from robo_adv.safety.contexts import bins, worst_context, worst_context_of_outcomes
from robo_adv.safety.paired import tango
from safety.synthetic import BASELINE, BLIND, covered, drive, features

SEEDS = scenarios(0, 600)
NAMES = ["open", "narrow"]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_controller_that_fails_in_one_context_is_found_there() -> None:
    labels = features(SEEDS)[:, 1].astype(int)
    blind, baseline = (drive(who, SEEDS).outcomes for who in (BLIND, BASELINE))
    found = worst_context_of_outcomes(blind, baseline, labels, NAMES, rng())
    assert found.name == "narrow" and found.degradation.value == 1.0
    assert found.degradation.low > 0.8
    narrow, wide = found.contexts
    assert (narrow.candidate.count, narrow.candidate.total, wide.candidate.count) == (60, 60, 0)
    assert narrow.adjusted_p < 1e-9 and wide.adjusted_p == 1.0
    assert narrow.difference == tango(60, 0, 60, 0.975)  # two contexts at once
    json.dumps(found.to_json(), allow_nan=False)


def test_small_contexts_are_shown_but_not_judged() -> None:
    unsafe, labels = np.zeros(149, bool), np.r_[np.zeros(100, int), np.ones(49, int)]
    unsafe[100:] = True
    found = worst_context(unsafe, np.zeros(149, bool), labels, NAMES, rng())
    assert found.name == "open" and found.degradation.value == 0.0
    assert [(c.name, c.judged) for c in found.contexts] == [("open", True), ("narrow", False)]
    assert found.contexts[1].difference.value == 1.0 and found.contexts[1].adjusted_p == 1.0
    alone = worst_context(unsafe[100:], unsafe[100:], labels[100:], NAMES, rng())
    assert alone.name == "" and math.isnan(alone.degradation.value)
    assert (alone.degradation.low, alone.degradation.high) == (-1.0, 1.0)


def test_a_small_context_that_may_be_worse_sets_the_upper_bound() -> None:
    labels = np.r_[np.zeros(1000, int), np.ones(50, int)]
    unsafe = np.arange(1050) < 50
    found = worst_context(unsafe, np.zeros(1050, bool), labels, NAMES, rng())
    large, small = found.contexts
    assert found.name == large.name == "open" and found.degradation.value == 0.05
    assert found.degradation.low == large.difference.low > 0.03
    assert found.degradation.high == small.difference.high > large.difference.high


def test_fifty_episodes_without_any_failure_cannot_show_less_than_five_points() -> None:
    """The bound is z^2 / (n + z^2): 73 episodes are needed for one context, more for several."""
    ends = []
    for n in (50, 73, 74):
        none, label = np.zeros(n, bool), np.zeros(n, int)
        ends.append(worst_context(none, none, label, NAMES, rng()).degradation.high)
    assert ends[0] == pytest.approx(0.0713, abs=1e-4)
    assert ends[1] == pytest.approx(0.05, abs=1e-4) and ends[2] < 0.05


def test_the_true_maximum_is_covered_although_the_worst_was_picked() -> None:
    """Six contexts with equal rise: the largest estimate is far above it."""
    make, trials, hits, naive = np.random.default_rng(1), 80, 0, 0
    labels = np.repeat(np.arange(6), 60)
    names = [str(c) for c in range(6)]
    for _ in range(trials):
        u = make.random(360)
        found = worst_context(u < 0.25, (u + make.normal(0, 0.02, 360)) < 0.2, labels, names, make)
        hits += found.degradation.covers(0.05)
        naive += found.contexts[0].difference.value > 0.05
    assert covered(hits, trials)
    assert naive > 0.8 * trials  # the estimate of the picked context alone is too large


def test_chance_alone_is_rarely_called_a_bad_context() -> None:
    make, trials, false = np.random.default_rng(2), 80, 0
    labels, names = np.repeat(np.arange(5), 60), [str(c) for c in range(5)]
    for _ in range(trials):
        pairs = make.random((2, 300)) < 0.2
        found = worst_context(pairs[0], pairs[1], labels, names, make)
        false += min(c.adjusted_p for c in found.contexts) <= 0.05
    assert covered(trials - false, trials)


def test_several_training_seeds_are_judged_by_their_differences() -> None:
    make = np.random.default_rng(3)
    labels = np.repeat([0, 1], 60)
    baseline = np.zeros((5, 120), bool)
    candidate = baseline | ((labels == 1) & (make.random((5, 120)) < 0.4))
    found = worst_context(candidate, baseline, labels, NAMES, make)
    assert found.name == "narrow" and found.contexts[0].adjusted_p < 0.01
    assert found.degradation.low > 0.2 and found.contexts[1].p == 1.0


def test_bins_are_named_by_their_edges() -> None:
    labels, names = bins(np.array([0.1, 0.5, 0.7, 2.0]), [0.5, 1.0], "gap")
    assert labels.tolist() == [0, 1, 1, 2]
    assert names == ["gap < 0.5", "0.5 <= gap < 1", "gap >= 1"]
    with pytest.raises(RoboAdvError, match="increasing edges"):
        bins(np.zeros(2), [1.0, 1.0], "gap")
    with pytest.raises(RoboAdvError, match="1 are NaN"):
        bins(np.array([np.nan]), [1.0], "gap")


def test_a_tree_grown_on_other_episodes_finds_an_undeclared_context() -> None:
    search, reported = SEEDS[:300], SEEDS[300:]
    harm = drive(BLIND, search).outcomes.unsafe * 1.0 - drive(BASELINE, search).outcomes.unsafe
    tree = grow(features(search), harm, ["start", "narrow", "trigger"], leaf=25)
    assert tree.names == ["narrow < 0.5", "narrow >= 0.5"]
    labels = tree.labels(features(reported))
    outcomes = [drive(who, reported).outcomes for who in (BLIND, BASELINE)]
    found = worst_context(
        outcomes[0].unsafe, outcomes[1].unsafe, labels, tree.names, rng(), enough=25
    )
    assert found.name == "narrow >= 0.5" and found.degradation.value == 1.0


def test_a_tree_finds_where_two_features_meet() -> None:
    make = np.random.default_rng(4)
    x = make.random((2000, 3))
    harm = ((x[:, 0] > 0.6) & (x[:, 2] < 0.3)).astype(float)
    tree = grow(x, harm, ["a", "b", "c"], depth=2)
    labels = tree.labels(x)
    means = [harm[labels == leaf].mean() for leaf in range(len(tree.leaves))]
    worst = tree.leaves[int(np.argmax(means))]
    assert max(means) == 1.0 and {cut[0] for cut in worst} == {0, 2}
    assert sorted(cut[2] for cut in worst) == pytest.approx([0.3, 0.6], abs=0.02)
    assert np.bincount(labels).sum() == 2000 and np.bincount(labels).min() >= 50


def test_no_harm_grows_no_tree() -> None:
    tree = grow(np.random.default_rng(0).random((300, 2)), np.zeros(300), ["a", "b"])
    assert tree.names == ["everywhere"] and (tree.labels(np.ones((4, 2))) == 0).all()
    rare = grow(np.arange(300.0)[:, None], (np.arange(300) >= 290) * 1.0, ["a"], leaf=50)
    assert np.bincount(rare.labels(np.arange(300.0)[:, None])).min() >= 50
    deep = grow(np.arange(4000.0)[:, None], np.arange(4000.0) % 7, ["a"], leaf=1)
    assert len(deep.leaves) <= 8  # depth 3


def test_labels_and_features_that_do_not_fit_are_refused() -> None:
    none = np.zeros(4, bool)
    with pytest.raises(RoboAdvError, match=r"labels \(n,\)"):
        worst_context(none, none, np.zeros(3, int), NAMES, rng())
    with pytest.raises(RoboAdvError, match=r"index the 2 names .* got \[0, 2\]"):
        worst_context(none, none, np.array([0, 0, 2, 2]), NAMES, rng())
    with pytest.raises(RoboAdvError, match=r"features \(n, 2\)"):
        grow(np.zeros((4, 1)), none, ["a", "b"])
    with pytest.raises(RoboAdvError, match="finite features"):
        grow(np.full((4, 1), np.inf), none, ["a"])
