"""A regression tree of depth 3 that proposes contexts; they are judged on other episodes.

CART (Breiman, Friedman, Olshen and Stone 1984, chapter 8) on the paired harm of each scenario. It
finds contexts that nobody declared, but picks them for being bad: `worst_context` on the episodes it
was grown on would flatter itself, so grow it on the search scenarios and judge on the reported ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from robo_adv.errors import RoboAdvError
from robo_adv.safety.bootstrap import Array, Floats
from robo_adv.safety.contexts import ENOUGH

DEPTH = 3
Cut = tuple[int, bool, float]  # feature, whether above, threshold


@dataclass(frozen=True)
class ContextTree:
    """Leaves as lists of cuts; every scenario lies in exactly one."""

    leaves: tuple[tuple[Cut, ...], ...]
    features: tuple[str, ...]

    def labels(self, features: Array) -> npt.NDArray[np.int64]:
        """(n,) leaf of each scenario with features (n, k)."""
        out = np.zeros(len(features), dtype=np.int64)
        for leaf, cuts in enumerate(self.leaves):
            inside = np.ones(len(features), dtype=bool)
            for feature, above, threshold in cuts:
                inside &= (features[:, feature] >= threshold) == above
            out[inside] = leaf
        return out

    @property
    def names(self) -> list[str]:
        """The rule of each leaf, for example `gap < 0.3 and speed >= 1.2`."""
        return [" and ".join(map(self._phrase, cuts)) or "everywhere" for cuts in self.leaves]

    def _phrase(self, cut: Cut) -> str:
        feature, above, threshold = cut
        return f"{self.features[feature]} {'>=' if above else '<'} {threshold:.4g}"


def grow(
    features: Array,
    harm: Array,
    names: Sequence[str],
    *,
    depth: int = DEPTH,
    leaf: int = ENOUGH,
) -> ContextTree:
    """Split where the squared error of `harm` falls most, down to `depth`.

    Args:
        features: (n, k) known before the episode. harm: (n,) unsafe(candidate) - unsafe(baseline).
        leaf: least number of episodes in a leaf.

    Raises:
        RoboAdvError: shapes that do not fit, features that are not finite.
    """
    features, harm = np.asarray(features, np.float64), np.asarray(harm, np.float64)
    if features.shape != (len(harm), len(names)) or not len(harm):
        raise RoboAdvError(
            f"a tree needs features (n, {len(names)}) for {list(names)} and harm (n,), got "
            f"{features.shape} and {harm.shape}"
        )
    if not np.isfinite(features).all():
        raise RoboAdvError("a tree needs finite features; leave out those that are not")
    return ContextTree(tuple(_leaves(features, harm, (), depth, leaf)), tuple(names))


def _leaves(
    features: Floats, harm: Floats, cuts: tuple[Cut, ...], depth: int, leaf: int
) -> list[tuple[Cut, ...]]:
    found = [_best_cut(column, harm, leaf) for column in features.T] if depth else []
    best = max(range(len(found)), key=lambda i: found[i][0], default=-1)
    if best < 0 or found[best][0] <= 1e-12:
        return [cuts]
    out, threshold = [], found[best][1]
    for above in (False, True):
        side = (features[:, best] >= threshold) == above
        below = (*cuts, (best, above, threshold))
        out += _leaves(features[side], harm[side], below, depth - 1, leaf)
    return out


def _best_cut(column: Floats, harm: Floats, leaf: int) -> tuple[float, float]:
    """Largest fall of the squared error by a cut of one feature, and the threshold."""
    order = np.argsort(column, kind="stable")
    x, total, n = column[order], np.cumsum(harm[order]), len(harm)
    left = np.arange(1, n)
    between = total[:-1] ** 2 / left + (total[-1] - total[:-1]) ** 2 / (n - left)
    allowed = (x[1:] > x[:-1]) & (left >= leaf) & (n - left >= leaf)
    if not allowed.any():
        return 0.0, 0.0
    fall = np.where(allowed, between - total[-1] ** 2 / n, -np.inf)
    i = int(fall.argmax())
    return float(fall[i]), float((x[i] + x[i + 1]) / 2.0)
