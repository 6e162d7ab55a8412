"""VecNormalize's statistics, read from its pickle without running what is in it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy._core import multiarray, numeric

from robo_adv.errors import BundleError

Array = npt.NDArray[np.float64]
MAX_FILE = 64 * 1024 * 1024  # [bytes]
_NUMPY: dict[str, Any] = {
    "_reconstruct": multiarray._reconstruct,
    "scalar": multiarray.scalar,
    "_frombuffer": numeric._frombuffer,  # type: ignore[attr-defined]
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}


@dataclass(frozen=True)
class Statistics:
    """clip((x - mean) / sqrt(var + epsilon), -clip, clip) of observations; `mean` and `var` (d,)."""

    mean: Array
    var: Array
    count: float
    epsilon: float
    clip: float


class Inert(dict[Any, Any]):
    """Stands for any object of a pickle but arrays: it keeps what it is given and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.update(state if isinstance(state, dict) else {"state": state})

    def append(self, item: Any) -> None:
        """As of a list."""

    def extend(self, items: Any) -> None:
        """As of a list."""


class _Reader(pickle.Unpickler):
    """Knows NumPy's arrays; everything else becomes inert, so that nothing is imported or called."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" or module.startswith(("numpy.core.", "numpy._core.")):
            return _NUMPY.get(name, Inert)
        return Inert


def read_statistics(path: Path, size: int) -> Statistics:
    """What VecNormalize saved of observations of `size` numbers.

    Raises:
        BundleError: the file holds nothing of the kind.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise BundleError(f"{path} has more than {MAX_FILE} bytes")
        with path.open("rb") as file:
            found = _Reader(file).load()
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
