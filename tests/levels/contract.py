"""What every generator of levels must do, as checks that fail with AssertionError."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load, save

from levels.fabricate import rounds
from robo_adv.levels import DesignSpace, Parameter
from robo_adv.levels.feasible import Constraint
from robo_adv.levels.generator import Batch, Generator, make_generator

Array = npt.NDArray[np.float64]
Make = Callable[[], Generator]

SPACE = DesignSpace(
    (
        Parameter("mass", 0.5, 2.0, 1.0, "kg", "log"),
        Parameter("delay", 0, 3, 0, "steps", "int"),
        Parameter("tool", 0, 0, "stick", "shape", "choice", options=("hook", "stick", "ball")),
        Parameter("yaw", -3.14, 3.14, 0.0, "rad", "angle"),
        *(Parameter(f"wall{k}_{a}", 0.0, 1.0, 0.2 + 0.6 * k, "m", slot="wall")
          for k in range(2) for a in "xy"),
        Parameter("same", 1.0, 1.0, 1.0, ""),
    ),
    constraints=(
        Constraint("the motor lifts it", ("mass", "delay"), lambda v: 4.0 - v["mass"] - v["delay"]),
    ),
)  # fmt: skip
OTHER = DesignSpace((Parameter("mass", 0.5, 3.0, 1.0, "kg", "log"),))


def chance(points: Array, student: int) -> Array:
    """Heavier and later is harder; a second student is a little better."""
    return np.clip(1.2 + 0.1 * student - points[:, 0] - points[:, 1], 0.0, 1.0)


QUICK: dict[str, Any] = {
    "capacity": 8, "window": 40, "most": 3, "every": 3, "candidates": 16, "keep": 4,
    "hidden": 8, "epochs": 2, "warmup": 0.0,
}  # fmt: skip


def quick(name: str) -> Generator:
    """A registered generator that does in a few small rounds all it would do in a long run."""
    known = make_generator(name).parameters()
    return make_generator(name, {k: v for k, v in QUICK.items() if k in known})


def started(make: Make, seed: int = 0) -> Generator:
    generator = make()
    generator.begin(SPACE, seed)
    return generator


def check_batches(make: Make, episodes: int) -> None:
    generator, space = started(make), (SPACE.nominal_point.copy(), replace(SPACE).digest)
    for batch in rounds(generator, chance, 12, episodes)[0]:
        sets, levels, size = batch.points.shape
        assert sets in (1, generator.students), "as many sets of levels as students, or one"
        assert levels * batch.episodes == episodes, "n * K must be the number of episodes"
        assert size == len(SPACE), "one number per parameter"
        assert batch.points.dtype == np.float64
        assert ((batch.points >= 0.0) & (batch.points <= 1.0)).all(), "points of the unit cube"
        assert batch.source.isidentifier(), "the source is one word"
        for point in batch.points.reshape(-1, size):
            SPACE.level(dict(SPACE.decode(point).values))
    np.testing.assert_array_equal(SPACE.nominal_point, space[0], "the space is read-only")
    assert replace(SPACE).digest == space[1], "the space is read-only"


def check_seeds(make: Make) -> None:
    first, again = (started(make, seed=3) for _ in range(2))
    same(rounds(first, chance, 12, 16), rounds(again, chance, 12, 16))


def check_resume(make: Make, before: int, after: int = 8) -> None:
    """A generator that loads a state, through JSON and safetensors, goes on as the one that gave it."""
    generator, resumed = started(make), started(make, seed=99)
    rounds(generator, chance, before, 16)
    rounds(resumed, chance, 2, 16)
    tensors, values = generator.state()
    stored, text = save(tensors), json.dumps(values)
    expected = rounds(generator, chance, after, 16, before)
    resumed.load_state(load(stored), json.loads(text))
    same(expected, rounds(resumed, chance, after, 16, before))


def check_metrics(make: Make) -> None:
    for told in rounds(started(make), chance, 12, 16)[1]:
        for name, value in told.items():
            assert isinstance(name, str) and isinstance(value, float), f"{name} is no float"
            assert np.isfinite(value), f"{name} is {value}"


def check_private_luck(make: Make) -> None:
    """The state of the process' global generators is not touched."""
    states = _global_states()
    rounds(started(make), chance, 12, 16)
    assert states == _global_states(), "global random numbers were drawn or seeded"


def _global_states() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    torch_state = torch.get_rng_state().tolist()
    return random.getstate(), str(name), np.asarray(keys).tolist(), rest, torch_state


def same(
    first: tuple[list[Batch], list[dict[str, float]]],
    second: tuple[list[Batch], list[dict[str, float]]],
) -> None:
    """Both asked and told the same, to the last bit."""
    for one, other in zip(first[0], second[0], strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        assert (one.episodes, one.source, one.learn) == (other.episodes, other.source, other.learn)
    assert first[1] == second[1], "the metrics differ"


CHECKS: dict[str, Callable[..., Any]] = {
    "batches": lambda make: check_batches(make, 16),
    "seeds": check_seeds,
    "resume": lambda make: check_resume(make, 7),
    "metrics": check_metrics,
    "luck": check_private_luck,
}
