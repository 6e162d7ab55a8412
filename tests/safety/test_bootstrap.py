"""Bootstrap intervals cover the truth as often as they say, at both levels of randomness."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from robo_adv.errors import RoboAdvError
from robo_adv.safety import bootstrap as boot
from robo_adv.safety.bootstrap import Design, Estimate, bootstrap, interval, mean, resampled
from safety.synthetic import Array, covered

REPS, TRIALS = 400, 150


def crossed(rng: np.random.Generator, seed: float, scenario: float, rest: float) -> Array:
    """(5, 40) with mean 0: effects of training seeds, of scenarios, and of both together."""
    k, n = 5, 40
    return (
        seed * rng.standard_normal((k, 1))
        + scenario * rng.standard_normal((1, n))
        + rest * rng.standard_normal((k, n))
    )


def hits(design: Design, effects: tuple[float, float, float]) -> int:
    rng = np.random.default_rng(5)
    return sum(
        bootstrap(mean, [crossed(rng, *effects)], rng, design=design, reps=REPS).covers(0.0)
        for _ in range(TRIALS)
    )


def test_the_interval_of_a_mean_of_twenty_covers_it() -> None:
    rng = np.random.default_rng(0)
    found = [bootstrap(mean, [rng.normal(size=20)], rng, reps=REPS) for _ in range(400)]
    count = sum(e.covers(0.0) for e in found)
    assert covered(count, 400) and count < 396  # nor is it wider than it must be


@pytest.mark.parametrize("effects", [(1.0, 0.0, 0.3), (0.0, 1.0, 0.3), (0.3, 1.0, 0.3)])
def test_five_training_seeds_on_shared_scenarios_are_covered(
    effects: tuple[float, float, float],
) -> None:
    assert covered(hits("crossed", effects), TRIALS)


def test_resampling_scenarios_within_seeds_is_too_narrow_when_scenarios_are_shared() -> None:
    """Why paired audits use the crossed bootstrap: this is the naive hierarchical one."""
    assert not covered(hits("nested", (0.0, 1.0, 0.1)), TRIALS)


def test_plain_percentiles_are_too_narrow_for_five_seeds() -> None:
    """Why the intervals are expanded."""
    rng, plain, wide = np.random.default_rng(1), 0, 0
    for _ in range(200):
        sample = rng.standard_normal((5, 1)) + np.zeros((5, 30))
        draws = resampled(mean, [sample], rng, "nested", REPS)
        plain += interval(float(sample.mean()), draws, 1e9).covers(0.0)
        wide += interval(float(sample.mean()), draws, 5).covers(0.0)
    assert covered(wide, 200) and not covered(plain, 200)


def test_pairs_stay_together() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(size=50)
    found = bootstrap(boot.mean_difference, [first + 0.25, first], rng, reps=100)
    assert (found.low, found.high) == pytest.approx((0.25, 0.25))


def test_the_same_generator_gives_the_same_interval_and_chunks_do_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sample = np.random.default_rng(3).normal(size=(4, 30))
    for design in ("crossed", "nested", "seeds", "fixed"):
        one = resampled(mean, [sample], np.random.default_rng(7), design, 50)
        again = resampled(mean, [sample], np.random.default_rng(7), design, 50)
        assert (one == again).all() and len(one) == 50
    whole = resampled(mean, [sample[0]], np.random.default_rng(7), reps=50)
    monkeypatch.setattr(boot, "_ENTRIES", 7 * 30)
    assert (whole == resampled(mean, [sample[0]], np.random.default_rng(7), reps=50)).all()


def test_each_design_draws_what_it_says() -> None:
    """Means of seeds are 0, 10, 20, ...; scenarios add 0, 1, 2, ..."""
    sample = 10.0 * np.arange(3)[:, None] + np.arange(4)[None]

    def spread(design: Design) -> float:
        return float(resampled(mean, [sample], np.random.default_rng(0), design, 4000).var())

    by_seed, by_scenario = 200.0 / 3.0 / 3.0, 1.25 / 4.0
    assert spread("seeds") == pytest.approx(by_seed, rel=0.1)
    assert spread("fixed") == pytest.approx(by_scenario, rel=0.1)
    assert spread("crossed") == pytest.approx(by_seed + by_scenario, rel=0.1)
    assert spread("nested") == pytest.approx(by_seed + by_scenario / 3.0, rel=0.1)


def test_units_are_seeds_where_seeds_differ_and_scenarios_where_scenarios_do() -> None:
    rng = np.random.default_rng(4)
    seeds_differ = boot.independent_units(mean, [crossed(rng, 1.0, 0.0, 0.01)], rng, "crossed")
    scenarios_differ = boot.independent_units(mean, [crossed(rng, 0.0, 1.0, 0.01)], rng, "crossed")
    assert float(seeds_differ) == pytest.approx(5.0, abs=0.5)
    assert float(scenarios_differ) == pytest.approx(40.0, abs=2.0)


def test_undefined_resamples_widen_both_ends() -> None:
    draws = np.r_[np.full(60, np.nan), np.linspace(0.0, 1.0, 940)]
    found = interval(0.5, draws, 1000)
    assert found.low == -math.inf and found.high == math.inf


def test_expanded_tails_approach_the_plain_ones() -> None:
    assert boot.tail_probability(1e6) == pytest.approx(0.025, abs=1e-5)
    assert boot.tail_probability(5) == pytest.approx(0.00096, abs=2e-5)  # t(4): 2.776 sqrt(5/4)


def test_infinite_values_are_json() -> None:
    text = json.dumps(Estimate(math.nan, -math.inf, 2.0).to_json(), allow_nan=False)
    assert json.loads(text) == {"value": None, "low": "-inf", "high": 2.0}
    assert -Estimate(1.0, 0.0, 3.0) == Estimate(-1.0, -3.0, 0.0)
    assert float(Estimate(1.0, 0.0, 3.0)) == 1.0 and str(Estimate(1, 0, 3)) == "1 [0, 3]"


@pytest.mark.parametrize(
    ("shape", "design", "message"),
    [
        ((1,), "scenarios", r"\(n, ...\)"),
        ((1, 20), "crossed", "with one training seed, bootstrap its scenarios"),
        ((20,), "nested", "training seeds"),
        ((20,), "rows", "unknown bootstrap design 'rows'"),
    ],
)
def test_samples_that_cannot_be_resampled_are_refused(
    shape: tuple[int, ...], design: Design, message: str
) -> None:
    with pytest.raises(RoboAdvError, match=message):
        bootstrap(mean, [np.zeros(shape)], np.random.default_rng(0), design=design)


def test_few_training_seeds_speak_of_their_controllers_only() -> None:
    assert [boot.claim(k) for k in (1, 4, 5)] == [
        "this controller",
        "these controllers",
        "the training method",
    ]
    assert [boot.design_for(k) for k in (1, 4, 5)] == ["fixed", "fixed", "crossed"]
    one = np.random.default_rng(0).normal(size=(1, 30))
    fixed = bootstrap(mean, [one], np.random.default_rng(1), design="fixed", reps=100)
    assert fixed == bootstrap(mean, [one[0]], np.random.default_rng(1), reps=100)
