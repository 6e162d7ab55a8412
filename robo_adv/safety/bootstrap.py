"""Bootstrap intervals over scenarios, and over training seeds and scenarios.

Intervals are *expanded percentile* intervals (Hesterberg 2015, "What teachers should know about the
bootstrap", The American Statistician 69(4), section 5): percentile intervals at the tail probability
Phi(-sqrt(m / (m - 1)) t) with t of m - 1 degrees of freedom, m the number of independent units.
Plain percentile intervals are a factor sqrt((m - 1) / m) and the t quantile too narrow, which with
five training seeds means about 82 % instead of 95 %. BCa is not used: its acceleration has no
accepted form for two levels of resampling, and its bias term is undefined when all resamples are
equal, as happens with rates of zero; percentiles also keep a statistic in its range and carry over
to ratios and break-even points.

Where every episode agrees (no failure at all) a bootstrap interval has no width and means nothing:
for rates use `Rate`, for paired differences of rates `paired.rate_difference`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import stats

from robo_adv.errors import RoboAdvError, unknown
from robo_adv.safety.statistics import CONFIDENCE

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Statistic = Callable[..., Array]
Design = Literal["scenarios", "crossed", "nested", "seeds", "fixed"]
REPS = 10_000
ENOUGH_SEEDS = 5  # fewer training seeds speak of these controllers only, not of the method
_ENTRIES = 200_000  # of one sample that are held at once: a few MB, which stay in the cache


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `low <= high`, either may be infinite."""

    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"

    def __neg__(self) -> Estimate:
        return Estimate(-self.value, -self.high, -self.low, self.confidence)

    def covers(self, truth: float) -> bool:
        return self.low <= truth <= self.high

    def to_json(self) -> dict[str, float | str | None]:
        """Numbers; infinite ones are the words `inf` and `-inf`, undefined ones null."""
        return {name: number(getattr(self, name)) for name in ("value", "low", "high")}


def number(x: float) -> float | str | None:
    """A JSON value: JSON has no infinities."""
    if math.isnan(x):
        return None
    return round(float(x), 9) if math.isfinite(x) else str(float(x))


def resampled(
    statistic: Statistic,
    samples: Sequence[Array],
    rng: np.random.Generator,
    design: Design = "scenarios",
    reps: int = REPS,
) -> Floats:
    """`statistic` of `reps` resamples, (reps, ...).

    Designs: `scenarios` is one controller. `crossed`: K controllers of K training seeds met the same n
    scenarios, so seeds and scenarios are drawn apart (Owen 2007, "The pigeonhole bootstrap", Annals of
    Applied Statistics 1(2); conservative). `nested`: each controller had scenarios of its own, drawn
    anew within each drawn seed (Davison and Hinkley 1997, section 3.8); on shared scenarios it is
    far too narrow. `seeds` draws training seeds only, `fixed` scenarios only: these K controllers.

    Args:
        statistic: maps arrays (reps, rows, ...) to (reps, ...) by reducing axis 1.
        samples: resampled with the same indices, so that pairs stay together. (n, ...) for
            `scenarios`; (K, n, ...) for the other designs, whose rows come flattened.

    Raises:
        RoboAdvError: samples of other shapes, fewer than two units, an unknown design.
    """
    shape = _common_shape(samples, design)
    at_once = max(1, _ENTRIES // max(sample.size for sample in samples))
    parts = []
    for first in range(0, reps, at_once):
        index = _indices(rng, shape, design, min(at_once, reps - first))
        parts.append(statistic(*(_take(sample, index) for sample in samples)))
    return np.concatenate(parts).astype(np.float64)


def _common_shape(samples: Sequence[Array], design: Design) -> tuple[int, ...]:
    if design not in get_args(Design):
        raise unknown("bootstrap design", design, get_args(Design))
    depth = 1 if design == "scenarios" else 2
    shapes = {sample.shape[:depth] for sample in samples}
    shape = next(iter(shapes), ())
    least = 1 if design == "fixed" else 2  # training seeds
    if len(shapes) != 1 or len(shape) != depth or shape[-1] < 2 or shape[0] < least:
        wanted = "(n, ...)" if depth == 1 else "(training seeds, n, ...)"
        raise RoboAdvError(
            f"a bootstrap over {design} needs samples {wanted} of equal leading sizes >= 2, got "
            f"{[sample.shape for sample in samples]}"
            + ("; with one training seed, bootstrap its scenarios" if depth == 2 else "")
        )
    return shape


def _indices(
    rng: np.random.Generator, shape: tuple[int, ...], design: Design, reps: int
) -> tuple[Array, ...]:
    n = shape[-1]
    if design == "scenarios":
        return (rng.integers(n, size=(reps, n)),)
    seeds, columns = np.arange(shape[0])[None, :, None], np.arange(n)[None, None, :]
    if design != "fixed":
        seeds = rng.integers(shape[0], size=(reps, shape[0], 1))
    if design != "seeds":
        height = shape[0] if design == "nested" else 1
        columns = rng.integers(n, size=(reps, height, n))
    return seeds, columns


def _take(sample: Array, index: tuple[Array, ...]) -> Array:
    drawn = sample[index]
    if len(index) == 1:
        return drawn
    return drawn.reshape(len(drawn), -1, *sample.shape[2:])


def tail_probability(units: float, confidence: float = CONFIDENCE) -> float:
    """Probability left out at each end by the expanded percentile interval of `units` units."""
    t = stats.t.ppf(0.5 + confidence / 2, units - 1)
    return float(stats.norm.cdf(-math.sqrt(units / (units - 1)) * t))


def interval(value: float, draws: Floats, units: float, confidence: float = CONFIDENCE) -> Estimate:
    """The expanded percentile interval from `draws` (reps,); undefined ones count at both ends."""
    out = int(tail_probability(units, confidence) * len(draws))
    low = np.sort(np.where(np.isnan(draws), -np.inf, draws))[out]
    high = np.sort(np.where(np.isnan(draws), np.inf, draws))[-1 - out]
    if not math.isnan(value):
        low, high = min(low, value), max(high, value)
    return Estimate(float(value), float(low), float(high), confidence)


def bootstrap(
    statistic: Statistic,
    samples: Sequence[Array],
    rng: np.random.Generator,
    *,
    design: Design = "scenarios",
    reps: int = REPS,
    confidence: float = CONFIDENCE,
    units: float | None = None,
) -> Estimate:
    """The statistic with its bootstrap interval; arguments as for `resampled`.

    Args:
        units: independent units the statistic rests on, by default `independent_units`; a tail
            statistic rests on the scenarios in the tail only.
    """
    draws = resampled(statistic, samples, rng, design, reps)
    value = float(plug_in(statistic, samples, design))
    if units is None:
        units = float(independent_units(statistic, samples, rng, design))
    return interval(value, draws, units, confidence)


def plug_in(statistic: Statistic, samples: Sequence[Array], design: Design) -> Array:
    """The statistic of the samples themselves."""
    if design == "scenarios":
        return np.asarray(statistic(*(sample[None] for sample in samples))[0])
    flat = (sample.reshape(1, -1, *sample.shape[2:]) for sample in samples)
    return np.asarray(statistic(*flat)[0])


def independent_units(
    statistic: Statistic, samples: Sequence[Array], rng: np.random.Generator, design: Design
) -> Array:
    """How many independent units the statistic rests on, for each of its components.

    Scenarios, or training seeds. For `crossed` seeds and scenarios both vary, and the degrees of
    freedom of the sum of their variances are Satterthwaite's (1946, Biometrics Bulletin 2(6)).
    """
    seeds, n = len(samples[0]), samples[0].shape[0 if design == "scenarios" else 1]
    if design != "crossed":
        return np.asarray(float(seeds if design in ("nested", "seeds") else n))
    by_seed = _spread(resampled(statistic, samples, rng, "seeds", 400))
    by_scenario = _spread(resampled(statistic, samples, rng, "fixed", 400))
    freedom = (by_seed + by_scenario) ** 2 / np.maximum(
        by_seed**2 / (seeds - 1) + by_scenario**2 / (n - 1), 1e-300
    )
    return np.asarray(np.maximum(freedom, min(seeds, n) - 1) + 1.0)


def _spread(draws: Floats) -> Array:
    """Variance over resamples of the finite values."""
    finite = np.where(np.isfinite(draws), draws, np.nan)
    usable = np.isfinite(draws).sum(axis=0) > 1
    return np.where(usable, np.nanvar(np.where(usable, finite, 0.0), axis=0), 0.0)


def design_for(training_seeds: int) -> Design:
    """`crossed` where there are enough training seeds to speak of the method, else `fixed`."""
    return "crossed" if training_seeds >= ENOUGH_SEEDS else "fixed"


def mean(sample: Array) -> Array:
    """The mean of each resample (reps, rows) -> (reps,)."""
    return np.asarray(sample.mean(axis=1))


def mean_difference(first: Array, second: Array) -> Array:
    """The mean of `first` - `second` of each resample; samples are paired."""
    return mean(first) - mean(second)


def claim(training_seeds: int) -> str:
    """What so many training seeds can speak of (>= 5 are needed to judge a training method)."""
    if training_seeds >= ENOUGH_SEEDS:
        return "the training method"
    return "this controller" if training_seeds == 1 else "these controllers"
