"""VecNormalize's statistics, read from its pickle without running what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robo_adv.agents.inert_pickle import load
from robo_adv.errors import BundleError

Array = npt.NDArray[np.float64]
MAX_FILE = 64 * 1024 * 1024  # [bytes]


@dataclass(frozen=True)
class Statistics:
    """clip((x - mean) / sqrt(var + epsilon), -clip, clip) of observations; `mean` and `var` (d,)."""

    mean: Array
    var: Array
    count: float
    epsilon: float
    clip: float


def read_statistics(path: Path, size: int) -> Statistics:
    """What VecNormalize saved of observations of `size` numbers.

    Raises:
        BundleError: the file holds nothing of the kind.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise BundleError(f"{path} has more than {MAX_FILE} bytes")
        with path.open("rb") as file:
            found = load(file)
        rms = found["obs_rms"]
        mean, var = (np.array(rms[key], dtype=np.float64) for key in ("mean", "var"))
        numbers = [float(x) for x in (rms["count"], found["epsilon"], found["clip_obs"])]
        used = bool(found["norm_obs"])
    except BundleError:
        raise
    except Exception as error:  # any file may be given
        raise BundleError(
            f"{path} holds no VecNormalize statistics of plain observations: "
            f"{type(error).__name__}: {error}"
        ) from error
    if mean.shape != (size,) or var.shape != (size,):
        raise BundleError(
            f"{path} holds statistics of observations {mean.shape}, expected ({size},)"
        )
    if not (np.isfinite(mean).all() and np.isfinite(var).all() and (var >= 0).all()):
        raise BundleError(f"{path} holds statistics that are not finite, or negative variances")
    if not used:
        mean, var = np.zeros(size), np.ones(size)
    return Statistics(mean, var, *numbers)
