"""Evolution strategies (Salimans et al. 2017) for black boxes: what to show is a linear function of
what is there, searched by how badly the controller does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from cmaes import SepCMA  # type: ignore[import-untyped]

from robo_adv.threats.attack import ATTACKS, Array, Attack, Perturbation, View
from robo_adv.threats.lab import Lab
from robo_adv.threats.threat import Port

WATCHED = 2_000  # steps from which observations are normalised


@ATTACKS.register("evolution")
@dataclass(frozen=True)
class Evolution(Perturbation):
    """Every entry moves to the side that a linear function of the normalised observation says.
    Separable CMA-ES (Ros and Hansen 2008) raises the harm; the best of all that were tried is kept.

    Attributes:
        rounds, population: their product is the number of attacks tried, each in all search scenarios
            (36 in 8 scenarios: 288 episodes). sigma: first step size.
        features: directions of the observation that the function sees, beside a constant; the first
            principal components of the controller's own steps.
        shift, project: of the features (d,) and (features, d). weights: (d * (features + 1),); ()
            before `search`: every entry moves up.
    """

    rounds: int = 3
    population: int = 12
    sigma: float = 0.5
    features: int = 3
    shift: tuple[float, ...] = ()
    project: tuple[tuple[float, ...], ...] = ()
    weights: tuple[float, ...] = ()
    port: ClassVar[Port] = "observation"

    def search(self, lab: Lab) -> Attack:
        seen = lab.transitions(WATCHED).observation
        shift, project = components(seen.reshape(-1, seen.shape[-1]), self.features)
        this = replace(self, shift=_plain(shift), project=tuple(_plain(row) for row in project))
        size = len(lab.scale) * (len(project) + 1)
        search = SepCMA(
            np.zeros(size), self.sigma, seed=int(lab.rng.integers(2**31)),
            population_size=self.population,
        )  # fmt: skip
        best, worst_mark = this, -np.inf
        for _ in range(self.rounds):
            points = [search.ask() for _ in range(self.population)]
            tried = [replace(this, weights=_plain(point)) for point in points]
            marks = lab.judge(tried)
            top = int(np.argmax(marks))
            if marks[top] > worst_mark:
                best, worst_mark = tried[top], float(marks[top])
            search.tell([(p, -float(m)) for p, m in zip(points, marks, strict=True)])
        return best

    def propose(self, view: View) -> Array:
        if not self.weights:
            return np.asarray(view.clean + view.radius)
        weights = np.reshape(self.weights, (view.clean.shape[1], -1))
        wanted = np.repeat(weights[None, :, 0], len(view.clean), axis=0)
        away = view.observation - np.array(self.shift)
        for k, row in enumerate(np.array(self.project)):  # in a fixed order: rows stay independent
            feature = sum(away[:, i] * row[i] for i in range(len(row)))
            wanted += np.clip(feature, -3.0, 3.0)[:, None] * weights[:, k + 1]
        return np.asarray(view.clean + view.radius * np.where(wanted < 0, -1.0, 1.0))


def components(seen: Array, count: int) -> tuple[Array, Array]:
    """Mean (d,) and the first principal components (count, d) of rows (n, d), each entry in its
    standard deviation; features have variance 1."""
    shift, spread = seen.mean(axis=0), seen.std(axis=0)
    spread = np.where(spread > 1e-6, spread, np.inf)
    _, length, axes = np.linalg.svd((seen - shift) / spread, full_matrices=False)
    kept = min(count, int((length > 1e-6 * length[0]).sum()))
    return shift, axes[:kept] / spread * (len(seen) ** 0.5 / length[:kept, None])


def _plain(x: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in x)
