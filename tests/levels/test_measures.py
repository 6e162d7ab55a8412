"""Measures over levels: closed forms, and simulations against what the naive forms would say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from robo_adv.audit.ladder_numbers import interquartile_mean
from robo_adv.errors import RoboAdvError
from robo_adv.levels.measures import (
    enough,
    estimate,
    gain,
    measures,
    over_seeds,
    worst,
)
from robo_adv.levels.statistics import STATISTICS, split_tail
from robo_adv.safety.bootstrap import interval

Floats = npt.NDArray[np.float64]


def played(chances: npt.ArrayLike, episodes: int, seed: int) -> Floats:
    """Success (L, K) on levels that are solved with these chances (L,)."""
    rng = np.random.default_rng(seed)
    p = np.asarray(chances)
    return (rng.random((*p.shape, episodes)) < p[..., None]).astype(np.float64)


def naive_tail(success: Floats, alpha: float) -> float:
    """Ranked and measured on the same episodes."""
    means = np.sort(success.mean(axis=-1))
    return float(means[: max(int(alpha * len(means)), 1)].mean())


def test_equal_levels_have_a_worse_tail_only_if_it_is_ranked_and_measured_on_the_same() -> None:
    drawn = [played(np.full(200, 0.8), 4, seed) for seed in range(300)]
    honest = np.mean([split_tail(s, 0.1) for s in drawn])
    assert honest == pytest.approx(0.8, abs=0.01)
    assert np.mean([naive_tail(s, 0.1) for s in drawn]) < 0.5


def test_with_many_episodes_the_tail_is_that_of_the_true_chances() -> None:
    chances = np.linspace(0.0, 1.0, 200)
    assert split_tail(played(chances, 400, 0), 0.1) == pytest.approx(chances[:20].mean(), abs=0.01)


def test_few_episodes_per_level_make_the_tail_an_upper_bound() -> None:
    chances = np.linspace(0.0, 1.0, 200)
    few = np.mean([split_tail(played(chances, 4, seed), 0.1) for seed in range(50)])
    many = np.mean([split_tail(played(chances, 40, seed), 0.1) for seed in range(50)])
    assert few > many > chances[:20].mean()


def test_levels_that_tie_share_the_places_in_the_tail() -> None:
    # On both halves four levels of ten tie at 0; they did 0, 0, 1 and 1 on the other half.
    first = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1.0])
    second = np.array([0, 0, 1, 1, 0, 0, 1, 1, 1, 1.0])
    success = np.stack([first, second], axis=1)
    assert split_tail(success, 0.2) == pytest.approx(0.5)
    assert split_tail(success, 0.5) == pytest.approx((4 * 0.5 + 4 / 6) / 5)
    assert split_tail(success, 1.0) == pytest.approx(success.mean())


@pytest.mark.parametrize("name", STATISTICS)
def test_every_measure_lies_in_its_interval_within_0_and_1(name: str) -> None:
    found = estimate(played(np.random.default_rng(1).random(60), 4, 2), name)
    assert 0.0 <= found.low < found.value < found.high <= 1.0


@pytest.mark.parametrize("name", STATISTICS)
def test_one_training_seed_speaks_for_itself_and_several_are_averaged(name: str) -> None:
    success = played(np.random.default_rng(1).random((3, 40)), 4, 2)
    assert over_seeds(success[:1], name, reps=50) == estimate(success[0], name, reps=50)
    alone = [float(STATISTICS[name](one)) for one in success]
    found = over_seeds(success, name, reps=50)
    if name != "iqm":
        assert found.value == pytest.approx(np.mean(alone))
    assert found.low <= found.value <= found.high


def test_the_mean_of_levels_is_covered_by_its_interval_nineteen_times_in_twenty() -> None:
    rng, covered = np.random.default_rng(0), 0
    for seed in range(200):
        chances = rng.beta(2.0, 1.0, size=50)  # a fresh sample of levels each time, of mean 2/3
        covered += estimate(played(chances, 2, seed), "mean", reps=400).covers(2 / 3)
    assert 182 <= covered <= 199


def test_episodes_of_one_level_do_not_pass_for_levels() -> None:
    """On hard or easy levels alone, many episodes per level make the interval no narrower."""
    chances = np.repeat([0.0, 1.0], 20)
    few, many = (estimate(played(chances, k, 0), "mean") for k in (2, 200))
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.02)
    fixed = estimate(played(np.tile([0.3, 0.7], 20), 200, 0), "mean", drawn=False)
    assert fixed.high - fixed.low < 0.05  # of exactly these levels more episodes tell more


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end_of_all_runs_and_levels() -> None:
    means = np.array([[0.0, 0.2, 0.4, 0.5], [0.6, 0.7, 0.9, 1.0]])
    success = np.repeat(means[:, :, None], 2, axis=2)
    assert over_seeds(success, "iqm", reps=20).value == pytest.approx((0.4 + 0.5 + 0.6 + 0.7) / 4)


def plain_measure(success: Floats, name: str) -> float:
    """The measure of a method from (S, L, K), straight from what it means."""
    rates = success.mean(axis=2)
    if name == "iqm":
        return float(interquartile_mean(rates.reshape(1, -1))[0])
    if name in ("mean", "solved"):
        return float(np.mean(rates if name == "mean" else rates >= 0.5))
    return float(
        np.mean([split_tail(one, {"cvar10": 0.1, "cvar1": 0.01}[name]) for one in success])
    )


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("episodes", [2, 3, 8])
def test_resampling_kinds_of_levels_is_resampling_levels(name: str, episodes: int) -> None:
    """The same draws, level by level in a plain loop, give the same interval."""
    levels = np.random.default_rng(0).random((2, 130))
    first = played(np.tile(levels[0], (3, 1)), episodes, 1)
    second = played(np.tile(levels[1], (2, 1)), episodes, 2)
    rng, draws = np.random.default_rng(0), np.empty(200)
    for r in range(200):
        seeds, chosen = rng.integers(3, size=3), rng.integers(130, size=130)
        draws[r] = plain_measure(first[seeds][:, chosen], name)
    alone = interval(plain_measure(first, name), draws, 3)
    rng = np.random.default_rng(0)
    for r in range(200):
        chosen = rng.integers(130, size=130)
        one, other = (s[rng.integers(len(s), size=len(s))][:, chosen] for s in (first, second))
        draws[r] = plain_measure(one, name) - plain_measure(other, name)
    lead = interval(plain_measure(first, name) - plain_measure(second, name), draws, 2)
    for plain, found in (
        (alone, over_seeds(first, name, reps=200)),
        (lead, gain(first, second, name, reps=200)),
    ):
        assert (found.value, found.low, found.high) == pytest.approx(
            (plain.value, plain.low, plain.high), abs=1e-12
        )


def test_levels_of_many_kinds_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    success = played(np.random.default_rng(0).random((3, 90)), 4, 1)
    whole = over_seeds(success, "cvar10", reps=100)
    monkeypatch.setattr("robo_adv.levels.measures._ENTRIES", 1000)
    assert over_seeds(success, "cvar10", reps=100) == whole


def test_solved_counts_levels_that_half_of_the_episodes_solve() -> None:
    success = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0.0]])
    assert estimate(success, "solved").value == 0.5


def test_success_everywhere_still_leaves_doubt() -> None:
    assert estimate(np.ones((50, 4)), "mean").low == pytest.approx(0.9289, abs=1e-4)  # 50 of 50
    assert estimate(np.ones((1, 20)), "mean").low == pytest.approx(0.8316, abs=1e-4)  # 20 of 20
    assert estimate(np.ones((9, 20)), "mean", drawn=False).low < 0.84


def test_the_worst_point_of_a_flat_sweep_is_as_good_as_the_others() -> None:
    found = [float(worst(played(np.full(11, 0.7), 20, seed)).rate) for seed in range(400)]
    assert np.mean(found) == pytest.approx(0.7, abs=0.015)


def test_the_worst_point_of_a_sweep_is_found() -> None:
    found = worst(played([1.0, 0.9, 0.1, 0.9, 1.0], 20, 0))
    assert found.index == 2 and found.rate.total == 20 and found.rate.high < 0.5


def test_a_gain_has_the_sign_of_the_better_method_and_equal_ones_may_have_none() -> None:
    levels = np.random.default_rng(0).random(100)
    better = played(np.tile(np.clip(levels + 0.3, 0, 1), (3, 1)), 4, 1)
    first, second = (played(np.tile(levels, (3, 1)), 4, seed) for seed in (2, 3))
    assert gain(better, first, "mean", reps=300).low > 0.1
    assert gain(first, better, "mean", reps=300).high < -0.1
    assert gain(first, second, "mean", reps=300).covers(0.0)


def test_tails_are_measured_where_there_are_levels_for_them() -> None:
    assert set(measures(np.ones((500, 4)))) == set(STATISTICS)
    assert "cvar1" not in measures(np.ones((60, 4)))
    assert set(measures(np.ones((1, 200)))) == {"mean"}
    assert "cvar10" not in measures(np.ones((60, 1)))
    assert "cvar10" not in measures(np.ones((60, 4)), drawn=False)
    assert enough("cvar10", 500) and not enough("cvar1", 500)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: split_tail(np.ones((5, 1)), 0.1), "two episodes per level"),
        (lambda: split_tail(np.ones((5, 2)), 0.0), r"share of the levels in \(0, 1\], got 0"),
        (lambda: worst(np.ones((5, 1))), "takes two episodes per level, got 1"),
        (lambda: estimate(np.ones(5), "mean"), r"shape \(levels, episodes\), got \(5,\)"),
        (lambda: over_seeds(np.ones((5, 2)), "mean"), r"\(training seeds, levels, episodes\)"),
        (lambda: estimate(np.ones((5, 2)), "cvar"), "did you mean 'cvar1' or 'cvar10'"),
        (lambda: gain(np.ones((2, 5, 2)), np.ones((2, 6, 2)), "mean"), "same levels and episodes"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(call: object, text: str) -> None:
    with pytest.raises(RoboAdvError, match=text):
        call()  # type: ignore[operator]
