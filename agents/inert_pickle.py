"""Pickles of other projects, read without importing or calling anything that is in them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np
from numpy._core import multiarray, numeric

_NUMPY: dict[str, Any] = {
    "_reconstruct": multiarray._reconstruct,
    "scalar": multiarray.scalar,
    "_frombuffer": numeric._frombuffer,  # type: ignore[attr-defined]
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}
# Makers of tensors from storages that the loader has read; Torch's own safe loader knows them too.
_TORCH = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")


class Inert(dict[Any, Any]):
    """Stands for any object of a pickle but arrays and tensors: it keeps what it is given and does
    nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.update(state if isinstance(state, dict) else {"state": state})

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return Inert()

    def append(self, item: Any) -> None:
        """As of a list."""

    def extend(self, items: Any) -> None:
        """As of a list."""


class Unpickler(pickle.Unpickler):
    """Knows NumPy's arrays and torch's tensors; everything else becomes inert."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "numpy" or module.startswith(("numpy.core.", "numpy._core.")):
            return _NUMPY.get(name, Inert)
        if (module, name) == ("_codecs", "encode"):  # how old protocols write the bytes of arrays
            return _latin1
        if module == "collections" and name == "OrderedDict":
            return OrderedDict
        if module == "torch._utils" and name in _TORCH:
            from torch import _utils

            return getattr(_utils, name)
        return Inert


def _latin1(text: str, coding: str = "latin1") -> bytes:
    return text.encode("latin1")


def load(file: BinaryIO, **options: Any) -> Any:
    """As `pickle.load`; this module can be the `pickle_module` of `torch.load`."""
    return Unpickler(file, **options).load()
