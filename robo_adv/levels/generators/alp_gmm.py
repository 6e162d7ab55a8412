"""ALP-GMM: levels from regions where the student's return changes most, up or down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from robo_adv.levels.generator import (
    GENERATORS,
    Array,
    Batch,
    Generator,
    Outcomes,
    Tensors,
    levels_of,
    shared,
)
from robo_adv.levels.mixture import Mixture, fit_best
from robo_adv.levels.space import DesignSpace


@GENERATORS.register("alp-gmm")
@dataclass
class ALPGMM(Generator):
    """ALP-GMM: levels from where learning progress is large.

    The absolute learning progress of a level is |R - R'|, R' the return on the nearest level of
    earlier rounds. Every `window` levels, Gaussian mixtures are fitted to the last `window` pairs of
    level and progress, the number of components by AIC; a level then comes from a component that is
    drawn in proportion to its mean progress, or is uniform with probability `uniform`.

    Source: Portelas et al. 2020, "Teacher algorithms for curriculum learning of Deep RL in
    continuously parameterized environments"; defaults of TeachMyAgent. Returns are
    divided by the range seen so far when a mixture is fitted. Noise is progress, too: with few
    episodes per level it also draws levels whose outcome is a matter of luck.

    Attributes:
        each: episodes per level; their mean return counts. fewest, most: components.
        memory: levels among which the nearest one is looked for, the last ones.
    """

    each: int = 1
    window: int = 250
    uniform: float = 0.2
    fewest: int = 2
    most: int = 10
    memory: int = 10_000
    points: Array = field(init=False, repr=False)
    returns: Array = field(init=False, repr=False)
    progress: Array = field(init=False, repr=False)
    unfitted: int = field(init=False, repr=False)
    mixture: Mixture | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.check(each=(1, 1000), uniform=(0, 1), most=(1, 100), fewest=(1, self.most))
        self.check(window=(2 * self.most, 100_000), memory=(self.window, 10_000_000))

    def begin(self, space: DesignSpace, seed: int) -> None:
        super().begin(space, seed)
        self.points = np.zeros((0, len(space)))
        self.returns, self.progress = np.zeros(0), np.zeros(0)
        self.unfitted, self.mixture = 0, None

    def ask(self, episodes: int, progress: float) -> Batch:
        points = self.space.sample(self.rng, levels_of(episodes, self.each))
        if self.mixture is not None:
            for i in np.flatnonzero(self.rng.random(len(points)) >= self.uniform):
                points[i] = self._draw(self.mixture)
        return shared(points, self.each, "random" if self.mixture is None else "mixture")

    def _draw(self, mixture: Mixture) -> Array:
        gains = np.maximum(mixture.means[:, -1], 0.0)
        share = gains / gains.sum() if gains.sum() > 0 else mixture.weights
        component = int(self.rng.choice(len(share), p=share))
        return np.asarray(np.clip(mixture.draw(component, self.rng)[:-1], 0.0, 1.0))

    def tell(self, batch: Batch, outcomes: Outcomes) -> dict[str, float]:
        points, returns = outcomes.points[0], outcomes.returns[0].mean(axis=-1)
        progress = np.zeros(len(points))
        if len(self.points):
            progress = np.abs(returns - self.returns[cKDTree(self.points).query(points)[1]])
        self.points = np.concatenate([self.points, points])[-self.memory :]
        self.returns = np.concatenate([self.returns, returns])[-self.memory :]
        self.progress = np.concatenate([self.progress, progress])[-self.memory :]
        self.unfitted += len(points)
        if self.unfitted >= self.window:
            self._fit()
        sizes = 0 if self.mixture is None else len(self.mixture.weights)
        return {"score": float(progress.mean()), "components": float(sizes)}

    def _fit(self) -> None:
        span = max(float(np.ptp(self.returns)), np.finfo(np.float64).tiny)
        recent = slice(-self.window, None)
        pairs = np.column_stack([self.points[recent], self.progress[recent] / span])
        self.mixture = fit_best(pairs, range(self.fewest, self.most + 1), self.rng)
        self.unfitted = 0

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors, values = super().state()
        arrays = {"points": self.points, "returns": self.returns, "progress": self.progress}
        if self.mixture is not None:
            m = self.mixture
            arrays |= {"weights": m.weights, "means": m.means, "covariances": m.covariances}
        tensors |= {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return tensors, values | {"unfitted": self.unfitted}

    def load_state(self, tensors: Mapping[str, torch.Tensor], values: Mapping[str, Any]) -> None:
        super().load_state(tensors, values)
        arrays = {name: np.array(tensor.numpy()) for name, tensor in tensors.items()}
        self.points, self.returns = arrays["points"], arrays["returns"]
        self.progress, self.unfitted = arrays["progress"], int(values["unfitted"])
        self.mixture = None
        if "weights" in arrays:
            self.mixture = Mixture(arrays["weights"], arrays["means"], arrays["covariances"])
