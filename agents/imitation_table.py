"""The imitation study's table: scores with intervals over training seeds and scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.imitation_study import ImitationStudy, read_values, scored
from robo_adv.agents.imitators.variants import VARIANTS
from robo_adv.audit.ladder_numbers import interquartile_mean
from robo_adv.errors import RoboAdvError
from robo_adv.runs import Run, plain
from robo_adv.safety.bootstrap import Estimate, bootstrap, interval, mean

Array = npt.NDArray[Any]
REPS = 2_000


def collect(study: ImitationStudy) -> dict[str, Any]:
    """Rows per task, variant and number of demonstrations: the score, the imitator's, random actions'
    and the expert's values; and per variant and number the interquartile mean over tasks and seeds.

    Raises:
        RoboAdvError: nothing is done yet.
    """
    rows = [row for key in dict.fromkeys(study.rows()) if (row := _row(study, *key)) is not None]
    if not rows:
        raise RoboAdvError(f"no finished cell in {study.folder}; train it first")
    kept = plain(replace(study, folder=Path(study.folder.name)))
    result = {"study": kept, "rows": rows, "over_tasks": over_tasks(study, rows)}
    Run(study.folder, {}).write_json("table.json", result)
    return result


def _row(study: ImitationStudy, task: str, name: str, count: int) -> dict[str, Any] | None:
    folders = {seed: study.place(task, f"{name}/{count}", seed) for seed in study.seeds}
    found = {s: read_values(f) for s, f in folders.items() if scored(study, f)}
    if not found:
        return None
    first = next(iter(found.values()))
    n = study.episodes  # the first scenarios are the same however many were played
    imitator = np.array([values["imitator"][:n] for values in found.values()])
    random, expert = first["random"][:n], first["expert"][:n]
    by_seed = (imitator.mean(axis=1) - random.mean()) / (expert.mean() - random.mean())
    return {
        "task": task, "variant": name, "group": VARIANTS[name].group, "demos": count,
        "unit": first["unit"], "seeds": list(found), "by_seed": by_seed.tolist(),
        "score": _score(imitator, random, expert).to_json(),
        "imitator": _over_seeds(imitator).to_json(), "random": _of(random).to_json(),
        "expert": _of(expert).to_json(),
    }  # fmt: skip


def _score(imitator: Array, random: Array, expert: Array) -> Estimate:
    """(R - random) / (expert - random) of an imitator (S, n), random actions (n,), an expert (n,)."""

    def ratio(own: Array, chance: Array, best: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((mean(own) - mean(chance)) / (mean(best) - mean(chance)))

    others = [np.tile(other, (len(imitator), 1)) for other in (random, expert)]
    if len(imitator) < 2:
        samples = [imitator[0], random, expert]
        return bootstrap(ratio, samples, np.random.default_rng(0), reps=REPS)
    samples = [imitator, *others]
    return bootstrap(ratio, samples, np.random.default_rng(0), design="crossed", reps=REPS)


def _over_seeds(values: Array) -> Estimate:
    """The mean of (S, n)."""
    if len(values) < 2:
        return _of(values[0])
    return bootstrap(mean, [values], np.random.default_rng(0), design="crossed", reps=REPS)


def _of(values: Array) -> Estimate:
    return bootstrap(mean, [values], np.random.default_rng(0), reps=REPS)


def over_tasks(study: ImitationStudy, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per variant and number of demonstrations the interquartile mean of the scores of all tasks and
    seeds, with intervals by a bootstrap that draws seeds anew within each task (Agarwal et al. 2021);
    of variants that every task and seed has."""
    out = []
    for name, count in dict.fromkeys((row["variant"], row["demos"]) for row in rows):
        mine = [
            row["by_seed"]
            for row in rows
            if (row["variant"], row["demos"]) == (name, count) and row["task"] in study.tasks
        ]
        complete = len(mine) == len(study.tasks) and {len(x) for x in mine} == {len(study.seeds)}
        if not complete or len(study.seeds) < 2:
            continue
        out.append({"variant": name, "demos": count, "iqm": _iqm(np.array(mine)).to_json()})
    return out


def _iqm(scores: Array) -> Estimate:
    """The interquartile mean of scores (T, S) of T tasks and S seeds."""
    tasks, seeds = scores.shape
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, seeds, (REPS, tasks, seeds))
    sample = np.take_along_axis(np.broadcast_to(scores, drawn.shape), drawn, axis=2)
    draws = interquartile_mean(sample.reshape(REPS, -1))
    value = float(interquartile_mean(scores.reshape(1, -1))[0])
    return interval(value, draws, float(seeds))
