"""Small ONNX files with known weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOATS = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}


def write_onnx(
    path: Path,
    size: int,
    actions: int,
    *,
    batch: int | str | None = "n",
    dtype: Any = np.float32,
    names: tuple[str, ...] = ("action",),
    inputs: tuple[str, ...] = ("obs",),
    weight: float = 1.0,
) -> np.ndarray[Any, Any]:
    """tanh(observation @ W) as a file with one output per name, all alike but `value` (n, 1);
    returns W."""
    rng = np.random.default_rng(5)
    w = (weight * rng.normal(0, 0.7, (size, actions))).astype(dtype)
    kind = FLOATS[dtype]
    nodes = [helper.make_node("MatMul", [inputs[0], "W"], ["h"])]
    outputs = []
    for name in names:
        if name == "value":
            nodes.append(helper.make_node("MatMul", [inputs[0], "v"], [name]))
        else:
            nodes.append(helper.make_node("Tanh", ["h"], [name]))
        wide = 1 if name == "value" else actions
        outputs.append(helper.make_tensor_value_info(name, kind, [batch, wide]))
    graph = helper.make_graph(
        nodes, "policy",
        [helper.make_tensor_value_info(name, kind, [batch, size]) for name in inputs],
        outputs,
        [numpy_helper.from_array(w, "W"),
         numpy_helper.from_array(np.ones((size, 1), dtype), "v")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return w
