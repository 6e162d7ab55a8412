"""What an ONNX file lets be known from inside: its graph, where that is a plain network.

Operators: https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from robo_adv.agents.chain import CURVES, Chain, Clipped, Curve, Linear, Scaled, Step, described
from robo_adv.agents.onnx_policy import OnnxPolicy
from robo_adv.agents.white_box import difference, trials
from robo_adv.envs.episode import World
from robo_adv.threats.access import Access

Array = npt.NDArray[np.float64]
Constants = Mapping[str, npt.NDArray[Any]]
FROM_GRAPH = "Gradients come from the graph of the file ({shape}), with the same actions."
NO_ONNX = "The package onnx is missing, so its graph cannot be read: pip install 'robo-adv[onnx]'."
RESHAPING = ("Identity", "Flatten", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Dropout")
ACTIVATIONS = {
    "Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid", "Softplus": "softplus", "Selu": "selu",
    "Softsign": "softsign", "Elu": "elu", "LeakyRelu": "leaky_relu", "Gelu": "gelu",
}  # fmt: skip


class Unreadable(Exception):
    """A graph that is no chain of known operators; the text says why."""


def onnx_access(file: OnnxPolicy, world: World, player: str) -> tuple[Access, str]:
    """Access through the graph of a file, and a sentence that says so, or what prevented it."""
    try:
        import onnx
    except ImportError:
        return Access(), NO_ONNX
    try:
        chain = read_chain(onnx.load(str(file.path)), file.input, file.output, file.size)
        space = world.action_space(player)
        chain = chain.without_clip(space.low, space.high)
        access = Access(mean=chain.mlp() or chain, normaliser=chain.normaliser())
        seen = trials(access, world, player)
        if told := _differs(access, file, seen, world, player):
            raise Unreadable(f"what was read from it acts otherwise: {told}")
    except Unreadable as error:
        return Access(), f"Its graph does not give gradients: {error}."
    except Exception as error:  # a graph of any kind may be given; numbers may not fit together
        return Access(), f"Its graph cannot be read: {type(error).__name__}: {error}."
    return access, FROM_GRAPH.format(shape=described(access.mean))


def _differs(access: Access, file: OnnxPolicy, seen: Array, world: World, player: str) -> str:
    import torch

    assert access.mean is not None
    with torch.no_grad():
        said = access.mean(torch.as_tensor(seen, dtype=torch.float32)).numpy()
    if said.shape != (len(seen), file.actions):
        return f"actions of shape {said.shape}"
    return difference(said, file, seen, world, player)


def read_chain(model: Any, start: str, end: str, size: int) -> Chain:
    """The steps from input `start`, of `size` numbers, to output `end`.

    Raises:
        Unreadable: something else lies between them.
    """
    import onnx.numpy_helper

    constants = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    made: dict[str, Any] = {}
    for node in model.graph.node:  # a file lists them in an order in which they can be computed
        if all(name in constants for name in node.input if name):
            constants.update(_computed(node, constants, model.opset_import))
        else:
            made.update(dict.fromkeys(node.output, node))
    steps: list[Step] = []
    name = end
    while name != start:
        if name not in made:
            raise Unreadable(f"{name!r} does not depend on the observations")
        step, name = _read(made[name], constants)
        steps[:0] = step
    return Chain.of(steps, size)


def _computed(node: Any, constants: Constants, opset: Any) -> dict[str, Any]:
    """The outputs of a node that has constant inputs only."""
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    if node.op_type.startswith(("Random", "Bernoulli", "Multinomial")):
        raise Unreadable(f"it draws random numbers ({node.op_type})")
    inputs = [name for name in node.input if name]
    graph = helper.make_graph(
        [node], "constant",
        [helper.make_empty_tensor_value_info(name) for name in inputs],
        [helper.make_empty_tensor_value_info(name) for name in node.output if name],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=opset)
    found = ReferenceEvaluator(model).run(None, {name: constants[name] for name in inputs})
    return dict(zip([name for name in node.output if name], found, strict=True))


def _read(node: Any, constants: Constants) -> tuple[list[Step], str]:
    """What a node does, as steps, and the name of what it does it to."""
    kind = node.op_type
    told = f"{kind} ({node.name})" if node.name else kind
    if node.domain not in ("", "ai.onnx"):
        raise Unreadable(f"the operator {node.domain}.{told} is not understood")
    if kind in RESHAPING or (kind == "Concat" and len(node.input) == 1):
        return [], node.input[0]
    values = [constants.get(name) for name in node.input]
    moving = [i for i, value in enumerate(values) if value is None and node.input[i]]
    if len(moving) != 1:
        raise Unreadable(f"the operator {told} joins {len(moving)} branches")
    place = moving[0]
    attributes = _attributes(node)
    if kind in ACTIVATIONS:
        return [_curve(kind, attributes, told)], node.input[place]
    if kind not in READERS:
        raise Unreadable(f"the operator {told} is not understood")
    others = [None if v is None else np.asarray(v, np.float64) for v in values]
    try:
        return [READERS[kind](others, place, attributes)], node.input[place]
    except ValueError as error:
        raise Unreadable(f"the operator {told} {error}") from error


def _attributes(node: Any) -> dict[str, Any]:
    import onnx.helper

    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _curve(kind: str, attributes: dict[str, Any], told: str) -> Curve:
    names = {"Elu": "alpha", "LeakyRelu": "negative_slope", "Gelu": "approximate"}
    defaults = {"Elu": 1.0, "LeakyRelu": 0.01, "Gelu": b"none"}
    name = ACTIVATIONS[kind]
    if kind not in names:
        if attributes:
            raise Unreadable(f"the operator {told} has parameters {', '.join(attributes)}")
        return Curve(name, CURVES[name])
    given = attributes.get("approximate" if kind == "Gelu" else "alpha", defaults[kind])
    value = given.decode() if isinstance(given, bytes) else given
    return Curve(name, partial(CURVES[name], **{names[kind]: value}))


def _gemm(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    if place != 0 or attributes.get("transA", 0):
        raise ValueError("multiplies from the other side")
    weight = values[1].T if attributes.get("transB", 0) else values[1]
    weight = attributes.get("alpha", 1.0) * weight
    given = values[2] if len(values) > 2 and values[2] is not None else 0.0
    bias = attributes.get("beta", 1.0) * np.asarray(given, np.float64).reshape(-1)
    return Linear(weight, np.broadcast_to(bias, weight.shape[1:]).copy())


def _matmul(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    if place != 0 or values[1].ndim != 2:
        raise ValueError("is no product of observations with a matrix")
    return Linear(values[1], np.zeros(values[1].shape[1]))


def _entries(values: list[Any], place: int) -> Array:
    """The constant (d,) or (1,) of an operator with two inputs."""
    constant = values[1 - place]
    if constant.ndim and constant.size != constant.shape[-1]:
        raise ValueError(f"has a constant of shape {constant.shape}")
    return np.asarray(constant.reshape(-1))


def _add(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    return Scaled(np.ones(1), _entries(values, place))


def _sub(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    c = _entries(values, place)
    return Scaled(np.ones(1), -c) if place == 0 else Scaled(-np.ones(1), c)


def _mul(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    return Scaled(_entries(values, place), np.zeros(1))


def _div(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    c = _entries(values, place)
    if place != 0 or (c == 0).any():
        raise ValueError("divides by what it is given" if place else "divides by 0")
    return Scaled(1.0 / c, np.zeros(1))


def _neg(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    return Scaled(-np.ones(1), np.zeros(1))


def _clip(values: list[Any], place: int, attributes: dict[str, Any]) -> Step:
    if place != 0:
        raise ValueError("has bounds that depend on the observations")
    low, high = (
        values[k] if k < len(values) and values[k] is not None else attributes.get(name, end)
        for k, name, end in ((1, "min", -np.inf), (2, "max", np.inf))
    )
    return Clipped(np.reshape(np.float64(low), -1), np.reshape(np.float64(high), -1))


def _bound(values: list[Any], place: int, attributes: dict[str, Any], low: bool) -> Step:
    if len(values) != 2:
        raise ValueError(f"has {len(values)} inputs")
    c, endless = _entries(values, place), np.array([np.inf])
    return Clipped(c, endless) if low else Clipped(-endless, c)


READERS: dict[str, Callable[[list[Any], int, dict[str, Any]], Step]] = {
    "Gemm": _gemm, "MatMul": _matmul, "Add": _add, "Sub": _sub, "Mul": _mul, "Div": _div,
    "Neg": _neg, "Clip": _clip, "Max": partial(_bound, low=True), "Min": partial(_bound, low=False),
}  # fmt: skip
