"""A differentiable function of the user's, as an `MLP` where torch's trace of it is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from robo_adv.agents.chain import CURVES, Chain, Clipped, Curve, Linear, Scaled, Step
from robo_adv.threats.access import Tensor
from robo_adv.threats.mlp import MLP

aten = torch.ops.aten
SAME = {
    aten.detach.default, aten._to_copy.default, aten.clone.default, aten.alias.default,
    aten.view.default, aten._unsafe_view.default, aten.flatten.using_ints, aten.lift_fresh_copy.default,
}  # fmt: skip
ACTIVATIONS = {aten.tanh.default: "tanh", aten.relu.default: "relu"}


def traced_mlp(mean: Callable[[Tensor], Tensor], size: int) -> MLP | None:
    """The function of observations (n, size) as an MLP, when that gives the same actions; else None."""
    example = torch.linspace(-1.0, 1.0, 2 * size).reshape(2, size)
    try:
        found = _chain(make_fx(mean)(example), size).mlp()
        if found is None:
            return None
        generator = torch.Generator().manual_seed(0)
        x = 3.0 * torch.randn(64, size, generator=generator)
        with torch.no_grad():
            same = torch.allclose(found(x), mean(x).float(), rtol=1e-3, atol=1e-4)
    except Exception:  # any code may be traced, and much cannot be
        return None
    return found if same else None


def _chain(graph: Any, size: int) -> Chain:
    """Raises ValueError, or whatever a graph that is no chain leads to."""
    fixed: dict[Any, Any] = {}  # nodes that do not depend on the observations
    steps: dict[Any, list[Step]] = {}
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            steps[node] = []
        elif node.op == "get_attr":
            fixed[node] = getattr(graph, node.target)
        elif node.op == "output":
            (out,) = node.args
            return Chain.of(steps[out], size)
        elif not any(argument in steps for argument in node.all_input_nodes):
            given = torch.fx.node.map_arg((node.args, node.kwargs), fixed.__getitem__)
            fixed[node] = node.target(*given[0], **given[1])
        else:
            (before,) = (a for a in node.all_input_nodes if a in steps)
            arguments = [fixed.get(a, a) if isinstance(a, torch.fx.Node) else a for a in node.args]
            steps[node] = steps[before] + _step(node, arguments, arguments.index(before))
    raise ValueError("a graph without output")


def _step(node: Any, arguments: list[Any], place: int) -> list[Step]:
    kind, others = node.target, [a for k, a in enumerate(arguments) if k != place]
    if kind in SAME:
        return []
    if kind in ACTIVATIONS:
        name = ACTIVATIONS[kind]
        return [Curve(name, CURVES[name])]
    if node.kwargs:
        raise ValueError(f"{kind} has keywords")
    if kind == aten.addmm.default and place == 1:
        return [Linear(_numbers(arguments[2]), _numbers(arguments[0]))]
    if kind == aten.mm.default and place == 0:
        weight = _numbers(arguments[1])
        return [Linear(weight, np.zeros(weight.shape[1]))]
    if kind == aten.clamp.default and place == 0:
        low, high = [*others, None, None][:2]
        return [Clipped(_entries(-np.inf if low is None else low),
                        _entries(np.inf if high is None else high))]  # fmt: skip
    one = np.ones(1)
    (entries,) = (_entries(a) for a in others)
    if kind == aten.add.Tensor:
        return [Scaled(one, entries)]
    if kind == aten.sub.Tensor:
        return [Scaled(one, -entries) if place == 0 else Scaled(-one, entries)]
    if kind == aten.mul.Tensor:
        return [Scaled(entries, 0.0 * one)]
    if kind == aten.div.Tensor and place == 0:
        return [Scaled(1.0 / entries, 0.0 * one)]
    raise ValueError(f"{kind} is not understood")


def _numbers(x: Any) -> Any:
    return np.asarray(torch.as_tensor(x).detach().cpu(), np.float64)


def _entries(x: Any) -> Any:
    found = _numbers(x)
    if found.ndim and found.size != found.shape[-1]:
        raise ValueError(f"a constant of shape {found.shape}")
    return found.reshape(-1)
